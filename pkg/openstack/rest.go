package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
)

// The services are asked in plain JSON: what is needed of each resource is a few fields, and unknown ones must not matter.

type object = map[string]any

// get decodes one answer.
func (c *Client) get(ctx context.Context, service, path string, into any) error {
	s, err := c.service(ctx, service)
	if err != nil {
		return err
	}
	return c.getURL(ctx, s, s.ServiceURL()+path, into)
}

func (c *Client) getURL(ctx context.Context, s *gophercloud.ServiceClient, u string, into any) error {
	resp, err := s.Get(ctx, u, into, &gophercloud.RequestOpts{OkCodes: []int{200, 203}})
	if err != nil {
		return said(err)
	}
	return resp.Body.Close()
}

// list returns all items under a key, following the pages of Nova, Neutron, Cinder (KEY_links) and Glance (next).
func (c *Client) list(ctx context.Context, service, path, key string) ([]object, error) {
	s, err := c.service(ctx, service)
	if err != nil {
		return nil, err
	}
	var out []object
	next := s.ServiceURL() + path
	for seen := map[string]bool{}; next != "" && !seen[next]; {
		seen[next] = true
		var page map[string]json.RawMessage
		if err := c.getURL(ctx, s, next, &page); err != nil {
			return nil, fmt.Errorf("cannot list %s: %w", strings.ReplaceAll(key, "_", " "), err)
		}
		var items []object
		if err := json.Unmarshal(page[key], &items); err != nil && len(page[key]) > 0 {
			return nil, fmt.Errorf("cannot list %s: the answer is not as expected: %w", key, err)
		}
		out = append(out, items...)
		if next, err = nextPage(next, page, key); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func nextPage(current string, page map[string]json.RawMessage, key string) (string, error) {
	link := ""
	var links []struct{ Rel, Href string }
	if raw, ok := page[key+"_links"]; ok && json.Unmarshal(raw, &links) == nil {
		for _, l := range links {
			if l.Rel == "next" {
				link = l.Href
			}
		}
	}
	if raw, ok := page["next"]; ok {
		_ = json.Unmarshal(raw, &link)
	}
	if link == "" {
		return "", nil
	}
	at, err := url.Parse(current)
	if err != nil {
		return "", err
	}
	to, err := at.Parse(link)
	if err != nil {
		return "", fmt.Errorf("cannot follow the next page %q: %w", link, err)
	}
	// Behind a proxy, links may name another scheme or host than the catalogue: the token goes to the catalogue's only.
	to.Scheme, to.Host = at.Scheme, at.Host
	return to.String(), nil
}

// said puts the service's own message in front of gophercloud's.
func said(err error) error {
	var x gophercloud.ErrUnexpectedResponseCode
	if !errors.As(err, &x) {
		return reason(err)
	}
	if msg := strings.Join(strings.Fields(message(x.Body)), " "); msg != "" {
		return &APIError{Status: x.Actual, Message: msg, Err: err}
	}
	return &APIError{Status: x.Actual, Message: http.StatusText(x.Actual), Err: err}
}

// APIError is a service's refusal in its own words.
type APIError struct {
	Status  int
	Message string
	Err     error
}

func (e *APIError) Error() string { return fmt.Sprintf("%s (HTTP %d)", e.Message, e.Status) }
func (e *APIError) Unwrap() error { return e.Err }

// message finds the text in {"itemNotFound": {"message": …}}, {"NeutronError": {…}} and the like.
func message(body []byte) string {
	var top map[string]json.RawMessage
	if json.Unmarshal(body, &top) != nil {
		return ""
	}
	for _, raw := range top {
		var inner struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(raw, &inner) == nil && inner.Message != "" {
			return inner.Message
		}
		var text string
		if json.Unmarshal(raw, &text) == nil && len(top) == 1 {
			return text
		}
	}
	return ""
}

func gone(err error) bool { return gophercloud.ResponseCodeIs(err, http.StatusNotFound) }

func str(o object, key string) string { s, _ := o[key].(string); return s }

package rest

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Doc is a resource as the API shows it.
type Doc = map[string]any

// Link is a reference in a document.
type Link struct {
	Rel  string `json:"rel"`
	Href string `json:"href"`
}

// Text is how a value of a document is compared with a filter.
func Text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		if v {
			return "true"
		}
		return "false"
	default:
		return fmt.Sprint(v)
	}
}

// Equal compares a document's value with a filter; booleans accept OpenStack's spellings.
func Equal(v any, want string) bool {
	if b, ok := v.(bool); ok {
		w, err := ParseBool(want)
		return err == nil && w == b
	}
	if v == nil {
		return want == "" || want == "null" || want == "None"
	}
	return Text(v) == want
}

// ParseBool reads OpenStack's spellings of truth.
func ParseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "t", "1", "yes", "y", "on":
		return true, nil
	case "false", "f", "0", "no", "n", "off", "":
		return false, nil
	}
	return false, fmt.Errorf("'%s' is not a boolean", s)
}

// SortKey is one key of an order.
type SortKey struct {
	Name string
	Desc bool
}

// Sort orders the documents by the keys, stably.
func Sort(docs []Doc, keys []SortKey) {
	slices.SortStableFunc(docs, func(a, b Doc) int {
		for _, k := range keys {
			d := compare(a[k.Name], b[k.Name])
			if k.Desc {
				d = -d
			}
			if d != 0 {
				return d
			}
		}
		return 0
	})
}

func compare(a, b any) int {
	x, xok := number(a)
	y, yok := number(b)
	if xok && yok {
		return cmp.Compare(x, y)
	}
	return cmp.Compare(Text(a), Text(b))
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// Page is a part of a list.
type Page struct {
	Docs       []Doc
	Next, Prev string // URLs, empty where there is none
}

// PageOptions says how a service pages.
type PageOptions struct {
	// Max bounds the page; 0 is no bound. More than it is cut, as the services do.
	Max int
	// Key names the document's field that markers hold; "id" when empty.
	Key string
	// Reverse walks backwards when page_reverse is true (Neutron).
	Reverse bool
	// URL is the list's address without query.
	URL string
}

// Paginate applies limit and marker. Errors: 400 for a bad limit; ErrMarker's text is the service's matter,
// so an unknown marker returns (Page{}, false, nil).
func Paginate(docs []Doc, q url.Values, o PageOptions) (Page, bool, error) {
	limit, err := limitOf(q, o.Max)
	if err != nil {
		return Page{}, true, err
	}
	key := cmp.Or(o.Key, "id")
	reverse := false
	if o.Reverse {
		reverse, _ = ParseBool(q.Get("page_reverse"))
	}
	start, end := 0, len(docs)
	if marker := q.Get("marker"); marker != "" {
		at := slices.IndexFunc(docs, func(d Doc) bool { return Text(d[key]) == marker })
		if at < 0 {
			return Page{}, false, nil
		}
		if reverse {
			end = at
		} else {
			start = at + 1
		}
	}
	all := len(docs)
	if limit > 0 && end-start > limit {
		if reverse {
			start = end - limit
		} else {
			end = start + limit
		}
	}
	page := Page{Docs: docs[start:end]}
	if len(page.Docs) > 0 && limit > 0 {
		if end < all {
			page.Next = o.link(q, page.Docs[len(page.Docs)-1][key], false)
		}
		if start > 0 {
			page.Prev = o.link(q, page.Docs[0][key], true)
		}
	}
	return page, true, nil
}

func (o PageOptions) link(q url.Values, marker any, back bool) string {
	next := url.Values{}
	for k, v := range q {
		next[k] = v
	}
	next.Set("marker", Text(marker))
	next.Del("page_reverse")
	if back {
		next.Set("page_reverse", "True")
	}
	return o.URL + "?" + next.Encode()
}

func limitOf(q url.Values, limit int) (int, error) {
	text := q.Get("limit")
	if text == "" {
		return limit, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, Bad("Invalid input for query parameters limit. Value: %s. '%s' does not match '^[0-9]*$'", text, text)
	}
	if n < 0 {
		return 0, Bad("Invalid input for query parameters limit. Value: %s. '%s' does not match '^[0-9]*$'", text, text)
	}
	if limit > 0 && (n == 0 || n > limit) {
		n = limit
	}
	return n, nil
}

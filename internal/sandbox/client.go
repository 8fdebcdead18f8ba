package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/orch-project/orch/internal/sandbox/fault"
)

// adminFile holds where a running sandbox is and what its admin endpoint wants; readable by its owner only.
const adminFile = "admin.json"

type adminRecord struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

func (s *Sandbox) writeAdmin() error {
	data, err := json.MarshalIndent(adminRecord{URL: s.URL, Token: s.token}, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode %s: %w", adminFile, err)
	}
	return writePrivate(filepath.Join(s.Dir, adminFile), string(data)+"\n")
}

// Client talks to the admin endpoint of a sandbox in another process.
type Client struct {
	url, token string
	http       *http.Client
}

// ErrDown is returned when no sandbox runs in a directory.
var ErrDown = errors.New("no sandbox runs there")

// Connect returns a client for the sandbox of a state directory. Errors: ErrDown when there is none.
func Connect(dir string) (*Client, error) {
	data, err := os.ReadFile(filepath.Join(dir, adminFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot connect to the sandbox of %s: %w", dir, ErrDown)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot connect to the sandbox: %w", err)
	}
	var r adminRecord
	if err := json.Unmarshal(data, &r); err != nil || r.URL == "" {
		return nil, fmt.Errorf("cannot connect to the sandbox: %s is damaged; take the sandbox down and up again", filepath.Join(dir, adminFile))
	}
	return &Client{url: r.URL, token: r.Token, http: &http.Client{}}, nil
}

// Health asks whether the sandbox answers. Errors: ErrDown when it does not.
func (c *Client) Health(ctx context.Context) (Health, error) {
	var h Health
	err := c.call(ctx, http.MethodGet, "/health", nil, &h)
	return h, err
}

// Inventory lists what exists of a project; "" means all.
func (c *Client) Inventory(ctx context.Context, project string) (Inventory, error) {
	var i Inventory
	err := c.call(ctx, http.MethodGet, "/inventory?project="+url.QueryEscape(project), nil, &i)
	return i, err
}

// Faults lists the faults in force.
func (c *Client) Faults(ctx context.Context) (FaultList, error) {
	var l FaultList
	err := c.call(ctx, http.MethodGet, "/faults", nil, &l)
	return l, err
}

// AddFault puts a rule in force and returns its id.
func (c *Client) AddFault(ctx context.Context, r fault.Rule) (string, error) {
	return c.add(ctx, "/faults/requests", r)
}

// AddServerFault puts a rule for servers in force and returns its id.
func (c *Client) AddServerFault(ctx context.Context, r fault.ServerRule) (string, error) {
	return c.add(ctx, "/faults/servers", r)
}

func (c *Client) add(ctx context.Context, path string, rule any) (string, error) {
	var out struct{ ID string }
	err := c.call(ctx, http.MethodPost, path, rule, &out)
	return out.ID, err
}

// RemoveFault ends a rule; an empty id ends all.
func (c *Client) RemoveFault(ctx context.Context, id string) error {
	path := "/faults"
	if id != "" {
		path += "/" + url.PathEscape(id)
	}
	return c.call(ctx, http.MethodDelete, path, nil, nil)
}

// InjectSSH makes a server's SSH misbehave; the zero fault heals it.
func (c *Client) InjectSSH(ctx context.Context, server string, f SSHFault) error {
	return c.call(ctx, http.MethodPost, "/servers/"+url.PathEscape(server)+"/ssh", f, nil)
}

// InjectNetwork breaks a server's network; the zero fault mends it.
func (c *Client) InjectNetwork(ctx context.Context, server string, f NetworkFault) error {
	return c.call(ctx, http.MethodPost, "/servers/"+url.PathEscape(server)+"/network", f, nil)
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("cannot encode the request to the sandbox: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url+adminPath+path, body)
	if err != nil {
		return fmt.Errorf("cannot ask the sandbox: %w", err)
	}
	req.Header.Set(tokenHeader, c.token)
	req.Close = true // a command asks once: no connection is kept
	reply, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("cannot ask the sandbox at %s: %w", c.url, errors.Join(ErrDown, err))
	}
	defer func() { _ = reply.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(reply.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("cannot read the sandbox's answer: %w", err)
	}
	if reply.StatusCode != http.StatusOK {
		var e struct{ Error string }
		_ = json.Unmarshal(data, &e) // an unreadable answer leaves the status
		return fmt.Errorf("the sandbox answered %s: %s", reply.Status, e.Error)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("cannot read the sandbox's answer: %w", err)
	}
	return nil
}

package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/orch-project/orch/pkg/orch"
)

// Remote is a server to work on, and who asks it.
type Remote struct {
	// Server is http://…, https://… or unix:PATH.
	Server string `json:"server"`
	Tenant string `json:"tenant,omitempty"`
	Token  string `json:"token,omitempty"`
	// User with Password, where there is no token.
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"`
	// CA, Cert and Key name files (PEM): the authority of the server's certificate, and the client's certificate with its key.
	CA   string `json:"ca,omitempty"`
	Cert string `json:"cert,omitempty"`
	Key  string `json:"key,omitempty"`
	// Clear lets credentials travel over plain HTTP to another machine.
	Clear bool `json:"insecure_no_tls,omitempty"`
}

// contexts is the file of saved servers. It holds credentials: only its owner can read it.
type contexts struct {
	Current  string            `json:"current,omitempty"`
	Contexts map[string]Remote `json:"contexts"`

	path string
}

// localContext is the name of no server.
const localContext = "local"

func contextsPath() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("cannot find a home directory for contexts; set XDG_CONFIG_HOME: %w", err)
	}
	return filepath.Join(dir, "orch", "contexts.json"), nil
}

func readContexts() (*contexts, error) {
	path, err := contextsPath()
	if err != nil {
		return nil, err
	}
	c := &contexts{Contexts: map[string]Remote{}, path: path}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, &orch.Error{Kind: orch.KindUser, Msg: path + " holds credentials and others can read it", Hint: "chmod 600 " + path}
	}
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, c)
	}
	if err != nil {
		return nil, &orch.Error{Kind: orch.KindUser, Msg: "cannot read the contexts", Err: err, Hint: "mend or remove " + path}
	}
	if c.Contexts == nil {
		c.Contexts = map[string]Remote{}
	}
	return c, nil
}

// write replaces the file in one step, so that a crash leaves the old or the new one.
func (c *contexts) write() error {
	raw, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return fmt.Errorf("cannot save the contexts: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(c.path), ".contexts-*") // its mode is 0600
	if err != nil {
		return fmt.Errorf("cannot save the contexts: %w", err)
	}
	_, err = f.Write(append(raw, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), c.path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("cannot save the contexts: %w", err)
	}
	return nil
}

func (c *contexts) get(name string) (Remote, error) {
	r, ok := c.Contexts[name]
	if !ok {
		return r, &orch.Error{Kind: orch.KindNotFound, Msg: fmt.Sprintf("there is no context %q", name), Hint: "orch context list shows all"}
	}
	return r, nil
}

func (c *contexts) names() []string { return slices.Sorted(maps.Keys(c.Contexts)) }

// remote is the server that the command works on, nil for none: that of --server, of --context, of ORCH_SERVER, else the current context. Who
// names a home directory or a store means this machine.
func (e *environment) remote() (*Remote, error) {
	r, err := e.chosenServer()
	if r == nil || err != nil {
		return nil, err
	}
	for variable, to := range map[string]*string{"ORCH_TOKEN": &r.Token, "ORCH_TENANT": &r.Tenant, "ORCH_USER": &r.User, "ORCH_PASSWORD": &r.Password,
		"ORCH_CA": &r.CA, "ORCH_CERT": &r.Cert, "ORCH_KEY": &r.Key} {
		if v := os.Getenv(variable); v != "" {
			*to = v
		}
	}
	if file := os.Getenv("ORCH_TOKEN_FILE"); file != "" && os.Getenv("ORCH_TOKEN") == "" {
		if r.Token, err = readCredential(file); err != nil {
			return nil, err
		}
	}
	if e.tenant != "" {
		r.Tenant = e.tenant
	}
	return r, nil
}

func (e *environment) chosenServer() (*Remote, error) {
	env := os.Getenv("ORCH_SERVER")
	switch {
	case e.server == localContext || e.context == localContext:
		return nil, nil
	case e.server != "" && e.context != "":
		return nil, usage("--server and --context name two servers; give one")
	case e.server != "":
		return &Remote{Server: e.server}, nil
	case e.overrides["home"] != "" || e.overrides["store"] != "":
		if e.context != "" {
			return nil, usage("--context is a server, --home and --store are of this machine; give one")
		}
		return nil, nil
	case e.context == "" && env == localContext:
		return nil, nil
	case e.context == "" && env != "":
		return &Remote{Server: env}, nil
	}
	all, err := readContexts()
	if err != nil {
		return nil, err
	}
	name := e.context
	if name == "" {
		if name = all.Current; name == "" || name == localContext {
			return nil, nil
		}
	}
	r, err := all.get(name)
	return &r, err
}

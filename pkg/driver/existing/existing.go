// Package existing finds out how to reach servers that no driver has made: those that a topology names by their address, and those that an
// operation names itself (Cloudify's fabric_env).
//
// It reads addresses and logins out of properties, attributes and capabilities, whose names are those of TOSCA's, Alien4Cloud's and Cloudify's
// types. Passwords and keys become secrets of the deployment, as a driver.Host holds references only. It must not know SSH or stores.
package existing

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// Secrets keeps what a login needs.
type Secrets interface {
	Resolve(ctx context.Context, ref string) (secret.Value, error)
	// Put stores a value under a reference, over what is there.
	Put(ctx context.Context, ref string, value []byte) error
}

// Finder of hosts. All fields must be set.
type Finder struct {
	Secrets Secrets
	// Ref names a secret of a deployment, which is forgotten with it.
	Ref func(deployment, node, what string) string
}

// addresses of a server by the names of properties and attributes, in order of preference.
var addresses = []string{"public_address", "public_ip_address", "ip", "ip_address", "private_address"}

// logins are maps that say how to log in: Cloudify's agent settings. The endpoint's credentials of TOSCA and Yorc come in addition.
var logins = []string{"agent_config", "cloudify_agent"}

// Host of an instance that is a server; nil without an error if nothing says where it is.
func (f *Finder) Host(ctx context.Context, deployment string, t *topology.Topology, in topology.Instance, env topology.Env) (*driver.Host, error) {
	n := t.NodeNamed(in.Node)
	if n == nil {
		return nil, nil
	}
	v := values{ctx: ctx, sc: topology.Scope{Topology: t, Node: n, Instance: in.Index}, env: env}
	h := &driver.Host{Instance: in, HostKeySource: "first-use", ServerID: "existing/" + deployment + "/" + in.String()}
	for _, name := range addresses {
		if a := v.address(n, in, name); a != "" && !slices.Contains(h.Addresses, a) {
			h.Addresses = append(h.Addresses, a)
		}
	}
	if len(h.Addresses) == 0 {
		return nil, nil
	}
	login := map[string]any{}
	for _, name := range logins {
		merge(login, v.eval(n.Properties.Get(name)))
	}
	if c := n.Capability("endpoint"); c != nil {
		for _, name := range []string{"credential", "credentials"} {
			merge(login, credential(v.eval(c.Properties.Get(name))))
		}
	}
	return h, f.login(ctx, deployment, in.Node+"-"+in.Index, h, login)
}

// Login returns the host that an operation names itself, or the known one as it is: what the operation says of a server that a driver has made
// is about keys which that server does not have.
func (f *Finder) Login(ctx context.Context, req *driver.Request, known *driver.Host) (*driver.Host, error) {
	if !strings.HasPrefix(req.Topology.Dialect, "cloudify_dsl_") || req.Operation == nil || req.Operation.Inputs == nil {
		return known, nil
	}
	v := values{ctx: ctx, env: req.Env, sc: topology.Scope{Topology: req.Topology, Node: req.Node, Instance: req.Instance, Relationship: req.Relationship, TargetInstance: req.TargetInstance}}
	asked, _ := v.eval(req.Operation.Inputs.Get("fabric_env")).(map[string]any)
	if len(asked) == 0 {
		return known, nil
	}
	name := text(asked["host_string"])
	if name == "" {
		name = text(asked["host"])
	}
	login := map[string]any{"user": asked["user"], "port": asked["port"], "password": asked["password"], "key": asked["key"]}
	if login["key"] == nil {
		login["key"] = asked["key_filename"]
	}
	if user, rest, ok := strings.Cut(name, "@"); ok {
		name, login["user"] = rest, user
	}
	if host, port, err := net.SplitHostPort(name); err == nil {
		name, login["port"] = host, port
	}
	if known != nil && (name == "" || slices.Contains(known.Addresses, name)) {
		return known, nil
	}
	if name == "" {
		return nil, nil
	}
	h := &driver.Host{Instance: req.ID(), Addresses: []string{name}, HostKeySource: "first-use", ServerID: "existing/" + req.Deployment + "/" + name}
	if sudo, _ := v.eval(req.Operation.Inputs.Get("use_sudo")).(bool); sudo {
		h.Sudo = true
	}
	return h, f.login(ctx, req.Deployment, name, h, login)
}

func merge(into map[string]any, v any) {
	m, _ := v.(map[string]any)
	for k, x := range m {
		if x != nil && text(x) != "" {
			into[k] = x
		}
	}
}

// credential turns TOSCA's credential into a login: its token is a password unless its type says otherwise; keys are by any name.
func credential(v any) map[string]any {
	m, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	out := map[string]any{"user": m["user"]}
	if kind := text(m["token_type"]); kind == "" || kind == "password" {
		out["password"] = m["token"]
	}
	keys, _ := m["keys"].(map[string]any)
	var names []string
	for k := range keys {
		names = append(names, k)
	}
	slices.Sort(names)
	if len(names) > 0 {
		out["key"] = keys[names[0]]
	}
	return out
}

func (f *Finder) login(ctx context.Context, deployment, of string, h *driver.Host, login map[string]any) (err error) {
	h.User = text(login["user"])
	if p := text(login["port"]); p != "" {
		if h.Port, err = strconv.Atoi(p); err != nil || h.Port < 1 || h.Port > 65535 {
			return fmt.Errorf("the port %q to log in at is none", p)
		}
	}
	if h.PasswordRef, err = f.keep(ctx, f.Ref(deployment, of, "password"), text(login["password"])); err != nil {
		return err
	}
	switch key := text(login["key"]); {
	case key == "":
	case strings.Contains(key, "-----BEGIN"):
		if h.KeyRef, err = f.keep(ctx, f.Ref(deployment, of, "key"), key); err != nil {
			return err
		}
	default:
		h.KeyRef = "file:" + key
	}
	h.Agent = h.KeyRef == "" && h.PasswordRef == ""
	return nil
}

// keep stores a value among the deployment's secrets unless it is there already.
func (f *Finder) keep(ctx context.Context, ref, value string) (string, error) {
	if value == "" {
		return "", nil
	}
	if now, err := f.Secrets.Resolve(ctx, ref); err == nil && now.Reveal() == value {
		return ref, nil
	}
	if err := f.Secrets.Put(ctx, ref, []byte(value)); err != nil {
		return "", fmt.Errorf("cannot keep the login of a server: %w", err)
	}
	return ref, nil
}

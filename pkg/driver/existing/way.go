package existing

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

// Types of Yorc and Janus that say how a server is reached.
var (
	provisioningAdmin = []string{"yorc.capabilities.Endpoint.ProvisioningAdmin", "janus.capabilities.Endpoint.ProvisioningAdmin"}
	deploysThrough    = []string{"yorc.relationships.DeploysThrough", "janus.relationships.DeploysThrough"}
	bastionHost       = []string{"yorc.capabilities.SSHBastionHost", "janus.capabilities.SSHBastionHost"}
)

// fromPool are servers whose login their pool knows: the one in the topology is a filler.
const fromPool = "yorc.nodes.hostspool.Compute"

// Complete returns the host of a server that a driver has made with what the topology says of the way to it in Yorc's words: the login of the
// endpoint, a bastion that the endpoint names, and one that a relationship DeploysThrough leads to. Others are returned as they are.
func (f *Finder) Complete(ctx context.Context, s driver.Server) (*driver.Host, error) {
	n := s.Topology.NodeNamed(s.Instance.Node)
	if n == nil || n.Type.Is(fromPool) {
		return s.Host, nil
	}
	h := *s.Host
	v := values{ctx: ctx, sc: topology.Scope{Topology: s.Topology, Node: n, Instance: s.Instance.Index}, env: s.Env}
	if c := ofType(n, provisioningAdmin); c != nil {
		own := credential(v.eval(c.Properties.Get("credentials")))
		if err := f.ownLogin(ctx, s, v.eval(n.Properties.Get("key_pair")) != nil, own, &h); err != nil {
			return nil, err
		}
		if asked, _ := v.eval(c.Properties.Get("bastion")).(map[string]any); asked != nil && text(asked["use"]) == "true" {
			through := driver.Host{Instance: s.Instance, Addresses: []string{text(asked["host"])}, HostKeySource: "first-use",
				ServerID: "existing/" + s.Deployment + "/" + text(asked["host"])}
			login := credential(asked["credentials"])
			if login == nil {
				login = map[string]any{}
			}
			login["port"] = asked["port"]
			if err := f.login(ctx, s.Deployment, s.Instance.Node+"-bastion", &through, login); err != nil {
				return nil, err
			}
			h.Bastion = &through
		}
	}
	for _, r := range n.Relationships {
		if !slices.ContainsFunc(deploysThrough, r.Type.Is) {
			continue
		}
		through, err := f.through(ctx, s, r.Target)
		if err != nil {
			return nil, err
		}
		h.Bastion = through
	}
	return &h, nil
}

// ownLogin takes the key that belongs to a key pair of the topology's choice; otherwise the one that was made for the server stays.
func (f *Finder) ownLogin(ctx context.Context, s driver.Server, chosen bool, own map[string]any, h *driver.Host) error {
	said := driver.Host{}
	if text(own["key"]) == "" && text(own["password"]) == "" {
		return nil
	}
	if err := f.login(ctx, s.Deployment, s.Instance.Node, &said, own); err != nil {
		return err
	}
	if said.KeyRef != "" && (chosen || h.KeyRef == "") {
		h.KeyRef = said.KeyRef
	}
	if h.PasswordRef == "" {
		h.PasswordRef = said.PasswordRef
	}
	h.Agent = h.Agent && h.KeyRef == "" && h.PasswordRef == ""
	return nil
}

// through is the host of the instance of a node that is gone through: the one with the same number, or the only one.
func (f *Finder) through(ctx context.Context, s driver.Server, node string) (*driver.Host, error) {
	in := topology.Instance{Node: node, Index: s.Instance.Index}
	h := s.Other(in)
	if h == nil {
		in.Index = "0"
		h = s.Other(in)
	}
	n := s.Topology.NodeNamed(node)
	if h == nil || n == nil {
		return nil, fmt.Errorf("%s is reached through %s, whose address is not known yet", s.Instance, node)
	}
	with, v := *h, values{ctx: ctx, sc: topology.Scope{Topology: s.Topology, Node: n, Instance: in.Index}, env: s.Env}
	at := driver.Server{Deployment: s.Deployment, Topology: s.Topology, Instance: in, Env: s.Env}
	if c := ofType(n, provisioningAdmin); c != nil {
		if err := f.ownLogin(ctx, at, v.eval(n.Properties.Get("key_pair")) != nil, credential(v.eval(c.Properties.Get("credentials"))), &with); err != nil {
			return nil, err
		}
	}
	c := ofType(n, bastionHost)
	if c == nil {
		return &with, nil
	}
	with.Addresses = v.within(in, text(v.eval(c.Properties.Get("network_name"))), text(v.eval(c.Properties.Get("port_name"))), with.Addresses)
	login := map[string]any{}
	if strings.EqualFold(text(v.eval(c.Properties.Get("use_host_credentials"))), "false") {
		if own := credential(v.eval(c.Properties.Get("credentials"))); own != nil {
			login = own
		}
	} else {
		login["user"] = with.User
	}
	login["port"] = v.eval(c.Properties.Get("port"))
	said := driver.Host{}
	if err := f.login(ctx, s.Deployment, node+"-bastion", &said, login); err != nil {
		return nil, err
	}
	with.User, with.Port = said.User, max(said.Port, with.Port)
	if said.KeyRef != "" || said.PasswordRef != "" {
		with.KeyRef, with.PasswordRef, with.Agent = said.KeyRef, said.PasswordRef, false
	}
	return &with, nil
}

func ofType(n *topology.Node, types []string) *topology.Capability {
	for _, c := range n.Capabilities {
		if slices.ContainsFunc(types, c.Type.Is) {
			return c
		}
	}
	return nil
}

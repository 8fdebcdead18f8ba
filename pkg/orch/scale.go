package orch

import (
	"context"
	"fmt"
	"maps"

	"github.com/orch-project/orch/pkg/topology"
	"slices"
)

// scale is how many instances nodes are to have: what was asked for before, and now.
func (p *prepared) scale() map[string]int {
	var have map[string]int
	if p.have != nil {
		have = p.have.Scale
	}
	if p.req.Verb != Deploy || len(p.req.Scale) == 0 {
		return have
	}
	out := maps.Clone(have)
	if out == nil {
		out = map[string]int{}
	}
	maps.Copy(out, p.req.Scale)
	return out
}

// removal turns instances that are named for removal into the number that is left.
func (p *prepared) removal() error {
	if p.req.Verb != Deploy || len(p.req.Remove) == 0 || p.snapshot == nil {
		return nil
	}
	named := map[string]map[string]bool{}
	for _, in := range p.req.Remove {
		n := p.topology.NodeNamed(in.Node)
		if n == nil || p.snapshot.Instances[in] == nil {
			return &Error{Kind: KindNotFound, Msg: fmt.Sprintf("there is no instance %s", in), Hint: "orch status " + p.name + " shows the instances", Err: ErrNotFound}
		}
		root := p.topology.ScaleRoot(n).Name
		if named[root] == nil {
			named[root] = map[string]bool{}
		}
		named[root][topology.IndexAt(in.Index, 0)] = true
	}
	scale := maps.Clone(p.req.Scale)
	if scale == nil {
		scale = map[string]int{}
	}
	for root, gone := range named {
		have := 0
		for in := range p.snapshot.Instances {
			if in.Node == root {
				have++
			}
		}
		if n, given := scale[root]; given && have-n < len(gone) {
			return &Error{Kind: KindUser, Msg: fmt.Sprintf("%d instances of %s are named for removal, but scaling it from %d to %d removes %d", len(gone), root, have, n, max(have-n, 0))}
		} else if !given {
			scale[root] = have - len(gone)
		}
	}
	p.req.Scale = scale
	return nil
}

// only are the nodes that a request which does nothing but scale is limited to; nil: it is about the whole topology.
func (p *prepared) only() []string {
	r := p.req
	if r.Verb != Deploy || r.Source != nil || r.Revision != 0 || len(r.Inputs) > 0 || len(r.Scale) == 0 || p.have == nil || p.have.Applied == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(r.Scale))
}

// What a deployment's status can be about. A resumed task is about what it was begun for, so the record keeps it; workflows and operations
// leave it as it is.
const (
	doingCreate   = "create"
	doingDeploy   = "deploy"
	doingUpdate   = "update"
	doingScale    = "scale"
	doingUndeploy = "undeploy"
	doingPurge    = "purge"
	doingRollback = "rollback" // only of what was rolled back
)

func doing(p *prepared, before string) string {
	running := p.have != nil && p.have.Applied > 0 && p.have.Status != StatusUndeployed && before != doingUndeploy && before != doingPurge
	switch {
	case p.req.Verb == Undeploy && p.req.Purge:
		return doingPurge
	case p.req.Verb == Undeploy:
		return doingUndeploy
	case p.req.Verb == Deploy && len(p.req.Scale) > 0 && p.req.Source == nil && p.req.Revision == 0:
		return doingScale
	case p.req.Verb == Deploy && running:
		return doingUpdate
	case p.req.Verb == Deploy:
		return doingDeploy
	}
	return before
}

func existsError(name string) error {
	return &Error{Kind: KindConflict, Msg: fmt.Sprintf("there is a deployment %q already", name), Hint: "choose another name, or undeploy and purge it first"}
}

// Scalable says how the node that decides about the number of a node's instances can be scaled.
type Scalable struct {
	Node          string // the end of the chain of hosts: what Request.Scale names
	Min, Max, Now int
}

// Scaling implements Feed.
func (l *Local) Scaling(ctx context.Context, deployment, node string) (Scalable, error) {
	v, err := l.view(ctx, deployment)
	if err != nil {
		return Scalable{}, err
	}
	n := v.topology.NodeNamed(node)
	if n == nil {
		return Scalable{}, &Error{Kind: KindNotFound, Msg: fmt.Sprintf("deployment %s has no node %q", deployment, node), Err: ErrNotFound}
	}
	root := v.topology.ScaleRoot(n)
	capable := false
	for _, c := range root.Capabilities {
		capable = capable || c.Type.Is("tosca.capabilities.Scalable")
	}
	if !capable {
		return Scalable{}, &Error{Kind: KindUser, Msg: fmt.Sprintf("node %s cannot be scaled", node), Hint: "its host needs the capability tosca.capabilities.Scalable"}
	}
	s := Scalable{Node: root.Name, Now: len(v.world.Instances(root.Name))}
	if s.Min, s.Max, _, err = v.topology.Scale(ctx, node, v.world); err != nil {
		return s, &Error{Kind: KindUser, Msg: "cannot tell how far " + node + " can be scaled", Err: err}
	}
	return s, nil
}

package orch

import (
	"fmt"
	"maps"
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

// What a deployment's status can be about. A resumed task is about what it was begun for, so the record keeps it; workflows and operations
// leave it as it is.
const (
	doingDeploy   = "deploy"
	doingUpdate   = "update"
	doingScale    = "scale"
	doingUndeploy = "undeploy"
	doingPurge    = "purge"
)

func doing(p *prepared, before string) string {
	running := p.have != nil && (p.have.Status == StatusDeployed || p.have.Status == StatusUpdating)
	switch {
	case p.req.Verb == Undeploy && p.req.Purge:
		return doingPurge
	case p.req.Verb == Undeploy:
		return doingUndeploy
	case p.req.Verb == Deploy && len(p.req.Scale) > 0 && p.req.Source == nil:
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

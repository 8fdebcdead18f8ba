package terraform

import (
	"context"
	"slices"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plugin"
)

// unread are the arguments that carry an identity and that the provider writes and never reads back: what somebody has removed of them is drift that
// Terraform does not see.
var unread = map[string]any{"metadata": map[string]any{}, "tags": []any{}}

// remark makes Terraform see resources that have lost their marks, or part of them: it is told that there are none, and sets them again. That the
// cloud cannot be asked is no reason not to go on.
func (b *batch) remark(ctx context.Context, m *manifest) {
	surveyor, ok := b.cloud.(driver.Surveyor)
	if !ok || len(b.bundle.State) == 0 {
		return
	}
	known, addresses := b.resources(m, func(string) bool { return true })
	found, err := surveyor.Survey(ctx, b.deployment, known)
	if err != nil {
		b.d.opts.Logger.Debug("cannot look whether resources have lost their marks", "deployment", b.deployment, "err", err)
		return
	}
	var lost []string
	for _, f := range found {
		e, _ := m.owner(addresses[f.Kind+" "+f.ID])
		if e == nil || f.Part || f.Marked && sameMark(plugin.KeyNode, f.Node, e.Instance.Node) && sameMark(plugin.KeyInstance, f.Instance, e.Instance.Index) {
			continue
		}
		lost = append(lost, addresses[f.Kind+" "+f.ID])
	}
	if len(lost) > 0 {
		b.unmark(m, lost)
	}
}

// sameMark compares what a resource says of its owner with the owner; a tag may have room for less than a name.
func sameMark(key, says, is string) bool {
	return says == is || plugin.Tag(key, is) == key+"="+says
}

// unmark takes the marks out of the stored state.
func (b *batch) unmark(m *manifest, lost []string) {
	raw, err := parseRaw(b.bundle.State, nil)
	if err != nil {
		return
	}
	changed := false
	for _, a := range lost {
		r, block := raw.find(a), m.block(a)
		if r == nil || block == nil {
			continue
		}
		for arg, none := range unread {
			if _, asked := block.Body[arg]; asked && r.attributes[arg] != nil {
				r.attributes[arg], changed = none, true
			}
		}
	}
	if !changed {
		return
	}
	data, err := raw.encode()
	if err != nil {
		return
	}
	if s, err := parseState(data); err == nil {
		b.bundle.State, b.bundle.state = data, s
	}
}

// resources of the state whose kind is known to the cloud, with their addresses by kind and id.
func (b *batch) resources(m *manifest, which func(address string) bool) (out []driver.CloudResource, addresses map[string]string) {
	addresses = map[string]string{}
	kinds := map[string]string{}
	for _, p := range pluginsOf(b.d.opts.Plugins, m, b.loc) {
		for _, pr := range p.Providers {
			for _, a := range slices.Backward(pr.Adopts) {
				kinds[a.Resource] = a.Kind
			}
		}
	}
	for i := range b.bundle.state.Resources {
		r := &b.bundle.state.Resources[i]
		if r.Mode != "managed" || kinds[r.Type] == "" || !which(r.address()) {
			continue
		}
		for j := range r.Instances {
			c := driver.CloudResource{Kind: kinds[r.Type], ID: idOf(&r.Instances[j])}
			out = append(out, c)
			addresses[c.Kind+" "+c.ID] = r.address()
		}
	}
	return out, addresses
}

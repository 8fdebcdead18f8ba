package plugin

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/orch-project/orch/pkg/topology"
)

// body fills in a block's arguments.
func (r *Renderer) body(ctx context.Context, b *Block) error {
	f := r.frame(ctx, b.frame)
	f.owner = b.Owner
	if b.spec.Each != nil {
		f = f.with(b.spec.As, b.item)
	}
	args, err := f.named(b.spec.Arguments)
	if err != nil {
		return err
	}
	if b.spec.Keep != nil {
		keep, err := f.eval(b.spec.Keep)
		if err != nil {
			return err
		}
		b.Keep = truth(keep)
	}
	r.identify(b, args)
	w := &jsonWriter{block: b}
	b.Body = w.object(args, nil)
	for _, o := range w.owners {
		r.refer(b.Owner, o)
	}
	if b.Quota, err = r.counts(f, b.spec.Quota); err != nil {
		return err
	}
	if len(b.spec.DependsOn) > 0 {
		deps, err := f.dependsOn(b.spec.DependsOn)
		if err != nil {
			return err
		}
		if len(deps) > 0 {
			b.Body["depends_on"] = deps
		}
	}
	if len(b.spec.Timeouts) > 0 {
		t := map[string]any{}
		for k, v := range b.spec.Timeouts {
			t[k] = v
		}
		b.Body["timeouts"] = t
	}
	if len(b.spec.Lifecycle) > 0 {
		b.Body["lifecycle"] = maps.Clone(b.spec.Lifecycle)
	}
	return nil
}

func (f *frame) dependsOn(list []*Expr) ([]any, error) {
	var deps []any
	for _, e := range list {
		v, err := f.eval(e)
		if err != nil {
			return nil, err
		}
		l, _ := applyList([]any{v})
		for _, d := range l.([]any) {
			b, ok := d.(*Block)
			if !ok {
				return nil, f.fail(e, fmt.Errorf("depends_on needs resources, not a %s", kindOf(d)))
			}
			f.r.refer(f.owner, b.Owner)
			if !slices.Contains(deps, any(b.Address())) {
				deps = append(deps, b.Address())
			}
		}
	}
	return deps, nil
}

// identify adds the marks by which the resource is known as ours.
func (r *Renderer) identify(b *Block, args map[string]any) {
	id := Identity{Deployment: r.Deployment}
	if b.spec.Scope != PerDeployment {
		id.Node = b.frame.node.Name
	}
	if b.spec.Scope == PerInstance {
		id.Instance = b.frame.index
	}
	suffix := ""
	if b.spec.ID != b.frame.mapping.Resources[0].ID { // the first resource is the node itself
		suffix = b.suffix
	}
	if b.spec.Scope == PerDeployment {
		suffix = "-" + b.suffix // "app--key" is no node's name
	}
	how := b.spec.Identity
	if how.Name != "" && isNull(args[how.Name]) {
		args[how.Name] = id.ReadableName(suffix)
	}
	if how.Unique != "" {
		args[how.Unique] = id.UniqueName(suffix)
	}
	if how.Description != "" {
		mark := id.Mark()
		if s := str(args[how.Description]); s != "" {
			mark = s + " (" + mark + ")"
		}
		args[how.Description] = mark
	}
	if how.Tags != "" {
		tags, _ := args[how.Tags].([]any)
		for _, t := range id.Tags() {
			tags = append(tags, t)
		}
		args[how.Tags] = tags
	}
	if how.Metadata != "" {
		m := map[string]any{}
		if given, ok := args[how.Metadata].(map[string]any); ok {
			maps.Copy(m, given)
		}
		for k, v := range id.Metadata() {
			m[k] = v
		}
		if b.Keep {
			m[KeyKeep] = "true"
		}
		args[how.Metadata] = m
	}
}

// counts evaluates what a block counts against quotas.
func (r *Renderer) counts(f *frame, quota *Named) (map[string]float64, error) {
	values, err := f.named(quota)
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for k, v := range values {
		if n, ok := topology.Number(v); ok {
			out[k] = n
		}
	}
	return out, nil
}

package terraform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	tfjson "github.com/hashicorp/terraform-json"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plugin"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// Adopt implements driver.Adopter. `terraform import` would not do: provider 1.15 cannot import servers, and of what it imports it leaves
// out all that the cloud does not tell (user data, a server's ports), for which the next apply would make the resource anew. So a resource is
// put into the state with its id alone, which is what providers' importers do, too; Terraform reads it, and what remains unread is taken from
// what a plan wants:
//
//	state with ids ──apply -refresh-only──▶ what the cloud says ──plan──▶ differs in what nobody can read? ──▶ as wanted, and again
//
// Nothing is stored before the end, and the cloud is only read: a process that dies in between has done nothing.
func (d *Driver) Adopt(ctx context.Context, deployment string, reqs []*driver.Request, ids []string, emit event.Emit) ([]driver.Surveyed, error) {
	if len(reqs) == 0 {
		return nil, fmt.Errorf("cannot adopt anything for %s: it has no native nodes", deployment)
	}
	if emit == nil {
		emit = func(event.Event) {}
	}
	b := &batch{d: d, deployment: deployment, reqs: reqs, emit: emit, report: func(int, driver.Result, error) {}, reported: make([]bool, len(reqs))}
	b.home = d.dir(deployment)
	b.work = filepath.Join(b.home, "work")
	if err := os.MkdirAll(b.home, 0o700); err != nil {
		return nil, fmt.Errorf("cannot adopt: %w", err)
	}
	unlock, err := flock(ctx, filepath.Join(b.home, "lock"))
	if err != nil {
		return nil, fmt.Errorf("cannot adopt: waiting for an apply of %s: %w", deployment, err)
	}
	defer unlock()
	if err := b.begin(ctx); err != nil {
		return nil, err
	}
	if err := b.recover(ctx); err != nil {
		return nil, err
	}
	fresh := &freshSecrets{Secrets: d.opts.Secrets, of: map[string]bool{}}
	if d.opts.Secrets != nil {
		b.renderer.Secrets = fresh
	}
	s, err := b.survey(ctx)
	if err != nil {
		return nil, err
	}
	if chosen := s.choose(ids); len(chosen) > 0 {
		if err := b.takeOver(ctx, s, chosen, fresh); err != nil {
			return nil, err
		}
	}
	return s.result(), nil
}

// choose the orphans to adopt. A part comes with what it is a part of: it needs no naming.
func (s *survey) choose(ids []string) (chosen []*driver.Surveyed) {
	addresses := map[string]bool{}
	take := func(r *driver.Surveyed) {
		chosen, addresses[r.Address] = append(chosen, r), true
	}
	for _, r := range s.rows {
		if r.Where == driver.InCloud && r.Address != "" && !r.Part && (len(ids) == 0 || slices.Contains(ids, r.ID)) {
			take(r)
		}
	}
	for _, r := range s.rows {
		if r.Where != driver.InCloud || r.Address == "" || !r.Part {
			continue
		}
		whole, some := true, len(ids) == 0
		for _, of := range s.refersTo(r.Address) {
			known := addresses[of] || s.b.bundle.state.find(of) != nil
			whole, some = whole && known, some || addresses[of]
		}
		if whole && some || slices.Contains(ids, r.ID) && whole {
			take(r)
		}
	}
	return chosen
}

// refersTo are the addresses that a block's arguments refer to.
func (s *survey) refersTo(address string) (out []string) {
	e, _ := s.m.owner(address)
	if e == nil {
		return nil
	}
	for _, b := range e.Blocks {
		if b.address() == address {
			for _, v := range b.Body {
				if t, ok := v.(string); ok {
					if m := reference.FindStringSubmatch(t); m != nil {
						out = append(out, m[1])
					}
				}
			}
		}
	}
	return out
}

// freshSecrets notes which secrets are made now. What was made before with a secret of that name had another value, which is lost.
type freshSecrets struct {
	driver.Secrets
	of map[string]bool
}

func (f *freshSecrets) Generate(ctx context.Context, ref string, make func() ([]byte, error)) (secret.Value, error) {
	return f.Secrets.Generate(ctx, ref, func() ([]byte, error) {
		f.of[ref] = true
		return make()
	})
}

// any reports whether a secret of an instance, or one that it shares, is new.
func (f *freshSecrets) any(deployment string, e *entry) bool {
	for ref := range f.of {
		for _, of := range []string{plugin.SecretRef(deployment, e.Instance.Node, e.Instance.Index, ""), plugin.SecretRef(deployment, e.Instance.Node, "", ""), plugin.SecretRef(deployment, "", "", "")} {
			if strings.TrimSuffix(of, "/") == ref[:strings.LastIndexByte(ref, '/')] {
				return true
			}
		}
	}
	return false
}

// takeOver brings the chosen orphans into the state, and their owners into the manifest.
func (b *batch) takeOver(ctx context.Context, s *survey, chosen []*driver.Surveyed, fresh *freshSecrets) error {
	m, err := b.with(ctx, chosen)
	if err != nil {
		return err
	}
	tool, err := b.d.tool.find(ctx, b.d.opts.Binary)
	if err != nil {
		return err
	}
	plugins := pluginsOf(b.d.opts.Plugins, m, b.loc)
	prep, err := b.d.prepare(ctx, tool, plugins)
	if err != nil {
		return err
	}
	mod, values, err := buildModule(m, plugins, prep.versions(), false)
	if err != nil {
		return err
	}
	in := &intake{b: b, tool: tool, manifest: m, env: b.environ(prep, values), chosen: map[string]*driver.Surveyed{}, fresh: fresh, filled: map[string]bool{}}
	for _, r := range chosen {
		in.chosen[r.Address] = r
	}
	var remove func()
	if in.dir, remove, err = b.d.scratch(ctx, "adopt-"); err != nil {
		return fmt.Errorf("cannot adopt: %w", err)
	}
	defer remove()
	if err := in.run(ctx, prep, mod, plugins); err != nil {
		return err
	}
	return in.store(ctx)
}

// with is the manifest with the instances that the orphans belong to.
func (b *batch) with(ctx context.Context, chosen []*driver.Surveyed) (*manifest, error) {
	var reqs []*driver.Request
	for _, r := range b.reqs {
		if slices.ContainsFunc(chosen, func(o *driver.Surveyed) bool { return slices.Contains(o.Owners, r.ID()) }) {
			reqs = append(reqs, r)
		}
	}
	var failed []error
	sub := &batch{d: b.d, deployment: b.deployment, reqs: reqs, emit: b.emit, reported: make([]bool, len(reqs)), loc: b.loc, cloud: b.cloud, bundle: b.bundle,
		report: func(_ int, _ driver.Result, err error) { failed = append(failed, err) }}
	sub.renderer = b.renderer.Fresh()
	g, err := sub.aim(ctx)
	if err = errors.Join(append(failed, err)...); err != nil {
		return nil, err
	}
	return g.manifest, nil
}

// intake is the taking over of resources into a copy of the state.
type intake struct {
	b        *batch
	tool     *Tool
	manifest *manifest
	env      []string
	dir      string
	chosen   map[string]*driver.Surveyed // by address
	fresh    *freshSecrets
	state    *rawState
	filled   map[string]bool // "address attribute": where that is not so after reading again, the cloud says otherwise
}

// rounds of reading and completing: what is completed in one (a server's ports) lets the next one read more (their addresses).
const rounds = 5

func (in *intake) run(ctx context.Context, prep *prepared, mod []byte, plugins []*plugin.Plugin) error {
	var err error
	if in.state, err = parseRaw(in.b.bundle.State, in.tool); err != nil {
		return err
	}
	work := *in.b
	work.work, work.bundle = in.dir, &bundle{Manifest: in.manifest}
	if err := work.writeWork(prep, mod, &applyRecord{}); err != nil {
		return fmt.Errorf("cannot adopt: %w", err)
	}
	versions, err := in.schemaVersions(ctx, &work)
	if err != nil {
		return err
	}
	for _, a := range slices.Sorted(maps.Keys(in.chosen)) {
		typ, name, _ := strings.Cut(a, ".")
		in.state.add(typ, name, providerOf(in.tool, plugins, typ), in.chosen[a].ID, versions[typ])
	}
	for round := range rounds {
		if err := in.read(ctx, &work); err != nil {
			return err
		}
		p, err := in.plan(ctx, &work)
		if err != nil {
			return err
		}
		if round == rounds-1 || !in.complete(p) {
			in.differences(p)
			break
		}
	}
	return nil
}

// providerOf a resource type, as states name it.
func providerOf(tool *Tool, plugins []*plugin.Plugin, typ string) string {
	name, _, _ := strings.Cut(typ, "_")
	for _, p := range plugins {
		for _, pr := range p.Providers {
			if pr.Name == name {
				return fmt.Sprintf("provider[%q]", registryPath(tool, pr.Source))
			}
		}
	}
	return ""
}

// schemaVersions of the resource types: a state that names none would be migrated by the provider as if it were old.
func (in *intake) schemaVersions(ctx context.Context, work *batch) (map[string]uint64, error) {
	out, err := work.output(ctx, in.tool, in.env, "providers", "schema", "-json")
	if err != nil {
		return nil, fmt.Errorf("cannot read the providers' schemas: %w", err)
	}
	var all struct {
		Schemas map[string]struct {
			Resources map[string]struct {
				Version uint64 `json:"version"`
			} `json:"resource_schemas"`
		} `json:"provider_schemas"`
	}
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, fmt.Errorf("cannot read the providers' schemas: %w", err)
	}
	versions := map[string]uint64{}
	for _, p := range all.Schemas {
		for typ, r := range p.Resources {
			versions[typ] = r.Version
		}
	}
	return versions, nil
}

func (in *intake) targets() (out []string) {
	for _, a := range slices.Sorted(maps.Keys(in.chosen)) {
		out = append(out, "-target="+a)
	}
	return out
}

// read lets the provider say what the resources are.
func (in *intake) read(ctx context.Context, work *batch) error {
	if err := in.state.write(filepath.Join(in.dir, fileState)); err != nil {
		return err
	}
	out, err := work.output(ctx, in.tool, in.env, append([]string{"apply", "-refresh-only", "-json", "-auto-approve", "-input=false", "-lock=false", "-backup=-"}, in.targets()...)...)
	if err != nil {
		return work.planError(out, err)
	}
	data, err := os.ReadFile(filepath.Join(in.dir, fileState))
	if err != nil {
		return fmt.Errorf("cannot read what Terraform has read: %w", err)
	}
	if in.state, err = parseRaw(data, in.tool); err != nil {
		return err
	}
	for a, r := range in.chosen {
		if in.state.find(a) == nil {
			r.Reason = "Terraform's provider cannot read it"
			delete(in.chosen, a)
		}
	}
	if len(in.chosen) == 0 {
		return errors.New("the provider of Terraform can read nothing of what is to be adopted")
	}
	return nil
}

func (in *intake) plan(ctx context.Context, work *batch) (*tfjson.Plan, error) {
	out, err := work.output(ctx, in.tool, in.env, append([]string{"plan", "-json", "-input=false", "-lock=false", "-refresh=false", "-out=plan.bin"}, in.targets()...)...)
	if err != nil {
		return nil, work.planError(out, err)
	}
	if out, err = work.output(ctx, in.tool, in.env, "show", "-json", "plan.bin"); err != nil {
		return nil, fmt.Errorf("cannot read Terraform's plan: %w", err)
	}
	p := &tfjson.Plan{}
	if err := p.UnmarshalJSON(out); err != nil {
		return nil, fmt.Errorf("cannot read Terraform's plan: %w", err)
	}
	return p, nil
}

// complete takes over from the plan what the provider could not read. What is sensitive depends on a secret: where that is new, nobody can say
// that the resource has it, and the difference stays.
func (in *intake) complete(p *tfjson.Plan) (changed bool) {
	for _, rc := range p.ResourceChanges {
		if in.chosen[rc.Address] == nil || rc.Change == nil {
			continue
		}
		now, after := in.state.find(rc.Address), asMap(rc.Change.After)
		if now == nil || after == nil {
			continue
		}
		unknown, hidden := asMap(rc.Change.AfterUnknown), asMap(rc.Change.AfterSensitive)
		e, _ := in.manifest.owner(rc.Address)
		lost := e != nil && in.fresh.any(in.b.deployment, e)
		for k, v := range after {
			if lost && marked(hidden[k]) || in.filled[rc.Address+" "+k] {
				continue
			}
			if done, ok := filled(now.attributes[k], v, unknown[k]); ok {
				now.attributes[k], in.filled[rc.Address+" "+k], changed = done, true, true
			}
		}
		if paths := sensitivePaths(hidden); !samePaths(paths, now.sensitive()) && !lost {
			now.raw["sensitive_attributes"], changed = paths, true
		}
	}
	return changed
}

func asMap(v any) map[string]any { m, _ := v.(map[string]any); return m }

// filled is a value with its gaps filled from another one; false if it has none there.
func filled(have, want, unknown any) (any, bool) {
	if unknown == true {
		return nil, false
	}
	switch w := want.(type) {
	case nil:
		return nil, false
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok {
			return want, have == nil && !marked(unknown)
		}
		if len(h) == 0 && len(w) > 0 {
			return want, !marked(unknown)
		}
		any := false
		out := maps.Clone(h)
		for k, v := range w {
			if done, ok := filled(h[k], v, asMap(unknown)[k]); ok {
				out[k], any = done, true
			}
		}
		return out, any
	case []any:
		h, _ := have.([]any)
		if len(h) == 0 {
			return want, len(w) > 0 && !marked(unknown)
		}
		if len(h) != len(w) {
			return nil, false
		}
		unknowns, _ := unknown.([]any)
		any := false
		out := slices.Clone(h)
		for i, v := range w {
			var u interface{}
			if i < len(unknowns) {
				u = unknowns[i]
			}
			if done, ok := filled(h[i], v, u); ok {
				out[i], any = done, true
			}
		}
		return out, any
	}
	return want, (have == nil || have == "") && have != want
}

// sensitivePaths of a plan's mark, as states have them: attributes first, then the keys of maps and places of lists.
func sensitivePaths(hidden map[string]any) []any {
	paths := []any{}
	for _, k := range slices.Sorted(maps.Keys(hidden)) {
		step := map[string]any{"type": "get_attr", "value": k}
		switch t := hidden[k].(type) {
		case bool:
			if t {
				paths = append(paths, []any{step})
			}
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(t)) {
				if marked(t[key]) {
					paths = append(paths, []any{step, map[string]any{"type": "index", "value": map[string]any{"type": "string", "value": key}}})
				}
			}
		}
	}
	return paths
}

// samePaths: their order means nothing.
func samePaths(a, b []any) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x any) bool {
		return !slices.ContainsFunc(b, func(y any) bool { return reflect.DeepEqual(x, y) })
	})
}

// differences are what the next deployment has to change of what was adopted.
func (in *intake) differences(p *tfjson.Plan) {
	for _, rc := range p.ResourceChanges {
		r := in.chosen[rc.Address]
		if r == nil {
			continue
		}
		r.Adopted, r.Where, r.Reason = true, driver.InBoth, ""
		if c, ok := changeOf(rc, topology.Instance{Node: r.Node, Index: r.Instance}, in.manifest.block(rc.Address)); ok && c.Action != "no-op" {
			r.Changes = []driver.Change{c}
		}
	}
}

// store keeps the state and the manifest, and tells of it.
func (in *intake) store(ctx context.Context) error {
	data, err := in.state.encode()
	if err != nil {
		return err
	}
	s, err := parseState(data)
	if err != nil {
		return err
	}
	b := in.b
	if in.manifest.Differs == nil {
		in.manifest.Differs = map[string]string{}
	}
	for a, r := range in.chosen {
		if len(r.Changes) > 0 {
			in.manifest.Differs[a] = r.Changes[0].Action
		}
	}
	b.bundle.Manifest, b.bundle.State, b.bundle.state = in.manifest, data, s
	b.bundle.Manifest.bury(&manifest{}, s)
	if err := b.save(ctx); err != nil {
		return err
	}
	for _, a := range slices.Sorted(maps.Keys(in.chosen)) {
		r := in.chosen[a]
		b.emit(event.Event{Time: time.Now(), Type: event.Resource, Deployment: b.deployment, Node: r.Node, Instance: r.Instance, Key: a, Value: r.ID, Status: "adopted"})
	}
	return nil
}

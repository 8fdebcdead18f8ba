package plugin

import (
	"context"
	"fmt"
	"slices"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// Secrets that rendering may create (key pairs, host keys); driver.Secrets satisfies it.
type Secrets interface {
	Generate(ctx context.Context, ref string, make func() ([]byte, error)) (secret.Value, error)
}

// Renderer turns native instances into entries of a Terraform module. It is for one pass over one deployment and not safe for concurrent
// use. Rendering an instance pulls in what its blocks refer to.
type Renderer struct {
	Deployment string
	Set        *Set
	Location   Location
	Topology   *topology.Topology
	Env        topology.Env
	Catalogue  Catalogue
	Secrets    Secrets
	Pins       Pins
	// State returns the attributes of a resource by address, for published values.
	State func(address string) (map[string]any, bool)
	// AllowUnknown lets values that are not known yet pass (plans); otherwise they are errors.
	AllowUnknown bool
	// Stopped instances are to be powered off ($stopped).
	Stopped map[topology.Instance]bool
	// Gone instances are no targets of links, though the topology has them.
	Gone map[topology.Instance]bool
	// Evaluate evaluates a topology value; nil uses topology.Eval.
	Evaluate func(ctx context.Context, v *topology.Value, s topology.Scope, env topology.Env) (any, error)

	insts   map[topology.Instance]*inst
	shared  map[string]*Block // node- and deployment-scoped blocks by address
	entries map[string]*Entry
	order   []string
}

// Entry is what is written, kept and removed as one: the blocks of an instance, or those shared by a node or a deployment.
type Entry struct {
	Key string `json:"key"`
	// Instance is the owner; for shared entries Index (and Node) are empty.
	Instance topology.Instance `json:"instance"`
	Blocks   []*Block          `json:"blocks"`
	// Refs are the keys of entries that the blocks refer to, or that are made together with this one.
	Refs []string `json:"refs,omitempty"`
	// Provider names, for the module's requirements.
	Plugin string `json:"plugin"`
}

// Block of Terraform configuration.
type Block struct {
	ID    string `json:"id"`
	Type  string `json:"type"`
	Label string `json:"label"`
	Data  bool   `json:"data,omitempty"`
	Owner string `json:"-"`
	// Body in Terraform's JSON syntax. Secrets are references to variables, whose values are in Variables.
	Body      map[string]any          `json:"body"`
	Variables map[string]secret.Value `json:"-"`
	// Keep: the resource is forgotten, not destroyed, when the block goes.
	Keep bool `json:"keep,omitempty"`
	// ReplaceOn are the arguments of Body of which a change makes the resource anew, whatever the provider would do.
	ReplaceOn []string `json:"-"`
	// OnlyGrows are numbers of Body that must not become less.
	OnlyGrows []string `json:"-"`
	// Unknown blocks hold values that only a later evaluation knows (plans only).
	Unknown bool `json:"-"`
	// Quota is what the resource counts against the cloud's limits.
	Quota map[string]float64 `json:"-"`

	spec   *Resource
	item   any
	frame  *inst
	suffix string
}

// Address in Terraform: type.label, with "data." before data sources.
func (b *Block) Address() string {
	if b.Data {
		return "data." + b.Type + "." + b.Label
	}
	return b.Type + "." + b.Label
}

type inst struct {
	node       *topology.Node
	index      string
	mapping    *Mapping
	key        string
	blocks     map[string][]*Block // by resource id, of those that are outlined
	outlining  map[string]bool
	rendered   bool
	values     map[string]memo
	evaluating map[string]bool
}

// memo is an evaluated value with the place in the topology that it came from.
type memo struct {
	value   any
	touched diag.Pos
}

type linkItem struct {
	inst   *inst
	rel    *topology.Relationship
	source *inst // whose relationship rel is
}

// EntryKey of an instance.
func EntryKey(in topology.Instance) string { return in.Node + "/" + in.Index }

func (r *Renderer) init() {
	if r.insts == nil {
		r.insts, r.shared, r.entries = map[topology.Instance]*inst{}, map[string]*Block{}, map[string]*Entry{}
	}
	if r.Pins == nil {
		r.Pins = Pins{}
	}
	if r.Env == nil {
		r.Env = emptyEnv{}
	}
}

// Fresh returns a renderer with the same settings that has rendered nothing.
func (r *Renderer) Fresh() *Renderer {
	c := *r
	c.insts, c.shared, c.entries, c.order = nil, nil, nil, nil
	return &c
}

// Render renders the instances and everything they refer to. The result is in the order of first need.
func (r *Renderer) Render(ctx context.Context, instances []topology.Instance) ([]*Entry, error) {
	r.init()
	var queue []*inst
	for _, id := range instances {
		in, err := r.inst(id)
		if err != nil {
			return nil, err
		}
		queue = append(queue, in)
	}
	for len(queue) > 0 {
		in := queue[0]
		queue = queue[1:]
		if in.rendered {
			continue
		}
		in.rendered = true
		if err := r.render(ctx, in); err != nil {
			return nil, err
		}
		for _, key := range r.entries[in.key].Refs {
			for _, o := range r.insts {
				if o.key == key && !o.rendered {
					queue = append(queue, o)
				}
			}
		}
		slices.SortFunc(queue, func(a, b *inst) int { return compareKeys(a.key, b.key) })
	}
	// Entries of a node or deployment scope may refer to instances, too.
	for _, key := range slices.Clone(r.order) {
		for _, ref := range r.entries[key].Refs {
			for _, o := range r.insts {
				if o.key == ref && !o.rendered {
					return r.Render(ctx, append(slices.Clone(instances), topology.Instance{Node: o.node.Name, Index: o.index}))
				}
			}
		}
	}
	out := make([]*Entry, 0, len(r.order))
	for _, k := range r.order {
		if e := r.entries[k]; r.complete(e) {
			slices.Sort(e.Refs)
			out = append(out, e)
		}
	}
	return out, nil
}

func (r *Renderer) complete(e *Entry) bool {
	if e.Instance.Index == "" {
		return len(e.Blocks) > 0
	}
	in := r.insts[e.Instance]
	return in != nil && in.rendered
}

// Awaits returns the keys of the entries that must be complete before the instance is: its own, those that it shares with other instances,
// and those of what is made with it.
func (r *Renderer) Awaits(ctx context.Context, id topology.Instance) ([]string, error) {
	r.init()
	in, err := r.inst(id)
	if err != nil {
		return nil, err
	}
	if err := r.outline(ctx, in); err != nil {
		return nil, err
	}
	keys := []string{in.key}
	for _, spec := range in.mapping.Resources {
		for _, b := range in.blocks[spec.ID] {
			if !slices.Contains(keys, b.Owner) {
				keys = append(keys, b.Owner)
			}
		}
	}
	for _, name := range in.mapping.With {
		items, err := r.links(ctx, in, name)
		if err != nil {
			return nil, err
		}
		for _, it := range items {
			keys = append(keys, it.inst.key)
		}
	}
	return keys, nil
}

// Refreshes returns the instances that publish again when the instance is done.
func (r *Renderer) Refreshes(ctx context.Context, id topology.Instance) ([]topology.Instance, error) {
	r.init()
	in, err := r.inst(id)
	if err != nil {
		return nil, err
	}
	var out []topology.Instance
	for _, name := range in.mapping.Refresh {
		items, err := r.links(ctx, in, name)
		if err != nil {
			return nil, err
		}
		for _, it := range items {
			out = append(out, topology.Instance{Node: it.inst.node.Name, Index: it.inst.index})
		}
	}
	return out, nil
}

func compareKeys(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// inst returns the working record of a native instance.
func (r *Renderer) inst(id topology.Instance) (*inst, error) {
	if in := r.insts[id]; in != nil {
		return in, nil
	}
	n := r.Topology.NodeNamed(id.Node)
	if n == nil {
		return nil, fmt.Errorf("the topology has no node %q", id.Node)
	}
	m := r.Set.MappingFor(n, r.Location)
	if m == nil {
		return nil, fmt.Errorf("the location %q has no mapping for node %q of type %s", r.Location.Name, n.Name, n.Type.Name())
	}
	in := &inst{node: n, index: id.Index, mapping: m, key: EntryKey(id), values: map[string]memo{}, evaluating: map[string]bool{},
		blocks: map[string][]*Block{}, outlining: map[string]bool{}}
	r.insts[id] = in
	return in, nil
}

func (r *Renderer) entry(key string, id topology.Instance, p *Plugin) *Entry {
	e := r.entries[key]
	if e == nil {
		e = &Entry{Key: key, Instance: id, Plugin: p.Name}
		r.entries[key] = e
		r.order = append(r.order, key)
	}
	return e
}

// refer records that the blocks of one entry need another entry.
func (r *Renderer) refer(from, to string) {
	e := r.entries[from]
	if e != nil && from != to && !slices.Contains(e.Refs, to) {
		e.Refs = append(e.Refs, to)
	}
}

func (r *Renderer) frame(ctx context.Context, in *inst) *frame {
	return &frame{ctx: ctx, r: r, in: in, owner: in.key, touched: &diag.Pos{}}
}

// outline finds out which blocks an instance has, without their arguments.
func (r *Renderer) outline(ctx context.Context, in *inst) error {
	for _, spec := range in.mapping.Resources {
		if err := r.outlineID(ctx, in, spec.ID); err != nil {
			return err
		}
	}
	return nil
}

// outlineID does that for the resources of one id, when something refers to them.
func (r *Renderer) outlineID(ctx context.Context, in *inst, id string) error {
	if _, done := in.blocks[id]; done {
		return nil
	}
	if in.outlining[id] {
		return fmt.Errorf("the condition of the resource %q of %s[%s] depends on itself", id, in.node.Name, in.index)
	}
	in.outlining[id] = true
	defer delete(in.outlining, id)
	blocks := []*Block{}
	for _, spec := range in.mapping.byID[id] {
		bs, err := r.outlineResource(ctx, in, spec)
		if err != nil {
			return err
		}
		blocks = append(blocks, bs...)
	}
	in.blocks[id] = blocks
	return nil
}

func (r *Renderer) outlineResource(ctx context.Context, in *inst, spec *Resource) ([]*Block, error) {
	f := r.frame(ctx, in)
	if spec.When != nil {
		v, err := f.eval(spec.When)
		if err != nil || !truth(v) {
			return nil, err
		}
	}
	if spec.Each == nil {
		return []*Block{r.block(in, spec, nil, "")}, nil
	}
	v, err := f.eval(spec.Each)
	if err != nil {
		return nil, err
	}
	list, _ := applyList([]any{v})
	var out []*Block
	for i, it := range list.([]any) {
		key := any(int64(i))
		if spec.Key != nil {
			if key, err = f.with(spec.As, it).eval(spec.Key); err != nil {
				return nil, err
			}
		}
		k, ok := text(key)
		if !ok {
			return nil, &ExprError{Pos: spec.Key.Pos, Err: fmt.Errorf("the key of %s must be a text, not a %s", spec.ID, kindOf(key))}
		}
		b := r.block(in, spec, it, k)
		if slices.ContainsFunc(out, func(o *Block) bool { return o.Address() == b.Address() }) {
			return nil, &ExprError{Pos: spec.Pos, At: in.node.Pos, Err: fmt.Errorf("two repetitions of %s have the key %q", spec.ID, k)}
		}
		out = append(out, b)
	}
	return out, nil
}

// block makes (or, for shared scopes, finds) a block.
func (r *Renderer) block(in *inst, spec *Resource, item any, key string) *Block {
	b := &Block{ID: spec.ID, Type: spec.Type, Data: spec.Data, Owner: in.key, ReplaceOn: spec.ReplaceOn, OnlyGrows: spec.OnlyGrows, spec: spec, item: item, frame: in}
	suffix := spec.ID
	if key != "" {
		suffix += "_" + keyPart(key)
	}
	b.suffix = suffix
	switch spec.Scope {
	case PerNode:
		b.Owner = in.node.Name + "/*"
		b.Label = labelPart(in.node.Name) + "_all_" + suffix
	case PerDeployment:
		b.Label = "deployment_" + in.mapping.Name + "_" + suffix
		b.Owner = "*/" + b.Address()
	default:
		b.Label = labelPart(in.node.Name) + "_" + badLabel.ReplaceAllString(in.index, "_") + "_" + suffix
		return b
	}
	if o := r.shared[b.Address()]; o != nil {
		return o
	}
	r.shared[b.Address()] = b
	return b
}

// render fills the arguments of an instance's blocks.
func (r *Renderer) render(ctx context.Context, in *inst) error {
	if err := r.outline(ctx, in); err != nil {
		return err
	}
	own := r.entry(in.key, topology.Instance{Node: in.node.Name, Index: in.index}, in.mapping.Plugin)
	for _, spec := range in.mapping.Resources {
		for _, b := range in.blocks[spec.ID] {
			if b.spec != spec {
				continue
			}
			e := own
			switch spec.Scope {
			case PerNode:
				e = r.entry(b.Owner, topology.Instance{Node: in.node.Name}, in.mapping.Plugin)
			case PerDeployment:
				e = r.entry(b.Owner, topology.Instance{}, in.mapping.Plugin)
			}
			r.refer(own.Key, b.Owner)
			if b.Body != nil {
				continue
			}
			if err := r.body(ctx, b); err != nil {
				return err
			}
			e.Blocks = append(e.Blocks, b)
		}
	}
	for _, link := range in.mapping.With {
		items, err := r.links(ctx, in, link)
		if err != nil {
			return err
		}
		for _, it := range items {
			r.refer(own.Key, it.inst.key)
		}
	}
	return nil
}

func (r *Renderer) state(address string) (map[string]any, bool) {
	if r.State == nil {
		return nil, false
	}
	return r.State(address)
}

func (r *Renderer) evaluate(ctx context.Context, v *topology.Value, s topology.Scope, env topology.Env) (any, error) {
	if r.Evaluate != nil {
		return r.Evaluate(ctx, v, s, env)
	}
	return evalTopology(ctx, v, s, env)
}

// emptyEnv knows nothing.
type emptyEnv struct{}

func (emptyEnv) Input(string) (any, bool)                                { return nil, false }
func (emptyEnv) Instances(string) []string                               { return []string{"0"} }
func (emptyEnv) Attribute(topology.Instance, string, string) (any, bool) { return nil, false }
func (emptyEnv) RelationshipAttribute(topology.Instance, string, string, string) (any, bool) {
	return nil, false
}
func (emptyEnv) OperationOutput(topology.Instance, string, string, string, string) (any, bool) {
	return nil, false
}
func (emptyEnv) Secret(context.Context, []string) (secret.Value, error) {
	return secret.Value{}, fmt.Errorf("no secrets are available here")
}

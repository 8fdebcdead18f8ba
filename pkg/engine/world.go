package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// World is what is known of a running deployment: a snapshot that answers expressions. While a task runs, only the run changes it.
type World struct {
	mu        sync.RWMutex
	instances map[topology.Instance]*Instance
	values    map[topology.Instance]*Values
	decoded   map[topology.Instance]*decoded
	nodes     map[string][]string // Instances: recorded or planned
	inputs    map[string]any
	secrets   SecretReader
	cipher    Cipher
	redactor  *secret.Redactor
	functions functions
}

// decoded caches the values of an instance.
type decoded struct {
	attributes map[string]any
	rels       map[string]map[string]any
	outputs    map[string]map[string]any
}

var _ topology.Env = (*World)(nil)

// NewWorld makes a World of a snapshot. The snapshot belongs to it afterwards.
func (e *Engine) NewWorld(s *Snapshot, inputs map[string]any) *World {
	w := &World{instances: s.Instances, values: s.Values, decoded: map[topology.Instance]*decoded{}, inputs: inputs,
		secrets: e.opts.Secrets, cipher: e.opts.Cipher, redactor: e.opts.Redactor,
		functions: functions{recorded: map[string]json.RawMessage{}, secret: map[string]any{}}}
	maps.Copy(w.functions.recorded, s.Functions)
	w.expect(nil)
	return w
}

// withInputs is the same world seen with the inputs of another topology or workflow.
func (w *World) withInputs(inputs map[string]any) topology.Env { return &inputsEnv{w, inputs} }

type inputsEnv struct {
	*World
	inputs map[string]any
}

func (e *inputsEnv) Input(name string) (any, bool) { v, ok := e.inputs[name]; return v, ok }

// Input implements topology.Env.
func (w *World) Input(name string) (any, bool) { v, ok := w.inputs[name]; return v, ok }

// Instances implements topology.Env: those recorded, and while a plan runs those that it makes, but not those that it only takes away.
func (w *World) Instances(node string) []string {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.nodes[node]
}

// expect sets which instances there are while a plan runs; nil: those recorded.
func (w *World) expect(p *plan.Plan) {
	all := map[topology.Instance]bool{}
	for in := range w.instances {
		all[in] = true
	}
	if p != nil {
		for _, s := range p.Steps { // in order: what is forgotten may be made anew
			switch {
			case s.Node == "":
			case s.Kind != plan.Forget:
				all[s.Of()] = true
			case p.Workflow != plan.Uninstall:
				delete(all, s.Of())
			}
		}
	}
	w.nodes = map[string][]string{}
	for in := range all {
		w.nodes[in.Node] = append(w.nodes[in.Node], in.Index)
	}
	for _, l := range w.nodes {
		slices.SortFunc(l, plan.ByNumber)
	}
}

// leaveOut takes an instance that could not be made out of those there are, unless it is the last one: what is told of all instances of its
// node is told of the good ones.
func (w *World) leaveOut(in topology.Instance) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rest := slices.DeleteFunc(slices.Clone(w.nodes[in.Node]), func(i string) bool { return i == in.Index })
	if len(rest) > 0 {
		w.nodes[in.Node] = rest
	}
}

// Instance returns a copy of an instance's record, or nil.
func (w *World) Instance(in topology.Instance) *Instance {
	w.mu.RLock()
	defer w.mu.RUnlock()
	r := w.instances[in]
	if r == nil {
		return nil
	}
	c := *r
	return &c
}

// Attribute implements topology.Env; state, tosca_id and tosca_name are known of every instance.
func (w *World) Attribute(in topology.Instance, capability, name string) (any, bool) {
	key := name
	if capability != "" {
		key = capability + "." + name
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.decode(in); d != nil {
		if v, ok := d.attributes[key]; ok {
			return v, true
		}
	}
	r := w.instances[in]
	if r == nil || capability != "" {
		return nil, false
	}
	switch name {
	case "state":
		return r.State, true
	case "tosca_id":
		return in.Node + "-" + in.Index, true
	case "tosca_name":
		return in.Node, true
	}
	return nil, false
}

// RelationshipAttribute implements topology.Env.
func (w *World) RelationshipAttribute(source topology.Instance, rel, target, name string) (any, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.decode(source)
	if d == nil {
		return nil, false
	}
	if v, ok := d.rels[rel+"["+target+"]"][name]; ok {
		return v, true
	}
	v, ok := d.rels[rel][name]
	return v, ok
}

// OperationOutput implements topology.Env.
func (w *World) OperationOutput(in topology.Instance, rel, iface, op, name string) (any, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.decode(in)
	if d == nil {
		return nil, false
	}
	v, ok := d.outputs[outputKey(rel, iface, op)][name]
	return v, ok
}

// Outputs of an operation on an instance, or on a relationship of it when rel is not "".
func (w *World) Outputs(in topology.Instance, rel, iface, op string) map[string]any {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.decode(in); d != nil {
		return maps.Clone(d.outputs[outputKey(rel, iface, op)])
	}
	return nil
}

func outputKey(rel, iface, op string) string {
	if rel != "" {
		return rel + ":" + iface + "." + op
	}
	return iface + "." + op
}

// Secret implements topology.Env. What it returns is redacted from everything from then on.
func (w *World) Secret(ctx context.Context, args []string) (secret.Value, error) {
	if w.secrets == nil {
		return secret.Value{}, fmt.Errorf("no secrets are configured")
	}
	v, err := w.secrets.Secret(ctx, args)
	if err == nil {
		w.redactor.Add(v)
	}
	return v, err
}

// decode returns the values of an instance, from the cache. The lock must be held for writing.
func (w *World) decode(in topology.Instance) *decoded {
	if d := w.decoded[in]; d != nil {
		return d
	}
	v := w.values[in]
	if v == nil {
		return nil
	}
	d := &decoded{attributes: w.decodeMap(v.Attributes), rels: map[string]map[string]any{}, outputs: map[string]map[string]any{}}
	for k, m := range v.Relationships {
		d.rels[k] = w.decodeMap(m)
	}
	for k, m := range v.Outputs {
		d.outputs[k] = w.decodeMap(m)
	}
	w.decoded[in] = d
	return d
}

// decodeMap leaves out what cannot be decrypted: it is as if it were not known.
func (w *World) decodeMap(m map[string]json.RawMessage) map[string]any {
	out := make(map[string]any, len(m))
	for k, raw := range m {
		v, err := Decode(raw, w.cipher)
		if err != nil {
			continue
		}
		addSecrets(w.redactor, v)
		out[k] = v
	}
	return out
}

func addSecrets(r *secret.Redactor, v any) {
	switch t := v.(type) {
	case secret.Value:
		r.Add(t)
	case []any:
		for _, x := range t {
			addSecrets(r, x)
		}
	case map[string]any:
		for _, x := range t {
			addSecrets(r, x)
		}
	}
}

// Attributes returns the stored attributes of an instance.
func (w *World) Attributes(in topology.Instance) map[string]any {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.decode(in); d != nil {
		return maps.Clone(d.attributes)
	}
	return nil
}

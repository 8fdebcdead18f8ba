package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

// FunctionRunner is an optional interface of Options.Local: it runs what implements a function that a document defines. arguments is a JSON list,
// the result one JSON value.
type FunctionRunner interface {
	RunFunction(ctx context.Context, t *topology.Topology, f *topology.Function, s *topology.Signature, arguments []byte) (result []byte, err error)
}

// functions of a World. A function is run by tasks only, and once for the same arguments: what it gave is recorded with the deployment, so that it
// stays what it is (a function may be random) and is known to those who only look. What secrets went into is not recorded.
//
//	d/<deployment>/function/<digest of implementation and arguments>   the result, as Encode writes it
type functions struct {
	mu       sync.Mutex // one function at a time, so that none is run twice for the same arguments
	recorded map[string]json.RawMessage
	secret   map[string]any // what secrets went into, for the time of the task
	run      FunctionRunner // nil: nothing is run
	record   func(ctx context.Context, key string, result json.RawMessage) (json.RawMessage, error)
}

var _ topology.Functions = (*World)(nil)

// CallFunction implements topology.Functions.
func (w *World) CallFunction(ctx context.Context, t *topology.Topology, f *topology.Function, s *topology.Signature, arguments []any) (any, error) {
	given, err := json.Marshal(topology.MapLeaves(arguments, func(leaf any) any {
		if v, ok := leaf.(secret.Value); ok {
			return v.Reveal()
		}
		return leaf
	}))
	if err != nil {
		return nil, fmt.Errorf("the arguments of the function %s cannot be written as JSON: %w", f.Name, err)
	}
	_, hidden := topology.Text(arguments)
	key := plan.FunctionKey(t, f, s, given)
	fns := &w.functions
	fns.mu.Lock()
	defer fns.mu.Unlock()
	if raw, ok := fns.recorded[key]; ok {
		return Decode(raw, w.cipher)
	}
	if v, ok := fns.secret[key]; ok {
		return v, nil
	}
	if fns.run == nil || !s.Runnable() {
		return topology.Unknown{Refs: []string{"$" + f.Name}}, nil
	}
	out, err := fns.run.RunFunction(ctx, t, f, s, given)
	if err != nil {
		return nil, err
	}
	v, err := oneJSON(out)
	if err != nil {
		return nil, fmt.Errorf("the function %s must print its result as one JSON value: %w", f.Name, err)
	}
	if v, err = f.Result(s, v); err != nil {
		return nil, err
	}
	if hidden {
		fns.secret[key] = v
		return v, nil
	}
	raw, err := encodeSmall(v, w.cipher)
	if err != nil {
		return nil, fmt.Errorf("the result of the function %s cannot be kept: %w", f.Name, err)
	}
	if raw, err = fns.record(ctx, key, raw); err != nil {
		return nil, fmt.Errorf("the result of the function %s cannot be kept: %w", f.Name, err)
	}
	fns.recorded[key] = raw
	return Decode(raw, w.cipher)
}

func oneJSON(out []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(out))
	d.UseNumber()
	var v any
	switch err := d.Decode(&v); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("it printed nothing")
	case err != nil:
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after it; print anything else on standard error")
	}
	var failed error
	v = topology.MapLeaves(v, func(leaf any) any {
		n, ok := leaf.(json.Number)
		if !ok {
			return leaf
		}
		if i, err := n.Int64(); err == nil {
			return i
		}
		x, err := n.Float64()
		failed = errors.Join(failed, err)
		return x
	})
	return v, failed
}

func functionPrefix(dep string) string { return state.Prefix("d", dep, "function") }

// runFunctions lets the run's world run functions and record what they give. Results are as old as what is deployed: where nothing is, they are
// forgotten.
func (r *run) runFunctions(ctx context.Context) error {
	runner, ok := r.e.opts.Local.(FunctionRunner)
	if !ok {
		return nil
	}
	fns, dep := &r.world.functions, r.job.Deployment
	if len(r.world.instances) == 0 && len(fns.recorded) > 0 {
		if err := r.store.Update(ctx, func(tx state.Tx) error { return tx.DeletePrefix(functionPrefix(dep)) }); err != nil {
			return fmt.Errorf("cannot forget what functions gave: %w", err)
		}
		clear(fns.recorded)
	}
	fns.run = runner
	fns.record = func(ctx context.Context, key string, result json.RawMessage) (json.RawMessage, error) {
		at := state.Join("d", dep, "function", key)
		var kept json.RawMessage
		err := r.store.Update(ctx, func(tx state.Tx) error {
			before, found, err := state.Find[json.RawMessage](tx, at) // another task of the deployment was quicker
			if kept = before; err != nil || found {
				return err
			}
			kept = result
			return state.Put(tx, at, result)
		})
		return kept, err
	}
	return nil
}

// outputs evaluates them where functions are called, so that what these give is recorded. What fails is said where outputs are asked for.
func (r *run) outputs(ctx context.Context) {
	t := r.job.Topology
	if t == nil || len(r.failures) > 0 || r.job.Plan.Workflow == plan.Uninstall || r.world.functions.run == nil || len(topology.OwnFunctions(t)) == 0 {
		return
	}
	for _, o := range t.Outputs {
		if _, err := topology.Eval(ctx, topology.Scope{Topology: t}, o.Value, r.world); err != nil {
			r.e.opts.Logger.Warn("cannot evaluate an output", "deployment", r.job.Deployment, "output", o.Name, "error", r.e.opts.Redactor.String(err.Error()))
		}
	}
}

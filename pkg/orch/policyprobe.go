package orch

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/policy"
	"github.com/orch-project/orch/pkg/topology"
)

// maxProbes at once for one policy.
const maxProbes = 16

// probed is the outcome of a probe.
type probed struct {
	sample policy.Sample
	err    error
}

// probeAll asks instances at once, each within the policy's timeout.
func (w *warden) probeAll(ctx context.Context, p *policy.Policy, of []topology.Instance) map[topology.Instance]probed {
	out := map[topology.Instance]probed{}
	var mu sync.Mutex
	var g sync.WaitGroup
	places := make(chan struct{}, maxProbes)
	for _, in := range of {
		places <- struct{}{}
		g.Go(func() {
			defer func() { <-places }()
			s, err := w.probe(ctx, p, in)
			mu.Lock()
			defer mu.Unlock()
			out[in] = probed{s, err}
		})
	}
	g.Wait()
	return out
}

func (w *warden) probe(ctx context.Context, p *policy.Policy, in topology.Instance) (policy.Sample, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.Timeout, fmt.Errorf("no answer within %s", p.Timeout))
	defer cancel()
	var s policy.Sample
	var err error
	switch p.Probe.Kind {
	case policy.Command, policy.Operation:
		s, err = w.ask(ctx, p, in)
	default:
		prober := w.l.opts.Prober
		if prober == nil {
			prober = policy.Dialer{}
		}
		s, err = prober.Probe(ctx, policy.Target{Deployment: w.name, Instance: in, Addresses: w.addresses(in)}, p.Probe)
	}
	if unasked := new(policy.Unasked); err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) && !errors.As(err, &unasked) {
		err = context.Cause(ctx)
	}
	return s, err
}

// addresses of the server that an instance is on.
func (w *warden) addresses(in topology.Instance) []string {
	t := w.view.topology
	server, ok := plan.ParseInstance(plan.ServerOf(t, t.NodeNamed(in.Node), in.Index))
	if !ok {
		if a := w.l.instanceStatus(w.view, in).Address; a != "" {
			return []string{a}
		}
		return []string{"127.0.0.1"} // it runs where orch runs
	}
	rec := w.view.snapshot.Instances[server]
	if rec == nil {
		return nil
	}
	if rec.Host != nil && len(rec.Host.Addresses) > 0 {
		return rec.Host.Addresses
	}
	if a := w.l.instanceStatus(w.view, server).Address; a != "" {
		return []string{a}
	}
	return nil
}

// ask runs a command, or an operation of the node, on the instance's server.
func (w *warden) ask(ctx context.Context, p *policy.Policy, in topology.Instance) (policy.Sample, error) {
	n := w.view.topology.NodeNamed(in.Node)
	op := n.Operation(p.Probe.Interface, p.Probe.Operation)
	if p.Probe.Kind == policy.Command {
		op = &topology.Operation{Interface: "policy", Name: p.Name, Retries: -1, Inputs: topology.NewValues(), Pos: p.Pos,
			Implementation: &topology.Artifact{Source: "#!/bin/sh\n" + p.Probe.Command + "\n"}}
	}
	if op == nil {
		return policy.Sample{}, fmt.Errorf("%s has no operation %s.%s", n.Name, p.Probe.Interface, p.Probe.Operation)
	}
	reply, err := w.l.engine.Ask(ctx, w.view.world, engine.Question{Instance: in, Operation: op, Timeout: p.Timeout,
		Job: engine.Job{Deployment: w.name, Topology: w.view.topology, Previous: w.view.topology, Inputs: w.view.inputs}})
	var de *driver.Error
	if errors.As(err, &de) && de.ExitCode > 0 && len(de.Stderr) > 0 {
		err = fmt.Errorf("exit code %d: %s", de.ExitCode, de.Stderr[len(de.Stderr)-1])
	}
	return policy.Sample{Text: reply.Stdout, Outputs: reply.Outputs}, err
}

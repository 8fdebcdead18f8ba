package orch

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/policy"
	"github.com/orch-project/orch/pkg/topology"
)

// rollout turns what a request says of batches and gates into the planner's input.
func (p *prepared) rollout(ctx context.Context, env topology.Env, in *plan.Input) error {
	if p.req.Verb != Deploy || p.req.Batch == "" && len(p.req.Health) == 0 {
		return nil
	}
	in.GateTimeout = p.req.HealthTimeout
	if p.req.Batch != "" {
		b, err := batchOf(p.req.Batch)
		if err != nil {
			return err
		}
		in.Batch = &b
	}
	for _, text := range p.req.Health {
		g := plan.Gate{Probe: text}
		if node, probe, named := strings.Cut(text, "="); named && p.topology.NodeNamed(node) != nil {
			g = plan.Gate{Node: node, Probe: probe}
		}
		if _, err := probeOf(g.Probe); err != nil {
			return err
		}
		in.Gates = append(in.Gates, g)
	}
	declared, _ := policy.Read(ctx, p.topology, env) // mistakes in policies are reported when the server evaluates them
	for _, d := range declared {
		if d.Kind != policy.Health || d.Probe.Kind != policy.TCP && d.Probe.Kind != policy.HTTP {
			continue
		}
		for _, node := range d.Nodes {
			in.Gates = append(in.Gates, plan.Gate{Node: node, Probe: policyProbe + d.Name})
		}
	}
	return nil
}

// policyProbe begins the name of a probe that the topology declares as a policy.
const policyProbe = "policy:"

func batchOf(text string) (plan.Batch, error) {
	number, percent := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || percent && n > 100 {
		return plan.Batch{}, &Error{Kind: KindUser, Msg: fmt.Sprintf("%q is no size of a batch", text), Hint: "a number of instances, or a percentage: 2, 25%"}
	}
	if percent {
		return plan.Batch{Percent: n}, nil
	}
	return plan.Batch{Size: n}, nil
}

// probeOf reads "tcp:8080", "http:8080/path", "https:8443/path", or "http://host:8080/path" of which the instance's own address replaces the host.
func probeOf(text string) (policy.Probe, error) {
	bad := func() (policy.Probe, error) {
		return policy.Probe{}, &Error{Kind: KindUser, Msg: fmt.Sprintf("%q is no health check", text), Hint: "write tcp:PORT, http:PORT/PATH or https:PORT/PATH, with NODE= before it for one node"}
	}
	scheme, rest, ok := strings.Cut(text, ":")
	if !ok || scheme != "tcp" && scheme != "http" && scheme != "https" {
		return bad()
	}
	if strings.HasPrefix(rest, "//") {
		u, err := url.Parse(text)
		if err != nil || u.Port() == "" {
			return bad()
		}
		rest = u.Port() + u.RequestURI()
	}
	port, path, _ := strings.Cut(rest, "/")
	n, err := strconv.Atoi(port)
	if err != nil || n < 1 || n > 65535 || scheme == "tcp" && path != "" {
		return bad()
	}
	p := policy.Probe{Kind: policy.TCP, Port: n}
	if scheme != "tcp" {
		p.Kind, p.Scheme, p.Path = policy.HTTP, scheme, path
	}
	return p, nil
}

// probeTimeout bounds one attempt of a health check.
const probeTimeout = 10 * time.Second

// healthy implements engine.Options.Health.
func (l *Local) healthy(ctx context.Context, c engine.HealthCheck) error {
	var probe policy.Probe
	if name, declared := strings.CutPrefix(c.Probe, policyProbe); declared {
		all, _ := policy.Read(ctx, c.Topology, c.Env)
		found := false
		for _, d := range all {
			if d.Name == name {
				probe, found = d.Probe, true
			}
		}
		if !found {
			return fmt.Errorf("the topology has no policy %s", name)
		}
	} else {
		var err error
		if probe, err = probeOf(c.Probe); err != nil {
			return err
		}
	}
	if len(c.Addresses) == 0 {
		c.Addresses = []string{net.IPv4(127, 0, 0, 1).String()} // it runs where orch runs
	}
	var prober policy.Prober = policy.Dialer{}
	if l.opts.Prober != nil {
		prober = l.opts.Prober
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	_, err := prober.Probe(ctx, policy.Target{Deployment: c.Deployment, Instance: c.Instance, Addresses: c.Addresses}, probe)
	return err
}

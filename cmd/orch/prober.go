package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/ssh"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/policy"
	"github.com/orch-project/orch/pkg/topology"
)

// prober checks instances over the network by the way that operations take to them: where the location says "bastion: auto", those on servers without
// a floating address from a server of the same deployment that has one.
type prober struct {
	ways *bastions
	keys hostKeys
	ssh  *ssh.Driver
	dial dialFunc // from this machine; nil: net.Dialer's

	mu    sync.Mutex
	known map[string]*bastionView // by deployment
}

// bastionView is what is known of a deployment's ways for a little while: probes are many, and reading a whole deployment for each would cost more
// than they do.
type bastionView struct {
	at      time.Time
	reached map[topology.Instance]bool // servers with a floating address
	through *driver.Host               // nil: there is none
}

const bastionViewAge = 15 * time.Second

// Probe implements policy.Prober.
func (p *prober) Probe(ctx context.Context, t policy.Target, probe policy.Probe) (policy.Sample, error) {
	from, err := p.from(ctx, t)
	if err != nil {
		return policy.Sample{}, &policy.Unasked{Err: err}
	}
	if from == nil {
		return policy.Dialer{Dial: p.dial}.Probe(ctx, t, probe)
	}
	return policy.Dialer{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := p.ssh.Dial(ctx, from, network, address)
		if via := new(ssh.ViaError); errors.As(err, &via) {
			p.forget(t.Deployment) // there may be another by now
			return nil, &policy.Unasked{Err: err}
		}
		return c, err
	}}.Probe(ctx, t, probe)
}

// from is the server to ask from; nil: this machine.
func (p *prober) from(ctx context.Context, t policy.Target) (*driver.Host, error) {
	if wanted, err := p.ways.wanted(ctx, t.Deployment); err != nil || !wanted {
		return nil, err
	}
	h, err := p.ways.deployments.Host(ctx, t.Deployment, t.Instance)
	if err != nil {
		var known *orch.Error
		if errors.As(err, &known) && known.Kind == orch.KindUser {
			return nil, nil // it is on no server: it runs where orch runs
		}
		return nil, err
	}
	if h.Bastion != nil {
		return h.Bastion, nil
	}
	v, err := p.view(ctx, t.Deployment)
	switch {
	case err != nil:
		return nil, err
	case v.reached[h.Instance]:
		return nil, nil
	case v.through == nil:
		return nil, fmt.Errorf("no server of %s has a floating address to go through", t.Deployment)
	}
	return p.keys.known(ctx, v.through)
}

func (p *prober) view(ctx context.Context, deployment string) (*bastionView, error) {
	p.mu.Lock()
	v := p.known[deployment]
	p.mu.Unlock()
	if v != nil && time.Since(v.at) < bastionViewAge {
		return v, nil
	}
	through, floating, err := p.ways.survey(ctx, deployment)
	if err != nil {
		return nil, err
	}
	v = &bastionView{time.Now(), floating, through}
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, old := range p.known {
		if time.Since(old.at) > bastionViewAge {
			delete(p.known, name)
		}
	}
	if p.known == nil {
		p.known = map[string]*bastionView{}
	}
	p.known[deployment] = v
	return v, nil
}

func (p *prober) forget(deployment string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, deployment)
}

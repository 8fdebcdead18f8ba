package main

import (
	"context"
	"fmt"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/script"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

// bastions finds the way to servers that have no floating address: through one of the same deployment that has one, if the location says
// "bastion: auto". It knows which servers these are from the recorded attribute public_address.
type bastions struct {
	// wanted reports whether the location of a deployment asks for it.
	wanted func(ctx context.Context, deployment string) (bool, error)
	// deployments is set when the service is there: it needs the driver first.
	deployments orch.Service
	patience    time.Duration
}

const (
	publicAddress   = "public_address"
	bastionInterval = time.Second
)

// via returns the host with a bastion where it needs one. It waits, no longer than its patience and most (0: no limit of its own), for one to
// come up while the deployment is being made, and says so.
func (b *bastions) via(ctx context.Context, deployment string, h *driver.Host, most time.Duration, say func(text string)) (*driver.Host, error) {
	if h == nil || h.Bastion != nil || b == nil || b.deployments == nil {
		return h, nil
	}
	if wanted, err := b.wanted(ctx, deployment); err != nil || !wanted {
		return h, err
	}
	began := time.Now()
	for {
		through, reached, err := b.find(ctx, deployment, h)
		if err != nil || reached {
			return h, err
		}
		if through != nil {
			with := *h
			with.Bastion = through
			return &with, nil
		}
		if waited := time.Since(began); waited > b.patience || most > 0 && waited > most {
			return nil, &driver.Error{Op: "connect", Host: h.Instance.String(), ExitCode: -1, Retryable: true, Final: true,
				Err:  fmt.Errorf("no server of %s has a floating address to go through", deployment),
				Hint: "give one of its servers a floating IP, or set connect_to: fixed in the location if the fixed addresses can be reached"}
		}
		if say != nil {
			say(fmt.Sprintf("waiting for a server with a floating address to go through, %ds", int(time.Since(began).Seconds())))
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(bastionInterval):
		}
	}
}

// find returns a bastion for h, or that h has a floating address itself.
func (b *bastions) find(ctx context.Context, deployment string, h *driver.Host) (through *driver.Host, reached bool, err error) {
	through, floating, err := b.survey(ctx, deployment)
	if err != nil || floating[h.Instance] {
		return nil, err == nil, err
	}
	return through, false, nil
}

// survey lists the servers of a deployment that have a floating address, and the first of them; nil if there is none.
func (b *bastions) survey(ctx context.Context, deployment string) (first *driver.Host, floating map[topology.Instance]bool, err error) {
	d, err := b.deployments.Deployment(ctx, deployment)
	if err != nil {
		return nil, nil, err
	}
	floating = map[topology.Instance]bool{}
	for _, n := range d.Nodes {
		for _, i := range n.Instances {
			if address, _ := i.Attributes[publicAddress].(string); address == "" {
				continue
			}
			in := instanceOf(n.Name, i.Index)
			floating[in] = true
			if first != nil {
				continue
			}
			// What has an address but is no server (the floating IP itself) has no host of its own.
			if host, err := b.deployments.Host(ctx, deployment, in); err == nil && host.Instance == in {
				first = host
			}
		}
	}
	return first, floating, nil
}

// waitingEvent says what an operation waits for.
func waitingEvent(req *driver.Request, emit event.Emit) func(string) {
	return func(text string) {
		if emit != nil {
			e := script.Event(req, event.Waiting)
			e.Message = text
			emit(e)
		}
	}
}

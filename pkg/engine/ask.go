package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// Question is an operation that asks an instance something, outside of any task.
type Question struct {
	Job      Job // Deployment, Topology, Inputs
	Instance topology.Instance
	// Operation need not be one of the node's.
	Operation *topology.Operation
	Timeout   time.Duration
}

// Reply to a question.
type Reply struct {
	Outputs map[string]string
	Stdout  string // the first lines
}

const maxStdout = 64 * 1024

// Ask runs an operation that changes nothing: no task, no journal, no record, no lease. It answers once, without another attempt.
func (e *Engine) Ask(ctx context.Context, w *World, q Question) (Reply, error) {
	n := q.Job.Topology.NodeNamed(q.Instance.Node)
	if n == nil {
		return Reply{}, fmt.Errorf("the topology has no node %q", q.Instance.Node)
	}
	job := q.Job
	job.Plan = &plan.Plan{}
	r := &run{e: e, job: job, world: w}
	st := &step{Step: &plan.Step{ID: q.Instance.String() + "." + q.Operation.Name, Kind: plan.Op, Action: driver.Run, Node: n.Name, Instance: q.Instance.Index,
		Interface: q.Operation.Interface, Operation: q.Operation.Name, Host: plan.ServerOf(q.Job.Topology, n, q.Instance.Index), Pos: q.Operation.Pos}}
	if strings.EqualFold(q.Operation.Host, "ORCHESTRATOR") {
		st.Host = plan.OnOrchestrator
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	req := &driver.Request{Deployment: job.Deployment, Step: st.ID, OpID: hex.EncodeToString(id), Attempt: 1, Action: driver.Run, Topology: job.Topology, Node: n,
		Instance: q.Instance.Index, Operation: q.Operation, Env: w.withInputs(job.Inputs), Timeout: q.Timeout, Ephemeral: true}
	e.name(req)
	var err error
	if req.Host, err = r.host(ctx, st, req); err != nil {
		return Reply{}, err
	}
	if req.Variables, err = r.variables(ctx, st, req); err != nil {
		return Reply{}, err
	}
	d := r.driverOf(st, req)
	if d == nil {
		return Reply{}, fmt.Errorf("no driver is configured for %s", st.ID)
	}
	var mu sync.Mutex
	var out strings.Builder
	res, err := d.Run(ctx, req, func(ev event.Event) {
		mu.Lock()
		defer mu.Unlock()
		if ev.Type == event.Log && ev.Stream == "stdout" && out.Len() < maxStdout {
			out.WriteString(ev.Message + "\n")
		}
	})
	return Reply{Outputs: res.Outputs, Stdout: out.String()}, err
}

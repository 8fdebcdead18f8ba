package view

import (
	"sort"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/event"
)

// Progress shows a task's events as they happen.
type Progress interface {
	Handle(event.Event)
	// Close ends the display, leaving its last state on the screen.
	Close()
}

// board is what the tree and the summary know of a running task: one row per instance. It is fed by events only, so that it works
// the same for a local engine, a remote server and a replay.
type board struct {
	rows   map[string]*row
	total  int
	done   int
	failed int
	start  time.Time
	tail   []string // the last lines of output
}

// row is one instance of a node (or the deployment itself).
type row struct {
	key, node, instance string
	state               string // TOSCA node state
	step                string // the running step's operation, "" when idle
	waiting             string
	since               time.Time // of the running step or the wait
	failed, skipped     bool
	touched             int // order of first appearance
}

const tailLines = 3

func newBoard() *board { return &board{rows: map[string]*row{}} }

// apply folds an event into the board.
func (b *board) apply(e event.Event) {
	if b.start.IsZero() {
		b.start = e.Time
	}
	switch e.Type {
	case event.StepStatus:
		b.step(e)
	case event.InstanceState:
		r := b.row(e)
		r.state = e.Status
	case event.Waiting:
		r := b.row(e)
		if r.waiting == "" {
			r.since = e.Time
		}
		r.waiting = e.Message
		if e.Status == event.Over {
			r.waiting, r.since = "", e.Time
		}
	case event.Log:
		b.log(e)
	case event.Resource:
		r := b.row(e)
		if strings.HasSuffix(e.Status, "ing") {
			kind, _, _ := strings.Cut(e.Key, ".") // the rest of the address repeats the node's name
			r.waiting = e.Status + " " + kind
		} else {
			r.waiting = ""
		}
	}
}

func (b *board) step(e event.Event) {
	r := b.row(e)
	switch e.Status {
	case "pending":
		b.total++
	case "doing":
		r.step, r.since, r.waiting = operationOf(e), e.Time, ""
	case "done":
		b.done++
		r.step, r.waiting = "", ""
	case "failed":
		b.failed++
		r.step, r.waiting, r.failed = "", e.Message, true
	case "skipped", "cancelled":
		r.skipped = true
		if !r.failed { // the cause of a failure stays
			r.step, r.waiting = "", ""
		}
	}
}

func (b *board) log(e event.Event) {
	if e.Message == "" {
		return
	}
	b.tail = append(b.tail, prefix(e)+" "+strings.TrimRight(e.Message, "\r\n"))
	if n := len(b.tail); n > tailLines {
		b.tail = b.tail[n-tailLines:]
	}
}

func (b *board) row(e event.Event) *row {
	key := instanceOf(e)
	r := b.rows[key]
	if r == nil {
		r = &row{key: key, node: e.Node, instance: e.Instance, touched: len(b.rows)}
		b.rows[key] = r
	}
	return r
}

// sorted rows: in the order in which they began, instances of a node together.
func (b *board) sorted() []*row {
	first := map[string]int{}
	rows := make([]*row, 0, len(b.rows))
	for _, r := range b.rows {
		if r.node == "" || r.instance == "" && b.hasInstances(r.node) {
			continue // what concerns the deployment or a node as a whole has no row of its own
		}
		if f, ok := first[r.node]; !ok || r.touched < f {
			first[r.node] = r.touched
		}
		rows = append(rows, r)
	}
	sort.Slice(rows, func(i, j int) bool {
		a, c := rows[i], rows[j]
		if a.node != c.node {
			return first[a.node] < first[c.node]
		}
		return len(a.instance) < len(c.instance) || len(a.instance) == len(c.instance) && a.instance < c.instance
	})
	return rows
}

func (b *board) hasInstances(node string) bool {
	for _, r := range b.rows {
		if r.node == node && r.instance != "" {
			return true
		}
	}
	return false
}

// instanceOf names the instance of an event: node[i], node, or the deployment.
func instanceOf(e event.Event) string {
	switch {
	case e.Node == "":
		return e.Deployment
	case e.Instance == "":
		return e.Node
	default:
		return e.Node + "[" + e.Instance + "]"
	}
}

// operationOf names what a step does: the operation, with its relationship if it belongs to one, or the rest of the step's id.
func operationOf(e event.Event) string {
	if _, op, ok := strings.Cut(e.Step, "]."); ok {
		return op
	}
	if e.Operation != "" {
		return e.Operation
	}
	return e.Step
}

func prefix(e event.Event) string {
	p := instanceOf(e)
	if e.Operation != "" {
		p += " " + e.Operation
	}
	return p
}

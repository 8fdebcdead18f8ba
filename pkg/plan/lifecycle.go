package plan

import (
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

// The states of an instance (TOSCA 1.3 §3.4.1, with A4C's stopped and deleted), in the order in which the lifecycle passes them.
//
//	initial ─ creating ─ created ─ configuring ─ configured ─ starting ─ started
//	                                                             │          │
//	          deleted ─ deleting ─ stopped ─ stopping ◀──────────┴──────────┘      any ──failure──▶ error
var (
	up   = []string{"initial", "creating", "created", "configuring", "configured", "starting", "started"}
	down = []string{"stopping", "stopped", "deleting", "deleted"}
	job  = []string{"submitting", "submitted", "executing", "executed"}
)

// StateError is the state of an instance one of whose operations has failed.
const StateError = "error"

// Path returns the states that an instance passes on its way from one to another, the last included: an operation without implementation
// does nothing, but its states are passed all the same. It is empty when from is to; where the lifecycle knows no way it is just to.
func Path(from, to string) []string {
	if from == to || to == "" {
		return nil
	}
	for _, line := range [][]string{up, down, job} {
		end := slices.Index(line, to)
		if end < 0 {
			continue
		}
		at := slices.Index(line, from)
		switch {
		case at >= 0 && at < end:
			return line[at+1 : end+1]
		case at < 0 && &line[0] == &up[0] && (from == "" || from == "deleted"):
			return line[:end+1]
		case at < 0 && &line[0] == &down[0] && from != "" && from != "initial" && from != StateError:
			return line[:end+1]
		}
	}
	return []string{to}
}

// phase of a node's lifecycle: an operation between two states, with the relationship operations that belong before and after it.
type phase struct {
	iface, op     string
	before, after string
	// pre and post relationship operations run inside the two states, around the operation.
	pre, post []string
	// action on a native node: it comes before the operation when the node is being made, after it when it is taken down.
	action      driver.Action
	actionAfter bool
}

// lifeOf is the generated workflow of that name as the topology's dialect orders it.
func lifeOf(name string, t *topology.Topology) (life, bool) {
	if t.Order == topology.Cloudify {
		if lf, ok := cloudifyLives[name]; ok {
			return lf, true
		}
	}
	lf, ok := lives[name]
	return lf, ok
}

// life is a generated workflow seen from one node.
type life struct {
	phases []phase
	// afterwards run when both ends have passed all phases.
	afterwards []string
	// forward: targets come before sources; otherwise sources before targets.
	forward bool
	// forget removes the instance at the end.
	forget bool
}

const standard = "Standard"

// lives are the generated workflows, as the standard and A4C's declarative-workflows define them.
var lives = map[string]life{
	Install: {
		phases: []phase{
			{iface: standard, op: "create", before: "creating", after: "created", action: driver.Create},
			{iface: standard, op: "configure", before: "configuring", after: "configured",
				pre:  []string{"pre_configure_source", "pre_configure_target"},
				post: []string{"post_configure_source", "post_configure_target"}},
			{iface: standard, op: "start", before: "starting", after: "started"},
		},
		afterwards: []string{"add_target", "add_source"},
		forward:    true,
	},
	Uninstall: {
		phases: []phase{
			{iface: standard, op: "stop", before: "stopping", after: "stopped",
				pre: []string{"remove_target", "remove_source"}},
			{iface: standard, op: "delete", before: "deleting", after: "deleted", action: driver.Delete, actionAfter: true},
		},
		forget: true,
	},
	Start: {
		phases:  []phase{{iface: standard, op: "start", before: "starting", after: "started", action: driver.Start}},
		forward: true,
	},
	Stop: {
		phases: []phase{{iface: standard, op: "stop", before: "stopping", after: "stopped", action: driver.Stop, actionAfter: true}},
	},
	Run: {
		phases: []phase{
			{iface: "Runnable", op: "submit", before: "submitting", after: "submitted"},
			{iface: "Runnable", op: "run", before: "executing", after: "executed"},
		},
		forward: true,
	},
	Cancel: {
		phases: []phase{{iface: "Runnable", op: "cancel", before: "cancelling", after: "cancelled"}},
	},
}

// undoes says which acts of the journal are no longer done once the key has begun: a stopped instance is not started.
var undoes = map[string][]string{
	"stop":          {"start", "starting", "started", "poststart"},
	"stopping":      {"starting", "started"},
	"start":         {"stop", "stopping", "stopped", "prestop"},
	"starting":      {"stopping", "stopped"},
	"started":       {"stop", "stopping", "stopped", "prestop"},
	"create":        {"stop", "prestop", "delete", "delete.script", "postdelete"},
	"configure":     {"stop"},
	"prestop":       {"poststart"},
	"poststart":     {"prestop"},
	"remove_target": {"add_target"},
	"remove_source": {"add_source"},
	"add_target":    {"remove_target"},
	"add_source":    {"remove_source"},
	"unlink":        {"establish"},
	"establish":     {"unlink"},
}

// takesDown are the operations whose traces survive the deletion of what they have taken down, so that it goes on where it stopped.
var takesDown = []string{"prestop", "stop", "delete", "delete.script", "postdelete", "remove_target", "remove_source", "unlink"}

// Begin writes an act into the journal and strikes out what counts no more from then on. What a workflow does for the second time ("stop#2")
// counts as done by its plain key, too.
func (r *Recorded) Begin(key string, e Entry) {
	base := plainKey(key)
	prefix, op := splitKey(base)
	undone := map[string]bool{}
	for _, k := range undoes[op] {
		undone[prefix+k] = true
	}
	for k := range r.Journal {
		plain := plainKey(k)
		_, o := splitKey(plain)
		switch base {
		case "delete", "delete.script": // the instance's own: a custom interface may have a delete, too
			if !slices.Contains(takesDown, o) && (base == "delete" || plain != "create") {
				delete(r.Journal, k)
			}
		default:
			if undone[plain] {
				delete(r.Journal, k)
			}
		}
	}
	if r.Journal == nil {
		r.Journal = map[string]Entry{}
	}
	r.Journal[key], r.Journal[base] = e, e
	if base == "delete" {
		r.Made = false
	}
}

// Finish notes how the act has ended.
func (r *Recorded) Finish(key string, status Status, at time.Time) {
	for _, k := range []string{key, plainKey(key)} {
		e := r.Journal[k]
		e.Status, e.At = status, at
		if r.Journal == nil {
			r.Journal = map[string]Entry{}
		}
		r.Journal[k] = e
	}
}

// NeverBegun notes that an act which was to be done was given up before anything of it was begun.
func (r *Recorded) NeverBegun(key string) {
	for _, k := range []string{key, plainKey(key)} {
		if e, ok := r.Journal[k]; ok {
			e.OpID = ""
			r.Journal[k] = e
		}
	}
}

// Adopt notes that acts which are done count as done as they would be now.
func (r *Recorded) Adopt(acts []Adopted) {
	for _, a := range acts {
		if e, ok := r.Journal[a.Key]; ok && e.Status == Done {
			e.Digest, e.Parts = a.Digest, a.Parts
			r.Journal[a.Key] = e
		}
	}
}

// plainKey is a journal's key without the number that tells repetitions in one workflow apart.
func plainKey(key string) string {
	if i := strings.LastIndexByte(key, '#'); i > 0 {
		return key[:i]
	}
	return key
}

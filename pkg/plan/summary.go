package plan

import (
	"fmt"
	"strings"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

// Summary says what becomes of instances, by name, in the order of the plan.
type Summary struct {
	Added     []string `json:"added,omitempty"`
	Changed   []string `json:"changed,omitempty"`   // in place: some of their operations run again
	Replaced  []string `json:"replaced,omitempty"`  // their infrastructure, or that below them, is made anew
	Removed   []string `json:"removed,omitempty"`   // with all that was made of them
	Completed []string `json:"completed,omitempty"` // what was left unfinished goes on
	Unchanged int      `json:"unchanged"`
}

// The signs of instances in a plan's text.
const (
	signAdded    = "+"
	signChanged  = "~"
	signReplaced = "-/+"
	signRemoved  = "-"
)

// summary sorts the instances that the steps of an installation belong to; nil for other workflows, where all that matters is what runs.
func (b *builder) summary(p *Plan) *Summary {
	if b.in.Workflow != Install {
		return nil
	}
	s := &Summary{Unchanged: p.Unchanged}
	groups, order := p.byInstance()
	for _, in := range order {
		if in == (topology.Instance{}) {
			continue
		}
		var into *[]string
		switch rec := b.in.Recorded[in]; b.become(groups[in], rec) {
		case signAdded:
			into = &s.Added
		case signRemoved:
			into = &s.Removed
		case signReplaced:
			into = &s.Replaced
		default:
			into = &s.Changed
			if rec.State != "started" {
				into = &s.Completed
			}
		}
		*into = append(*into, in.String())
	}
	return s
}

// become is the sign of what becomes of an instance.
func (b *builder) become(steps []*Step, rec *Recorded) string {
	forgotten, made := false, false
	for _, s := range steps {
		forgotten = forgotten || s.Kind == Forget
		made = made || s.Action == driver.Create
	}
	switch {
	case forgotten && made:
		return signReplaced
	case forgotten:
		return signRemoved
	case rec == nil:
		return signAdded
	}
	for _, s := range steps {
		_, replaced := b.replacedHost(s)
		if replaced && s.Relationship == "" || s.Action == driver.Replace {
			return signReplaced
		}
	}
	return signChanged
}

// signs of instances, by name.
func (s *Summary) signs() map[string]string {
	out := map[string]string{}
	if s == nil {
		return out
	}
	for _, c := range s.classes() {
		for _, name := range c.names {
			out[name] = c.sign
		}
	}
	return out
}

type class struct {
	names      []string
	sign, verb string
}

func (s *Summary) classes() []class {
	return []class{{s.Added, signAdded, "added"}, {s.Changed, signChanged, "changed in place"}, {s.Replaced, signReplaced, "replaced"},
		{s.Removed, signRemoved, "removed"}, {s.Completed, signChanged, "completed"}}
}

// String counts: "2 added, 1 replaced, 3 unchanged".
func (s *Summary) String() string {
	var words []string
	for _, c := range s.classes() {
		if n := len(c.names); n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, c.verb))
		}
	}
	return strings.Join(append(words, fmt.Sprintf("%d unchanged", s.Unchanged)), ", ")
}

// Lines names the instances: "added: web[1], web[2]", many shortened.
func (s *Summary) Lines() (out []string) {
	const most = 8
	for _, c := range s.classes() {
		names := c.names
		if len(names) == 0 {
			continue
		}
		more := ""
		if len(names) > most {
			more = fmt.Sprintf(" and %d more", len(names)-most)
			names = names[:most]
		}
		out = append(out, c.verb+": "+strings.Join(names, ", ")+more)
	}
	return out
}

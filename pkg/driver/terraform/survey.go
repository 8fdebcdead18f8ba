package terraform

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plugin"
	"github.com/orch-project/orch/pkg/topology"
)

// Survey implements driver.Adopter.
func (d *Driver) Survey(ctx context.Context, deployment string, reqs []*driver.Request) ([]driver.Surveyed, error) {
	b := &batch{d: d, deployment: deployment, reqs: reqs, emit: func(event.Event) {}, reported: make([]bool, len(reqs))}
	if err := b.begin(ctx); err != nil {
		return nil, err
	}
	if b.renderer != nil {
		b.renderer.AllowUnknown = true
		if d.opts.Secrets != nil {
			b.renderer.Secrets = lookingOnly{d.opts.Secrets}
		}
	}
	s, err := b.survey(ctx)
	if err != nil {
		return nil, err
	}
	return s.result(), nil
}

// survey compares a deployment's state with the cloud, and tells which resource each orphan is:
//
//	rendered blocks without a resource in the state ──mark, name, arguments──▶ objects of the cloud that no state knows
//
// Resources that others are parts of are told first: their ids make the arguments of the parts known.
type survey struct {
	b     *batch
	m     *manifest // as wanted
	found []driver.CloudResource
	// unrendered are requests whose blocks are not known, and why.
	unrendered map[topology.Instance]error
	rows       []*driver.Surveyed
	open       []*driver.Surveyed // of rows: orphans that are no resource yet
	parts      []driver.CloudResource
	matched    map[string]*driver.Surveyed // by address
	rivals     map[*driver.Surveyed][]string
}

func (b *batch) survey(ctx context.Context) (*survey, error) {
	surveyor, ok := b.cloud.(driver.Surveyor)
	if !ok {
		return nil, errors.New("the location's cloud cannot be asked what exists")
	}
	s := &survey{b: b, m: b.bundle.Manifest, unrendered: map[topology.Instance]error{}, matched: map[string]*driver.Surveyed{}, rivals: map[*driver.Surveyed][]string{}}
	if err := s.look(ctx, surveyor); err != nil {
		return nil, err
	}
	if b.renderer != nil {
		if err := s.want(ctx); err != nil {
			return nil, err
		}
		s.claim()
		s.match()
	}
	for _, row := range s.open {
		row.Reason = s.why(row)
	}
	return s, nil
}

// look asks the cloud, and compares that with the state.
func (s *survey) look(ctx context.Context, surveyor driver.Surveyor) error {
	b := s.b
	var known []driver.CloudResource
	for i := range b.bundle.state.Resources {
		r := &b.bundle.state.Resources[i]
		if r.Mode != "managed" {
			continue
		}
		for j := range r.Instances {
			row := &driver.Surveyed{Address: r.address(), Where: driver.Unchecked}
			row.ID, row.Kind = idOf(&r.Instances[j]), r.Type
			if a := s.adoptions(r.Type); len(a) > 0 {
				row.Kind, row.Where = a[0].Kind, driver.InState
				known = append(known, driver.CloudResource{Kind: row.Kind, ID: row.ID})
			}
			if action := s.m.Differs[row.Address]; action != "" {
				row.Changes = []driver.Change{{Address: row.Address, Action: action}}
			}
			if e, _ := s.m.owner(row.Address); e != nil {
				row.Node, row.Instance = e.Instance.Node, e.Instance.Index
			}
			s.rows = append(s.rows, row)
		}
	}
	var err error
	if s.found, err = surveyor.Survey(ctx, b.deployment, known); err != nil {
		return cloudUnreachable(err)
	}
	s.compare()
	return nil
}

// adoptions of a resource type.
func (s *survey) adoptions(typ string) (out []plugin.Adoption) {
	for _, p := range pluginsOf(s.b.d.opts.Plugins, s.b.bundle.Manifest, s.b.loc) {
		for _, pr := range p.Providers {
			for _, a := range pr.Adopts {
				if a.Resource == typ {
					out = append(out, a)
				}
			}
		}
	}
	return out
}

// compare says where each resource is known.
func (s *survey) compare() {
	rows := map[string]*driver.Surveyed{}
	for _, r := range s.rows {
		rows[r.Kind+" "+r.ID] = r
	}
	for _, f := range s.found {
		switch row := rows[f.Kind+" "+f.ID]; {
		case row != nil:
			node, instance := row.Node, row.Instance
			row.CloudResource, row.Where = f, driver.InBoth
			if node != "" {
				row.Node, row.Instance = node, instance
			}
		case f.Part:
			s.parts = append(s.parts, f)
		case f.Marked:
			row := &driver.Surveyed{CloudResource: f, Where: driver.InCloud}
			s.rows, s.open = append(s.rows, row), append(s.open, row)
		}
	}
	for _, r := range s.rows {
		if r.Where == driver.InState && r.Service == "" {
			r.Reason = "the cloud does not have it any more"
		}
	}
}

// want renders what the requests ask for.
func (s *survey) want(ctx context.Context) error {
	s.b.report = func(i int, _ driver.Result, err error) { s.unrendered[s.b.reqs[i].ID()] = err }
	g, err := s.b.aim(ctx)
	if err != nil {
		return err
	}
	s.m = g.manifest
	return nil
}

// claim says of what is on record whose it is.
func (s *survey) claim() {
	for _, row := range s.rows {
		if e, key := s.m.owner(row.Address); e != nil {
			row.Owners = s.owners(wanted{entry: e, key: key})
		}
	}
}

// wanted is a block that has no resource in the state.
type wanted struct {
	*block
	entry *entry
	key   string
}

func (s *survey) missing() (out []wanted) {
	for _, k := range slices.Sorted(maps.Keys(s.m.Entries)) {
		e := s.m.Entries[k]
		for _, b := range e.Blocks {
			if !b.Data && s.b.bundle.state.find(b.address()) == nil && s.matched[b.address()] == nil {
				out = append(out, wanted{b, e, k})
			}
		}
	}
	return out
}

// match tells which block each orphan is, and then which parts belong to them, until nothing more is told. Names count first; who is renamed is
// told by its mark alone where that is enough.
func (s *survey) match() {
	for progress := true; progress; {
		progress = s.pass(true) || s.pass(false)
	}
	for progress := true; progress; {
		progress = s.partsPass()
	}
}

// pass pairs blocks and orphans that mean only each other.
func (s *survey) pass(named bool) (progress bool) {
	missing := s.missing()
	claims := map[*driver.Surveyed][]wanted{}
	choices := map[string][]*driver.Surveyed{}
	for _, w := range missing {
		for _, o := range s.open {
			if s.is(w, o, named) {
				claims[o] = append(claims[o], w)
				choices[w.address()] = append(choices[w.address()], o)
			}
		}
	}
	clear(s.rivals)
	for _, w := range missing {
		of := choices[w.address()]
		switch {
		case len(of) == 1 && len(claims[of[0]]) == 1:
			s.pair(w, of[0])
			progress = true
		case len(of) > 1:
			for _, o := range of {
				s.rivals[o] = append(s.rivals[o], w.address())
			}
		}
	}
	return progress
}

func (s *survey) pair(w wanted, row *driver.Surveyed) {
	row.Address, s.matched[w.address()] = w.address(), row
	row.Owners = s.owners(w)
	if w.entry.Instance.Node != "" {
		row.Node, row.Instance = w.entry.Instance.Node, w.entry.Instance.Index
	}
	s.open = slices.DeleteFunc(s.open, func(o *driver.Surveyed) bool { return o == row })
}

// owners are the requested instances that a block is part of: its own, or all that share it.
func (s *survey) owners(w wanted) (out []topology.Instance) {
	for _, r := range s.b.reqs {
		key := plugin.EntryKey(r.ID())
		e := s.m.Entries[key]
		if e != nil && (key == w.key || w.entry.Instance.Index == "" && slices.Contains(e.Refs, w.key)) {
			out = append(out, r.ID())
		}
	}
	return out
}

// is reports whether an orphan may be the resource of a block.
func (s *survey) is(w wanted, o *driver.Surveyed, named bool) bool {
	if o.Kept || !s.like(w, o.CloudResource) {
		return false
	}
	name, _ := w.Body["name"].(string)
	same := name != "" && name == o.Name
	if o.Node == "" { // its mark says the deployment only, and its name the rest
		return same
	}
	owner := w.entry.Instance
	if plugin.Tag(plugin.KeyNode, owner.Node) != plugin.KeyNode+"="+o.Node && owner.Node != o.Node || owner.Index != o.Instance {
		return false
	}
	return same || !named || name == "" || o.Kind == "floating IP"
}

// like compares the arguments that a resource is told by.
func (s *survey) like(w wanted, r driver.CloudResource) bool {
	for _, a := range s.adoptions(w.Type) {
		if a.Kind != r.Kind {
			continue
		}
		fits := true
		for i, arg := range slices.Concat(a.By, a.IfGiven) {
			v, given := w.Body[arg]
			if i >= len(a.By) && !given {
				continue
			}
			text, known := s.value(w.block, v)
			if r.Part {
				fits = fits && known && text == r.Attributes[arg]
			} else if known { // a marked one is not refused for what is not known yet
				fits = fits && text == r.Attributes[arg]
			}
		}
		if fits {
			return true
		}
	}
	return false
}

// reference is an argument that is nothing but an attribute of another resource.
var reference = regexp.MustCompile(`^\$\{([a-z0-9_]+\.[A-Za-z0-9_-]+)\.([a-z0-9_]+)\}$`)

// value of an argument as text; false if it depends on what does not exist, or is not known.
func (s *survey) value(b *block, v any) (string, bool) {
	switch t := v.(type) {
	case nil:
		return "", true
	case string:
		if m := reference.FindStringSubmatch(t); m != nil {
			return s.attribute(m[1], m[2])
		}
		if strings.Contains(t, "${") && !strings.Contains(t, "$${") {
			return "", false
		}
		return strings.ReplaceAll(strings.ReplaceAll(t, "$${", "${"), "%%{", "%{"), true
	case float64, int64, int, bool:
		return fmt.Sprint(t), true
	}
	return "", false
}

func (s *survey) attribute(address, name string) (string, bool) {
	if row := s.matched[address]; row != nil {
		if name == "id" {
			return row.ID, true
		}
		v, ok := row.Attributes[name]
		return v, ok
	}
	attributes, ok := s.b.bundle.state.attributes(address)
	if !ok {
		return "", false
	}
	v, ok := attributes[name]
	return fmt.Sprint(v), ok && v != nil
}

// partsPass tells parts: their arguments say which they are.
func (s *survey) partsPass() (progress bool) {
	for _, w := range s.missing() {
		i := slices.IndexFunc(s.parts, func(p driver.CloudResource) bool { return s.like(w, p) })
		if i < 0 {
			continue
		}
		row := &driver.Surveyed{CloudResource: s.parts[i], Where: driver.InCloud}
		s.parts = slices.Delete(s.parts, i, i+1)
		s.rows = append(s.rows, row)
		s.pair(w, row)
		progress = true
	}
	return progress
}

// why an orphan is not known to be anything that is wanted.
func (s *survey) why(o *driver.Surveyed) string {
	if o.Kept {
		return "it stays on purpose (deletable: false)"
	}
	if s.b.renderer == nil {
		return "nothing is on record that it could belong to"
	}
	if of := s.rivals[o]; len(of) > 0 {
		return "others look the same: each of them could be " + strings.Join(of, " or ")
	}
	in := topology.Instance{Node: o.Node, Index: o.Instance}
	if err := s.unrendered[in]; err != nil {
		return "what " + in.String() + " needs cannot be said: " + err.Error()
	}
	for _, row := range s.rows {
		if row != o && row.Kind == o.Kind && row.Address != "" && row.Node == o.Node && row.Instance == o.Instance && (o.Node != "" || row.Name == o.Name) && !o.Part {
			return fmt.Sprintf("%s is %s already", row.Address, row.ID)
		}
	}
	n := s.b.reqs[0].Topology.NodeNamed(o.Node)
	switch {
	case o.Node == "":
		return "its mark names no node, and nothing that is wanted is called " + o.Name
	case n == nil:
		return "the topology has no node " + o.Node
	case o.Instance != "" && !slices.ContainsFunc(s.b.reqs, func(r *driver.Request) bool { return r.ID() == in }):
		return fmt.Sprintf("%s has no instance %s", o.Node, o.Instance)
	}
	return fmt.Sprintf("%s needs no %s like this", o.Node, o.Kind)
}

// result in the order of service and kind that the cloud gave, what is gone last.
func (s *survey) result() []driver.Surveyed {
	out := make([]driver.Surveyed, 0, len(s.rows))
	for _, gone := range []bool{false, true} {
		for _, r := range s.rows {
			if (r.Where == driver.InState || r.Where == driver.Unchecked) == gone {
				out = append(out, *r)
			}
		}
	}
	order := map[string]int{}
	for i, f := range s.found {
		order[f.Kind+" "+f.ID] = i + 1
	}
	slices.SortStableFunc(out, func(a, b driver.Surveyed) int {
		x, y := order[a.Kind+" "+a.ID], order[b.Kind+" "+b.ID]
		if x == 0 || y == 0 {
			return y - x
		}
		return x - y
	})
	return out
}

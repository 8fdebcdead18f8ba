package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
)

// Catalogue lists what a cloud offers: "images", "flavors", "networks" … Items are plain values with at least "id" or "name".
type Catalogue interface {
	List(ctx context.Context, kind string) ([]map[string]any, error)
}

// Pins keep what was selected, so that a newer image or a new flavor never replaces a running server. They are stored with the state.
type Pins map[string]map[string]any

// pinned is the value of a pin: an empty one stands for "nothing was there".
func pinned(item map[string]any) any {
	if len(item) == 0 {
		return nil
	}
	return plain(item)
}

type criterion struct {
	fields []string
	op     string
	want   any
}

// evalSelect chooses one item of a catalogue. Conditions whose value is null do not count; without any condition the result is null.
func evalSelect(f *frame, e *Expr) (any, error) {
	kind, _ := e.Named.Get("from").Lit.(string)
	what := strings.TrimSuffix(kind, "s")
	if w := e.Named.Get("what"); w != nil {
		what, _ = w.Lit.(string)
	}
	before := *f.touched
	*f.touched = diag.Pos{}
	where, unknown, err := criteria(f, e.Named.Get("where"))
	if f.touched.IsZero() {
		// An item of a list was asked for: the list is to blame.
		if *f.touched = before; len(f.items) == 0 || before.IsZero() {
			*f.touched = f.in.node.Pos
		}
	}
	if err != nil || len(where) == 0 || unknown != nil {
		return unknown, err
	}
	query, _ := json.Marshal([]any{kind, fmt.Sprint(where)})
	key := f.in.node.Name + "/" + f.in.index + "/" + hash(string(query), 16)
	if item, ok := f.r.Pins[key]; ok {
		return pinned(item), nil
	}
	if f.r.Catalogue == nil {
		return nil, fmt.Errorf("cannot choose the %s: the cloud's list of %s is not available", what, kind)
	}
	items, err := f.r.Catalogue.List(f.ctx, kind)
	if err != nil {
		return nil, fmt.Errorf("cannot list the cloud's %s: %w", kind, err)
	}
	// What this deployment made itself is no choice: it is not there before the deployment and goes with it.
	items = slices.DeleteFunc(slices.Clone(items), func(it map[string]any) bool { return Owned(it, f.r.Deployment) })
	// Instances of one node stay alike: the choice of a sibling is taken while the cloud still offers it.
	for k, sibling := range f.r.Pins {
		if strings.HasPrefix(k, f.in.node.Name+"/") && strings.HasSuffix(k, "/"+hash(string(query), 16)) &&
			(len(sibling) == 0 || slices.ContainsFunc(items, func(it map[string]any) bool { return equal(it["id"], sibling["id"]) })) {
			f.r.Pins[key] = sibling
			return pinned(sibling), nil
		}
	}
	found := matching(items, where)
	if !named(where) {
		// Nor is what another deployment made, unless it is asked for: it goes with that one, or keeps it from going.
		found = slices.DeleteFunc(found, Made)
	}
	if len(found) == 0 {
		if o := e.Named.Get("optional"); o != nil && truth(o.Lit) {
			// Remembered, too: what this deployment makes later under that name must not be taken for something that was there.
			f.r.Pins[key] = map[string]any{}
			return nil, nil
		}
		return nil, notFound(f, what, kind, items, where)
	}
	if several := ambiguous(f, found, where, e); several != nil {
		return nil, several
	}
	order(found, e)
	f.r.Pins[key] = found[0]
	return pinned(found[0]), nil
}

// ambiguous refuses to guess among things of one name, of which any other conditions tell none apart. Where the best is asked for (the newest
// image, the smallest flavor) several are welcome, and an id is one's own.
func ambiguous(f *frame, found []map[string]any, where []criterion, e *Expr) error {
	if len(found) < 2 || e.Named.Get("newest") != nil || e.Named.Get("smallest") != nil {
		return nil
	}
	i := slices.IndexFunc(where, func(c criterion) bool { return c.op == "is" && slices.Contains(c.fields, "name") })
	if i < 0 {
		return nil
	}
	for _, it := range found {
		if slices.Contains(where[i].fields, "id") && equal(it["id"], where[i].want) {
			return nil
		}
	}
	kind, _ := e.Named.Get("from").Lit.(string)
	var ids []string
	for _, it := range found {
		if s, ok := text(it["id"]); ok {
			ids = append(ids, s)
		}
	}
	slices.Sort(ids)
	want, _ := text(where[i].want)
	return &ExprError{At: *f.touched, Err: fmt.Errorf("%d %s are called %q", len(found), strings.ReplaceAll(kind, "_", " "), want),
		Hint: "say which by its id: " + strings.Join(ids, ", ")}
}

func criteria(f *frame, e *Expr) ([]criterion, any, error) {
	var out []criterion
	for _, a := range e.Args {
		if a.Kind != MapExpr {
			return nil, nil, fmt.Errorf("a condition of $select is a map such as {field: name, is: value}")
		}
		var c criterion
		field, err := f.eval(a.Named.Get("field"))
		if err != nil {
			return nil, nil, err
		}
		list, _ := applyList([]any{field})
		for _, v := range list.([]any) {
			s, _ := text(v)
			c.fields = append(c.fields, s)
		}
		for _, op := range []string{"is", "like", "min", "starts"} {
			x := a.Named.Get(op)
			if x == nil {
				continue
			}
			v, err := f.eval(x)
			if err != nil {
				return nil, nil, err
			}
			if u, ok := v.(topology.Unknown); ok {
				return nil, u, nil
			}
			if !isNull(v) {
				c.op, c.want = op, v
				out = append(out, c)
			}
		}
	}
	return out, nil, nil
}

// named reports whether conditions ask for one thing by what it is called, or for what belongs to one.
func named(where []criterion) bool {
	return slices.ContainsFunc(where, func(c criterion) bool {
		return c.op == "is" && slices.ContainsFunc(c.fields, func(f string) bool { return f == "name" || f == "id" || strings.HasSuffix(f, "_id") })
	})
}

func matching(items []map[string]any, where []criterion) []map[string]any {
	var out []map[string]any
	for _, it := range items {
		ok := true
		for _, c := range where {
			ok = ok && slices.ContainsFunc(c.fields, func(field string) bool { return c.holds(it[field]) })
		}
		if ok {
			out = append(out, it)
		}
	}
	return out
}

func (c criterion) holds(v any) bool {
	switch c.op {
	case "min":
		have, ok := topology.Number(v)
		want, _ := topology.Number(c.want)
		return ok && have >= want
	case "like":
		have, _ := text(v)
		want, _ := text(c.want)
		return strings.EqualFold(have, want)
	case "starts":
		have, _ := text(v)
		want, _ := text(c.want)
		return have == want || strings.HasPrefix(have, want+".")
	}
	return equal(v, c.want)
}

func (c criterion) String() string {
	word := map[string]string{"is": "=", "like": "=", "min": "≥", "starts": "="}[c.op]
	return fmt.Sprintf("%s %s %v", strings.Join(c.fields, " or "), word, c.want)
}

// order puts the best match first: the smallest by the fields in turn, else the newest, else the first by name.
func order(found []map[string]any, e *Expr) {
	var smallest []string
	if s := e.Named.Get("smallest"); s != nil {
		for _, a := range s.Args {
			name, _ := a.Lit.(string)
			smallest = append(smallest, name)
		}
	}
	newest := ""
	if n := e.Named.Get("newest"); n != nil {
		newest, _ = n.Lit.(string)
	}
	sort.SliceStable(found, func(i, j int) bool {
		a, b := found[i], found[j]
		for _, field := range smallest {
			x, _ := topology.Number(a[field])
			y, _ := topology.Number(b[field])
			if x != y {
				return x < y
			}
		}
		if newest != "" {
			x, _ := text(a[newest])
			y, _ := text(b[newest])
			if x != y {
				return x > y
			}
		}
		x, _ := text(a["name"])
		y, _ := text(b["name"])
		return x < y
	})
}

// notFound says which condition cannot be met, and what there is instead.
func notFound(f *frame, what, kind string, items []map[string]any, where []criterion) error {
	var parts, have []string
	for _, c := range where {
		parts = append(parts, c.String())
	}
	for _, it := range items {
		if s, ok := text(it["name"]); ok && s != "" {
			have = append(have, s)
		}
	}
	slices.Sort(have)
	have = slices.Compact(have)
	hint := ""
	for _, c := range where {
		if s, ok := c.want.(string); ok && slices.Contains(c.fields, "name") {
			hint = suggest(s, have, "")
			parts = []string{fmt.Sprintf("%q", s)}
		}
	}
	if hint == "" {
		switch {
		case len(have) == 0:
			hint = "the cloud offers no " + kind + " to this project"
		case len(have) > 12:
			hint = fmt.Sprintf("the cloud has %s and %d more", strings.Join(have[:12], ", "), len(have)-12)
		default:
			hint = "the cloud has " + strings.Join(have, ", ")
		}
	}
	return &ExprError{At: *f.touched, Hint: hint, Err: fmt.Errorf("no %s matches %s", what, strings.Join(parts, ", "))}
}

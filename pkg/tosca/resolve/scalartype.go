package resolve

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// scalarType reads the keynames of a TOSCA 2.0 scalar type: data_type, units, canonical_unit, prefixes (§9.1.3).
func (r *resolver) scalarType(t *typ) {
	n, s := t.def.Scalar, t.schema
	if n == nil || !t.file.Doc.Traits.Strict {
		return
	}
	keys := []string{"data_type", "units", "canonical_unit", "prefixes"}
	isScalar := s.Primitive() == "scalar"
	if !isScalar {
		for _, k := range keys {
			if key := n.Key(k); key != nil && !t.broken {
				r.errorf("scalar-type", key.Pos, t.def.Path+"."+k, "%s is for data types that derive from scalar; %s does not", k, t.def.Name.Text)
			}
		}
		return
	}
	if t.def.Schema != nil && (t.def.Schema.Entry != nil || t.def.Schema.Key != nil) {
		r.errorf("scalar-type", t.def.Name.Pos, t.def.Path, "the scalar type %s cannot have an entry_schema or key_schema", t.def.Name.Text)
	}
	sc := &topology.ScalarType{}
	if s.Scalar != nil {
		copied := *s.Scalar
		sc = &copied
	}
	s.Scalar = sc
	inherited := t.parent != nil && len(sc.Units) > 0
	if d := n.Get("data_type"); d != nil {
		prim := d.Str()
		if own := t.file.lookup(document.DataType, prim); own != nil {
			sc.Number = r.flatten(own).schema
			prim = sc.Number.Primitive()
		}
		if inherited {
			r.errorf("refinement", d.Pos, t.def.Path+".data_type", "the scalar type %s cannot change the data_type of the type it derives from", t.def.Name.Text)
		}
		switch prim {
		case "integer":
			sc.Integer = true
		case "float":
			sc.Integer = false
		default:
			r.errorf("scalar-type", d.Pos, t.def.Path+".data_type", "data_type must be integer or float, not %s", d)
		}
	}
	if u := n.Get("units"); u != nil && !u.Is(source.Mapping) {
		r.errorf("wrong-form", u.At(), t.def.Path+".units", "units must be a map of multipliers, such as { B: 1, kB: 1000 }")
		s.Scalar = nil
		return
	}
	r.scalarUnits(t, n, sc, inherited)
	r.scalarPrefixes(t, n, sc)
	if c := n.Get("canonical_unit"); c != nil {
		sc.Canonical = c.Str()
		if m, ok := sc.Units[sc.Canonical]; !ok {
			r.errorf("scalar-type", c.Pos, t.def.Path+".canonical_unit", "the canonical_unit %q is not one of the units", sc.Canonical)
		} else if m != 1 {
			r.errorf("scalar-type", c.Pos, t.def.Path+".canonical_unit", "the canonical_unit %q must have the multiplier 1, not %v", sc.Canonical, m)
		}
	}
}

func (r *resolver) multipliers(t *typ, n *source.Node, key string, sc *topology.ScalarType) map[string]float64 {
	if n == nil {
		return nil
	}
	if !n.Is(source.Mapping) {
		r.errorf("wrong-form", n.At(), t.def.Path+"."+key, "%s must be a map of multipliers", key)
		return nil
	}
	out := map[string]float64{}
	for k, v := range n.All() {
		f, ok := v.Float()
		if !ok || v.Quoted {
			r.errorf("scalar-type", v.At(), t.def.Path+"."+key+"."+k.Text, "the multiplier of %s must be a number, not %s", k.Text, v)
			continue
		}
		if sc.Number != nil {
			r.value(&context{file: t.file, inType: t}, v, sc.Number, t.def.Path+"."+key+"."+k.Text)
		} else if sc.Integer && key == "units" && f != math.Trunc(f) {
			r.errorf("scalar-type", v.At(), t.def.Path+"."+key+"."+k.Text, "the multiplier of %s must be an integer, as data_type says, not %s", k.Text, strconv.Quote(v.Text))
		}
		out[k.Text] = f
	}
	return out
}

func (r *resolver) scalarUnits(t *typ, n *source.Node, sc *topology.ScalarType, inherited bool) {
	units := r.multipliers(t, n.Get("units"), "units", sc)
	for u, m := range units {
		if old, ok := sc.Units[u]; inherited && ok && old != m {
			r.errorf("refinement", n.Get("units").Pos, t.def.Path+".units", "the unit %s has the multiplier %v in the type that %s derives from, not %v", u, old, t.def.Name.Text, m)
		}
	}
	if units != nil {
		merged := map[string]float64{}
		for u, m := range sc.Units {
			merged[u] = m
		}
		for u, m := range units {
			merged[u] = m
		}
		sc.Units = merged
	}
	if len(sc.Units) == 0 && !t.broken {
		r.errorf("scalar-type", t.def.Name.Pos, t.def.Path, "the scalar type %s has no units", t.def.Name.Text)
	}
	if n.Get("canonical_unit") != nil || sc.Canonical != "" || units == nil {
		return
	}
	var ones []string
	for u, m := range sc.Units {
		if m == 1 {
			ones = append(ones, u)
		}
	}
	slices.Sort(ones)
	switch at := n.Key("units").Pos; {
	case len(ones) == 1:
		sc.Canonical = ones[0]
	case len(ones) == 0 && len(units) > 0:
		r.errorf("scalar-type", at, t.def.Path+".units", "no unit of the scalar type %s has the multiplier 1", t.def.Name.Text).Hint = "multipliers are relative to the canonical unit, whose own is 1"
	case len(ones) > 1:
		r.errorf("scalar-type", at, t.def.Path+".units", "the units %s of the scalar type %s all have the multiplier 1, so it needs a canonical_unit", strings.Join(ones, ", "), t.def.Name.Text).Hint =
			"add canonical_unit: " + ones[0]
	}
}

func (r *resolver) scalarPrefixes(t *typ, n *source.Node, sc *topology.ScalarType) {
	p := r.multipliers(t, n.Get("prefixes"), "prefixes", sc)
	if p == nil {
		return
	}
	merged := maps.Clone(sc.Prefixes) // a derived type adds to what it inherits
	if merged == nil {
		merged = map[string]float64{}
	}
	maps.Copy(merged, p)
	if len(p) > 0 && !slices.Contains(slices.Collect(maps.Values(merged)), 1) {
		r.errorf("scalar-type", n.Key("prefixes").Pos, t.def.Path+".prefixes", "no prefix of the scalar type %s has the multiplier 1", t.def.Name.Text).Hint = `add "": 1 for the unit without a prefix`
	}
	if len(sc.Units) > 1 {
		r.errorf("scalar-type", n.Key("prefixes").Pos, t.def.Path+".prefixes", "prefixes need exactly one unit; %s has %d", t.def.Name.Text, len(sc.Units))
	}
	sc.Prefixes = merged
}

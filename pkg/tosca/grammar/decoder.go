package grammar

import (
	"slices"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// decoder reads one document. Its methods take a node and its path; absent nodes give absent results without a word.
type decoder struct {
	*family
	diags *diag.List
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func last(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

func (d *decoder) wrong(n *source.Node, path, want string) {
	d.diags.Errorf(CodeForm, n.At(), "%s must be %s, not %s", last(path), want, what(n)).Path = path
}

func what(n *source.Node) string {
	switch {
	case n.IsNull():
		return "null"
	case n.Kind != source.Scalar:
		return "a " + n.Kind.String()
	case n.Tag == "!!str" || n.Quoted:
		return "the text " + strconv.Quote(n.Text)
	}
	return n.Text
}

// isMap reports whether a section is a map that can be read. A null section is empty (an error in TOSCA 2.0).
func (d *decoder) isMap(n *source.Node, path string) bool {
	if n == nil {
		return false
	}
	if n.Kind == source.Null {
		d.empty(n, path)
		return false
	}
	if n.Kind != source.Mapping {
		d.wrong(n, path, "a map")
		return false
	}
	return true
}

func (d *decoder) empty(n *source.Node, path string) {
	if d.v2 {
		d.diags.Errorf(CodeEmpty, n.Pos, "%s is empty", last(path)).Path = path
	}
}

// known reports the keynames of a map that the section does not have. It is false if n is no map, and where the dialect has no such section: that
// the keyname which leads there is unknown has been said.
func (d *decoder) known(n *source.Node, section, path string) bool {
	keys := d.keys[section]
	if keys == nil || !d.isMap(n, path) {
		return false
	}
	for _, p := range n.Pairs {
		if !keys.known[p.Key.Text] {
			d.unknownKeyname(p.Key, keys, section, path)
		}
	}
	return true
}

// get is the value of a keyname that the section has; one that it has not is reported by known, and means nothing.
func (d *decoder) get(n *source.Node, section, keyname string) *source.Node {
	if k := d.keys[section]; k == nil || !k.known[keyname] {
		return nil
	}
	if v := n.Get(keyname); v != nil {
		return v
	}
	return d.slip(n, section, keyname)
}

// slip is the value of a keyname that is written wrongly, so that nothing else is said of what it holds; known reports the name. nil if there is none.
func (d *decoder) slip(n *source.Node, section, keyname string) *source.Node {
	if !n.Is(source.Mapping) || d.a4c { // Alien4Cloud ignores what it does not know
		return nil
	}
	keys := d.keys[section]
	for _, p := range n.Pairs {
		if !keys.known[p.Key.Text] && keys.others[p.Key.Text] == "" && diag.Nearest(p.Key.Text, slices.Values(keys.names)) == keyname {
			return p.Value
		}
	}
	return nil
}

// noted checks the description and the metadata of a section that has them and keeps neither.
func (d *decoder) noted(n *source.Node, section, path string) {
	d.text(d.get(n, section, "description"), path+".description")
	d.metadata(d.get(n, section, "metadata"), path+".metadata")
}

func (d *decoder) unknownKeyname(key *source.Node, keys *keyset, section, path string) {
	if d.foreign(key, section, path) {
		return
	}
	dg := diag.Diagnostic{
		Severity: d.unknown, Code: CodeUnknownKeyname, Pos: key.Pos, Path: join(path, key.Text),
		Message: "unknown keyname " + strconv.Quote(key.Text) + " in " + sectionTitle(section) + " of " + d.title,
	}
	if d.v2 && renamed[section+" "+key.Text] != "" {
		dg.Hint = "TOSCA 2.0 calls it " + renamed[section+" "+key.Text]
	} else if span, ok := keys.others[key.Text]; ok {
		dg.Hint = spanText(span, d.a4c)
	} else if dg.Hint = diag.Suggest(key.Text, keys.names); dg.Hint == "" && len(keys.names) > 0 {
		dg.Hint = "known are " + strings.Join(keys.sorted(), ", ")
		if assigns[section] {
			dg.Hint += "; values of properties go under properties"
		}
	}
	d.diags.Add(dg)
}

// assigns are the sections that give properties values.
var assigns = map[string]bool{
	"capability_assignment": true, "node_template": true, "relationship_template": true, "relationship_assignment": true, "group": true, "policy": true,
}

// foreign lets keynames pass that ONAP's documents of TOSCA 1.x add to the standard's: versions of types and of what is of a type.
func (d *decoder) foreign(key *source.Node, section, path string) bool {
	if d.v2 || d.a4c || key.Text != "type_version" && key.Text != "version" || !strings.HasSuffix(section, "_type") && section != "policy" && section != "node_template" {
		return false
	}
	dg := d.diags.Warnf(CodeUnknownKeyname, key.Pos, "%s is ONAP's own in %s, and means nothing here", key.Text, sectionTitle(section))
	dg.Path = join(path, key.Text)
	return true
}

// renamed are keynames of TOSCA 1.x with what takes their place in TOSCA 2.0.
var renamed = map[string]string{
	"document topology_template": "service_template", "document namespace": "profile",
	"import file": "url", "import namespace_prefix": "namespace", "import namespace_uri": "namespace",
	"property constraints": "validation", "attribute constraints": "validation", "input constraints": "validation", "output constraints": "validation",
	"schema constraints": "validation", "data_type constraints": "validation",
	"requirement_definition occurrences": "count_range", "requirement occurrences": "count",
	"relationship_type valid_target_types": "valid_capability_types and valid_target_node_types",
	"capability_type valid_source_types":   "valid_source_node_types", "capability_definition valid_source_types": "valid_source_node_types",
}

// slipped tells whether a required keyname is there under a misspelt name, which is reported by itself.
func (d *decoder) slipped(n *source.Node, section, keyname string) bool {
	keys := d.keys[section]
	if keys == nil || !n.Is(source.Mapping) {
		return false
	}
	return slices.ContainsFunc(n.Pairs, func(p source.Pair) bool {
		return !keys.known[p.Key.Text] && (diag.Suggest(p.Key.Text, []string{keyname}) != "" || d.v2 && renamed[section+" "+p.Key.Text] == keyname)
	})
}

func sectionTitle(s string) string {
	s = strings.ReplaceAll(s, "_", " ")
	switch s[0] {
	case 'a', 'e', 'i', 'o', 'u':
		return "an " + s
	}
	return "a " + s
}

// name reads a reference or a key: a text.
func (d *decoder) name(n *source.Node, path string) document.Name {
	switch {
	case n.IsNull():
		if n != nil && d.v2 {
			d.wrong(n, path, "a name")
		}
		return document.Name{}
	case n.Kind != source.Scalar:
		d.wrong(n, path, "a name")
		return document.Name{}
	case !n.Quoted && (n.Tag == "!!int" || n.Tag == "!!float" || n.Tag == "!!bool") && d.v2:
		d.wrong(n, path, "a name")
		return document.Name{}
	}
	return document.Name{Text: n.Text, Pos: n.Pos}
}

func key(k *source.Node) document.Name { return document.Name{Text: k.Text, Pos: k.Pos} }

// names reads a list of names; a single one is let through where lists of one are common.
func (d *decoder) names(n *source.Node, path string) []document.Name {
	if n.IsNull() {
		return nil
	}
	if n.Kind == source.Scalar && !d.v2 {
		return []document.Name{d.name(n, path)}
	}
	if n.Kind != source.Sequence {
		d.wrong(n, path, "a list")
		return nil
	}
	var out []document.Name
	for i, it := range n.Items {
		if nm := d.name(it, path+"["+strconv.Itoa(i)+"]"); !nm.IsZero() {
			out = append(out, nm)
		}
	}
	return out
}

func (d *decoder) text(n *source.Node, path string) string {
	if n.IsNull() {
		return ""
	}
	if n.Kind != source.Scalar {
		d.wrong(n, path, "a text")
		return ""
	}
	return n.Text
}

func (d *decoder) texts(n *source.Node, path string) []string {
	var out []string
	for _, nm := range d.names(n, path) {
		out = append(out, nm.Text)
	}
	return out
}

func (d *decoder) flag(n *source.Node, path string) *bool {
	if n.IsNull() {
		return nil
	}
	b, ok := n.Bool()
	if !ok && (d.traits.YAML11 || !d.v2) && n.Kind == source.Scalar && !n.Quoted {
		switch strings.ToLower(n.Text) {
		case "yes", "on":
			b, ok = true, true
		case "no", "off":
			b, ok = false, true
		}
	}
	if !ok || n.Quoted && d.v2 {
		d.wrong(n, path, "true or false")
		return nil
	}
	return &b
}

// metadata is a map of texts; TOSCA 2.0 allows any value, of which the texts are kept.
func (d *decoder) metadata(n *source.Node, path string) map[string]string {
	if n == nil || n.Kind == source.Null && !d.v2 || !d.isMap(n, path) {
		return nil
	}
	m := make(map[string]string, len(n.Pairs))
	for k, v := range n.All() {
		if v.Is(source.Scalar) {
			m[k.Text] = v.Text
		} else if !d.v2 && !d.a4c && !v.IsNull() {
			d.diags.Warnf(CodeForm, v.Pos, "the metadata %s is not a text; it is ignored", k.Text).Path = join(path, k.Text)
		}
	}
	return m
}

// tags are Alien4Cloud's metadata: a list of one-key maps, or a map.
func (d *decoder) tags(n *source.Node, m map[string]string) map[string]string {
	pairs := []source.Pair{}
	if n.Is(source.Mapping) {
		pairs = n.Pairs
	} else if n.Is(source.Sequence) {
		for _, it := range n.Items {
			if it.Is(source.Mapping) {
				pairs = append(pairs, it.Pairs...)
			}
		}
	}
	for _, p := range pairs {
		if m == nil {
			m = map[string]string{}
		}
		m[p.Key.Text] = p.Value.Str()
	}
	return m
}

// entry of a section.
type entry struct {
	key   *source.Node
	value *source.Node
	path  string
	// siblings are the further keys of a one-key map that has more (Alien4Cloud 1.2's requirements and artifacts).
	siblings *source.Node
}

// entries reads a map of named things.
func (d *decoder) entries(n *source.Node, path string) []entry {
	if n == nil || !d.isMap(n, path) {
		return nil
	}
	out := make([]entry, 0, len(n.Pairs))
	for k, v := range n.All() {
		if k.Text == "" {
			d.diags.Errorf(CodeForm, k.Pos, "an entry of %s has no name", last(path)).Path = path
			continue
		}
		out = append(out, entry{key: k, value: v, path: path + "." + k.Text})
	}
	return out
}

// listEntries reads a list of one-key maps: requirements, policies. Alien4Cloud's dialects also allow a map.
func (d *decoder) listEntries(n *source.Node, path string, orMap bool) []entry {
	switch {
	case n == nil:
		return nil
	case n.Kind == source.Null:
		d.empty(n, path)
		return nil
	case n.Kind == source.Mapping && orMap:
		return d.entries(n, path)
	case n.Kind != source.Sequence:
		d.wrong(n, path, "a list of one-key maps")
		return nil
	}
	out := make([]entry, 0, len(n.Items))
	for i, it := range n.Items {
		p := path + "[" + strconv.Itoa(i) + "]"
		if !it.Is(source.Mapping) || len(it.Pairs) == 0 {
			d.wrong(it, p, "a map with one key")
			continue
		}
		first := it.Pairs[0]
		e := entry{key: first.Key, value: first.Value, path: p + "." + first.Key.Text}
		if !d.a4c && nameless(it, path) {
			dg := d.diags.Errorf(CodeForm, first.Key.Pos, "an entry of %s begins with its name; this one begins with the keyname %s", last(path), first.Key.Text)
			dg.Path, dg.Hint = p, "write - NAME: and indent the keynames below it"
			continue
		}
		if len(it.Pairs) > 1 {
			if !d.a4c {
				d.diags.Errorf(CodeForm, it.Pairs[1].Key.Pos, "the entry %s of %s must be a map with one key; it has also %q", first.Key.Text, last(path), it.Pairs[1].Key.Text).Hint =
					"indent the further keys below the first, or begin a new entry with a dash"
				d.fixPath(p)
			}
			e.siblings = &source.Node{Kind: source.Mapping, Tag: "!!map", Pairs: it.Pairs[1:], Pos: it.Pos}
		}
		out = append(out, e)
	}
	return out
}

// nameless tells an entry of a list that is the definition itself, where its name was forgotten.
func nameless(it *source.Node, path string) bool {
	first := it.Pairs[0]
	switch {
	case !first.Value.Is(source.Scalar):
		return false
	case first.Key.Text == "type":
		return last(path) == "policies"
	}
	return len(it.Pairs) > 1 && slices.Contains([]string{"capability", "node", "relationship"}, first.Key.Text) && slices.ContainsFunc(it.Pairs[1:], func(p source.Pair) bool {
		return slices.Contains([]string{"capability", "node", "relationship", "occurrences", "count_range", "node_filter"}, p.Key.Text)
	})
}

func (d *decoder) fixPath(path string) { (*d.diags)[len(*d.diags)-1].Path = path }

// merged is an entry's value with its sibling keys, under shortKey if the value is a text.
func (e entry) merged(shortKey string) *source.Node {
	if e.siblings == nil {
		return e.value
	}
	m := &source.Node{Kind: source.Mapping, Tag: "!!map", Pos: e.key.Pos}
	switch {
	case e.value.Is(source.Mapping):
		m.Pairs = append(m.Pairs, e.value.Pairs...)
	case e.value.Is(source.Scalar):
		k := &source.Node{Kind: source.Scalar, Tag: "!!str", Text: shortKey, Pos: e.value.Pos}
		m.Pairs = append(m.Pairs, source.Pair{Key: k, Value: e.value})
	}
	m.Pairs = append(m.Pairs, e.siblings.Pairs...)
	return m
}

// occurrences reads occurrences, or what Alien4Cloud's oldest documents have for it: lower_bound and upper_bound.
func (d *decoder) occurrences(n *source.Node, path string) *document.Range {
	if o := n.Get("occurrences"); o != nil || !d.a4c {
		return d.rangeOf(o, path+".occurrences")
	}
	either := func(a, b string) *source.Node {
		if v := n.Get(a); v != nil {
			return v
		}
		return n.Get(b)
	}
	lower, upper := either("lower_bound", "lowerBound"), either("upper_bound", "upperBound")
	if lower == nil && upper == nil {
		return nil
	}
	one := &source.Node{Kind: source.Scalar, Tag: "!!int", Text: "1", Pos: n.Pos}
	both := &source.Node{Kind: source.Sequence, Pos: n.Pos, Items: []*source.Node{one, one}}
	if lower != nil {
		both.Pos, both.Items[0] = lower.Pos, lower
	}
	if upper != nil {
		both.Items[1] = upper
	} else if i, ok := lower.Int(); ok && i > 1 {
		both.Items[1] = lower
	}
	return d.rangeOf(both, path+".occurrences")
}

// rangeOf reads [lower, upper] with UNBOUNDED as the open end.
func (d *decoder) rangeOf(n *source.Node, path string) *document.Range {
	if n.IsNull() {
		return nil
	}
	bad := func() *document.Range {
		d.wrong(n, path, "a range [lower, upper] of whole numbers, the upper one may be UNBOUNDED")
		return nil
	}
	if n.Kind != source.Sequence || len(n.Items) != 2 {
		return bad()
	}
	lo, ok := n.Items[0].Int()
	if !ok || lo < 0 {
		return bad()
	}
	up := int64(-1)
	if !strings.EqualFold(n.Items[1].Str(), topology.Unbounded) {
		if up, ok = n.Items[1].Int(); !ok || up < 0 {
			return bad()
		}
		if up < lo {
			d.diags.Errorf(CodeForm, n.Pos, "%s: the lower bound %d is above the upper bound %d", last(path), lo, up).Path = path
			return nil
		}
	}
	return &document.Range{Lower: lo, Upper: up, Pos: n.Pos}
}

func (d *decoder) assigns(n *source.Node, path string) []document.Assign {
	es := d.entries(n, path)
	if es == nil {
		return nil
	}
	out := make([]document.Assign, len(es))
	for i, e := range es {
		out[i] = document.Assign{Name: key(e.key), Value: e.value}
	}
	return out
}

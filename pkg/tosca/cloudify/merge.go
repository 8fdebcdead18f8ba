package cloudify

import (
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
)

var (
	// always are the sections that files may share in every version; since13 those that they may share from cloudify_dsl_1_3 on.
	always  = []string{"interfaces", "node_types", "plugins", "workflows", "relationships", "policy_types", "groups", "policy_triggers", "data_types"}
	since13 = []string{"inputs", "outputs", "node_templates", "capabilities", "labels", "blueprint_labels", "resource_tags"}
	silent  = []string{"labels", "blueprint_labels", "resource_tags"}
	// own are never taken from imports.
	own = []string{"tosca_definitions_version", "imports", "dsl_definitions"}
)

// Merger collects the files of a blueprint, the main one first.
type Merger struct {
	Root  *source.Node
	level int
	diags *diag.List
}

// NewMerger begins with the main file. The file's own nodes are not changed.
func NewMerger(main *source.Node, diags *diag.List) *Merger {
	return &Merger{Root: copied(main), level: Level(main.Get("tosca_definitions_version").Str()), diags: diags}
}

func copied(n *source.Node) *source.Node {
	if n == nil {
		return nil
	}
	c := *n
	c.Pairs = slices.Clone(n.Pairs)
	return &c
}

// Add merges an imported file.
func (m *Merger) Add(file *source.Node) {
	for _, p := range file.Pairs {
		name := p.Key.Text
		at := slices.IndexFunc(m.Root.Pairs, func(q source.Pair) bool { return q.Key.Text == name })
		switch {
		case slices.Contains(own, name) || p.Value.IsNull():
		case at < 0:
			m.Root.Pairs = append(m.Root.Pairs, source.Pair{Key: p.Key, Value: copied(p.Value)})
		case m.Root.Pairs[at].Value.IsNull():
			m.Root.Pairs[at].Value = copied(p.Value)
		case name == "description" || name == "metadata":
		case slices.Contains(always, name) || slices.Contains(since13, name) && m.level >= 13:
			if p.Value.Is(source.Mapping) && m.Root.Pairs[at].Value.Is(source.Mapping) {
				m.Root.Pairs[at].Value = m.section(name, m.Root.Pairs[at].Value, p.Value)
			}
		default:
			d := m.diags.Errorf(CodeMerge, p.Key.Pos, "%s may be in one file of the blueprint only", name)
			d.Path = name
			d.Related = []diag.Related{{Pos: m.Root.Pairs[at].Key.Pos, Message: "here, too"}}
			if slices.Contains(since13, name) {
				d.Hint = "from cloudify_dsl_1_3 on, files may share it"
			}
		}
	}
}

func (m *Merger) section(name string, into, from *source.Node) *source.Node {
	out := copied(into)
	index := make(map[string]int, len(out.Pairs))
	for i, p := range out.Pairs {
		index[p.Key.Text] = i
	}
	for _, p := range from.Pairs {
		i, ok := index[p.Key.Text]
		switch {
		case !ok:
			index[p.Key.Text] = len(out.Pairs)
			out.Pairs = append(out.Pairs, p)
		case slices.Contains(silent, name):
		case strings.HasPrefix(p.Key.Text, "cloudify."):
			out.Pairs[i] = p
		case name == "workflows":
			out.Pairs[i].Value = fill(out.Pairs[i].Value, p.Value)
		case name == "node_templates" && (only(p.Value, "relationships") || only(out.Pairs[i].Value, "relationships")):
			out.Pairs[i].Value = joined(out.Pairs[i].Value, p.Value)
		case name == "plugins":
			// Namespaces do not rename plugins here, so that files may bring the same one.
		default:
			d := m.diags.Errorf(CodeMerge, p.Key.Pos, "%s of %s is declared twice", p.Key.Text, name)
			d.Path = name + "." + p.Key.Text
			d.Related = []diag.Related{{Pos: out.Pairs[i].Key.Pos, Message: "here, too"}}
		}
	}
	return out
}

// fill adds the fields that a map lacks.
func fill(n, from *source.Node) *source.Node {
	if !n.Is(source.Mapping) || !from.Is(source.Mapping) {
		return n
	}
	out := copied(n)
	for _, p := range from.Pairs {
		if n.Get(p.Key.Text) == nil {
			out.Pairs = append(out.Pairs, p)
		}
	}
	return out
}

func only(n *source.Node, key string) bool {
	return n.Is(source.Mapping) && len(n.Pairs) == 1 && n.Get(key) != nil
}

// joined is a node template with the relationships of both.
func joined(a, b *source.Node) *source.Node {
	if only(a, "relationships") {
		a, b = b, a
	}
	out := copied(a)
	list := &source.Node{Kind: source.Sequence, Tag: "!!seq", Pos: b.Pos}
	if have := a.Get("relationships"); have != nil {
		list.Items = append(list.Items, have.Items...)
		list.Pos = have.Pos
	}
	list.Items = append(list.Items, b.Get("relationships").Items...)
	for i, p := range out.Pairs {
		if p.Key.Text == "relationships" {
			out.Pairs[i].Value = list
			return out
		}
	}
	out.Pairs = append(out.Pairs, source.Pair{Key: b.Pairs[0].Key, Value: list})
	return out
}

// Names are the keys of a section.
func Names(root *source.Node, section string) []string {
	var out []string
	for k := range root.Get(section).All() {
		out = append(out, k.Text)
	}
	return out
}

// Secrets are the names of the secrets that a document asks for, where they are literal, in order.
func Secrets(n *source.Node) []string {
	var out []string
	var walk func(*source.Node)
	walk = func(n *source.Node) {
		if n == nil {
			return
		}
		for _, it := range n.Items {
			walk(it)
		}
		for k, v := range n.All() {
			if k.Text == "get_secret" {
				name := v
				if v.Is(source.Sequence) && len(v.Items) > 0 {
					name = v.Items[0]
				}
				if name.Is(source.Scalar) {
					out = append(out, name.Text)
				}
			}
			walk(v)
		}
	}
	walk(n)
	slices.Sort(out)
	return slices.Compact(out)
}

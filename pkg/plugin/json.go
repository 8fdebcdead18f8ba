package plugin

import (
	"regexp"
	"sort"
	"strings"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// UnknownRef is what stands for a value that is known only later, in plans: the module declares this resource.
const UnknownRef = "terraform_data.unknown.id"

// jsonWriter turns evaluated arguments into Terraform's JSON syntax, moving secrets into variables.
type jsonWriter struct {
	block *Block
	// owners of the resources that the block refers to.
	owners []string
}

func (w *jsonWriter) object(m map[string]any, path []string) map[string]any {
	out := make(map[string]any, len(m))
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		if v := w.value(m[k], append(path, k)); v != nil {
			out[escape(k)] = v
		}
	}
	return out
}

func (w *jsonWriter) value(v any, path []string) any {
	switch t := v.(type) {
	case string:
		return escape(t)
	case Ref:
		w.owners = append(w.owners, t.Owner)
		return "${" + t.Expr + "}"
	case topology.Unknown:
		w.block.Unknown = true
		return "${" + UnknownRef + "}"
	case secret.Value:
		return "${" + w.variable(t, path) + "}"
	case Generated:
		return "${" + w.variable(t.Value, path) + "}"
	case template:
		var b strings.Builder
		for i, p := range t {
			switch s := p.(type) {
			case string:
				b.WriteString(escape(s))
			case secret.Value:
				b.WriteString("${" + w.variable(s, append(path, string(rune('a'+i%26)))) + "}")
			default:
				b.WriteString(w.value(s, path).(string))
			}
		}
		return b.String()
	case []any:
		out := make([]any, 0, len(t))
		for i, it := range t {
			if e := w.value(it, append(path, itoa(i))); e != nil {
				out = append(out, e)
			}
		}
		return out
	case map[string]any:
		return w.object(t, path)
	case *Block:
		w.owners = append(w.owners, t.Owner)
		return "${" + t.Address() + ".id}"
	case *linkItem:
		return nil
	}
	return v
}

func itoa(i int) string { s, _ := text(int64(i)); return s }

var notInVariable = regexp.MustCompile(`[^A-Za-z0-9_]`)

// variable declares a sensitive variable for a secret argument; its name depends on the place only, so that it is stable.
func (w *jsonWriter) variable(v secret.Value, path []string) string {
	name := notInVariable.ReplaceAllString(w.block.Type+"_"+w.block.Label+"_"+strings.Join(path, "_"), "_")
	if w.block.Variables == nil {
		w.block.Variables = map[string]secret.Value{}
	}
	for n := name; ; n += "_" {
		if o, ok := w.block.Variables[n]; !ok || o == v {
			w.block.Variables[n] = v
			return "var." + n
		}
	}
}

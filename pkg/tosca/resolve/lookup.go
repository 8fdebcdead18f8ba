package resolve

import (
	"strings"

	"github.com/orch-project/orch/pkg/tosca/document"
)

// Declared is a type's definition with the file that has it.
type Declared struct {
	*document.Type
	File *File
}

// maxAncestors bounds a chain of derivation; cycles are reported elsewhere.
const maxAncestors = 100

// Lookup finds a type by the name that the file uses, with its ancestors, nearest first; nil if there is none.
func (f *File) Lookup(kind document.Kind, name string) []Declared {
	var out []Declared
	if f == nil || f.found == nil {
		return nil
	}
	for at := f; name != "" && len(out) < maxAncestors; {
		t := at.lookup(kind, name)
		if t == nil {
			break
		}
		out = append(out, Declared{t.def, t.file})
		at, name = t.file, t.def.DerivedFrom.Text
		if name == "" && t.def.Name.Text != t.file.Doc.Traits.Roots[kind] && !strings.HasSuffix(t.def.Name.Text, ".Root") {
			name = t.file.Doc.Traits.Roots[kind]
		}
	}
	return out
}

// Cut reports a type whose ancestors are not all here.
func (f *File) Cut(kind document.Kind, name string) bool {
	chain := f.Lookup(kind, name)
	if len(chain) == 0 {
		return true
	}
	last := chain[len(chain)-1]
	return !last.DerivedFrom.IsZero() && last.DerivedFrom.Text != last.Name.Text
}

// TypeNames lists every name of a kind that the file may use.
func (f *File) TypeNames(kind document.Kind) []string {
	if f == nil || f.found == nil {
		return nil
	}
	return f.typeNames(kind)
}

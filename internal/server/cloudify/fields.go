package cloudify

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// fieldIndex is where the fields of a document type are, by their JSON name; embedded ones included.
type fieldIndex map[string][]int

var indexes sync.Map // reflect.Type → fieldIndex

func indexOf(t reflect.Type) fieldIndex {
	if known, ok := indexes.Load(t); ok {
		return known.(fieldIndex)
	}
	out := fieldIndex{}
	addFields(t, nil, out)
	indexes.Store(t, out)
	return out
}

func addFields(t reflect.Type, at []int, out fieldIndex) {
	for i := range t.NumField() {
		f := t.Field(i)
		path := append(append([]int{}, at...), i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			addFields(f.Type, path, out)
		case name != "" && name != "-":
			out[name] = path
		}
	}
}

// field of a document.
func field(doc reflect.Value, name string) any {
	v := doc.FieldByIndex(indexOf(doc.Type())[name])
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	return v.Interface()
}

// project keeps the named fields of a document.
func project(doc any, names []string) any {
	if len(names) == 0 {
		return doc
	}
	v := reflect.ValueOf(doc)
	out := make(map[string]any, len(names))
	for _, n := range names {
		out[n] = v.FieldByIndex(indexOf(v.Type())[n]).Interface()
	}
	return out
}

// text of a field for comparison with a query's values.
func text(v any) string {
	switch t := v.(type) {
	case nil:
		return ""
	case string:
		return t
	case bool:
		return map[bool]string{true: "true", false: "false"}[t]
	}
	return fmt.Sprint(v)
}

// compare orders two values of the same field; nothing comes first.
func compare(a, b any) int {
	switch x := a.(type) {
	case int:
		if y, ok := b.(int); ok {
			return cmp.Compare(x, y)
		}
	case int64:
		if y, ok := b.(int64); ok {
			return cmp.Compare(x, y)
		}
	}
	return cmp.Compare(text(a), text(b))
}

// attributeOf is a document's attribute as filter rules name it; "" if it has none.
func attributeOf(doc any, name string) string {
	v := reflect.ValueOf(doc)
	if _, ok := indexOf(v.Type())[name]; !ok {
		return ""
	}
	return text(field(v, name))
}

func indexOfDocument[T any]() fieldIndex { return indexOf(reflect.TypeFor[T]()) }

package source

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/diag"
)

// Codes of Decode.
const (
	CodeUnknownKey = "unknown-key"
	CodeWrongType  = "wrong-type"
)

// Decode fills a struct (or map, slice …) from a node, strictly: unknown keys and values of the wrong type are diagnostics with a place
// and a hint. It serves configuration and manifests, not TOSCA documents.
//
// Fields are named by a `yaml:"name"` tag ("-" skips, ",inline" embeds a struct's fields); without one the name in lower case. Supported
// are bool, integers, floats, string, time.Duration, encoding.TextUnmarshaler, pointers, slices, maps with string keys, structs, any
// (plain Go values, see Node.Any) and *Node itself, which keeps positions.
func Decode(n *Node, into any) diag.List {
	d := &decoder{}
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		panic("source.Decode needs a pointer")
	}
	if !n.IsNull() {
		d.value(n, v.Elem(), "")
	}
	return d.diags
}

type decoder struct{ diags diag.List }

var (
	nodeType     = reflect.TypeFor[*Node]()
	durationType = reflect.TypeFor[time.Duration]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func (d *decoder) wrong(n *Node, path, want string) {
	got := n.String()
	if n.Kind == Scalar {
		got = strconv.Quote(n.Text)
	}
	d.diags.Errorf(CodeWrongType, n.Pos, "%s must be %s, not %s", name(path), want, got).Path = path
}

func name(path string) string {
	if path == "" {
		return "the document"
	}
	return path[strings.LastIndexByte(path, '.')+1:]
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func (d *decoder) value(n *Node, v reflect.Value, path string) {
	if v.Type() == nodeType {
		v.Set(reflect.ValueOf(n))
		return
	}
	if n.IsNull() {
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem(), path)
		return
	}
	if v.CanAddr() && v.Addr().Type().Implements(textType) {
		if n.Kind != Scalar {
			d.wrong(n, path, "a text")
		} else if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.Text)); err != nil {
			d.diags.Errorf(CodeWrongType, n.Pos, "%s: %s", name(path), err).Path = path
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, path)
	case reflect.Map:
		d.mapping(n, v, path)
	case reflect.Slice:
		d.slice(n, v, path)
	case reflect.Interface:
		if a := n.Any(); a != nil {
			v.Set(reflect.ValueOf(a))
		}
	default:
		d.scalar(n, v, path)
	}
}

func (d *decoder) slice(n *Node, v reflect.Value, path string) {
	items := n.Items
	if n.Kind == Scalar && v.Type().Elem().Kind() == reflect.String {
		items = []*Node{n} // one text where a list of texts is meant
	} else if n.Kind != Sequence {
		d.wrong(n, path, "a list")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, it := range items {
		d.value(it, out.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(out)
}

func (d *decoder) mapping(n *Node, v reflect.Value, path string) {
	if n.Kind != Mapping {
		d.wrong(n, path, "a map")
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(n.Pairs))
	for k, val := range n.All() {
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(val, e, join(path, k.Text))
		out.SetMapIndex(reflect.ValueOf(k.Text).Convert(v.Type().Key()), e)
	}
	v.Set(out)
}

func (d *decoder) structure(n *Node, v reflect.Value, path string) {
	if n.Kind != Mapping {
		d.wrong(n, path, "a map")
		return
	}
	fields := map[string]reflect.Value{}
	var names []string
	collect(v, fields, &names)
	for k, val := range n.All() {
		f, ok := fields[k.Text]
		if !ok {
			dg := d.diags.Errorf(CodeUnknownKey, k.Pos, "unknown key %q", k.Text)
			dg.Path = join(path, k.Text)
			dg.Hint = diag.Suggest(k.Text, names)
			if dg.Hint == "" {
				dg.Hint = "known keys: " + strings.Join(names, ", ")
			}
			continue
		}
		d.value(val, f, join(path, k.Text))
	}
}

func collect(v reflect.Value, fields map[string]reflect.Value, names *[]string) {
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		tag, opts, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		switch {
		case tag == "-" || !sf.IsExported():
			continue
		case strings.Contains(opts, "inline"):
			collect(v.Field(i), fields, names)
			continue
		case tag == "":
			tag = strings.ToLower(sf.Name)
		}
		fields[tag] = v.Field(i)
		*names = append(*names, tag)
	}
}

func (d *decoder) scalar(n *Node, v reflect.Value, path string) {
	if n.Kind != Scalar {
		d.wrong(n, path, "a "+kindName(v))
		return
	}
	if v.Type() == durationType {
		t, err := time.ParseDuration(n.Text)
		if err != nil {
			d.wrong(n, path, "a duration such as 30s or 5m")
			return
		}
		v.SetInt(int64(t))
		return
	}
	var err error
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Text)
	case reflect.Bool:
		var b, ok bool
		if b, ok = n.Bool(); !ok {
			err = strconv.ErrSyntax
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		var i int64
		if i, err = strconv.ParseInt(n.Text, 0, v.Type().Bits()); err == nil {
			v.SetInt(i)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		var i uint64
		if i, err = strconv.ParseUint(n.Text, 0, v.Type().Bits()); err == nil {
			v.SetUint(i)
		}
	case reflect.Float32, reflect.Float64:
		var f float64
		if f, err = strconv.ParseFloat(n.Text, 64); err == nil {
			v.SetFloat(f)
		}
	default:
		panic("source.Decode cannot fill a " + v.Type().String())
	}
	if err != nil {
		d.wrong(n, path, "a "+kindName(v))
	}
}

func kindName(v reflect.Value) string {
	switch k := v.Kind(); {
	case v.Type() == durationType:
		return "duration"
	case k == reflect.String:
		return "text"
	case k == reflect.Bool:
		return "boolean (true or false)"
	case v.CanFloat():
		return "number"
	default:
		return "whole number"
	}
}

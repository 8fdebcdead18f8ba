package topology_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

func schema(names ...string) *topology.Schema { return &topology.Schema{Type: names} }

func TestCoerce(t *testing.T) {
	list := schema("list")
	list.Entry = schema("integer")
	dict := schema("map")
	dict.Entry = schema("scalar-unit.size")
	port := schema("PortDef", "integer")
	port.Constraints = []topology.Constraint{{Op: "in_range", Args: []*topology.Value{topology.Lit(int64(1)), topology.Lit(int64(65535))}}}
	person := schema("Person", "tosca.datatypes.Root")
	person.Fields = []*topology.Field{
		{Name: "name", Schema: schema("string"), Required: true},
		{Name: "age", Schema: schema("integer"), Default: topology.Lit(int64(30))},
	}
	for name, tc := range map[string]struct {
		raw  any
		s    *topology.Schema
		want any
		err  string
	}{
		"text to integer":          {"3", schema("integer"), int64(3), ""},
		"JSON number to integer":   {float64(3), schema("integer"), int64(3), ""},
		"not an integer":           {"three", schema("integer"), nil, `must be an integer, not the text "three"`},
		"fraction":                 {3.5, schema("integer"), nil, "must be an integer"},
		"integer to text":          {3, schema("string"), "3", ""},
		"text to boolean":          {"true", schema("boolean"), true, ""},
		"yes":                      {"yes", schema("boolean"), true, ""},
		"integer to float":         {1, schema("float"), float64(1), ""},
		"size":                     {"10GB", schema("scalar-unit.size"), "10 GB", ""},
		"size, unit in lower case": {"10 gib", schema("scalar-unit.size"), "10 GiB", ""},
		"bits are not bytes":       {"1 MBps", schema("scalar-unit.bitrate"), "1 MBps", ""},
		"no unit":                  {"10", schema("scalar-unit.size"), nil, "has no unit"},
		"version":                  {"1.2.3-SNAPSHOT", schema("version"), "1.2.3-SNAPSHOT", ""},
		"not a version":            {"new", schema("version"), nil, "is not a version"},
		"list as YAML text":        {"[1, 2]", list, []any{int64(1), int64(2)}, ""},
		"list":                     {[]any{"1", 2.0}, list, []any{int64(1), int64(2)}, ""},
		"list entry":               {[]any{"x"}, list, nil, "must be an integer"},
		"not a list":               {"x", list, nil, "must be a list"},
		"map":                      {map[string]any{"a": "1 kb"}, dict, map[string]any{"a": "1 kB"}, ""},
		"range":                    {"[1, UNBOUNDED]", schema("range"), []any{int64(1), "UNBOUNDED"}, ""},
		"constraint":               {70000, port, nil, "must be within 1 and 65535"},
		"structure with default":   {map[string]any{"name": "x"}, person, map[string]any{"name": "x", "age": int64(30)}, ""},
		"structure as YAML text":   {"{name: x, age: 4}", person, map[string]any{"name": "x", "age": int64(4)}, ""},
		"missing field":            {map[string]any{}, person, nil, `needs the property "name"`},
		"unknown field":            {map[string]any{"name": "x", "agee": 1}, person, nil, `did you mean "age"?`},
		"no schema":                {map[string]any{"a": 1}, nil, map[string]any{"a": 1}, ""},
		"null":                     {nil, schema("string"), nil, ""},
		"all mistakes":             {[]any{"x", "y"}, list, nil, `"x"; [1] must be an integer, not the text "y"`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := topology.Coerce(tc.raw, tc.s)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("error %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	s := secret.New("x")
	if got, err := topology.Coerce(s, schema("string")); got != s || err != nil {
		t.Errorf("a secret must pass: %v %v", got, err)
	}
}

func TestCheckInputs(t *testing.T) {
	params := []*topology.Parameter{
		{Name: "size", Schema: schema("integer"), Required: true, Pos: diag.Pos{File: "app.yaml", Line: 3}},
		{Name: "name", Schema: schema("string"), Value: topology.Lit("web")},
		{Name: "note", Schema: schema("string")},
	}
	got, list := topology.CheckInputs(params, map[string]any{"size": "4"}, nil)
	if diff := cmp.Diff(map[string]any{"size": int64(4), "name": "web"}, got); diff != "" || list != nil {
		t.Errorf("%s %v", diff, list)
	}
	_, list = topology.CheckInputs(params, map[string]any{"sise": 1}, func(string) diag.Pos { return diag.Pos{File: "inputs.yaml", Line: 1} })
	var codes []string
	for _, d := range list {
		codes = append(codes, d.Code+" "+d.Pos.String())
	}
	if diff := cmp.Diff([]string{"unknown-input inputs.yaml:1", "missing-input app.yaml:3"}, codes); diff != "" {
		t.Error(diff)
	}
	_, list = topology.CheckInputs(params, map[string]any{"size": "x"}, nil)
	if len(list) != 1 || list[0].Pos.Line != 3 || !strings.HasPrefix(list[0].Message, "input size must be an integer") {
		t.Errorf("%v", list)
	}
}

func TestVersionOrder(t *testing.T) {
	ordered := []string{"1", "1.0.1-SNAPSHOT", "1.0.1-SNAPSHOT-2", "1.0.1-alpha", "1.0.1", "1.2", "1.10", "2.0.0"}
	for i, a := range ordered {
		for j, b := range ordered {
			x, err1 := topology.ParseVersion(a)
			y, err2 := topology.ParseVersion(b)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := x.Compare(y); got != want {
				t.Errorf("%s against %s: %d, want %d", a, b, got, want)
			}
		}
	}
	for _, bad := range []string{"", "a.b", "1..2", ".1", "1.0 beta", "99999999999999999999"} {
		if _, err := topology.ParseVersion(bad); err == nil {
			t.Errorf("%q is taken for a version", bad)
		}
	}
}

func TestParseTimestamp(t *testing.T) {
	for _, good := range []string{"2026-01-31", "2026-01-31T12:00:00Z", "2026-01-31t12:00:00.5-05:00", "2026-01-31 12:00:00", "2001-12-14 21:59:43.10 -5", "2026-1-2"} {
		if _, err := topology.ParseTimestamp(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "today", "2026-13-01", "12:00"} {
		if _, err := topology.ParseTimestamp(bad); err == nil {
			t.Errorf("%q is taken for a timestamp", bad)
		}
	}
}

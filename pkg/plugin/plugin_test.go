package plugin_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/plugin"
	"github.com/orch-project/orch/pkg/topology"
)

const manifest = `name: dns
version: 1.0.0
providers:
  dns: {source: example/dns, version: ">= 1.0"}
resources: [resources/*.yaml]
location:
  settings:
    zone: {default: example.org.}
    ttl: {type: integer}
    mode: {values: [a, b]}
    names: {type: list}
`

func files(mapping string) fstest.MapFS {
	return fstest.MapFS{"plugin.yaml": {Data: []byte(manifest)}, "resources/record.yaml": {Data: []byte(mapping)}}
}

const record = `mapping: record
types: [dns.Record]
`

func TestAuthorsMistakesHaveAPlaceAndAHint(t *testing.T) {
	for name, c := range map[string]struct{ mapping, at, message, hint string }{
		"unknown key":      {record + "atributes: {}\n", "dns/resources/record.yaml:3:1", `unknown key "atributes"`, `did you mean "attributes"?`},
		"unknown function": {record + "values:\n  a: {$concatt: [b]}\n", "dns/resources/record.yaml:4:7", "unknown function $concatt", `did you mean "concat"?`},
		"unknown root":     {record + "values:\n  a: $proprty.x\n", "dns/resources/record.yaml:4:6", "unknown path root $proprty", `did you mean "property"?`},
		"unknown link":     {record + "links:\n  server: {to: [record]}\nvalues:\n  a: $link.sever.id\n", "dns/resources/record.yaml:6:6", `link "sever" is not defined`, `did you mean "server"?`},
		"unknown setting":  {record + "values:\n  a: $location.zon\n", "dns/resources/record.yaml:4:6", `location "zon" is not defined`, `did you mean "zone"?`},
		"unknown value":    {record + "values:\n  aa: 1\n  b: $value.ab\n", "dns/resources/record.yaml:5:6", `value "ab" is not defined`, `did you mean "aa"?`},
		"unknown mapping":  {record + "links:\n  s: {to: [rekord]}\n", "dns/resources/record.yaml:4:3", `unknown mapping "rekord"`, `did you mean "record"?`},
		"unknown argument": {record + "values:\n  a: {$each: {inn: [1], do: 2}}\n", "dns/resources/record.yaml:4:15", `$each has no argument "inn"`, `did you mean "in"?`},
		"too many":         {record + "values:\n  a: {$equals: [1, 2, 3]}\n", "dns/resources/record.yaml:4:7", "$equals takes 2 arguments, not 3", "{$equals: [a, b]}"},
		"two keys":         {record + "values:\n  a: {$int: 1, b: 2}\n", "dns/resources/record.yaml:4:7", "$int must be the only key", "$$"},
		"no provider":      {record + "resources:\n  - {id: a, type: cloud_record}\n", "dns/resources/record.yaml:4:13", "belongs to no provider", "plugin.yaml"},
		"two ids":          {record + "resources:\n  - {id: a, type: dns_a}\n  - {id: a, type: dns_b}\n", "dns/resources/record.yaml:5:5", `two resources have the id "a"`, "when"},
		"bad timeout":      {record + "resources:\n  - {id: a, type: dns_a, timeouts: {create: soon}}\n", "dns/resources/record.yaml:4:26", "not a duration", ""},
		"bad scope":        {record + "resources:\n  - {id: a, type: dns_a, scope: nodes}\n", "dns/resources/record.yaml:4:26", `unknown scope "nodes"`, `did you mean "node"?`},
		"replace on":       {record + "resources:\n  - {id: a, type: dns_a, arguments: {name: x}, replace_on: [nam]}\n", "dns/resources/record.yaml:4:5", `a has no argument "nam"`, `did you mean "name"?`},
		"scales with":      {record + "scales_with: host\n", "dns/resources/record.yaml:1:1", `unknown link "host"`, ""},
		"host key":         {record + "host: {adresses: []}\n", "dns/resources/record.yaml:3:8", `unknown key "adresses"`, `did you mean "addresses"?`},
	} {
		t.Run(name, func(t *testing.T) {
			_, list := plugin.Load(files(c.mapping), "dns")
			for _, d := range list {
				if d.Pos.String() == c.at && strings.Contains(d.Message, c.message) && strings.Contains(d.Hint, c.hint) {
					return
				}
			}
			t.Errorf("not reported at %s: %s (%s)\n%v", c.at, c.message, c.hint, list)
		})
	}
}

func TestTheManualNamesEveryFunction(t *testing.T) {
	doc, err := os.ReadFile("../../docs/plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range plugin.Functions() {
		if !strings.Contains(string(doc), "$"+f+":") && !strings.Contains(string(doc), "`$"+f+"`") {
			t.Errorf("docs/plugins.md does not name $%s", f)
		}
	}
}

// eval evaluates an expression as the only argument of a resource.
func eval(t *testing.T, expr string, props map[string]any) (any, error) {
	t.Helper()
	s := &plugin.Set{}
	if list := s.Add(files(record+"values:\n  private: {$generate: {secret: key, kind: ed25519}}\nresources:\n  - id: record\n    type: dns_record\n    arguments:\n      x: "+expr+"\n"), "dns"); len(list) > 0 {
		t.Fatal(list)
	}
	loc, _ := s.Complete(plugin.Location{Name: "l", Plugin: "dns"})
	n := &topology.Node{Name: "n", Type: topology.Type{"dns.Record"}, Properties: topology.NewValues()}
	for k, v := range props {
		n.Properties.Set(k, &topology.Value{Lit: v})
	}
	top := &topology.Topology{Nodes: []*topology.Node{n}}
	top.Reindex()
	r := &plugin.Renderer{Deployment: "app", Set: s, Location: loc, Topology: top}
	entries, err := r.Render(t.Context(), []topology.Instance{{Node: "n", Index: "0"}})
	if err != nil {
		return nil, err
	}
	return entries[0].Blocks[0].Body["x"], nil
}

func TestExpressions(t *testing.T) {
	for expr, want := range map[string]string{
		`a ${b} %{c}`:                       `"a $${b} %%{c}"`,
		`$$literal`:                         `"$literal"`,
		`$property.text`:                    `"${}"` + "",
		`$property.none`:                    `null`,
		`$location.zone`:                    `"example.org."`,
		`{$first: ["", $property.none, x]}`: `"x"`,
		`{$first_given: [$property.none, false, x]}`:   `false`,
		`{$if: [{$equals: [4, "4"]}, y, n]}`:           `"y"`,
		`{$concat: [a, 1, true, $property.none]}`:      `"a1true"`,
		`{$join: [[a, b], "-"]}`:                       `"a-b"`,
		`{$split: ["a, b,,c", ","]}`:                   `["a","b","c"]`,
		`{$flatten: [[a, b], a, $property.none, [c]]}`: `["a","b","c"]`,
		`{$unique: [{a: 1}, {a: 1}]}`:                  `[{"a":1}]`,
		`{$merge: [{a: 1}, $property.none, {a: 2}]}`:   `{"a":2}`,
		`{$gib: "10 GB"}`:                              `10`,
		`{$gib: "1500 MiB"}`:                           `2`,
		`{$gib: 7}`:                                    `7`,
		`{$mib: "4 GB"}`:                               `4096`,
		`{$mib: "0.5 GiB"}`:                            `512`,
		`{$at_least: [3, "2"]}`:                        `true`,
		`{$at_least: [1, 2]}`:                          `false`,
		`{$each: {in: [1, 2, 3], as: n, when: {$at_least: [$n, 2]}, do: {v: $n}}}`: `[{"v":2},{"v":3}]`,
		`{$map: {in: [a, b], key: $item, do: {$concat: [$item, x]}}}`:              `{"a":"ax","b":"bx"}`,
		`{$lookup: [{a: 1}, b, 3]}`:                                                `3`,
		`{$get: [[a, b], 1]}`:                                                      `"b"`,
		`{$length: [a, b]}`:                                                        `2`,
		`{$in: [a, [a, b]]}`:                                                       `true`,
		`{$not: {$given: ""}}`:                                                     `true`,
		`$node.name`:                                                               `"n"`,
		`$instance`:                                                                `"0"`,
	} {
		got, err := eval(t, expr, map[string]any{"text": "${}"})
		if expr == `$property.text` {
			want = `"$${}"`
		}
		b, _ := json.Marshal(got)
		text := strings.ReplaceAll(string(b), `\u0026`, "&")
		if err != nil || text != want {
			t.Errorf("%s = %s (%v), want %s", expr, text, err, want)
		}
	}
	for expr, want := range map[string]string{
		`{$gib: many}`:        "many is not a size",
		`{$int: x}`:           "x is not a number",
		`{$concat: [[a]]}`:    "a list cannot be part of a text",
		`{$at_least: [a, 1]}`: "cannot compare",
	} {
		if got, err := eval(t, expr, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s = %v, %v; want an error with %q", expr, got, err, want)
		}
	}
}

func TestLocations(t *testing.T) {
	s := &plugin.Set{}
	if list := s.Add(files(record), "dns"); len(list) > 0 {
		t.Fatal(list)
	}
	pos := diag.Pos{File: "config.yaml", Line: 3}
	loc, list := s.Complete(plugin.Location{Name: "here", Plugin: "dns", Pos: pos, Settings: map[string]any{"ttl": "60", "names": "a, b"}})
	if len(list) > 0 || loc.Setting("ttl") != int64(60) || loc.Setting("zone") != "example.org." || len(loc.Setting("names").([]any)) != 2 {
		t.Errorf("%v %+v", list, loc.Settings)
	}
	for name, settings := range map[string]map[string]any{`did you mean "zone"?`: {"zome": "x"}, "is not one of a, b": {"mode": "c"}, "not an integer": {"ttl": "x"}} {
		_, list := s.Complete(plugin.Location{Name: "here", Plugin: "dns", Pos: pos, Settings: settings})
		if len(list) != 1 || !strings.Contains(list[0].String(), name) || list[0].Pos != pos {
			t.Errorf("%v: %v", settings, list)
		}
	}
	if _, list := s.Complete(plugin.Location{Plugin: "dsn"}); len(list) != 1 || !strings.Contains(list[0].Hint, "dns") {
		t.Errorf("unknown plugin: %v", list)
	}
}

func TestUniqueNamesAndLabelsAreInjective(t *testing.T) {
	a, b := plugin.UniquePrefix("a"), plugin.UniquePrefix("a-b")
	if strings.HasPrefix(b, a) || a == b {
		t.Errorf("%s is a prefix of %s", a, b)
	}
	long := strings.Repeat("x", 100)
	if t1, t2 := plugin.Tag("k", long), plugin.Tag("k", long+"y"); len(t1) > 60 || t1 == t2 {
		t.Errorf("long tags: %q %q", t1, t2)
	}
	if t1, t2 := plugin.Tag("k", "a,b"), plugin.Tag("k", "a/b"); t1 == t2 || strings.ContainsAny(t1+t2, ",/") {
		t.Errorf("%q %q", t1, t2)
	}
}

package source

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type inner struct {
	Host string
	Port int `yaml:"port"`
}

type common struct {
	Debug bool `yaml:"debug"`
}

type settings struct {
	Common  common            `yaml:",inline"`
	Name    string            `yaml:"name"`
	Wait    time.Duration     `yaml:"wait"`
	Ratio   float64           `yaml:"ratio"`
	Servers []inner           `yaml:"servers"`
	Main    *inner            `yaml:"main"`
	Labels  map[string]string `yaml:"labels"`
	Any     any               `yaml:"any"`
	Raw     *Node             `yaml:"raw"`
	Words   []string          `yaml:"words"`
	Hidden  string            `yaml:"-"`
}

func TestDecode(t *testing.T) {
	n, list := Parse("c.yaml", []byte(`
name: x
debug: true
wait: 1m30s
ratio: 2
servers: [ { host: a, port: 1 }, { host: b } ]
main: { port: 0x10 }
labels: { k: 1 }
any: [ 1, { a: b } ]
raw: { q: 1 }
words: one
`))
	if list != nil {
		t.Fatal(list)
	}
	var s settings
	if list := Decode(n, &s); list != nil {
		t.Fatal(list)
	}
	if s.Raw.Get("q").Str() != "1" {
		t.Error("raw node lost")
	}
	s.Raw = nil
	want := settings{
		Common: common{Debug: true}, Name: "x", Wait: 90 * time.Second, Ratio: 2, Servers: []inner{{"a", 1}, {"b", 0}}, Main: &inner{Port: 16},
		Labels: map[string]string{"k": "1"}, Any: []any{int64(1), map[string]any{"a": "b"}}, Words: []string{"one"},
	}
	if diff := cmp.Diff(want, s, cmp.AllowUnexported(settings{})); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeIsStrict(t *testing.T) {
	n, _ := Parse("c.yaml", []byte("nmae: x\ndebug: perhaps\nwait: soon\nservers: 3\nmain: { prt: 1, port: x }\nhidden: x\nlabels: [ a ]\n"))
	var got []string
	for _, d := range Decode(n, &settings{}) {
		got = append(got, strings.TrimPrefix(d.Pos.String(), "c.yaml:")+" "+d.Code+" "+d.Path+" "+d.Hint)
	}
	want := []string{
		`1:1 unknown-key nmae did you mean "name"?`,
		"2:8 wrong-type debug ",
		"3:7 wrong-type wait ",
		"4:10 wrong-type servers ",
		`5:9 unknown-key main.prt did you mean "port"?`,
		"5:23 wrong-type main.port ",
	}
	for i, w := range want {
		if i >= len(got) || got[i] != w {
			t.Errorf("finding %d: got %q, want %q", i, got, w)
		}
	}
	if len(got) != 8 {
		t.Errorf("%d findings: %q", len(got), got)
	}
}

func TestMarshalRoundTrip(t *testing.T) {
	in := "a: \"1\"\nb: 0777\nc:\n  - x\n  - null\nd: |\n  two\n  lines\n"
	n, list := Parse("f", []byte(in))
	if list != nil {
		t.Fatal(list)
	}
	out, err := Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, string(out)); diff != "" {
		t.Error(diff)
	}
	out, err = Marshal(map[string]any{"k": []int{1}, "m": FromAny(map[string]any{"z": 1.5}, n.Pos, true)})
	if want := "k:\n  - 1\nm:\n  z: 1.5\n"; err != nil || string(out) != want {
		t.Errorf("%q, %v", out, err)
	}
}

func TestAny(t *testing.T) {
	n, _ := Parse("f", []byte("[ 1, 1.5, 0o17, 0x1f, 010, true, yes, ~, 2026-01-02, \"1\", .inf, 12e3, 123456789012345678901234567890 ]"))
	got := n.Any().([]any)
	want := []any{int64(1), 1.5, int64(15), int64(31), int64(10), true, "yes", nil, "2026-01-02", "1"}
	if diff := cmp.Diff(want, got[:10]); diff != "" {
		t.Error(diff)
	}
	if got[11] != 12000.0 {
		t.Errorf("12e3 = %v", got[11])
	}
}

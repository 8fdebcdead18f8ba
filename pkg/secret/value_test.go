package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"text/template"
)

func TestValueIsNeverSeen(t *testing.T) {
	const plain = "Tr0ub4dor&3"
	v := New(plain)
	in := map[string]any{"v": v, "p": &v, "s": []Value{v}, "st": struct{ V Value }{v}}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%T", "%c", "%U", "%08b", "%e", "%t"} {
		fmt.Fprintf(&out, verb+"\n"+verb+"\n", v, in)
	}
	fmt.Fprintln(&out, v, &v, in)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v, "in", in)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v, "in", in)
	js, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(js)
	if err := template.Must(template.New("").Parse("{{.}} {{.v}}")).Execute(&out, in); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), plain) || strings.Contains(out.String(), fmt.Sprintf("%x", plain)) || strings.Contains(out.String(), plain[:6]) {
		t.Errorf("seen:\n%s", out.String())
	}
	if v.Reveal() != plain || !v.Equal(New(plain)) || v.Equal(New("x")) || v.IsZero() || !(Value{}).IsZero() {
		t.Error("the value itself is wrong")
	}
	var buf bytes.Buffer
	if err := json.NewEncoder(&buf).Encode(v); err != nil || buf.String() != "\"****\"\n" {
		t.Errorf("got %s, %v", buf.String(), err)
	}
}

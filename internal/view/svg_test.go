package view

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/orch-project/orch/internal/layered"
)

// elements reads an SVG and counts its elements; it fails where it is not well-formed XML.
func elements(t *testing.T, g Graph) (count map[string]int, text string) {
	t.Helper()
	var b bytes.Buffer
	if err := g.SVG(&b); err != nil {
		t.Fatal(err)
	}
	count = map[string]int{}
	for d := xml.NewDecoder(bytes.NewReader(b.Bytes())); ; {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return count, b.String()
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, b.String())
		}
		if el, ok := tok.(xml.StartElement); ok {
			name := el.Name.Local
			for _, a := range el.Attr {
				if a.Name.Local == "class" {
					name += "." + a.Value
				}
			}
			count[name]++
		}
	}
}

func TestSVGHasEveryNodeAndRelationship(t *testing.T) {
	g := Graph{Name: `a<b>&"c`, Nodes: []GraphNode{{Name: `web "1" <x>`, Type: "tosca.nodes.WebServer"}, {Name: "host\x00\x1b", Type: "tosca.nodes.Compute"}, {Name: "net", Type: "N"}},
		Relationships: []GraphRelationship{
			{Requirement: "host", Source: `web "1" <x>`, Target: "host\x00\x1b", Type: "H", hostedOn: true}, {Requirement: "link", Source: "host\x00\x1b", Target: "net"},
			{Requirement: "self", Source: "net", Target: "net"}, {Requirement: "dangling", Source: "net", Target: "nowhere"},
		}}
	count, text := elements(t, g)
	for name, want := range map[string]int{"g.node": 3, "path.edge": 2, "path.edge hosted": 1, "text.label": 3, "text.name": 3} {
		if count[name] != want {
			t.Errorf("%d × %s, want %d", count[name], name, want)
		}
	}
	for _, want := range []string{"<title>a&lt;b&gt;&amp;&quot;c</title>", "web &quot;1&quot; &lt;x&gt;: tosca.nodes.WebServer", ">Compute<"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the drawing", want)
		}
	}
}

// TestLabelsLeaveOthersFree: edges that cross one gap side by side have labels at different heights where they would lie on each other.
func TestLabelsLeaveOthersFree(t *testing.T) {
	edge := func(x float64) []layered.Point { return []layered.Point{{X: x, Y: 0}, {X: x + 10, Y: 64}} }
	var l labels
	for _, x := range []float64{0, 20, 40, 200} {
		at := l.place(edge(x), 60)
		if others := l[:len(l)-1]; !others.free(at, 60) {
			t.Errorf("the label at %v lies on one of %v", at, others)
		}
	}
	if l[0].y != l[3].y {
		t.Errorf("a label with room has been moved: %v", l)
	}
}

func TestSVGOfNothingAndOfMuch(t *testing.T) {
	if count, _ := elements(t, Graph{Name: "empty"}); count["g.node"] != 0 || count["svg"] != 1 {
		t.Errorf("%v", count)
	}
	g := Graph{Name: "large"}
	for i := range 500 {
		g.Nodes = append(g.Nodes, GraphNode{Name: fmt.Sprintf("n%d", i), Type: "T"})
		g.Relationships = append(g.Relationships, GraphRelationship{Requirement: "r", Source: fmt.Sprintf("n%d", i), Target: fmt.Sprintf("n%d", i*7%500)})
	}
	if count, _ := elements(t, g); count["path.edge"] != 500 {
		t.Errorf("%v", count)
	}
}

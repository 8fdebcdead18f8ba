package view

import (
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"strings"
	"unicode"

	"github.com/orch-project/orch/internal/layered"
)

// Sizes of the drawing, in pixels.
const (
	svgMargin   = 24
	svgNode     = 44 // height of a node
	svgPad      = 14 // left and right of a node's text
	svgNameSize = 13
	svgTypeSize = 11
	svgEdgeSize = 10
)

// svgStyle is the drawing's only style sheet; it has no scripts and no references, so that the file can be shown anywhere.
const svgStyle = `
    text { font-family: "DejaVu Sans", Verdana, Helvetica, Arial, sans-serif; text-anchor: middle; fill: #1f2933 }
    .name { font-size: 13px; font-weight: 600 }
    .type { font-size: 11px; fill: #52606d }
    .label { font-size: 10px; fill: #52606d; paint-order: stroke; stroke: #fff; stroke-width: 3px; stroke-linejoin: round }
    .node rect { stroke-width: 1.2 }
    .edge { fill: none; stroke: #7b8794; stroke-width: 1.2 }
    .hosted { stroke: #323f4b; stroke-width: 2.4 }
`

// SVG draws the graph: a box per node, an arrow from each node to what it requires, bold to where it is hosted.
func (g Graph) SVG(w io.Writer) error {
	index := make(map[string]int, len(g.Nodes))
	boxes := make([]layered.Box, len(g.Nodes))
	for i, n := range g.Nodes {
		index[n.Name] = i
		wide := max(textWidth(n.Name, svgNameSize)*1.1, textWidth(shortType(n.Type), svgTypeSize), 56)
		boxes[i] = layered.Box{W: wide + 2*svgPad, H: svgNode}
	}
	var edges []layered.Edge
	var drawn []GraphRelationship
	for _, r := range g.Relationships {
		from, ok := index[r.Source]
		to, known := index[r.Target]
		if ok && known {
			edges = append(edges, layered.Edge{From: from, To: to})
			drawn = append(drawn, r)
		}
	}
	l := layered.Do(boxes, edges, layered.Options{LayerGap: 64})
	var b strings.Builder
	width, height := l.W+2*svgMargin, l.H+2*svgMargin
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" role="img">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, "  <title>%s</title>\n  <style>%s  </style>\n", xmlText(g.Name), svgStyle)
	b.WriteString(`  <defs>
    <marker id="arrow" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path d="M0,0.6 L8,4 L0,7.4 z" fill="#7b8794"/></marker>
    <marker id="bold" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="11" markerHeight="11" markerUnits="userSpaceOnUse" orient="auto"><path d="M0,0.6 L8,4 L0,7.4 z" fill="#323f4b"/></marker>
  </defs>
`)
	fmt.Fprintf(&b, `  <rect width="100%%" height="100%%" fill="#fff"/>`+"\n"+`  <g transform="translate(%d %d)">`+"\n", svgMargin, svgMargin)
	for i, r := range drawn {
		class, marker := "edge", "arrow"
		if r.hostedOn {
			class, marker = "edge hosted", "bold"
		}
		fmt.Fprintf(&b, `    <path class="%s" marker-end="url(#%s)" d="%s"><title>%s</title></path>`+"\n", class, marker, curve(l.Edges[i]),
			xmlText(r.Source+" → "+r.Target+" ("+r.Requirement+", "+r.Type+")"))
	}
	labels := labels{}
	for i, r := range drawn {
		at := labels.place(l.Edges[i], textWidth(r.Requirement, svgEdgeSize))
		fmt.Fprintf(&b, `    <text class="label" x="%.1f" y="%.1f">%s</text>`+"\n", at.X, at.Y, xmlText(r.Requirement))
	}
	for i, n := range g.Nodes {
		p, box := l.Nodes[i], boxes[i]
		fill, line := tint(n.Type)
		fmt.Fprintf(&b, `    <g class="node"><title>%s: %s</title><rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="7" fill="%s" stroke="%s"/>`,
			xmlText(n.Name), xmlText(n.Type), p.X-box.W/2, p.Y-box.H/2, box.W, box.H, fill, line)
		fmt.Fprintf(&b, `<text class="name" x="%.1f" y="%.1f">%s</text><text class="type" x="%.1f" y="%.1f">%s</text></g>`+"\n",
			p.X, p.Y-3, xmlText(n.Name), p.X, p.Y+13, xmlText(shortType(n.Type)))
	}
	b.WriteString("  </g>\n</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// curve is a path that leaves and enters nodes upright: straight where a long edge passes a layer, bent between the layers.
func curve(p []layered.Point) string {
	var b strings.Builder
	fmt.Fprintf(&b, "M%.1f,%.1f", p[0].X, p[0].Y)
	if len(p) == 4 && p[0].X == p[3].X && p[1].X == p[2].X && p[0].X != p[1].X { // a loop beside its node
		fmt.Fprintf(&b, " C%.1f,%.1f %.1f,%.1f %.1f,%.1f", p[1].X, p[1].Y, p[2].X, p[2].Y, p[3].X, p[3].Y)
		return b.String()
	}
	for i := 1; i < len(p); i++ {
		from, to := p[i-1], p[i]
		if from.X == to.X {
			fmt.Fprintf(&b, " L%.1f,%.1f", to.X, to.Y)
			continue
		}
		mid := (from.Y + to.Y) / 2
		fmt.Fprintf(&b, " C%.1f,%.1f %.1f,%.1f %.1f,%.1f", from.X, mid, to.X, mid, to.X, to.Y)
	}
	return b.String()
}

// labels are those that have a place, by the middle of their text.
type labels []struct{ x, y, width float64 }

// place finds one for a label in the first gap that its edge crosses, nearer to its beginning, where edges from one node have spread already: the
// first that leaves the other labels free.
func (l *labels) place(p []layered.Point, width float64) layered.Point {
	at := onBend(p, 0.42)
	for _, t := range []float64{0.42, 0.52, 0.32, 0.62, 0.72, 0.2, 0.82} {
		if try := onBend(p, t); l.free(try, width) {
			at = try
			break
		}
	}
	*l = append(*l, struct{ x, y, width float64 }{at.X, at.Y, width})
	return at
}

func (l labels) free(at layered.Point, width float64) bool {
	const gap = 4
	for _, o := range l {
		if math.Abs(o.y-at.Y) < svgEdgeSize && math.Abs(o.x-at.X) < (o.width+width)/2+gap {
			return false
		}
	}
	return true
}

// onBend is the point of curve's first bend at t of 0 to 1, for the base line of a text.
func onBend(p []layered.Point, t float64) layered.Point {
	u := 1 - t
	a, b := p[0], p[1]
	x := a.X*(u*u*u+3*u*u*t) + b.X*(3*u*t*t+t*t*t)
	mid := (a.Y + b.Y) / 2
	y := a.Y*u*u*u + mid*(3*u*u*t+3*u*t*t) + b.Y*t*t*t
	return layered.Point{X: x, Y: y + svgEdgeSize/3}
}

// tint gives kinds of nodes colours that tell them apart: known kinds have their own, others one by their name.
func tint(nodeType string) (fill, line string) {
	short := strings.ToLower(shortType(nodeType))
	for _, k := range []struct {
		words []string
		hue   int
	}{
		{[]string{"compute", "server", "host", "vm"}, 210},
		{[]string{"network", "subnet", "port", "router", "floatingip", "publicip", "publicnetwork", "securitygroup", "loadbalancer"}, 150},
		{[]string{"storage", "volume", "disk"}, 35},
		{[]string{"database", "dbms", "mysql", "postgres", "mongo"}, 280},
	} {
		for _, w := range k.words {
			if strings.Contains(short, w) {
				return hsl(k.hue)
			}
		}
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(nodeType))
	return hsl(int(h.Sum32()%6)*18 + 330)
}

func hsl(hue int) (fill, line string) {
	return fmt.Sprintf("hsl(%d,60%%,94%%)", hue%360), fmt.Sprintf("hsl(%d,38%%,58%%)", hue%360)
}

// textWidth estimates how wide a text is in a common sans-serif face of a size.
func textWidth(s string, size float64) float64 {
	em := 0.0
	for _, r := range s {
		switch {
		case strings.ContainsRune("iljtfrI.,:;|!'()[]-", r):
			em += 0.38
		case strings.ContainsRune("mwMW@%", r):
			em += 0.95
		case unicode.IsUpper(r) || r == '_':
			em += 0.70
		case r > 0x2e80: // East Asian
			em += 1
		default:
			em += 0.61
		}
	}
	return em * size
}

var xmlEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

// xmlText escapes a text and drops what XML cannot hold.
func xmlText(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\t' && r != '\n' || r == 0xfffe || r == 0xffff {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
	return xmlEscape.Replace(s)
}

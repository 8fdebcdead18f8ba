package view

import (
	"fmt"
	"io"
	"strings"

	"github.com/orch-project/orch/pkg/topology"
)

// Graph is the JSON form of a topology's nodes and relationships.
type Graph struct {
	Name          string              `json:"name"`
	Nodes         []GraphNode         `json:"nodes"`
	Relationships []GraphRelationship `json:"relationships"`
}

// GraphNode is a node template.
type GraphNode struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Host string `json:"host,omitempty"`
}

// GraphRelationship goes from the node that requires to the one that provides.
type GraphRelationship struct {
	Name        string `json:"name"`
	Requirement string `json:"requirement"`
	Source      string `json:"source"`
	Target      string `json:"target"`
	Type        string `json:"type"`
	Capability  string `json:"capability,omitempty"`
	hostedOn    bool
}

// GraphOf takes the graph out of a topology, in document order.
func GraphOf(t *topology.Topology) Graph {
	g := Graph{Name: t.Name, Nodes: []GraphNode{}, Relationships: []GraphRelationship{}}
	for _, n := range t.Nodes {
		host := n.Host()
		g.Nodes = append(g.Nodes, GraphNode{n.Name, n.Type.Name(), host})
		hosted := false
		for _, r := range n.Relationships {
			on := host != "" && r.Target == host && !hosted
			hosted = hosted || on
			g.Relationships = append(g.Relationships, GraphRelationship{r.Name, r.Requirement, r.Source, r.Target, r.Type.Name(), r.Capability, on})
		}
	}
	return g
}

// DOT writes the graph for Graphviz: hosting in bold, other relationships labelled with their requirement.
func (g Graph) DOT(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n  rankdir=TB\n  node [shape=box style=rounded fontname=\"sans-serif\"]\n  edge [fontname=\"sans-serif\" fontsize=10]\n", dotQuote(g.Name))
	for _, n := range g.Nodes {
		fmt.Fprintf(&b, "  %s [label=%s]\n", dotQuote(n.Name), dotQuote(n.Name+"\n"+shortType(n.Type)))
	}
	for _, r := range g.Relationships {
		style := ""
		if r.hostedOn {
			style = " style=bold"
		}
		fmt.Fprintf(&b, "  %s -> %s [label=%s%s]\n", dotQuote(r.Source), dotQuote(r.Target), dotQuote(r.Requirement), style)
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// Mermaid writes the graph as a flowchart, as Markdown of GitHub and GitLab shows it.
func (g Graph) Mermaid(w io.Writer) error {
	var b strings.Builder
	b.WriteString("flowchart TB\n")
	id := map[string]string{} // names may hold what Mermaid does not allow in an id
	for i, n := range g.Nodes {
		id[n.Name] = fmt.Sprintf("n%d", i)
		fmt.Fprintf(&b, "  n%d[\"%s<br/>%s\"]\n", i, mermaidText(n.Name), mermaidText(shortType(n.Type)))
	}
	for _, r := range g.Relationships {
		arrow := "-->"
		if r.hostedOn {
			arrow = "==>"
		}
		fmt.Fprintf(&b, "  %s %s|\"%s\"| %s\n", id[r.Source], arrow, mermaidText(r.Requirement), id[r.Target])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// shortType is the last part of a type's name: Compute of tosca.nodes.Compute.
func shortType(t string) string { return t[strings.LastIndexByte(t, '.')+1:] }

var dotEscape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func dotQuote(s string) string { return `"` + dotEscape.Replace(s) + `"` }

var mermaidEscape = strings.NewReplacer("#", "#35;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "\n", " ")

func mermaidText(s string) string { return mermaidEscape.Replace(s) }

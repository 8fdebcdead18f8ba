package cli

import (
	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/topology"
)

// load reads and validates one document; its warnings go to stderr, its errors end the command.
func (e *environment) load(c *cobra.Command, path string) (*topology.Topology, error) {
	cfg, err := e.config()
	if err != nil {
		return nil, err
	}
	b, err := e.deps.Source(path)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	t, list := e.deps.Load(c.Context(), cfg, b)
	e.diagnostics(e.err, list, b)
	if list.HasErrors() || t == nil {
		return nil, &exitError{exitUser}
	}
	return t, nil
}

func graphCmd(env *environment) *cobra.Command {
	var as string
	c := &cobra.Command{
		Use:   "graph FILE",
		Short: "Draw the nodes and relationships of a topology",
		Long: `Prints the resolved topology as a graph: an arrow goes from the node that requires to the one that provides,
a bold one says where a node is hosted. -o svg draws it, with each node's type as its tooltip.
The graph of what will be done is ` + "`orch plan FILE --graph=dot`.",
		Example: "  orch graph app.yaml -o svg > app.svg\n  orch graph app.yaml | dot -Tpdf > app.pdf\n  orch graph app.yaml -o mermaid\n  orch graph app.yaml -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := env.load(c, args[0])
			if err != nil {
				return err
			}
			g := view.GraphOf(t)
			switch as {
			case "dot":
				return g.DOT(env.out.W)
			case "svg":
				return g.SVG(env.out.W)
			case "mermaid":
				return g.Mermaid(env.out.W)
			}
			env.format = as
			return env.print(g, nil)
		},
	}
	outputFlag(c, &as, false, "dot", "mermaid", "svg", "json", "yaml")
	return c
}

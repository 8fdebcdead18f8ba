package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// inputFlags are the ways to give inputs: files first, single values over them.
type inputFlags struct {
	files  []string
	values []string
}

func (f *inputFlags) register(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.files, "inputs", nil, "YAML or JSON `file` of inputs; repeatable, later ones win")
	c.Flags().StringArrayVarP(&f.values, "input", "i", nil, "one input as `name=value`; repeatable. Values are converted to the declared type; secrets belong into `orch secrets`")
}

func (f *inputFlags) read(e *environment) (map[string]any, error) {
	all := map[string]any{}
	for _, file := range f.files {
		m, err := e.deps.ReadYAML(file)
		if err != nil {
			return nil, err
		}
		for k, v := range m {
			all[k] = v
		}
	}
	for _, v := range f.values {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return nil, usage("--input %q is not name=value", v)
		}
		all[name] = value
	}
	return all, nil
}

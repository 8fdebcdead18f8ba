package cli

import (
	"github.com/spf13/cobra"

	"github.com/orch-project/orch/pkg/orch"
)

// rolloutFlags say how an update gets to the instances of a node.
type rolloutFlags struct{}

func (f *rolloutFlags) register(*cobra.Command) {}

func (f *rolloutFlags) apply(*orch.Request) {}

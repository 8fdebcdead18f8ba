package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/pkg/orch"
)

// rolloutFlags say how an update gets to the instances of a node.
type rolloutFlags struct {
	batch  string
	health []string
	wait   time.Duration
}

func (f *rolloutFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.batch, "batch", "", "update or replace existing instances in batches of this `size`: a number, or a percentage (2, 25%)")
	c.Flags().StringArrayVar(&f.health, "health", nil,
		"`check` that an updated instance must pass before the next batch: [NODE=]tcp:PORT, http:PORT/PATH or https:PORT/PATH; repeatable")
	c.Flags().DurationVar(&f.wait, "health-timeout", 0, "how long an updated instance may take to become well (default 2m)")
}

func (f *rolloutFlags) apply(req *orch.Request) {
	req.Batch, req.Health, req.HealthTimeout = f.batch, f.health, f.wait
}

package cli

import (
	"runtime"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/version"
	"github.com/orch-project/orch/internal/view"
)

func doctorCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:     "doctor",
		Short:   "Check what orch needs on this machine and say how to fix each problem",
		Long:    "Checks Terraform or OpenTofu and its OpenStack provider, the state store, the master key, the cloud's credentials and the sandbox.",
		Example: "  orch doctor\n  orch doctor -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := env.config()
			if err != nil {
				return err
			}
			checks := env.deps.Doctor(c.Context(), cfg, func() (*App, error) { return env.open(c.Context()) })
			bad := 0
			for _, k := range checks {
				if k.Status == "problem" {
					bad++
				}
			}
			if err := env.print(checks, func() { env.doctor(checks, bad) }); err != nil {
				return err
			}
			if bad > 0 {
				return &exitError{exitUser}
			}
			return nil
		},
	}
}

func (e *environment) doctor(checks []Check, bad int) {
	p := e.out
	for _, k := range checks {
		mark, style := "✓", view.Good
		switch k.Status {
		case "warning":
			mark, style = "!", view.Warm
		case "problem":
			mark, style = "✗", view.Bad
		}
		p.Printf("%s %-22s %s\n", p.Paint(style, mark), k.Name, k.Text)
		if k.Fix != "" {
			p.Printf("  %-22s %s\n", "", p.Paint(view.Link, "→ "+k.Fix))
		}
	}
	if bad == 0 {
		p.Println("Everything that orch needs is there.")
		return
	}
	p.Printf("%s\n", view.Plural(bad, "problem"))
}

func versionCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Example: "  orch version -o json", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := map[string]string{"version": version.Version(), "commit": version.Commit(), "date": version.Date(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}
			return env.print(v, func() {
				env.out.Printf("orch %s (commit %s, %s, %s)\n", v["version"], v["commit"], v["go"], v["platform"])
			})
		},
	}
}

package cli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/pkg/orch"
)

func locationsCmd(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "locations",
		Short: "Keep the places to deploy to",
		Long: `A location is a plugin with settings. Those of the configuration file are listed and cannot be changed here; others are stored,
with how to log in, encrypted, and are known to all servers on the same store.`,
		Example: "  orch locations list\n  orch locations add lab --file lab.yaml\n  orch deploy app.yaml --location lab",
	}
	c.AddCommand(locationsListCmd(env), locationsInfoCmd(env), locationsPutCmd(env, true), locationsPutCmd(env, false), locationsRemoveCmd(env), locationsUsageCmd(env))
	return c
}

func (e *environment) locations(c *cobra.Command) ([]orch.LocationInfo, error) {
	app, err := e.open(c.Context())
	if err != nil {
		return nil, err
	}
	return app.Locations().List(c.Context())
}

func locationsListCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the locations", Example: "  orch locations list", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := env.locations(c)
			if err != nil {
				return err
			}
			return env.print(all, func() {
				var rows [][]string
				for _, l := range all {
					from := "store"
					if l.Configured {
						from = "configuration"
					}
					rows = append(rows, []string{l.Name, l.Plugin, from})
				}
				env.out.Table([]string{"LOCATION", "PLUGIN", "FROM"}, rows)
			})
		},
	}
}

func locationsInfoCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "info LOCATION", Short: "Show a location's settings, secrets masked", Example: "  orch locations info lab", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			all, err := env.locations(c)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(all, func(l orch.LocationInfo) bool { return l.Name == args[0] })
			if i < 0 {
				return &orch.Error{Kind: orch.KindNotFound, Msg: fmt.Sprintf("there is no location %q", args[0]), Hint: "orch locations list"}
			}
			l := all[i]
			return env.print(l, func() {
				env.out.Printf("location %s of the plugin %s\n", l.Name, l.Plugin)
				for _, k := range slices.Sorted(maps.Keys(l.Properties)) {
					env.out.Printf("  %s: %v\n", k, l.Properties[k])
				}
			})
		},
	}
}

func locationsPutCmd(env *environment, create bool) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "add LOCATION", Short: "Store a new location", Args: cobra.ExactArgs(1),
		Long: `The file holds the plugin and its settings, and for OpenStack how to log in: auth_url, user_name, password, project_name,
user_domain_name, domain_name, region, or application_credential_id and application_credential_secret.

  plugin: openstack
  auth_url: https://cloud.example:5000/v3
  application_credential_id: 0123…
  application_credential_secret: …
  image: debian-12`,
		Example: "  orch locations add lab --file lab.yaml\n  orch locations add pis --file pis.yaml",
		RunE: func(c *cobra.Command, args []string) error {
			if file == "-" {
				file = "/dev/stdin"
			}
			data, err := env.deps.ReadYAML(file)
			if err != nil {
				return err
			}
			l := orch.LocationInfo{Name: args[0], Plugin: "openstack", Properties: data}
			if p, ok := data["plugin"].(string); ok {
				l.Plugin = p
			}
			delete(data, "plugin")
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			if err := app.Locations().Put(c.Context(), l, create); err != nil {
				return err
			}
			env.out.Printf("location %s is stored\n", l.Name)
			return nil
		},
	}
	if !create {
		c.Use, c.Short, c.Example = "update LOCATION", "Replace a stored location", "  orch locations update lab --file lab.yaml"
	}
	c.Flags().StringVarP(&file, "file", "f", "", "`file` with the plugin and its settings; - is standard input")
	_ = c.MarkFlagRequired("file")
	return c
}

func locationsRemoveCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "rm LOCATION", Short: "Remove a stored location that nothing uses", Example: "  orch locations rm lab", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			if err := app.Locations().Remove(c.Context(), args[0]); err != nil {
				return err
			}
			env.out.Printf("location %s is removed\n", args[0])
			return nil
		},
	}
}

func locationsUsageCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "usage [LOCATION]", Short: "Show how much of what a location has is in use", Args: cobra.MaximumNArgs(1),
		Long: `Asks the cloud for the project's limits and for what of them is in use, by whomever. Without a name it is the default location.
Of a pool of hosts it counts the hosts.`,
		Example: "  orch locations usage\n  orch locations usage lab",
		RunE: func(c *cobra.Command, args []string) error {
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			all, err := app.Locations().Usage(c.Context(), name)
			if err != nil {
				return err
			}
			return env.print(all, func() {
				var rows [][]string
				for _, u := range all {
					limit := "no limit"
					if u.Limit >= 0 {
						limit = strconv.FormatInt(u.Limit, 10)
					}
					rows = append(rows, []string{u.Service, u.Resource, strconv.FormatInt(u.Used, 10), limit, u.Unit})
				}
				env.out.Table([]string{"SERVICE", "RESOURCE", "USED", "LIMIT", "UNIT"}, rows)
			})
		},
	}
}

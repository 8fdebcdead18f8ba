package cli

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/pkg/hostpool"
)

// A pool's file, of `orch hosts apply` and `export`:
//
//	hosts:
//	  - name: pi-1
//	    connection: { host: 192.0.2.11, port: 22, user: pi, private_key: …, password: … }
//	    labels: { host.num_cpus: "4" }
type poolFile struct {
	Hosts []poolFileHost `json:"hosts"`
}

type poolFileHost struct {
	Name       string            `json:"name"`
	Connection map[string]any    `json:"connection"`
	Labels     map[string]string `json:"labels,omitempty"`
}

func hostsApplyCmd(env *environment) *cobra.Command {
	var pool string
	c := &cobra.Command{
		Use: "apply FILE", Short: "Make a pool consist of the hosts of a file", Args: cobra.ExactArgs(1),
		Long: `Hosts of the file are added or changed, others removed. A host that is in use is never removed: then nothing is changed.
The file is what "orch hosts export" writes; a host's connection may have password or private_key, which go to the secrets store.`,
		Example: "  orch hosts apply lab.yaml --pool lab",
		RunE: func(c *cobra.Command, args []string) error {
			data, err := env.deps.ReadYAML(args[0])
			if err != nil {
				return err
			}
			wanted, err := hostsOf(data)
			if err != nil {
				return usage("%s: %v", args[0], err)
			}
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			before, err := app.Hosts().List(c.Context(), pool, nil)
			if err != nil {
				return err
			}
			l, err := app.Hosts().ApplyHosts(c.Context(), pool, wanted, &before.Checkpoint)
			if err != nil {
				return err
			}
			return env.print(l, func() { env.out.Printf("the pool %s has %d hosts\n", pool, len(l.Hosts)) })
		},
	}
	poolFlag(c, &pool)
	return c
}

// hostsOf reads a pool's file.
func hostsOf(data map[string]any) (map[string]hostpool.Wanted, error) {
	for k := range data {
		if k != "hosts" {
			return nil, fmt.Errorf("unknown key %q; there is only hosts", k)
		}
	}
	list, ok := data["hosts"].([]any)
	if !ok {
		return nil, fmt.Errorf("hosts must be a list")
	}
	out := map[string]hostpool.Wanted{}
	for i, x := range list {
		m, _ := x.(map[string]any)
		name, _ := m["name"].(string)
		if name == "" {
			return nil, fmt.Errorf("host %d has no name", i+1)
		}
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("host %s is listed twice", name)
		}
		w, err := hostOf(m)
		if err != nil {
			return nil, fmt.Errorf("host %s: %w", name, err)
		}
		if w.Host == nil {
			w.Host = &name
		}
		out[name] = w
	}
	return out, nil
}

func hostOf(m map[string]any) (w hostpool.Wanted, err error) {
	for k := range m {
		if !slices.Contains([]string{"name", "connection", "labels"}, k) {
			return w, fmt.Errorf("unknown key %q; there are name, connection and labels", k)
		}
	}
	conn, _ := m["connection"].(map[string]any)
	for k, v := range conn {
		text := fmt.Sprint(v)
		switch k {
		case "host":
			w.Host = &text
		case "user":
			w.User = &text
		case "password":
			w.Password = &text
		case "private_key":
			w.PrivateKey = &text
		case "port":
			var port int
			if _, err := fmt.Sscanf(text, "%d", &port); err != nil {
				return w, fmt.Errorf("port %q is not a number", text)
			}
			w.Port = &port
		default:
			return w, fmt.Errorf("unknown key %q of connection; there are host, port, user, password and private_key", k)
		}
	}
	w.Labels = map[string]string{}
	labels, _ := m["labels"].(map[string]any)
	for k, v := range labels {
		w.Labels[k] = fmt.Sprint(v)
	}
	return w, nil
}

func hostsExportCmd(env *environment) *cobra.Command {
	var pool string
	c := &cobra.Command{
		Use: "export", Short: "Write a pool as a file for apply, without secrets", Args: cobra.NoArgs,
		Example: "  orch hosts export --pool lab\n  orch hosts export --pool lab -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			l, err := app.Hosts().List(c.Context(), pool, nil)
			if err != nil {
				return err
			}
			out := poolFile{Hosts: []poolFileHost{}}
			for _, h := range l.Hosts {
				out.Hosts = append(out.Hosts, poolFileHost{h.Name, map[string]any{"host": h.Connection.Host, "port": h.Connection.Port, "user": h.Connection.User}, h.Labels})
			}
			if !env.structured() {
				return env.deps.WriteYAML(env.out.W, out)
			}
			return env.print(out, nil)
		},
	}
	poolFlag(c, &pool)
	return c
}

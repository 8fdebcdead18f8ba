package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/source"
)

// blueprintScheme begins a PATH that is a blueprint of the catalogue.
const blueprintScheme = "blueprint:"

func (e *environment) withBlueprints(c *cobra.Command, do func(b orch.Blueprints) error) error {
	app, err := e.open(c.Context())
	if err != nil {
		return err
	}
	return do(app.Blueprints())
}

func blueprintsCmd(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "blueprints", Aliases: []string{"blueprint"}, Short: "Keep topologies with their files in a catalogue, by name and version",
		Long: `A blueprint is a document with its files as it was uploaded. Its versions do not change: what was reviewed is what is deployed. Deploy one
with blueprint:NAME or blueprint:NAME:VERSION in place of a path.`,
		Example: "  orch blueprints push shop ./shop\n  orch blueprints list\n  orch deploy blueprint:shop:1 --name shop-eu",
	}
	c.AddCommand(blueprintPushCmd(env), blueprintListCmd(env), blueprintShowCmd(env), blueprintDownloadCmd(env), blueprintRemoveCmd(env))
	return c
}

// splitVersion takes NAME or NAME:VERSION apart.
func splitVersion(text string) (name, version string) {
	name, version, _ = strings.Cut(text, ":")
	return name, version
}

func blueprintPushCmd(env *environment) *cobra.Command {
	var labels []string
	var unchecked, fresh bool
	c := &cobra.Command{
		Use: "push NAME[:VERSION] PATH", Short: "Upload a file, directory or archive as a version of a blueprint",
		Long: `Without a version it gets the next whole number, or stays the newest version if nothing has changed. Documents with mistakes are refused.
An archive is stored as it is, a document with the files that it refers to, a directory with all its files but hidden ones.`,
		Example: "  orch blueprints push shop ./shop\n  orch blueprints push shop:2.1 shop.csar --label team=web",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			n := orch.NewBlueprint{New: fresh, Unchecked: unchecked}
			n.Name, n.Version = splitVersion(args[0])
			for _, l := range labels {
				k, v, ok := strings.Cut(l, "=")
				if !ok || k == "" {
					return usage("--label: %q is not of the form key=value", l)
				}
				if n.Labels == nil {
					n.Labels = map[string]string{}
				}
				n.Labels[k] = v
			}
			if err := env.readUpload(c.Context(), &n, args[1]); err != nil {
				return err
			}
			return env.withBlueprints(c, func(b orch.Blueprints) error {
				made, err := b.Upload(c.Context(), n)
				if list := listOf(err); list != nil {
					return env.refuse(list)
				}
				if err != nil {
					return err
				}
				env.diagnostics(env.err, made.Diagnostics)
				return env.print(made, func() { env.out.Printf("blueprint %s:%s stored\n", made.Name, made.Version) })
			})
		},
	}
	c.Flags().StringArrayVar(&labels, "label", nil, "a label `key=value`; repeatable")
	c.Flags().BoolVar(&fresh, "new", false, "refuse if there is a blueprint of that name")
	c.Flags().BoolVar(&unchecked, "unchecked", false, "store documents with mistakes as well")
	return c
}

// maxUpload is what the catalogue takes.
const maxUpload = 512 << 20

// readUpload reads an archive as it is, and packs a document with the files that it refers to, or a directory with everything that is not hidden.
// What they import from elsewhere is packed with them.
func (e *environment) readUpload(ctx context.Context, n *orch.NewBlueprint, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return &orch.Error{Kind: orch.KindUser, Err: err}
	}
	n.Filename = info.Name()
	asIs := func() error { n.Data, err = os.ReadFile(path); return err }
	b, err := e.deps.Source(path)
	if err != nil {
		if !info.IsDir() {
			return asIs() // the catalogue says what is wrong with it
		}
		return err
	}
	archive := strings.HasSuffix(b.Shown, "!")
	_, err = fs.Stat(b.FS, keptDir)
	had := err == nil
	if b, err = e.complete(ctx, b); err != nil {
		return err
	}
	defer b.Close()
	_, err = fs.Stat(b.FS, keptDir)
	if archive && (had || err != nil) {
		return asIs()
	}
	names, err := uploaded(b, info.IsDir() || archive)
	switch {
	case err != nil:
		return fmt.Errorf("cannot pack %s: %w", path, err)
	case !info.IsDir() && len(names) == 1:
		return asIs()
	}
	n.Filename, n.Entry = info.Name()+".zip", b.Entry
	n.Data, err = source.ZipNamed(b.FS, names, maxUpload)
	var large *source.LargeError
	if errors.As(err, &large) {
		return &orch.Error{Kind: orch.KindUser, Msg: "cannot pack " + path, Err: err, Hint: "name the document instead of its directory to take only the files that it refers to"}
	}
	return err
}

// keptDir holds what a document imports from elsewhere.
const keptDir = ".orch-imports"

// uploaded are the files to pack: all that are not hidden, or those that are needed.
func uploaded(b *Bundle, all bool) (names []string, err error) {
	if s, ok := b.FS.(orch.Selective); ok && !all {
		return s.Needed()
	}
	err = fs.WalkDir(b.FS, ".", func(name string, d fs.DirEntry, err error) error {
		switch hidden := name != "." && name != keptDir && strings.HasPrefix(d.Name(), "."); {
		case err != nil:
			return err
		case d.IsDir() && hidden:
			return fs.SkipDir
		case d.Type().IsRegular() && !hidden:
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

func blueprintListCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "list [NAME]", Aliases: []string{"ls"}, Short: "List the blueprints with their newest version, or all versions of one",
		Example: "  orch blueprints list\n  orch blueprints list shop", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return env.withBlueprints(c, func(b orch.Blueprints) (err error) {
				var all []orch.Blueprint
				if len(args) > 0 {
					all, err = b.Versions(c.Context(), args[0])
				} else {
					all, err = b.List(c.Context())
				}
				if err != nil {
					return err
				}
				return env.print(all, func() {
					var rows [][]string
					for _, x := range all {
						rows = append(rows, []string{x.Name, x.Version, view.Age(x.Created, time.Now()), view.Text(x.Size), x.User, x.Description})
					}
					env.out.Table([]string{"NAME", "VERSION", "UPLOADED", "BYTES", "BY", "DESCRIPTION"}, rows)
				})
			})
		},
	}
}

func blueprintShowCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME[:VERSION]", Short: "Show what a blueprint has: inputs, outputs, node templates, workflows", Example: "  orch blueprints show shop:2.1", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return env.withBlueprints(c, func(b orch.Blueprints) error {
				name, version := splitVersion(args[0])
				x, err := b.Get(c.Context(), name, version)
				if err != nil {
					return err
				}
				return env.print(x, func() {
					env.out.Printf("%s:%s  %s\n", x.Name, x.Version, x.Description)
					env.out.Printf("  file       %s (%s, %d bytes)\n  document   %s (%s)\n", x.Filename, x.SHA256[:min(12, len(x.SHA256))], x.Size, x.Entry, x.Dialect)
					for _, in := range x.Inputs {
						what := in.Type
						if in.Required {
							what += ", required"
						}
						env.out.Printf("  input      %s (%s) %s\n", in.Name, what, in.Description)
					}
					for i, list := range [][]string{x.Nodes, x.Outputs, x.Workflows} {
						label := []string{"nodes", "outputs", "workflows"}[i]
						if len(list) > 0 {
							env.out.Printf("  %-10s %s\n", label, strings.Join(list, ", "))
						}
					}
				})
			})
		},
	}
}

func blueprintDownloadCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "download NAME[:VERSION] [FILE]", Short: "Get a blueprint back as it was uploaded", Example: "  orch blueprints download shop:1\n  orch blueprints download shop shop.zip", Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			return env.withBlueprints(c, func(b orch.Blueprints) error {
				name, version := splitVersion(args[0])
				x, data, err := b.Download(c.Context(), name, version)
				if err != nil {
					return err
				}
				file := x.Filename
				if len(args) > 1 {
					file = args[1]
				}
				f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
				if err != nil {
					return &orch.Error{Kind: orch.KindUser, Err: err, Hint: "name another file"}
				}
				if _, err := io.Copy(f, data); err != nil {
					_ = f.Close()
					return err
				}
				if err := f.Close(); err != nil {
					return err
				}
				return env.print(x, func() { env.out.Printf("%s:%s is in %s\n", x.Name, x.Version, file) })
			})
		},
	}
}

func blueprintRemoveCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME[:VERSION]...", Short: "Remove a version of a blueprint, or all of it", Long: "Deployments keep their own copy.", Example: "  orch blueprints rm shop:1", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return env.withBlueprints(c, func(b orch.Blueprints) error {
				for _, a := range args {
					name, version := splitVersion(a)
					if err := b.Remove(c.Context(), name, version); err != nil {
						return err
					}
					env.out.Printf("blueprint %s removed\n", a)
				}
				return nil
			})
		},
	}
}

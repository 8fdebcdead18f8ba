package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state/backup"
)

// StoreTool works on whole stores.
type StoreTool interface {
	// Backup writes the store, also one that another process has.
	Backup(ctx context.Context, c *config.Config, w io.Writer) error
	Restore(ctx context.Context, c *config.Config, r io.ReadSeeker, overwrite bool) (backup.Summary, error)
	Check(ctx context.Context, c *config.Config) (*backup.Report, error)
	// Copy one store to another, by their addresses.
	Copy(ctx context.Context, from, to string, overwrite bool) (backup.Summary, error)
}

func storeCmd(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "store",
		Short: "Back up, restore, check and move the state store",
		Long: `The store holds everything that orch remembers: deployments, their events, secrets and Terraform states (encrypted). What encrypts them,
the master key, is not in it: keep a copy of that apart from the backups.`,
		Example: "  orch store backup orch.backup\n  orch store check",
	}
	c.AddCommand(storeBackupCmd(env), storeRestoreCmd(env), storeCheckCmd(env), storeMigrateCmd(env))
	return c
}

func storeBackupCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE", Short: "Write everything that the store holds to a file", Args: cobra.ExactArgs(1),
		Long: `Writes what the store holds at one moment, compressed and with a checksum, while others go on working with it. FILE appears when it is
complete; - is standard output. The master key is not in it. With --server it is the store of that server, for its admins.`,
		Example: "  orch store backup orch.backup\n  orch store backup - | ssh vault 'cat > orch.backup'",
		RunE: func(c *cobra.Command, args []string) error {
			write, key, err := env.backup(c.Context())
			if err != nil {
				return err
			}
			if args[0] == "-" {
				return write(env.stdio.Out)
			}
			sum, err := backupTo(args[0], write)
			if err != nil {
				return err
			}
			return env.print(sum, func() {
				env.out.Printf("%s: %s\n", args[0], amount(sum))
				env.out.Printf("the master key is not in it: without a copy of %s secrets and Terraform states in it cannot be read\n", key)
			})
		},
	}
}

// backup writes the store that the command works on: that of a server, or of this machine. key is where its master key lies.
func (e *environment) backup(ctx context.Context) (write func(io.Writer) error, key string, err error) {
	remote, err := e.remote()
	if err != nil {
		return nil, "", err
	}
	if remote == nil {
		cfg, err := e.config()
		if err != nil {
			return nil, "", err
		}
		return func(w io.Writer) error { return e.deps.Store.Backup(ctx, cfg, w) }, keyPlace(cfg), nil
	}
	app, err := e.open(ctx)
	if err != nil {
		return nil, "", err
	}
	server, ok := app.Service.(interface {
		Backup(ctx context.Context, w io.Writer) error
	})
	if !ok {
		return nil, "", usage("the server at %s cannot be backed up from here", remote.Server)
	}
	return func(w io.Writer) error { return server.Backup(ctx, w) }, "the key of " + remote.Server, nil
}

// ownStore refuses to take the store of this machine for that of the server that the command works on.
func (e *environment) ownStore(verb string) (*config.Config, error) {
	remote, err := e.remote()
	if err != nil {
		return nil, err
	}
	if remote != nil {
		return nil, &orch.Error{Kind: orch.KindUser, Msg: fmt.Sprintf("the store of %s can only be %s on its own machine", remote.Server, verb),
			Hint: "log in there; with --context local or --store the command works on a store of this machine"}
	}
	return e.config()
}

func keyPlace(c *config.Config) string {
	if c.MasterKey.Command != "" || os.Getenv("ORCH_MASTER_KEY") != "" {
		return "the key"
	}
	return c.MasterKey.File
}

func amount(s backup.Summary) string {
	return fmt.Sprintf("%d entries, %d bytes, schema %d, sha256 %.16s…", s.Entries, s.Bytes, s.Schema, s.SHA256)
}

// backupTo writes beside the file, reads what was written, and then gives it its name.
func backupTo(path string, write func(io.Writer) error) (sum backup.Summary, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".backup-*") // mode 0600
	if err != nil {
		return sum, &orch.Error{Kind: orch.KindUser, Msg: "cannot write the backup", Err: err}
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}()
	if err := write(f); err != nil {
		return sum, err
	}
	if err := f.Sync(); err != nil {
		return sum, fmt.Errorf("cannot write the backup: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return sum, err
	}
	if sum, err = backup.Read(f, nil); err != nil {
		return sum, fmt.Errorf("what was written cannot be read: %w", err)
	}
	return sum, os.Rename(f.Name(), path)
}

func storeRestoreCmd(env *environment) *cobra.Command {
	var overwrite, dry bool
	c := &cobra.Command{
		Use: "restore FILE", Short: "Fill an empty store from a backup", Args: cobra.ExactArgs(1),
		Long: `Reads all of FILE first, then writes it into the store of the configuration or of --store, which must be empty. --overwrite empties it.
Nothing may work with the store meanwhile. The master key must be the one of the time of the backup.`,
		Example: "  orch store restore orch.backup\n  orch store restore orch.backup --store consul://127.0.0.1:8500/orch",
		RunE: func(c *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return &orch.Error{Kind: orch.KindUser, Msg: "cannot read the backup", Err: err}
			}
			defer f.Close()
			if dry {
				sum, err := backup.Read(f, nil)
				if err != nil {
					return &orch.Error{Kind: orch.KindUser, Err: err}
				}
				return env.print(sum, func() {
					env.out.Printf("%s is whole: %s, of %s\n", args[0], amount(sum), sum.Made.Local().Format("2006-01-02 15:04:05"))
				})
			}
			cfg, err := env.ownStore("restored")
			if err != nil {
				return err
			}
			sum, err := env.deps.Store.Restore(c.Context(), cfg, f, overwrite)
			if err != nil {
				return err
			}
			return env.print(sum, func() {
				env.out.Printf("restored: %s, of %s\n", amount(sum), sum.Made.Local().Format("2006-01-02 15:04:05"))
			})
		},
	}
	c.Flags().BoolVar(&overwrite, "overwrite", false, "remove what the store holds first")
	c.Flags().BoolVar(&dry, "verify", false, "only read the backup and say whether it is whole")
	return c
}

func storeCheckCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Read everything in the store and say what is wrong", Args: cobra.NoArgs,
		Long: `Reads every record, every blob with its checksum, every log of events, and decrypts every secret and every Terraform state. Nothing is
changed. A store file must not be in use. The exit code is 8 if something is damaged.`,
		Example: "  orch store check\n  orch store check -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := env.ownStore("checked")
			if err != nil {
				return err
			}
			r, err := env.deps.Store.Check(c.Context(), cfg)
			if err != nil {
				return err
			}
			err = env.print(r, func() {
				env.out.Printf("schema %d: %d entries, %d bytes; %d records, %d blobs, %d logs with %d events\n", r.Schema, r.Entries, r.Bytes, r.Records, r.Blobs, r.Logs, r.Events)
				for _, f := range r.Findings {
					mark := env.out.Paint(view.Bad, "damaged")
					if f.Harmless {
						mark = "harmless"
					}
					env.out.Printf("  %s %s: %s\n", mark, f.Key, f.Text)
				}
				if len(r.Findings) == 0 {
					env.out.Println("nothing is wrong")
				}
			})
			if err == nil && !r.Sound() {
				return &exitError{exitStore}
			}
			return err
		},
	}
}

func storeMigrateCmd(env *environment) *cobra.Command {
	var overwrite bool
	c := &cobra.Command{
		Use: "migrate FROM TO", Short: "Copy one store to another, as from a file to Consul", Args: cobra.ExactArgs(2),
		Long: `Copies everything from the store at the address FROM to the one at TO, which must be empty, and compares them. Nothing may work with either
meanwhile. FROM stays as it is. Then say store: TO in the configuration, and take the master key along.`,
		Example: "  orch store migrate bolt:/var/lib/orch-server/orch.db consul://127.0.0.1:8500/orch\n  orch store migrate consul://127.0.0.1:8500/orch bolt:/tmp/copy.db",
		RunE: func(c *cobra.Command, args []string) error {
			sum, err := env.deps.Store.Copy(c.Context(), args[0], args[1], overwrite)
			if err != nil {
				return err
			}
			return env.print(sum, func() { env.out.Printf("copied: %s\n", amount(sum)) })
		},
	}
	c.Flags().BoolVar(&overwrite, "overwrite", false, "remove what TO holds first")
	return c
}

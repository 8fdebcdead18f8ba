package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/orch"
)

func secretExportCmd(env *environment) *cobra.Command {
	var o orch.SecretExport
	var passphrase bool
	var passphraseFile, out string
	c := &cobra.Command{
		Use: "export [PREFIX]", Short: "Write secrets to an encrypted file", Args: cobra.MaximumNArgs(1),
		Long: `Writes the newest versions of the secrets whose name begins with PREFIX, encrypted with age for the given public keys or under a
passphrase: orch secrets import reads it, and so does any age program. --plaintext writes them as they are.`,
		Example: `  orch secrets export --recipient age1… > shop.age
  orch secrets export shop/ --passphrase --file shop.age`,
		RunE: func(c *cobra.Command, args []string) (err error) {
			if len(args) > 0 {
				o.Prefix = args[0]
			}
			ways := len(o.Recipients)
			for _, given := range []bool{passphrase, passphraseFile != "", o.Plaintext} {
				if given && ways > 0 || given && passphrase && passphraseFile != "" {
					return usage("give one of --recipient, --passphrase, --passphrase-file and --plaintext")
				}
			}
			if ways == 0 && !passphrase && passphraseFile == "" && !o.Plaintext {
				return usage("for whom? give --recipient (an age public key), --passphrase or --passphrase-file; --plaintext does not encrypt")
			}
			if o.Passphrase, err = env.passphrase(passphrase, passphraseFile, true); err != nil {
				return err
			}
			return env.useSecrets(c, func(ctx context.Context, s orch.Secrets) error {
				x, err := s.Export(ctx, o)
				if err != nil {
					return err
				}
				for _, name := range x.Skipped {
					env.err.Printf("%s not exported: the value of %s is hidden from you\n", env.err.Paint(view.Warm, "warning:"), name)
				}
				if out != "" {
					return writePrivate(out, x.Data)
				}
				_, err = env.out.W.Write(x.Data)
				return err
			})
		},
	}
	f := c.Flags()
	f.StringArrayVar(&o.Recipients, "recipient", nil, "public `key` of age (age1…) of who can open it; repeatable")
	f.BoolVar(&passphrase, "passphrase", false, "ask for a passphrase")
	f.StringVar(&passphraseFile, "passphrase-file", "", "read the passphrase from the first line of a `file`")
	f.BoolVar(&o.Plaintext, "plaintext", false, "do not encrypt")
	f.StringVar(&out, "file", "", "write to a new `file` that only you can read (default: standard output)")
	return c
}

// passphrase comes from a prompt, or from the first line of a file.
func (e *environment) passphrase(ask bool, file string, twice bool) (string, error) {
	switch {
	case file != "":
		b, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		line, _, _ := strings.Cut(string(b), "\n")
		return strings.TrimSuffix(line, "\r"), nil
	case !ask:
		return "", nil
	case !e.prompts():
		return "", usage("nobody can be asked for the passphrase: give --passphrase-file")
	}
	p, err := e.ask("Passphrase: ")
	if err != nil || !twice {
		return string(p), err
	}
	again, err := e.ask("Again: ")
	if err == nil && !bytes.Equal(p, again) {
		err = usage("the passphrases differ")
	}
	return string(p), err
}

// maxImport bounds an export that is read, in bytes.
const maxImport = 48 << 20

func secretImportCmd(env *environment) *cobra.Command {
	var o orch.SecretImport
	var passphrase bool
	var passphraseFile, identityFile string
	c := &cobra.Command{
		Use: "import [FILE]", Short: "Read secrets from an encrypted file", Args: cobra.MaximumNArgs(1),
		Long:    "Reads what orch secrets export wrote, from a file or standard input.\nSecrets that exist are kept unless --overwrite gives them a new version. What is not encrypted is only read with --plaintext.",
		Example: "  orch secrets import shop.age --identity key.txt\n  orch secrets import shop.age --passphrase --dry-run",
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.Data, err = env.importData(args); err != nil {
				return err
			}
			if o.Passphrase, err = env.passphrase(passphrase, passphraseFile, false); err != nil {
				return err
			}
			if identityFile != "" {
				b, err := os.ReadFile(identityFile)
				if err != nil {
					return err
				}
				o.Identity = string(b)
			}
			return env.useSecrets(c, func(ctx context.Context, s orch.Secrets) error {
				did, err := s.Import(ctx, o)
				if err != nil {
					return err
				}
				return env.print(did, func() {
					would := ""
					if o.DryRun {
						would = "would be "
					}
					env.out.Printf("%d secrets %screated, %d updated, %d kept\n", len(did.Created), would, len(did.Updated), len(did.Kept))
				})
			})
		},
	}
	f := c.Flags()
	f.StringVar(&identityFile, "identity", "", "`file` with the age identity that opens it")
	f.BoolVar(&passphrase, "passphrase", false, "ask for the passphrase")
	f.StringVar(&passphraseFile, "passphrase-file", "", "read the passphrase from the first line of a `file`")
	f.BoolVar(&o.Plaintext, "plaintext", false, "it is not encrypted")
	f.BoolVar(&o.Overwrite, "overwrite", false, "give secrets that exist a new version")
	f.BoolVar(&o.DryRun, "dry-run", false, "only say what would be done")
	return c
}

func (e *environment) importData(args []string) ([]byte, error) {
	var r io.Reader = e.stdio.In
	if len(args) > 0 && args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return nil, &orch.Error{Kind: orch.KindUser, Err: err}
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, maxImport+1))
	if err == nil && len(data) > maxImport {
		err = usage("the export has more than %d MiB", maxImport>>20)
	}
	return data, err
}

func rotateKeyCmd(env *environment) *cobra.Command {
	var keep bool
	c := &cobra.Command{
		Use: "rotate-key", Short: "Change the master key and encrypt everything anew", Args: cobra.NoArgs,
		Long: `Makes a new master key and encrypts with it all that is stored under the old one: secrets, Terraform states, inputs and attributes.
Tasks may go on meanwhile; interrupted, it goes on when it is called again.

A key file gets the new key and, at the end, loses the old one; with --keep-old it keeps that too, for backups made before, and while
other servers still use it. A key that comes from ORCH_MASTER_KEY or from a command is not changed by orch: put a new identity before the
old one there (age-keygen makes one), run this, then take the old one out.`,
		Example: "  orch secrets rotate-key\n  orch secrets rotate-key --keep-old",
		RunE: func(c *cobra.Command, _ []string) error {
			return env.useSecrets(c, func(ctx context.Context, s orch.Secrets) error {
				r, err := s.Rotate(ctx, keep)
				if err != nil {
					return err
				}
				return env.print(r, func() {
					env.out.Printf("the master key is now %s\n", r.New)
					for _, what := range []string{"secrets", "Terraform states", "inputs and attributes"} {
						env.out.Printf("  %d %s encrypted anew\n", r.Resealed[what], what)
					}
					switch {
					case r.Dropped:
						env.out.Printf("  backups made before need the old key, which is no longer in %s\n", r.File)
					case r.File != "":
						env.out.Printf("  the old key is still in %s\n", r.File)
					default:
						env.out.Printf("  the old key is not needed any more: take it out where the key comes from\n")
					}
				})
			})
		},
	}
	c.Flags().BoolVar(&keep, "keep-old", false, "leave the old key in the key file")
	return c
}

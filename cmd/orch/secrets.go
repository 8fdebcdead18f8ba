package main

import (
	"context"
	"os"
	"strings"

	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/internal/version"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/secrets"
)

// openSecrets opens the secrets of a store, with its master key, and brings the store to the present schema.
func openSecrets(ctx context.Context, c *config.Config, store state.Store, redactor *secret.Redactor) (*secrets.Store, error) {
	if has, err := state.SchemaOf(ctx, store); err != nil || has > state.Schema {
		if err == nil {
			err = &state.NewerError{Has: has, Knows: state.Schema}
		}
		return nil, &orch.Error{Kind: orch.KindStore, Err: err, Hint: "update orch, or use another store with --store"}
	}
	vault := &secret.Vault{Address: c.Vault.Address, TokenFile: c.Vault.TokenFile, Namespace: c.Vault.Namespace,
		CAFile: c.Vault.CA, CertFile: c.Vault.Cert, KeyFile: c.Vault.Key, ServerName: c.Vault.ServerName}
	o := secrets.Options{Key: keySource(c), External: external(c, vault), Redactor: redactor, Reseal: []secrets.Resealer{
		resealStates(state.NewBlobs(store)),
		{What: "inputs and attributes", Do: func(ctx context.Context, reseal secrets.Reseal) (int, error) {
			return engine.Reseal(ctx, store, func(sealed []byte) ([]byte, bool, error) { return reseal(cipherLabel, sealed) })
		}},
	}}
	if c.Secrets.Fallback == "vault" {
		o.Fallback = vault
	}
	s := secrets.New(store, o)
	if _, err := s.Keyring(ctx); err != nil {
		return nil, &orch.Error{Kind: orch.KindStore, Msg: "cannot use the master key", Err: err,
			Hint: "without the key that encrypted them, secrets and Terraform states in this store cannot be read; restore it from your backup"}
	}
	if _, err := state.Migrate(ctx, store, version.Version(), state.Migration{To: 2, Do: s.Upgrade}); err != nil {
		return nil, &orch.Error{Kind: orch.KindStore, Err: err}
	}
	return s, nil
}

func keySource(c *config.Config) secret.KeySource {
	return secret.KeySource{Key: secret.New(os.Getenv("ORCH_MASTER_KEY")), Command: strings.Fields(c.MasterKey.Command), File: c.MasterKey.File}
}

// external says which references may be followed. The users of a server are not who has started it: they get what the configuration names.
func external(c *config.Config, vault *secret.Vault) secret.Resolvers {
	env := secret.Env{Allow: c.Secrets.Env}
	file := secret.File{Dir: c.Secrets.Files, Deny: []string{c.MasterKey.File, c.Vault.TokenFile, c.Consul.TokenFile}}
	if c.Shared {
		if env.Allow == nil {
			env.Allow = []string{}
		}
		file.Off = c.Secrets.Files == ""
	}
	return secret.Resolvers{"env": env, "file": file, "vault": vault}
}

// cipher seals values of the engine under the master key.
type cipher struct{ keys *secrets.Store }

const cipherLabel = "value"

func (c cipher) Seal(plain []byte) ([]byte, error) {
	return c.keys.Seal(context.Background(), cipherLabel, plain)
}

func (c cipher) Open(sealed []byte) ([]byte, error) {
	return c.keys.Open(context.Background(), cipherLabel, sealed)
}

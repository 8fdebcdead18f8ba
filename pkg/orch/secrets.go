package orch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state/secrets"
)

// Secrets store. Who asks, and of which tenant, is in the context: see WithIdentity and WithTenant. Without them it is who runs the process,
// in the default tenant.
type Secrets interface {
	// Set makes a secret, or gives it a new version.
	Set(ctx context.Context, name string, value []byte, o SecretOptions) (SecretInfo, error)
	// Update changes what is known of a secret without a new version.
	Update(ctx context.Context, name string, c SecretChange) (SecretInfo, error)
	// Get returns the value of a version, 0 the newest. The audit knows of it.
	Get(ctx context.Context, name string, version int) ([]byte, error)
	Describe(ctx context.Context, name string) (SecretDetail, error)
	// List describes the secrets whose name begins with prefix.
	List(ctx context.Context, prefix string) ([]SecretInfo, error)
	Remove(ctx context.Context, name string) error

	Export(ctx context.Context, o SecretExport) (SecretExported, error)
	Import(ctx context.Context, o SecretImport) (SecretImported, error)
	// Rotate changes the master key and encrypts everything in the store anew.
	Rotate(ctx context.Context, keepOld bool) (SecretRotation, error)
	// Reads says who was given which value.
	Reads(ctx context.Context, f SecretReads) ([]SecretRead, error)
}

type (
	// SecretInfo is what may be shown of a secret.
	SecretInfo = secrets.Info
	// SecretOptions of Set.
	SecretOptions = secrets.SetOptions
	// SecretChange of Update.
	SecretChange = secrets.Change
	// SecretRotation says what a change of the master key did.
	SecretRotation = secrets.Rotation
	// SecretImported says what an import did.
	SecretImported = secrets.Imported
	// SecretRead is an entry of the audit.
	SecretRead = secrets.Read
)

// SecretDetail is a secret with the versions that are kept, oldest first.
type SecretDetail struct {
	SecretInfo
	Versions []SecretVersion `json:"versions"`
}

// SecretVersion is what may be shown of a version.
type SecretVersion struct {
	Number  int          `json:"number"`
	Kind    secrets.Kind `json:"kind"`
	Size    int          `json:"size"`
	Created time.Time    `json:"created"`
	By      string       `json:"by,omitempty"`
}

// SecretExport says what to export, and for whom it is encrypted: age recipients, a passphrase, or, spelled out, nobody.
type SecretExport struct {
	Prefix     string   `json:"prefix,omitempty"`
	Recipients []string `json:"recipients,omitempty"`
	Passphrase string   `json:"passphrase,omitempty"`
	Plaintext  bool     `json:"plaintext,omitempty"`
}

// SecretExported is an export: armored age, or JSON in clear.
type SecretExported struct {
	Data    []byte   `json:"data"`
	Skipped []string `json:"skipped,omitempty"` // whose value is hidden from who exports
}

// SecretImport is an export with what opens it.
type SecretImport struct {
	Data       []byte `json:"data"`
	Identity   string `json:"identity,omitempty"`
	Passphrase string `json:"passphrase,omitempty"`
	Plaintext  bool   `json:"plaintext,omitempty"`
	Overwrite  bool   `json:"overwrite,omitempty"`
	DryRun     bool   `json:"dry_run,omitempty"`
}

// SecretRotate asks for a change of the master key.
type SecretRotate struct {
	KeepOld bool `json:"keep_old,omitempty"`
}

// SecretReads chooses from the audit; zero fields choose all.
type SecretReads struct {
	Secret     string    `json:"secret,omitempty"`
	User       string    `json:"user,omitempty"`
	Deployment string    `json:"deployment,omitempty"`
	Since      time.Time `json:"since,omitzero"`
	Last       int       `json:"last,omitempty"`
}

// localSecrets is the Secrets of a Local: the store, with errors that have a kind and a next step.
type localSecrets struct{ store *secrets.Store }

var errNoKey = &Error{Kind: KindUser, Msg: "secrets cannot be kept: no encryption key is configured", Hint: "orch doctor says how to make one"}

// Secrets implements Service.
func (l *Local) Secrets() Secrets { return localSecrets{l.opts.Secrets} }

// with calls fn unless there is no store.
func with[T any](s localSecrets, name string, fn func(st *secrets.Store) (T, error)) (T, error) {
	if s.store == nil {
		var zero T
		return zero, errNoKey
	}
	out, err := fn(s.store)
	return out, secretError(name, err)
}

func (s localSecrets) Set(ctx context.Context, name string, value []byte, o SecretOptions) (SecretInfo, error) {
	return with(s, name, func(st *secrets.Store) (SecretInfo, error) {
		return st.Set(asking(ctx), name, secret.New(string(value)), o)
	})
}

func (s localSecrets) Update(ctx context.Context, name string, c SecretChange) (SecretInfo, error) {
	return with(s, name, func(st *secrets.Store) (SecretInfo, error) { return st.Update(asking(ctx), name, c) })
}

func (s localSecrets) Get(ctx context.Context, name string, version int) ([]byte, error) {
	return with(s, name, func(st *secrets.Store) ([]byte, error) {
		v, _, err := st.Get(asking(ctx), name, version)
		return []byte(v.Reveal()), err
	})
}

func (s localSecrets) Describe(ctx context.Context, name string) (SecretDetail, error) {
	return with(s, name, func(st *secrets.Store) (SecretDetail, error) {
		info, versions, err := st.Describe(asking(ctx), name)
		d := SecretDetail{SecretInfo: info, Versions: []SecretVersion{}}
		for _, v := range versions {
			d.Versions = append(d.Versions, SecretVersion{Number: v.Number, Kind: v.Kind, Size: v.Size, Created: v.Created, By: v.By})
		}
		return d, err
	})
}

func (s localSecrets) List(ctx context.Context, prefix string) ([]SecretInfo, error) {
	if s.store == nil {
		return []SecretInfo{}, nil
	}
	return with(s, "", func(st *secrets.Store) ([]SecretInfo, error) { return st.List(asking(ctx), prefix) })
}

func (s localSecrets) Remove(ctx context.Context, name string) error {
	_, err := with(s, name, func(st *secrets.Store) (struct{}, error) { return struct{}{}, st.Delete(asking(ctx), name) })
	return err
}

func (s localSecrets) Export(ctx context.Context, o SecretExport) (SecretExported, error) {
	return with(s, "", func(st *secrets.Store) (SecretExported, error) {
		to := secret.Envelope{Recipients: o.Recipients, Passphrase: secret.New(o.Passphrase), Plain: o.Plaintext}
		data, skipped, err := st.Export(asking(ctx), o.Prefix, to)
		return SecretExported{Data: data, Skipped: skipped}, err
	})
}

func (s localSecrets) Import(ctx context.Context, o SecretImport) (SecretImported, error) {
	return with(s, "", func(st *secrets.Store) (SecretImported, error) {
		from := secret.Envelope{Identity: secret.New(o.Identity), Passphrase: secret.New(o.Passphrase), Plain: o.Plaintext}
		return st.Import(asking(ctx), o.Data, from, secrets.ImportOptions{Overwrite: o.Overwrite, DryRun: o.DryRun})
	})
}

func (s localSecrets) Rotate(ctx context.Context, keepOld bool) (SecretRotation, error) {
	return with(s, "", func(st *secrets.Store) (SecretRotation, error) {
		if a := secrets.ActorOf(asking(ctx)); !a.Admin {
			return SecretRotation{}, fmt.Errorf("cannot change the master key: %w to %s", secrets.ErrForbidden, a.User)
		}
		return st.Rotate(asking(ctx), secrets.RotateOptions{KeepOld: keepOld})
	})
}

func (s localSecrets) Reads(ctx context.Context, f SecretReads) ([]SecretRead, error) {
	if s.store == nil {
		return []SecretRead{}, nil
	}
	return with(s, "", func(st *secrets.Store) ([]SecretRead, error) { return st.Reads(asking(ctx), secrets.ReadFilter(f)) })
}

// secretError gives errors of the secrets store their kind.
func secretError(name string, err error) error {
	var invalid *secrets.InvalidError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, secret.ErrNotFound) && strings.Contains(err.Error(), "has no version"):
		return &Error{Kind: KindNotFound, Msg: strings.TrimPrefix(err.Error(), secret.ErrNotFound.Error()+": "), Hint: "orch secrets history " + name + " lists them"}
	case errors.Is(err, secret.ErrNotFound):
		return &Error{Kind: KindNotFound, Msg: fmt.Sprintf("there is no secret %q", name), Hint: "set it with: orch secrets set " + name, Err: ErrNotFound}
	case errors.As(err, &invalid):
		return &Error{Kind: KindUser, Err: err}
	case errors.Is(err, secrets.ErrExists):
		return &Error{Kind: KindConflict, Err: err}
	case errors.Is(err, secrets.ErrForbidden), errors.Is(err, secret.ErrForbidden):
		return &Error{Kind: KindForbidden, Err: err}
	case errors.Is(err, secrets.ErrSameKey):
		return &Error{Kind: KindUser, Err: err}
	case errors.Is(err, secret.ErrNoKey), errors.Is(err, secret.ErrSealed):
		return &Error{Kind: KindStore, Err: err, Hint: "is the master key the one of this store?"}
	}
	return storeError(err)
}

// Secret implements engine.SecretReader for deployments: the context says which.
func (s localSecrets) Secret(ctx context.Context, args []string) (secret.Value, error) {
	return with(s, strings.Join(args, " "), func(st *secrets.Store) (secret.Value, error) { return st.Secret(asking(ctx), args) })
}

// asking returns a context in which the secrets store knows who asks: the identity of a request, in the tenant of the call. Without an
// identity it is who runs this process.
func asking(ctx context.Context) context.Context {
	if secrets.HasActor(ctx) {
		return ctx
	}
	id, known := IdentityOf(ctx)
	tenant := TenantOf(ctx)
	if !known && tenant == DefaultTenant {
		return ctx
	}
	return secrets.As(ctx, secrets.Actor{Tenant: tenant, User: id.User, Admin: !known || id.Allows(Admin)})
}

// usedBy returns a context in which a deployment uses secrets on behalf of who asks.
func usedBy(ctx context.Context, deployment string) context.Context {
	a := secrets.ActorOf(asking(ctx))
	a.Deployment = deployment
	a.Tenant, _ = SplitName(deployment)
	return secrets.As(ctx, a)
}

// usedByTask is the same for a task that runs, which remembers on whose behalf.
func usedByTask(ctx context.Context, t engine.Task) context.Context {
	tenant, _ := SplitName(t.Deployment)
	return secrets.As(ctx, secrets.Actor{Tenant: tenant, User: t.User, Admin: t.Admin, Deployment: t.Deployment, Task: t.ID})
}

// forgetSecrets removes what was made for servers that are gone: key pairs and host keys. Their loss is nobody's, so a failure is only
// logged; the next undeployment tries again.
func (l *Local) forgetSecrets(ctx context.Context, prefix string) {
	if l.opts.Secrets == nil {
		return
	}
	if err := (secrets.Drivers{Store: l.opts.Secrets}).RemoveMade(ctx, prefix); err != nil {
		l.log.Warn("cannot remove every secret of what was undeployed", "prefix", prefix, "error", err)
	}
}

package secrets

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/orch-project/orch/pkg/secret"
)

// Actor is who asks, and for what.
type Actor struct {
	Tenant string // whose secrets; "" is DefaultTenant
	User   string
	Admin  bool // sees the private and hidden secrets of other users of the tenant too
	// Deployment and Task are set when a deployment uses a secret, on behalf of User.
	Deployment, Task string
}

const (
	// DefaultTenant is everybody's where nobody has set up tenants.
	DefaultTenant = "default"
	// OwnTenant holds what orch makes for itself: key pairs and host keys. Users cannot reach into it.
	OwnTenant = "orch"
)

type actorKey struct{}

// As returns a context in which secrets are asked for by a. Servers set it for every request, from what authentication has found out.
func As(ctx context.Context, a Actor) context.Context { return context.WithValue(ctx, actorKey{}, a) }

// ActorOf a context. Without one it is who started this process: they have the store and its key anyway.
func ActorOf(ctx context.Context) Actor {
	a, ok := ctx.Value(actorKey{}).(Actor)
	if !ok {
		a.Admin = true
	}
	if a.Tenant == "" {
		a.Tenant = DefaultTenant
	}
	return a
}

// HasActor reports whether somebody has said who asks in this context.
func HasActor(ctx context.Context) bool {
	_, ok := ctx.Value(actorKey{}).(Actor)
	return ok
}

// Visibility says who of others may use a secret.
type Visibility string

const (
	Private Visibility = "private" // its creator, and admins of its tenant
	Tenant  Visibility = "tenant"  // everybody of its tenant
	Global  Visibility = "global"  // everybody; only its tenant can change it
)

// ErrForbidden means that the actor may not do that with the secret.
var ErrForbidden = errors.New("not allowed")

// sees reports whether the actor may know of the secret.
func (a Actor) sees(r record) bool {
	switch {
	case r.Visibility == Global:
		return true
	case r.tenant != a.Tenant:
		return false
	}
	return r.Visibility != Private || a.Admin || a.User == r.Owner
}

// reads reports whether the actor may have the value: of hidden ones only its creator and admins, but every deployment that sees it.
func (a Actor) reads(r record) bool {
	return a.sees(r) && (!r.Hidden || a.Deployment != "" || a.owns(r))
}

// owns reports whether the actor may change what is hidden or private.
func (a Actor) owns(r record) bool { return r.tenant == a.Tenant && (a.Admin || a.User == r.Owner) }

// CheckName reports a name that cannot be used.
func CheckName(name string) error {
	bad := func(r rune) bool { return unicode.IsControl(r) || r == '#' || r == unicode.ReplacementChar }
	switch ref, err := secret.ParseRef(name); {
	case name == "" || len(name) > maxName:
		return fmt.Errorf("the name of a secret has 1 to %d bytes", maxName)
	case strings.ContainsFunc(name, bad), strings.TrimSpace(name) != name:
		return fmt.Errorf("the name %q has characters that a secret's name cannot have (#, control characters, spaces around it)", name)
	case err != nil || ref != secret.Ref{Name: name}:
		return fmt.Errorf("the name %q would be read as a reference to something else (env:, file:, vault:, or @ and a number at its end)", name)
	case strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/"):
		return fmt.Errorf("the name %q begins or ends with a slash", name)
	}
	return nil
}

package cloudify

import (
	"context"
	"time"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state"
)

// shelf keeps what only Cloudify has words for:
//
//	cloudify/<kind>/<tenant>/<id>         a record
//	blob cloudify/<kind>/<tenant>/<id>    an uploaded archive
type shelf struct {
	blueprints  drawer[blueprintRecord]
	deployments drawer[deploymentRecord]
	executions  drawer[executionRecord]
	updates     drawer[updateRecord]
	plugins     drawer[pluginRecord]
	sites       drawer[siteRecord]
	filters     drawer[filterRecord]
	timers      drawer[timerRecord]
	schedules   drawer[scheduleRecord]
	groups      drawer[groupRecord]
	batches     drawer[batchRecord]
	schemas     drawer[schemaRecord]
	blobs       *state.Blobs
}

func newShelf(s state.Store) shelf {
	return shelf{blueprints: drawer[blueprintRecord]{s, "blueprint"}, deployments: drawer[deploymentRecord]{s, "deployment"},
		executions: drawer[executionRecord]{s, "execution"}, updates: drawer[updateRecord]{s, "update"}, plugins: drawer[pluginRecord]{s, "plugin"},
		sites: drawer[siteRecord]{s, "site"}, filters: drawer[filterRecord]{s, "filter"}, timers: drawer[timerRecord]{s, "timer"},
		schedules: drawer[scheduleRecord]{s, "schedule"}, groups: drawer[groupRecord]{s, "group"}, batches: drawer[batchRecord]{s, "batch"},
		schemas: drawer[schemaRecord]{s, "secret-schema"},
		blobs:   state.NewBlobs(s)}
}

func archiveBlob(kind, tenant, id string) string { return state.Join("cloudify", kind, tenant, id) }

// drawer holds the records of one kind.
type drawer[T any] struct {
	store state.Store
	kind  string
}

func (d drawer[T]) key(tenant, id string) string { return state.Join("cloudify", d.kind, tenant, id) }

// get returns a record, or false.
func (d drawer[T]) get(ctx context.Context, tenant, id string) (v T, found bool, err error) {
	err = d.store.View(ctx, func(tx state.Tx) (err error) {
		v, found, err = state.Find[T](tx, d.key(tenant, id))
		return err
	})
	return v, found, err
}

// all returns the records of a tenant by their id, or, with tenant "", of all.
func (d drawer[T]) all(ctx context.Context, tenant string) (out []T, err error) {
	prefix := state.Prefix("cloudify", d.kind)
	if tenant != "" {
		prefix = state.Prefix("cloudify", d.kind, tenant)
	}
	err = d.store.View(ctx, func(tx state.Tx) error {
		out = nil
		for r, err := range state.List[T](tx, prefix) {
			if err != nil {
				return err
			}
			out = append(out, r.Value)
		}
		return nil
	})
	return out, err
}

// change replaces a record by what fn makes of it, nil for none: all or nothing, however many do it at once.
func (d drawer[T]) change(ctx context.Context, tenant, id string, fn func(have *T) (*T, error)) error {
	return d.store.Update(ctx, func(tx state.Tx) error {
		have, found, err := state.Find[T](tx, d.key(tenant, id))
		if err != nil {
			return err
		}
		var old *T
		if found {
			old = &have
		}
		next, err := fn(old)
		switch {
		case err != nil:
			return err
		case next == nil:
			return tx.Delete(d.key(tenant, id))
		}
		return state.Put(tx, d.key(tenant, id), *next)
	})
}

// edit changes a record that must exist.
func (d drawer[T]) edit(ctx context.Context, kind, tenant, id string, fn func(*T) error) (out T, err error) {
	err = d.change(ctx, tenant, id, func(have *T) (*T, error) {
		if have == nil {
			return nil, notFound(kind, id)
		}
		if err := fn(have); err != nil {
			return nil, err
		}
		out = *have
		return have, nil
	})
	return out, err
}

func (d drawer[T]) put(ctx context.Context, tenant, id string, v T) error {
	return d.change(ctx, tenant, id, func(*T) (*T, error) { return &v, nil })
}

func (d drawer[T]) remove(ctx context.Context, tenant, id string) error {
	return d.change(ctx, tenant, id, func(*T) (*T, error) { return nil, nil })
}

// owned is what every record has.
type owned struct {
	ID         string    `json:"id"`
	Tenant     string    `json:"tenant"`
	By         string    `json:"by"`
	Visibility string    `json:"visibility"`
	Created    time.Time `json:"created"`
	Updated    time.Time `json:"updated,omitzero"`
}

// common are the fields that every document has.
type common struct {
	ID           string  `json:"id"`
	Tenant       string  `json:"tenant_name"`
	Created      *string `json:"created_at"`
	By           string  `json:"created_by"`
	Visibility   string  `json:"visibility"`
	Availability string  `json:"resource_availability"`
	Private      bool    `json:"private_resource"`
}

func (o owned) common() common {
	v := o.Visibility
	if v == "" {
		v = visibleTenant
	}
	return common{o.ID, shownTenant(o.Tenant), stamp(o.Created), o.By, v, v, v == visiblePrivate}
}

// defaultTenant is Cloudify's name of orch's default tenant.
const defaultTenant = "default_tenant"

func shownTenant(name string) string {
	if name == orch.DefaultTenant {
		return defaultTenant
	}
	return name
}

// realTenant is the reverse of shownTenant.
func realTenant(name string) string {
	if name == defaultTenant {
		return orch.DefaultTenant
	}
	return name
}

const (
	visiblePrivate = "private"
	visibleTenant  = "tenant"
	visibleGlobal  = "global"
)

// visibility checks a wished one; "" is the tenant's.
func visibility(wish string, private bool) (string, error) {
	switch wish {
	case "":
		if private {
			return visiblePrivate, nil
		}
		return visibleTenant, nil
	case visiblePrivate, visibleTenant, visibleGlobal:
		return wish, nil
	}
	return "", badParameters("Invalid visibility: `%s`. Valid visibility values are: private, tenant, global", wish)
}

// widen checks a change of the visibility: it can only become wider.
func widen(kind, id, from, to string) error {
	rank := map[string]int{visiblePrivate: 0, visibleTenant: 1, visibleGlobal: 2}
	if from == "" {
		from = visibleTenant
	}
	if rank[to] <= rank[from] {
		return refused("illegal_action_error", "Can't set the visibility of `%s` to %s because it already has %s visibility (%s)", id, to, from, kind)
	}
	return nil
}

package hostpool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/state"
)

// Wanted is a host as its user describes it, or a change of one: nil and absent leave things as they are.
type Wanted struct {
	Host *string `json:"host,omitempty"`
	Port *int    `json:"port,omitempty"`
	User *string `json:"user,omitempty"`
	// Password and PrivateKey go to the secrets store; "" and "-" remove them.
	Password     *string           `json:"password,omitempty"`
	PrivateKey   *string           `json:"private_key,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	RemoveLabels []string          `json:"remove_labels,omitempty"`
}

func secretRef(location, name, what string) string {
	return "orch/hosts/" + location + "/" + name + "/" + what
}

// Add puts a new host into a pool. A host that cannot be reached is added all the same, with the reason.
func (p *Pool) Add(ctx context.Context, location, name string, w Wanted) (*Host, error) {
	if err := checkNames(location, name); err != nil {
		return nil, err
	}
	if w.Host == nil && w.User == nil && w.Port == nil && w.Password == nil && w.PrivateKey == nil {
		return nil, fmt.Errorf("%w: the host %s needs a connection", ErrInvalid, name)
	}
	h := &Host{Location: location, Name: name, Connection: Connection{Host: name, User: "root", Port: 22}}
	if err := p.opts.Store.View(ctx, func(tx state.Tx) error { return absent(tx, location, name) }); err != nil {
		return nil, err // before a secret of the host that exists is written over
	}
	return p.settle(ctx, h, w, func(tx state.Tx) error { return absent(tx, location, name) })
}

func absent(tx state.Tx, location, name string) error {
	_, found, err := state.Find[Host](tx, hostKey(location, name))
	if err == nil && found {
		err = fmt.Errorf("%w: %s in the pool %s", ErrExists, name, location)
	}
	return err
}

// Update changes a host's connection and labels. What it is given to stays.
func (p *Pool) Update(ctx context.Context, location, name string, w Wanted) (*Host, error) {
	h, err := p.Host(ctx, location, name)
	if err != nil {
		return nil, err
	}
	return p.settle(ctx, h, w, nil)
}

// settle applies a change, tries the connection, and stores the host. check runs in the transaction that stores it.
func (p *Pool) settle(ctx context.Context, h *Host, w Wanted, check func(state.Tx) error) (*Host, error) {
	if err := p.change(ctx, h, w); err != nil {
		return nil, err
	}
	h.Reason = ""
	if p.opts.Reach != nil {
		if err := p.opts.Reach(ctx, h); err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			h.Reason = err.Error()
		}
	}
	h.Updated = p.opts.Now().UTC()
	err := p.opts.Store.Update(ctx, func(tx state.Tx) error {
		if check != nil {
			if err := check(tx); err != nil {
				return err
			}
		} else {
			now, found, err := state.Find[Host](tx, hostKey(h.Location, h.Name))
			if err != nil {
				return err
			}
			if !found {
				return fmt.Errorf("%w: %s in the pool %s", ErrNotFound, h.Name, h.Location)
			}
			h.Allocations = now.Allocations // somebody may have taken it meanwhile
		}
		return errors.Join(state.Put(tx, hostKey(h.Location, h.Name), *h), touch(tx, h.Location))
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

func (p *Pool) change(ctx context.Context, h *Host, w Wanted) error {
	if w.Host != nil && *w.Host != "" {
		h.Connection.Host = *w.Host
	}
	if w.User != nil && *w.User != "" {
		h.Connection.User = *w.User
	}
	if w.Port != nil && *w.Port != 0 {
		if *w.Port < 1 || *w.Port > 65535 {
			return fmt.Errorf("%w: %d is no port", ErrInvalid, *w.Port)
		}
		h.Connection.Port = *w.Port
	}
	h.Labels = maps.Clone(h.Labels)
	if h.Labels == nil {
		h.Labels = map[string]string{}
	}
	for _, l := range w.RemoveLabels {
		delete(h.Labels, l)
	}
	for k, v := range w.Labels {
		if strings.TrimSpace(k) == "" {
			return fmt.Errorf("%w: a label needs a name", ErrInvalid)
		}
		h.Labels[k] = v
	}
	return errors.Join(p.secret(ctx, h, "password", w.Password, &h.Connection.PasswordRef),
		p.secret(ctx, h, "private_key", w.PrivateKey, &h.Connection.KeyRef))
}

func (p *Pool) secret(ctx context.Context, h *Host, what string, value, ref *string) error {
	switch {
	case value == nil:
		return nil
	case *value == "" || *value == "-":
		if *ref == "" {
			return nil
		}
		old := *ref
		*ref = ""
		return p.opts.Secrets.Remove(ctx, old)
	case p.opts.Secrets == nil:
		return errors.New("cannot keep the host's secrets: there is no secrets store")
	}
	*ref = secretRef(h.Location, h.Name, what)
	return p.opts.Secrets.Put(ctx, *ref, []byte(*value))
}

// Remove takes a free host out of its pool.
func (p *Pool) Remove(ctx context.Context, location, name string) error {
	var gone Host
	err := p.opts.Store.Update(ctx, func(tx state.Tx) error {
		h, found, err := state.Find[Host](tx, hostKey(location, name))
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("%w: %s in the pool %s", ErrNotFound, name, location)
		}
		if len(h.Allocations) > 0 {
			return fmt.Errorf("%w: %s is given to %s", ErrAllocated, name, h.Allocations[0].ID)
		}
		gone = h
		return errors.Join(tx.Delete(hostKey(location, name)), touch(tx, location), forgetEmpty(tx, location, name))
	})
	if err != nil {
		return err
	}
	return p.forgetSecrets(ctx, gone)
}

// forgetEmpty removes the pool with its last host.
func forgetEmpty(tx state.Tx, location, last string) error {
	all, err := hostsOf(tx, location)
	if err != nil || slices.ContainsFunc(all, func(h *Host) bool { return h.Name != last }) {
		return err
	}
	return tx.Delete(poolKey(location))
}

func (p *Pool) forgetSecrets(ctx context.Context, h Host) error {
	var errs []error
	for _, ref := range []string{h.Connection.PasswordRef, h.Connection.KeyRef} {
		if ref != "" && p.opts.Secrets != nil {
			errs = append(errs, p.opts.Secrets.Remove(ctx, ref))
		}
	}
	return errors.Join(errs...)
}

// Apply makes the pool consist of the named hosts: new ones are added, known ones changed to what is given, others removed. Hosts in use are
// never removed: that is ErrAllocated, and nothing is changed. With a checkpoint the pool must not have changed since; nil does not ask.
func (p *Pool) Apply(ctx context.Context, location string, wanted map[string]Wanted, checkpoint *uint64) (uint64, error) {
	now, at, err := p.Hosts(ctx, location)
	if err != nil {
		return 0, err
	}
	if checkpoint != nil && *checkpoint != at {
		return at, fmt.Errorf("%w: %d is now %d", ErrStale, *checkpoint, at)
	}
	have := map[string]*Host{}
	for _, h := range now {
		have[h.Name] = h
		if _, keep := wanted[h.Name]; !keep && len(h.Allocations) > 0 {
			return at, fmt.Errorf("%w: %s is given to %s", ErrAllocated, h.Name, h.Allocations[0].ID)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if err := checkNames(location, name); err != nil {
			return at, err
		}
		w := wanted[name]
		if h := have[name]; h != nil {
			for l := range h.Labels {
				if _, ok := w.Labels[l]; !ok {
					w.RemoveLabels = append(w.RemoveLabels, l)
				}
			}
			_, err = p.Update(ctx, location, name, w)
		} else {
			_, err = p.Add(ctx, location, name, w)
		}
		if err != nil {
			return at, fmt.Errorf("host %s: %w", name, err)
		}
	}
	for name := range have {
		if _, keep := wanted[name]; !keep {
			if err := p.Remove(ctx, location, name); err != nil {
				return at, fmt.Errorf("host %s: %w", name, err)
			}
		}
	}
	_, at, err = p.Hosts(ctx, location)
	return at, err
}

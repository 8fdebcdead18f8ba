package access

import (
	"context"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state"
)

const (
	auditPrefix = "audit/"
	// auditDays is how long entries are kept, in days: one prefix for each day lets old ones go in one operation.
	auditDays    = 365
	defaultAudit = 100
	maxAudit     = 1000
	maxDetail    = 1024
)

// Entries lie below their day.
func auditDay(t time.Time) string { return t.UTC().Format("2006-01-02") }

func auditKey(t time.Time, id string) string { return state.Join("audit", auditDay(t), id) }

// Record implements orch.Accounts.
func (a *Accounts) Record(ctx context.Context, e orch.AuditEntry) error {
	if e.ID == "" {
		e.Time = a.now()
		e.ID = ulid.MustNewDefault(e.Time).String()
	}
	if len(e.Detail) > maxDetail {
		e.Detail = e.Detail[:maxDetail] + "…"
	}
	err := a.store.Update(ctx, func(tx state.Tx) error { return state.Put(tx, auditKey(e.Time, e.ID), e) })
	day := auditDay(e.Time)
	if last := a.swept.Swap(&day); err == nil && (last == nil || *last != day) {
		err = a.forgetOld(ctx)
	}
	return failure(err)
}

// forgetOld removes the days that are too old; it runs with the first entry that this process writes on a day.
func (a *Accounts) forgetOld(ctx context.Context) error {
	days, err := a.auditDays(ctx)
	if err != nil {
		return err
	}
	oldest := auditDay(a.now().AddDate(0, 0, -auditDays))
	for _, day := range days {
		if day >= oldest {
			continue
		}
		if err := a.store.Update(ctx, func(tx state.Tx) error { return tx.DeletePrefix(state.Prefix("audit", day)) }); err != nil {
			return err
		}
	}
	return nil
}

// auditDays are the days that have entries, in order.
func (a *Accounts) auditDays(ctx context.Context) ([]string, error) {
	var days []string
	err := a.store.View(ctx, func(tx state.Tx) error {
		days = nil
		for key, err := range tx.Keys(auditPrefix) {
			if err != nil {
				return err
			}
			parts, err := state.Split(key)
			if err != nil || len(parts) != 3 {
				continue
			}
			if len(days) == 0 || days[len(days)-1] != parts[1] {
				days = append(days, parts[1])
			}
		}
		return nil
	})
	return days, err
}

// Audit implements orch.Accounts. It reads day by day, the newest first.
func (a *Accounts) Audit(ctx context.Context, f orch.AuditFilter) ([]orch.AuditEntry, error) {
	if f.Limit <= 0 {
		f.Limit = defaultAudit
	}
	f.Limit = min(f.Limit, maxAudit)
	out := []orch.AuditEntry{}
	days, err := a.auditDays(ctx)
	if err != nil {
		return nil, failure(err)
	}
	for _, day := range slices.Backward(days) {
		if !f.Since.IsZero() && day < auditDay(f.Since) {
			break
		}
		entries, err := a.ofDay(ctx, day)
		if err != nil {
			return nil, failure(err)
		}
		for _, e := range slices.Backward(entries) {
			if matches(f, e) {
				out = append(out, e)
			}
			if len(out) == f.Limit {
				return out, nil
			}
		}
	}
	return out, nil
}

func matches(f orch.AuditFilter, e orch.AuditEntry) bool {
	return (f.Tenant == "" || e.Tenant == f.Tenant) && (f.User == "" || e.User == f.User) && !e.Time.Before(f.Since) && (f.Before == "" || e.ID < f.Before)
}

func (a *Accounts) ofDay(ctx context.Context, day string) ([]orch.AuditEntry, error) {
	var out []orch.AuditEntry
	err := a.store.View(ctx, func(tx state.Tx) error {
		out = nil
		for r, err := range state.List[orch.AuditEntry](tx, state.Prefix("audit", day)) {
			if err != nil {
				return err
			}
			out = append(out, r.Value)
		}
		return nil
	})
	return out, err
}

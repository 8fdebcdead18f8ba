package terraform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"sort"
	"strings"
	"syscall"
	"time"

	tfjson "github.com/hashicorp/terraform-json"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// Plan says what a batch would change. It works on a copy and touches nothing; values that depend on what is not made yet are unknown.
func (d *Driver) Plan(ctx context.Context, reqs []*driver.Request) ([]driver.Change, error) {
	return d.foresee(ctx, reqs, false)
}

// Drift looks at what exists of the requests' instances and says what it would take to bring it back to what was asked for.
func (d *Driver) Drift(ctx context.Context, reqs []*driver.Request) ([]driver.Change, error) {
	return d.foresee(ctx, reqs, true)
}

func (d *Driver) foresee(ctx context.Context, reqs []*driver.Request, refresh bool) ([]driver.Change, error) {
	if len(reqs) == 0 {
		return nil, nil
	}
	b := &batch{d: d, deployment: reqs[0].Deployment, reqs: reqs, emit: func(event.Event) {}, reported: make([]bool, len(reqs))}
	var failed []error
	b.report = func(_ int, _ driver.Result, err error) { failed = append(failed, err) }
	if err := b.begin(ctx); err != nil {
		return nil, err
	}
	b.renderer.AllowUnknown = true
	if d.opts.Secrets != nil {
		b.renderer.Secrets = lookingOnly{d.opts.Secrets}
	}
	g, err := b.aim(ctx)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	if g.idle && !refresh {
		return nil, nil
	}
	if g.refresh = refresh; refresh {
		b.remark(ctx, g.manifest)
	}
	return b.plan(ctx, g)
}

// lookingOnly makes secrets for a plan: those that exist, and otherwise ones that are not kept.
type lookingOnly struct{ secrets driver.Secrets }

func (l lookingOnly) Generate(ctx context.Context, ref string, make func() ([]byte, error)) (secret.Value, error) {
	if v, err := l.secrets.Resolve(ctx, ref); err == nil && !v.IsZero() {
		return v, nil
	}
	b, err := make()
	return secret.New(string(b)), err
}

func (b *batch) plan(ctx context.Context, g *goal) ([]driver.Change, error) {
	tool, err := b.d.tool.find(ctx, b.d.opts.Binary)
	if err != nil {
		return nil, err
	}
	plugins := pluginsOf(b.d.opts.Plugins, g.manifest, b.loc)
	prep, err := b.d.prepare(ctx, tool, plugins)
	if err != nil {
		return nil, err
	}
	mod, values, err := buildModule(g.manifest, plugins, prep.versions(), true)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(b.home, 0o700); b.home != "" && err != nil {
		return nil, fmt.Errorf("cannot plan: %w", err)
	}
	var remove func()
	if b.work, remove, err = b.d.scratch(ctx, "plan-"); err != nil {
		return nil, fmt.Errorf("cannot plan: %w", err)
	}
	defer remove()
	if err := b.writeWork(prep, mod, &applyRecord{}); err != nil {
		return nil, fmt.Errorf("cannot plan: %w", err)
	}
	env := b.environ(prep, values)
	args := []string{"plan", "-json", "-input=false", "-lock=false", fmt.Sprintf("-refresh=%t", g.refresh), "-out=plan.bin"}
	for _, t := range g.targets {
		args = append(args, "-target="+t)
	}
	for _, r := range g.replace {
		args = append(args, "-replace="+r)
	}
	out, err := b.output(ctx, tool, env, args...)
	if err != nil {
		return nil, b.planError(out, err)
	}
	out, err = b.output(ctx, tool, env, "show", "-json", "plan.bin")
	if err != nil {
		return nil, fmt.Errorf("cannot read Terraform's plan: %w", err)
	}
	var p tfjson.Plan
	if err := p.UnmarshalJSON(out); err != nil {
		return nil, fmt.Errorf("cannot read Terraform's plan: %w", err)
	}
	t := (&batch{d: b.d, bundle: &bundle{Manifest: g.manifest}, reqs: b.reqs}).track(nil)
	var changes []driver.Change
	for _, rc := range p.ResourceChanges {
		if rc.Mode != tfjson.ManagedResourceMode || rc.Type == "terraform_data" {
			continue
		}
		owner := t.owners[rc.Address]
		shared := owner.Index == ""
		if shared {
			owner = g.manifest.user(rc.Address, owner)
		}
		c, ok := changeOf(rc, owner, g.manifest.block(rc.Address))
		c.Shared = shared
		if ok {
			changes = append(changes, c)
		}
	}
	sort.Slice(changes, func(i, j int) bool { return changes[i].Address < changes[j].Address })
	return changes, nil
}

func (b *batch) output(ctx context.Context, tool *Tool, env []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, tool.Path, args...)
	cmd.Dir, cmd.Env = b.work, env
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 20 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = &driver.Error{Op: tool.Product + " " + args[0], Host: "orchestrator", ExitCode: cmd.ProcessState.ExitCode(), Stderr: lastLines(stderr.String(), 8), Err: err}
	}
	return out, err
}

// planError finds the first error among the messages of a failed plan.
func (b *batch) planError(out []byte, err error) error {
	for line := range bytes.Lines(out) {
		var m message
		if json.Unmarshal(line, &m) == nil && m.Diagnostic != nil && m.Diagnostic.Severity == "error" {
			text := clarify(*m.Diagnostic)
			class, retry, hint := Classify(text)
			return &driver.Error{Op: "terraform plan", Host: "orchestrator", ExitCode: 1, Detail: text, Hint: hint, Retryable: retry,
				Err: &CloudError{Class: class, Address: m.Diagnostic.Address, Text: text}}
		}
	}
	return err
}

// changeOf a resource, of which the block (nil: unknown) may say that arguments make it anew besides those that the provider says.
func changeOf(rc *tfjson.ResourceChange, owner topology.Instance, of *block) (driver.Change, bool) {
	c := driver.Change{Instance: owner, Address: rc.Address}
	a := rc.Change.Actions
	switch {
	case a.Replace():
		c.Action = "replace"
	case a.Create():
		c.Action = "create"
	case a.Update():
		c.Action = "update"
	case a.Delete():
		c.Action = "delete"
	default:
		return c, false
	}
	if c.Action == "delete" {
		return c, true
	}
	forces := map[string]bool{}
	for _, p := range rc.Change.ReplacePaths {
		if steps, ok := p.([]any); ok && len(steps) > 0 {
			forces[fmt.Sprint(steps[0])] = true
		}
	}
	before, _ := rc.Change.Before.(map[string]any)
	after, _ := rc.Change.After.(map[string]any)
	unknown, _ := rc.Change.AfterUnknown.(map[string]any)
	hideBefore, _ := rc.Change.BeforeSensitive.(map[string]any)
	hideAfter, _ := rc.Change.AfterSensitive.(map[string]any)
	var keys []string
	for k := range after {
		keys = append(keys, k)
	}
	for k := range unknown {
		keys = append(keys, k)
	}
	for k := range before {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range slices.Compact(keys) {
		f := driver.FieldChange{Path: k, Forces: forces[k]}
		f.From, f.To = show(before[k], nil, hideBefore[k]), show(after[k], unknown[k], hideAfter[k])
		if f.From == f.To && !(reflect.DeepEqual(hideAfter[k], true) && f.Forces) {
			continue
		}
		if of != nil && slices.Contains(of.ReplaceOn, k) {
			f.Forces = true
			if c.Action == "update" {
				c.Action = "replace"
			}
		}
		c.Fields = append(c.Fields, f)
	}
	return c, true
}

// show is a value as plans print it.
func show(v, unknown, sensitive any) string {
	switch {
	case marked(sensitive):
		if v == nil {
			return ""
		}
		return "(sensitive)"
	case unknown == true || v == nil && marked(unknown):
		return "(known after create)"
	case v == nil:
		return ""
	}
	if s, ok := v.(string); ok {
		return s
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		return ""
	}
	s := strings.TrimSpace(buf.String())
	if s == "[]" || s == "{}" {
		if marked(unknown) {
			return "(known after create)"
		}
		return ""
	}
	return s
}

// marked reports whether a mark (sensitive, unknown) holds anywhere in a value.
func marked(v any) bool {
	switch t := v.(type) {
	case bool:
		return t
	case []any:
		return slices.ContainsFunc(t, marked)
	case map[string]any:
		for _, e := range t {
			if marked(e) {
				return true
			}
		}
	}
	return false
}

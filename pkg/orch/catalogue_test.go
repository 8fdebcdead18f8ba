package orch_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/orch-project/orch/internal/orchtest/bounded"
	"github.com/orch-project/orch/internal/orchtest/ziptest"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state"
)

func (f *fixture) upload(t *testing.T, name, version, text string) orch.Blueprint {
	t.Helper()
	b, err := f.Blueprints().Upload(t.Context(), orch.NewBlueprint{Name: name, Version: version, Entry: "app", Filename: "a.zip", Data: ziptest.Pack(t, map[string]string{"app": text, "create.sh": "", "start.sh": "", "stop.sh": "", "delete.sh": ""})})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBlueprintsHaveVersionsThatStay(t *testing.T) {
	f := newFixture(t)
	ctx, cat := t.Context(), f.Blueprints()
	first := f.upload(t, "shop", "", "one")
	if first.Version != "1" || first.Topology != "app" || strings.Join(first.Nodes, " ") != "vm web" || len(first.Outputs) != 3 || first.Size == 0 {
		t.Errorf("%+v", first)
	}
	if again := f.upload(t, "shop", "", "one"); again.Version != "1" {
		t.Errorf("the same content got version %s", again.Version)
	}
	if next := f.upload(t, "shop", "", "two"); next.Version != "2" {
		t.Errorf("other content got version %s", next.Version)
	}
	f.upload(t, "shop", "1.0-rc", "two")
	if next := f.upload(t, "shop", "", "three"); next.Version != "3" {
		t.Errorf("after a named version: %s", next.Version)
	}
	_, err := cat.Upload(ctx, orch.NewBlueprint{Name: "shop", Version: "1", Entry: "app", Data: ziptest.Pack(t, map[string]string{"app": "other"})})
	if kindOf(err) != orch.KindConflict {
		t.Errorf("a version changed: %v", err)
	}
	_, err = cat.Upload(ctx, orch.NewBlueprint{Name: "shop", New: true, Entry: "app", Data: ziptest.Pack(t, map[string]string{"app": "one"})})
	if kindOf(err) != orch.KindConflict {
		t.Errorf("a new one with a name that is taken: %v", err)
	}
	if all, err := cat.Versions(ctx, "shop"); err != nil || len(all) != 4 || all[0].Version != "3" {
		t.Errorf("%+v, %v", all, err)
	}
	if all, err := cat.List(ctx); err != nil || len(all) != 1 || all[0].Version != "3" {
		t.Errorf("%+v, %v", all, err)
	}
	if b, data, err := cat.Download(ctx, "shop", "1"); err != nil || b.SHA256 != first.SHA256 || !strings.HasPrefix(contentOf(t, data), "PK") {
		t.Errorf("%+v, %v, %v", b, data, err)
	}
	// Versions with the same content share their upload: it goes with the last one.
	if err := cat.Remove(ctx, "shop", "2"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := cat.Download(ctx, "shop", "1.0-rc"); err != nil {
		t.Errorf("its content went with another version: %v", err)
	}
	if err := cat.Remove(ctx, "shop", ""); err != nil {
		t.Fatal(err)
	}
	if blobs, err := state.NewBlobs(f.store).List(ctx, "blueprint/"); err != nil || len(blobs) != 0 {
		t.Errorf("left behind: %+v, %v", blobs, err)
	}
	for name, err := range map[string]error{"get": second(cat.Get(ctx, "shop", "")), "version": second(cat.Get(ctx, "shop", "1")), "remove": cat.Remove(ctx, "shop", ""),
		"versions": second(cat.Versions(ctx, "shop"))} {
		if !errors.Is(err, orch.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestASingleDocumentIsABlueprint(t *testing.T) {
	f := newFixture(t)
	// The file system of the loader has no file "app" then; what it finds is what was uploaded.
	b, err := f.Blueprints().Upload(t.Context(), orch.NewBlueprint{Name: "doc", Filename: "dir/app.yaml", Data: []byte("é: 1\n"), Unchecked: true})
	if err != nil || b.Filename != "app.yaml" || b.Entry != "app.yaml" {
		t.Errorf("%+v, %v", b, err)
	}
	if _, data, err := f.Blueprints().Download(t.Context(), "doc", ""); err != nil || contentOf(t, data) != "é: 1\n" {
		t.Errorf("%v, %v", data, err)
	}
}

// Findings are where whoever uploads it can open it.
func TestPositionsInUploads(t *testing.T) {
	f := newFixture(t)
	f.opts.Load = loadTOSCA
	f.restart(t)
	const document = "tosca_definitions_version: tosca_simple_yaml_1_3\ntopology_template: { node_templates: { a: { type: Nope } } }\n"
	for want, b := range map[string]orch.NewBlueprint{
		"app.yaml": {Name: "x", Filename: "dir/app.yaml", Data: []byte(document)},
		"x.yaml":   {Name: "x", Data: []byte(document)},
	} {
		_, err := f.Blueprints().Upload(t.Context(), b)
		var list *diag.ListError
		if !errors.As(err, &list) || !strings.HasPrefix(err.Error(), want+":2:") {
			t.Errorf("%s: %v", want, err)
		}
		b.Unchecked = true
		if _, err := f.Blueprints().Upload(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		_, found, err := f.Plan(t.Context(), orch.Request{Verb: orch.Deploy, Deployment: "demo", Blueprint: "x"})
		if err != nil || len(found) != 1 || found[0].Pos.File != want {
			t.Errorf("%s, planned from the catalogue: %v, %v", want, found, err)
		}
	}
}

func TestBadBlueprintsLeaveNothing(t *testing.T) {
	f := newFixture(t)
	ctx, cat := t.Context(), f.Blueprints()
	for name, b := range map[string]orch.NewBlueprint{
		"empty":       {Name: "x"},
		"no name":     {Data: ziptest.Pack(t, map[string]string{"app": "x"}), Entry: "app"},
		"path":        {Name: "../x", Data: ziptest.Pack(t, map[string]string{"app": "x"}), Entry: "app"},
		"tenant":      {Name: "acme~x", Data: ziptest.Pack(t, map[string]string{"app": "x"}), Entry: "app"},
		"bad version": {Name: "x", Version: "a/b", Data: ziptest.Pack(t, map[string]string{"app": "x"}), Entry: "app"},
		"zip slip":    {Name: "x", Data: ziptest.Pack(t, map[string]string{"../app": "x"}), Entry: "app"},
		"cut off":     {Name: "x", Data: ziptest.Pack(t, map[string]string{"app": "x"})[:30], Entry: "app"},
		"binary":      {Name: "x", Data: []byte("\x00\x01\x02"), Entry: "app"},
		"no entry":    {Name: "x", Data: ziptest.Pack(t, map[string]string{"app": "x"}), Entry: "other"},
		"mistakes":    {Name: "x", Data: ziptest.Pack(t, map[string]string{"other": "x"}), Entry: "other"},
	} {
		_, err := cat.Upload(ctx, b)
		var list *diag.ListError
		if kindOf(err) != orch.KindUser && !errors.As(err, &list) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if all, err := cat.List(ctx); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	if blobs, err := state.NewBlobs(f.store).List(ctx, "blueprint/"); err != nil || len(blobs) != 0 {
		t.Errorf("left behind: %+v, %v", blobs, err)
	}
	b, err := cat.Upload(ctx, orch.NewBlueprint{Name: "x", Data: ziptest.Pack(t, map[string]string{"other": "x"}), Entry: "other", Unchecked: true})
	if err != nil || !b.Diagnostics.HasErrors() {
		t.Errorf("%+v, %v", b, err)
	}
	if b, err := cat.Validate(ctx, orch.NewBlueprint{Data: ziptest.Pack(t, map[string]string{"other": "x"}), Entry: "other"}); err != nil || !b.Diagnostics.HasErrors() {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestDeployingFromABlueprint(t *testing.T) {
	f := newFixture(t)
	f.upload(t, "shop", "1", "one")
	f.upload(t, "shop", "2", "two")
	f.apply(t, orch.Request{Blueprint: "shop:1"})
	if got := f.world.vars["web[0].create"]["GREETING"]; got != "one" {
		t.Errorf("greeting %q of %v", got, f.world.vars)
	}
	if d, err := f.Deployment(t.Context(), "demo"); err != nil || d.Blueprint != "shop:1" {
		t.Errorf("%+v, %v", d, err)
	}
	f.apply(t, orch.Request{Blueprint: "shop"})
	if d, err := f.Deployment(t.Context(), "demo"); err != nil || d.Blueprint != "shop:2" {
		t.Errorf("%+v, %v", d, err)
	}
	// The deployment has its own copy.
	if err := f.Blueprints().Remove(t.Context(), "shop", "", "another's digest"); kindOf(err) != orch.KindConflict || !errors.Is(err, orch.ErrChanged) {
		t.Errorf("removing what is not there any more: %v", err)
	}
	if err := f.Blueprints().Remove(t.Context(), "shop", ""); err != nil {
		t.Fatal(err)
	}
	if task := f.apply(t, orch.Request{Verb: orch.Undeploy}); task.Status != "done" {
		t.Errorf("%+v", task)
	}
	if _, err := f.Apply(t.Context(), orch.Request{Deployment: "other", Blueprint: "shop"}); !errors.Is(err, orch.ErrNotFound) {
		t.Errorf("a blueprint that is gone: %v", err)
	}
}

func TestPlansAreAppliedAsReviewed(t *testing.T) {
	f := newFixture(t)
	ctx, plans := t.Context(), f.Plans()
	p, err := plans.Save(ctx, orch.Request{Deployment: "demo", Source: bundle("hello"), User: "bob"})
	if err != nil || p.ID == "" || p.Digest == "" || len(p.Plan.Steps) == 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	if got, err := plans.Get(ctx, p.ID); err != nil || got.Digest != p.Digest || len(got.Plan.Steps) != len(p.Plan.Steps) {
		t.Errorf("%+v, %v", got, err)
	}
	stale, err := plans.Save(ctx, orch.Request{Deployment: "demo", Source: bundle("hello there")})
	if err != nil {
		t.Fatal(err)
	}
	task, err := plans.Apply(ctx, p.ID)
	if err != nil {
		t.Fatal(err)
	}
	if task, err = f.Wait(ctx, "demo", task.ID); err != nil || task.Status != "done" || task.User != "bob" {
		t.Errorf("%+v, %v", task, err)
	}
	if _, err := plans.Apply(ctx, p.ID); kindOf(err) != orch.KindConflict || !strings.Contains(err.Error(), task.ID) {
		t.Errorf("applied twice: %v", err)
	}
	if _, err := plans.Apply(ctx, stale.ID); kindOf(err) != orch.KindConflict {
		t.Errorf("a plan of what was before: %v", err)
	}
	if all, err := plans.List(ctx, "demo"); err != nil || len(all) != 2 || all[1].Task != task.ID {
		t.Errorf("%+v, %v", all, err)
	}
	if all, err := plans.List(ctx, "other"); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	for _, id := range []string{p.ID, stale.ID} {
		if err := plans.Remove(ctx, id); err != nil {
			t.Error(err)
		}
		if err := plans.Remove(ctx, id); !errors.Is(err, orch.ErrNotFound) {
			t.Error(err)
		}
	}
	if blobs, err := state.NewBlobs(f.store).List(ctx, "kept/"); err != nil || len(blobs) != 0 {
		t.Errorf("left behind: %+v, %v", blobs, err)
	}
	if _, err := plans.Save(ctx, orch.Request{Deployment: "demo", Source: bundle("")}); err != nil && kindOf(err) == orch.KindInternal {
		t.Error(err)
	}
}

func FuzzValidateBlueprint(f *testing.F) {
	f.Add([]byte("PK\x03\x04"), "app")
	f.Add([]byte("a: b\n"), "")
	f.Add([]byte("\x1f\x8b\x08"), "x")
	f.Fuzz(func(t *testing.T, data []byte, entry string) {
		defer bounded.Input(t)()
		_, err := newFixture(t).Blueprints().Validate(t.Context(), orch.NewBlueprint{Entry: entry, Data: data})
		var list *diag.ListError
		if err != nil && kindOf(err) != orch.KindUser && !errors.As(err, &list) {
			t.Errorf("%v", err)
		}
	})
}

func contentOf(t *testing.T, c orch.Content) string {
	t.Helper()
	data, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

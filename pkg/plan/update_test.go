package plan_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// application is a Cloudify blueprint: web on vm, with a page that is contained in it, both related to db.
const application = `tosca_definitions_version: cloudify_dsl_1_3
imports: [ cloudify/types/types.yaml ]
inputs:
  port: { default: 80 }
node_templates:
  vm: { type: cloudify.nodes.Compute }
  db:
    type: cloudify.nodes.Root
    interfaces:
      cloudify.interfaces.lifecycle: { create: { implementation: a.sh, executor: central_deployment_agent }, stop: { implementation: a.sh, executor: central_deployment_agent } }
  web:
    type: cloudify.nodes.SoftwareComponent
    interfaces:
      cloudify.interfaces.lifecycle:
        create: { implementation: a.sh, inputs: { port: { get_input: port } } }
        start: a.sh
        stop: a.sh
    relationships:
      - { type: cloudify.relationships.contained_in, target: vm }
      - type: cloudify.relationships.connected_to
        target: db
        source_interfaces: { cloudify.interfaces.relationship_lifecycle: { establish: { implementation: a.sh, inputs: { port: { get_input: port } } }, unlink: a.sh } }
  page:
    type: cloudify.nodes.SoftwareComponent
    interfaces: { cloudify.interfaces.lifecycle: { create: a.sh, delete: a.sh } }
    relationships: [ { type: cloudify.relationships.contained_in, target: web } ]
`

const updatable = `        start: a.sh
        preupdate: a.sh
        update: a.sh
`

func cloudify(t *testing.T, doc string) *topology.Topology {
	t.Helper()
	return load(t, []txtar.File{{Name: "blueprint.yaml", Data: []byte(doc)}, {Name: "a.sh", Data: []byte("#!/bin/sh\n")}})
}

// updateOf plans the update of an installed application and returns the operations in the plan's order.
func updateOf(t *testing.T, before, after string, u plan.Update, change func(*plan.Input)) (acts []string, p *plan.Plan, rec map[topology.Instance]*plan.Recorded) {
	t.Helper()
	old, next := cloudify(t, before), cloudify(t, after)
	was := map[string]any{"port": int64(80)}
	rec = done(nil, build(t, plan.Input{Topology: old, Inputs: was}).Steps...)
	in := plan.Input{Topology: next, Previous: old, PreviousInputs: was, Inputs: was, Recorded: rec, Update: &u}
	if change != nil {
		change(&in)
	}
	p = build(t, in)
	for _, s := range p.Steps {
		if s.Acts() {
			acts = append(acts, s.ID)
		}
	}
	return acts, p, rec
}

// One list of the acts of an update per case: what is unlinked, uninstalled, made anew, updated, installed.
func TestUpdateOfCloudify(t *testing.T) {
	port := func(in *plan.Input) { in.Inputs = map[string]any{"port": int64(81)} }
	without := strings.Replace(application, "      - type: cloudify.relationships.connected_to\n        target: db\n        source_interfaces: { cloudify.interfaces.relationship_lifecycle: { establish: { implementation: a.sh, inputs: { port: { get_input: port } } }, unlink: a.sh } }\n", "", 1)
	const cache = "  cache:\n    type: cloudify.nodes.Root\n    interfaces: { cloudify.interfaces.lifecycle: { create: { implementation: a.sh, executor: central_deployment_agent }, delete: { implementation: a.sh, executor: central_deployment_agent } } }\n"
	const page = "page[0].create"
	for name, c := range map[string]struct {
		before, after string
		update        plan.Update
		change        func(*plan.Input)
		want          string
	}{
		"nothing has changed": {application, application, plan.Update{}, nil, ""},
		"what has changed and cannot be updated is made anew with what is contained in it": {application, application, plan.Update{}, port,
			"page[0].delete web[0].stop web[0].connected_to[0].unlink web[0].create web[0].start web[0].connected_to[0].establish " + page},
		"unless that is not wanted": {application, application, plan.Update{SkipReinstall: true}, port, "web[0].connected_to[0].establish"},
		"what can be updated is updated": {strings.Replace(application, "        start: a.sh\n", updatable, 1), strings.Replace(application, "        start: a.sh\n", updatable, 1), plan.Update{}, port,
			"web[0].preupdate web[0].update web[0].connected_to[0].establish"},
		"chosen instances are made anew":             {application, application, plan.Update{Reinstall: []topology.Instance{in("page", "0")}}, nil, "page[0].delete " + page},
		"also of what is changed nothing else is":    {application, application, plan.Update{Reinstall: []topology.Instance{in("page", "0")}, SkipReinstall: true}, port, "page[0].delete web[0].connected_to[0].establish " + page},
		"an infrastructure is replaced, not removed": {application, application, plan.Update{Reinstall: []topology.Instance{in("vm", "0")}}, nil, "page[0].delete web[0].stop web[0].connected_to[0].unlink vm[0].replace web[0].create web[0].start web[0].connected_to[0].establish " + page},
		"what is gone goes first":                    {application + cache, strings.Replace(application, "  vm:", strings.Replace(cache, "cache:", "other:", 1)+"  vm:", 1), plan.Update{}, nil, "cache[0].delete other[0].create"},
		"or last":                                    {application + cache, strings.Replace(application, "  vm:", strings.Replace(cache, "cache:", "other:", 1)+"  vm:", 1), plan.Update{InstallFirst: true}, nil, "other[0].create cache[0].delete"},
		"or stays":                                   {application + cache, strings.Replace(application, "  vm:", strings.Replace(cache, "cache:", "other:", 1)+"  vm:", 1), plan.Update{SkipUninstall: true}, nil, "other[0].create"},
		"what is new is not installed":               {application + cache, strings.Replace(application, "  vm:", strings.Replace(cache, "cache:", "other:", 1)+"  vm:", 1), plan.Update{SkipInstall: true}, nil, "cache[0].delete"},
		"a relationship that is gone is unlinked":    {application, without, plan.Update{SkipReinstall: true}, nil, "web[0].connected_to[0].unlink"},
		"a new relationship is established":          {without, application, plan.Update{SkipReinstall: true}, nil, "web[0].connected_to[0].establish"},
		"but not when nothing is to be installed":    {without, application, plan.Update{SkipReinstall: true, SkipInstall: true}, nil, ""},
		"another type is another thing": {application + cache, application + strings.Replace(cache, "cloudify.nodes.Root", "cloudify.nodes.ApplicationModule", 1), plan.Update{SkipReinstall: true}, nil,
			"cache[0].delete cache[0].create"},
		"a changed relationship that can be updated is": {application, strings.Replace(application, "}, unlink: a.sh }", "}, unlink: a.sh, update: a.sh }", 1), plan.Update{SkipReinstall: true}, port, "web[0].connected_to[0].cloudify.interfaces.relationship_lifecycle.update"},
		"only the record": {application + cache, application, plan.Update{RecordOnly: true}, port, ""},
		"everything": {application, application, plan.Update{ReinstallAll: true}, nil,
			"page[0].delete web[0].stop web[0].connected_to[0].unlink db[0].stop vm[0].replace db[0].create web[0].create web[0].start web[0].connected_to[0].establish " + page},
	} {
		got, _, _ := updateOf(t, c.before, c.after, c.update, c.change)
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, s, c.want)
		}
	}
}

// After an update that has done something in place nothing is left to do; after one that has not, the difference is still known.
func TestUpdateIsRemembered(t *testing.T) {
	port := func(in *plan.Input) { in.Inputs = map[string]any{"port": int64(81)} }
	doc := strings.Replace(application, "        start: a.sh\n", updatable, 1)
	again := func(doc string, u plan.Update) (int, string) {
		_, p, rec := updateOf(t, doc, doc, u, port)
		for _, s := range p.Steps {
			if done(rec, s); len(s.Adopts) > 0 {
				rec[s.Of()].Adopt(s.Adopts)
			}
		}
		top := cloudify(t, doc)
		next := build(t, plan.Input{Topology: top, Inputs: map[string]any{"port": int64(81)}, Recorded: rec})
		var b bytes.Buffer
		if err := next.Text(&b); err != nil {
			t.Fatal(err)
		}
		return len(next.Steps), b.String()
	}
	if n, text := again(doc, plan.Update{}); n != 0 {
		t.Errorf("%d steps are left after an update in place:\n%s", n, text)
	}
	if n, text := again(application, plan.Update{}); n != 0 {
		t.Errorf("%d steps are left after making anew:\n%s", n, text)
	}
	if n, _ := again(application, plan.Update{SkipReinstall: true}); n == 0 {
		t.Error("what was not updated counts as updated")
	}
}

// Options make no sense for other dialects, and for instances that do not exist.
func TestUpdateRefused(t *testing.T) {
	top := cloudify(t, application)
	rec := done(nil, build(t, plan.Input{Topology: top}).Steps...)
	for name, in := range map[string]plan.Input{
		"update-options":   {Topology: shop().Topology, Update: &plan.Update{SkipInstall: true}},
		"unknown-instance": {Topology: top, Recorded: rec, Update: &plan.Update{Reinstall: []topology.Instance{{Node: "web", Index: "7"}}}},
		"unknown-node":     {Topology: top, Recorded: rec, Update: &plan.Update{Reinstall: []topology.Instance{{Node: "nobody", Index: "0"}}}},
	} {
		_, list := plan.Build(in)
		if !slices.ContainsFunc(list, func(d diag.Diagnostic) bool { return d.Code == name }) {
			t.Errorf("%s: %v", name, list)
		}
	}
}

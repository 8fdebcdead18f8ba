package orch_test

import (
	"context"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

// selectLoader makes nodes of type Db of lines "name size"; a line "db select|or-create" is a node that is to be selected, of at least size 3.
func selectLoader(_ context.Context, b orch.Bundle) (*topology.Topology, diag.List) {
	raw, err := fs.ReadFile(b.FS, "app")
	if err != nil {
		panic(err)
	}
	t := &topology.Topology{Name: "app", Digest: string(raw), Files: b.FS}
	integer := &topology.Schema{Type: topology.Type{"integer"}}
	for line := range strings.Lines(string(raw)) {
		name, size, _ := strings.Cut(strings.TrimSpace(line), " ")
		n := &topology.Node{Name: name, Type: topology.Type{"Db"}, Properties: topology.NewValues(), Attributes: topology.NewValues(), Declared: map[string]*topology.Schema{"size": integer}}
		n.Attributes.Set("url", &topology.Value{})
		switch size {
		case "select", "or-create":
			n.Directives = []string{"select"}
			n.Select = &topology.Selection{Else: size == "or-create", Filters: []topology.PropertyFilter{{Name: "size", Constraints: []topology.Constraint{{Op: "greater_or_equal", Args: []*topology.Value{topology.Lit(int64(3))}}}}}}
		default:
			n.Properties.Set("size", topology.Lit(int64(size[0]-'0')))
			n.Attributes.Set("url", call("concat", "http://", name))
		}
		t.Nodes = append(t.Nodes, n)
		t.Outputs = append(t.Outputs, &topology.Parameter{Name: name, Value: call("get_attribute", name, "url")}, &topology.Parameter{Name: name + "-size", Value: call("get_property", name, "size")})
	}
	t.Reindex()
	return t, nil
}

// A node with the directive select is one of another deployment: the first that fits, and the same one as long as it fits.
func TestSelect(t *testing.T) {
	f := newFixture(t)
	f.opts.Load = selectLoader
	f.restart(t)
	app := func(text string) fs.FS { return fstest.MapFS{"app": {Data: []byte(text)}} }
	do := func(deployment string, verb orch.Verb, text string) error {
		t.Helper()
		req := orch.Request{Deployment: deployment, Verb: verb}
		if text != "" {
			req.Source = app(text)
		}
		task, err := f.Apply(t.Context(), req)
		if err != nil {
			return err
		}
		if task, err = f.Wait(t.Context(), deployment, task.ID); err != nil || task.Status != "done" {
			t.Fatalf("%s of %s: %+v, %v", verb, deployment, task, err)
		}
		return nil
	}
	outputs := func(deployment string) map[string]any {
		t.Helper()
		list, err := f.Outputs(t.Context(), deployment, false)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]any{}
		for _, o := range list {
			out[o.Name] = o.Value
		}
		return out
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := do("user", orch.Deploy, "db select"); err == nil || !strings.Contains(err.Error(), "no node of another deployment can take the place of db") {
		t.Fatalf("nothing is there to select: %v", err)
	}
	must(do("m", orch.Deploy, "small 1\nbig 5"))
	must(do("user", orch.Deploy, "db select"))
	if diff := cmp.Diff(map[string]any{"db": "http://big", "db-size": int64(5)}, outputs("user")); diff != "" {
		t.Error(diff)
	}
	must(do("a", orch.Deploy, "first 7"))
	must(do("user", orch.Deploy, "db select\nmore 2"))
	if got := outputs("user")["db"]; got != "http://big" {
		t.Errorf("another one was selected: %v", got)
	}
	must(do("other", orch.Deploy, "db select"))
	if got := outputs("other")["db"]; got != "http://first" {
		t.Errorf("selected %v, not the first one; and never what is selected itself", got)
	}
	_, list, err := f.Plan(t.Context(), orch.Request{Deployment: "m", Verb: orch.Undeploy})
	if err != nil || len(list) != 1 || list[0].Code != "selected-elsewhere" || !strings.Contains(list[0].Message, "deployment user has selected the node big") {
		t.Errorf("the undeployment of what is selected: %v, %v", list, err)
	}
	// A deployment whose records are broken keeps no other from going, or from looking for nodes.
	must(f.opts.Store.Update(t.Context(), func(tx state.Tx) error { return tx.DeletePrefix(state.Prefix("d", "other", "revision")) }))
	must(do("m", orch.Undeploy, ""))
	must(do("user", orch.Undeploy, ""))
	must(do("a", orch.Undeploy, ""))
	must(do("lone", orch.Deploy, "db or-create"))
}

package orch_test

import (
	"context"
	"io/fs"
	"testing"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

// TestImportsOfTheNetworkAreKept: what was read from the network when a document was deployed is stored with it. Nothing that is done with the
// deployment afterwards needs the network, not even an update of the document.
func TestImportsOfTheNetworkAreKept(t *testing.T) {
	f := newFixture(t)
	online, asked := true, 0
	f.opts.Load = func(ctx context.Context, b orch.Bundle) (*topology.Topology, diag.List) {
		top, list := loader(ctx, b)
		if top == nil {
			return nil, list
		}
		data, err := fs.ReadFile(b.FS, "kept/types")
		if err != nil && b.Kept != nil && !online {
			data, err = fs.ReadFile(b.Kept, "kept/types")
		}
		if err != nil {
			if asked++; !online {
				list.Errorf("network-import", diag.Pos{File: b.Name}, "the network is not used")
				return nil, list
			}
			data = []byte("types")
		}
		top.Network = []topology.Fetched{{URL: "https://types.example/types", Data: data}}
		return top, list
	}
	f.opts.Keep = func(top *topology.Topology) (map[string][]byte, error) {
		return map[string][]byte{"kept/types": top.Network[0].Data}, nil
	}
	f.restart(t)
	if task := f.apply(t, orch.Request{Verb: orch.Deploy, Source: bundle("hello")}); task.Status != "done" {
		t.Fatalf("%+v", task.Failure)
	}
	online, asked = false, 0
	for _, req := range []orch.Request{
		{Verb: orch.Deploy, Source: bundle("hello again")}, {Verb: orch.Undeploy},
	} {
		if task := f.apply(t, req); task.Status != "done" {
			t.Fatalf("%s: %+v", req.Verb, task.Failure)
		}
	}
	if asked != 0 {
		t.Errorf("the network was asked %d times", asked)
	}
}

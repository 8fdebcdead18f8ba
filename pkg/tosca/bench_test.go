package tosca

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/orch-project/orch/internal/orchtest/generated"
	"github.com/orch-project/orch/pkg/source"
)

func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		doc := generated.Topology(n)
		b.Run(fmt.Sprintf("nodes=%d", n), func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				bundle, _ := source.OpenFS("generated", fstest.MapFS{"app.yaml": {Data: doc}}, "app.yaml")
				top, list := Load(context.Background(), Options{Bundle: bundle})
				if list.HasErrors() || len(top.Nodes) != n {
					b.Fatal(list.Err())
				}
			}
		})
	}
}

// Loading must stay linear in the number of nodes: allocations are counted, because time is not reliable.
func TestLoadIsLinear(t *testing.T) {
	allocs := func(n int) float64 {
		doc := generated.Topology(n)
		return testing.AllocsPerRun(1, func() {
			bundle, _ := source.OpenFS("generated", fstest.MapFS{"app.yaml": {Data: doc}}, "app.yaml")
			if _, list := Load(context.Background(), Options{Bundle: bundle}); list.HasErrors() {
				t.Fatal(list.Err())
			}
		})
	}
	small, large := allocs(400), allocs(3200)
	if large > 9*small {
		t.Errorf("8 times the nodes need %.1f times the allocations", large/small)
	}
}

// Mistakes must not make loading quadratic either.
func TestLoadWithManyMistakesIsLinear(t *testing.T) {
	broken := func(n int) []byte {
		doc := generated.Topology(n)
		doc = bytes.ReplaceAll(doc, []byte("- host: host_"), []byte("- host: hosst_"))
		return bytes.ReplaceAll(doc, []byte("type: Store"), []byte("type: Stoer"))
	}
	allocs := func(n int) float64 {
		doc := broken(n)
		return testing.AllocsPerRun(1, func() {
			bundle, _ := source.OpenFS("generated", fstest.MapFS{"app.yaml": {Data: doc}}, "app.yaml")
			if _, list := Load(context.Background(), Options{Bundle: bundle}); len(list) < n/2 {
				t.Fatalf("%d findings", len(list))
			}
		})
	}
	if small, large := allocs(400), allocs(3200); large > 9*small {
		t.Errorf("8 times the nodes need %.1f times the allocations", large/small)
	}
}

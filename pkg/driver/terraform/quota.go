package terraform

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plugin"
	"github.com/orch-project/orch/pkg/topology"
)

// demand is what one node asks of one quota.
type demand struct {
	node string
	n    float64
}

// checkQuota compares the sum of what is to be made with what the project has left, whatever else may be wrong: who mends a mistake should not
// meet the next one then.
func checkQuota(ctx context.Context, r *plugin.Renderer, ids []topology.Instance, cloud driver.Cloud, b *bundle) diag.List {
	var list diag.List
	limits, err := cloud.Quota(ctx)
	if err != nil { // of one service or two; the others have said theirs
		for text := range strings.SplitSeq(err.Error(), "\n") {
			_, _, hint := Classify(text)
			list.Warnf(CodeQuota, diag.Pos{}, "cannot read the project's quotas: %s", text).Hint = hint
		}
	}
	wanted := demands(ctx, r.Fresh(), ids, b)
	for _, k := range slices.Sorted(maps.Keys(wanted)) {
		q, ok := limits[k]
		if !ok || q.Limit < 0 {
			continue
		}
		if q.Each {
			list.Add(tooLarge(r.Topology, k, q, wanted[k])...)
			continue
		}
		sum := 0.0
		by := map[string]float64{}
		for _, w := range wanted[k] {
			sum += w.n
			by[w.node] += w.n
		}
		if float64(q.Used)+sum > float64(q.Limit) {
			list.Add(quotaFinding(r.Topology, k, q, sum, by))
		}
	}
	return list
}

// demands are what the instances need beyond what exists, by the name of the quota.
func demands(ctx context.Context, r *plugin.Renderer, ids []topology.Instance, b *bundle) map[string][]demand {
	out := map[string][]demand{}
	for _, d := range r.Demands(ctx, ids) {
		has := map[string]float64{}
		if b.state.find(d.Address) != nil { // counted in what is used
			old := b.Manifest.block(d.Address)
			if old == nil || old.Quota == nil {
				continue
			}
			has = old.Quota
		}
		for k, n := range d.Quota {
			if n -= has[k]; n > 0 {
				out[k] = append(out[k], demand{d.Instance.Node, n})
			}
		}
	}
	return out
}

// tooLarge are those that ask for more than one of a kind may have.
func tooLarge(t *topology.Topology, name string, q driver.Quota, wanted []demand) (list diag.List) {
	for _, w := range wanted {
		if n := t.NodeNamed(w.node); w.n > float64(q.Limit) && n != nil {
			list.Add(diag.Diagnostic{Severity: diag.Error, Code: CodeQuota, Pos: n.Pos, Path: "node " + n.Name, Hint: quotaHint,
				Message: fmt.Sprintf("%s needs %.0f %s; the project may have %d in each", n.Name, w.n, name, q.Limit)})
		}
	}
	return list
}

const quotaHint = "free what is no longer used (orch sweep), ask for a higher quota, or make the topology smaller"

// quotaFinding points at the node that asks for most.
func quotaFinding(t *topology.Topology, name string, q driver.Quota, sum float64, by map[string]float64) diag.Diagnostic {
	nodes := slices.SortedFunc(maps.Keys(by), func(a, b string) int { return cmp.Or(cmp.Compare(by[b], by[a]), cmp.Compare(a, b)) })
	dg := diag.Diagnostic{Severity: diag.Error, Code: CodeQuota, Hint: quotaHint,
		Message: fmt.Sprintf("the topology needs %.0f more %s; the project has %d free of %d", sum, name, max(0, q.Limit-q.Used), q.Limit)}
	for _, n := range nodes {
		node := t.NodeNamed(n)
		if node == nil {
			continue
		}
		if dg.Pos.IsZero() {
			dg.Pos, dg.Path = node.Pos, "node "+n
		}
		dg.Related = append(dg.Related, diag.Related{Pos: node.Pos, Message: fmt.Sprintf("%s needs %.0f", n, by[n])})
	}
	return dg
}

package terraform

import (
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

// Codes of findings.
const (
	CodeCloud = "cloud-unreachable"
	CodeQuota = "quota"
	CodeTool  = "terraform-missing"
	CodeLost  = "record-lost"
)

// Check examines the requests against the cloud before anything is made: everything that a mapping asks for exists, requirements hold, the
// sum of what is to be made fits into the quotas, and the tool can run.
func (d *Driver) Check(ctx context.Context, reqs []*driver.Request) diag.List {
	var list diag.List
	if len(reqs) == 0 {
		return nil
	}
	if _, err := d.tool.find(ctx, d.opts.Binary); err != nil {
		list.Errorf(CodeTool, diag.Pos{}, "%v", err)
	}
	loc, err := d.location(ctx, reqs[0].Deployment)
	if err != nil {
		list.Errorf(CodeCloud, diag.Pos{}, "%v", err)
		return list
	}
	var cloud driver.Cloud
	if d.opts.Cloud != nil {
		if cloud, err = d.opts.Cloud(ctx, loc); err != nil {
			_, _, hint := Classify(err.Error())
			list.Errorf(CodeCloud, loc.Pos, "cannot use the location %s: %v", loc.Name, err).Hint = hint
			return list
		}
	}
	data, err := d.opts.States.Load(ctx, reqs[0].Deployment)
	if err != nil {
		list.Errorf(CodeCloud, diag.Pos{}, "cannot load the Terraform state of %s: %v", reqs[0].Deployment, err)
		return list
	}
	b, err := decodeBundle(data)
	if err != nil {
		list.Errorf(CodeCloud, diag.Pos{}, "%v", err)
		return list
	}
	r := d.renderer(reqs[0].Deployment, loc, reqs[0], cloud, maps.Clone(b.Manifest.Pins))
	r.AllowUnknown = true
	r.Secrets = nil // a check makes nothing, not even secrets
	var ids []topology.Instance
	for _, q := range reqs {
		if q.Action == driver.Create || q.Action == driver.Update || q.Action == driver.Replace {
			found := r.Check(ctx, q.ID())
			list.Add(found...)
			if !found.HasErrors() {
				ids = append(ids, q.ID())
			}
		}
	}
	if cloud != nil && b.empty() {
		list.Add(checkUnknown(ctx, reqs[0], cloud)...)
	}
	if cloud != nil && !list.HasErrors() {
		list.Add(checkQuota(ctx, r, ids, cloud, b)...)
	}
	return list.Sorted() // what several nodes depend on is said once
}

// checkUnknown refuses to make what exists already: a deployment of which nothing is on record has resources in the cloud.
func checkUnknown(ctx context.Context, req *driver.Request, cloud driver.Cloud) diag.List {
	var list diag.List
	found, err := cloud.Inventory(ctx, req.Deployment)
	if err != nil {
		_, _, hint := Classify(err.Error())
		list.Errorf(CodeCloud, diag.Pos{}, "%v", err).Hint = hint
		return list
	}
	kinds := map[string]int{}
	for _, f := range found {
		if !f.Kept {
			kinds[f.Kind]++
		}
	}
	if len(kinds) == 0 {
		return nil
	}
	var what []string
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		what = append(what, fmt.Sprintf("%s (%d)", k, kinds[k]))
	}
	_, name, ok := strings.Cut(req.Deployment, "~") // as its tenant calls it
	if !ok {
		name = req.Deployment
	}
	list.Errorf(CodeLost, diag.Pos{}, "the cloud has resources with the mark of deployment %s, of which nothing is on record: %s", name, strings.Join(what, ", ")).Hint =
		"deploy with --adopt to take them over, remove them with orch sweep " + name + " --delete, or choose another name"
	return list
}

// demand is what one node asks of one quota.
type demand struct {
	node string
	n    float64
}

func checkQuota(ctx context.Context, r *plugin.Renderer, ids []topology.Instance, cloud driver.Cloud, b *bundle) diag.List {
	var list diag.List
	entries, err := r.Render(ctx, ids)
	if err != nil {
		return nil // reported already
	}
	wanted := map[string][]demand{}
	for _, e := range entries {
		for _, bl := range e.Blocks {
			if b.state.find(bl.Address()) != nil {
				continue // counted in what is used
			}
			for _, k := range slices.Sorted(maps.Keys(bl.Quota)) {
				if n := bl.Quota[k]; n > 0 {
					wanted[k] = append(wanted[k], demand{e.Instance.Node, n})
				}
			}
		}
	}
	limits, err := cloud.Quota(ctx)
	if err != nil {
		_, _, hint := Classify(err.Error())
		list.Warnf(CodeQuota, diag.Pos{}, "cannot read the project's quotas: %v", err).Hint = hint
		return list
	}
	for _, k := range slices.Sorted(maps.Keys(wanted)) {
		q, ok := limits[k]
		sum := 0.0
		by := map[string]float64{}
		for _, w := range wanted[k] {
			sum += w.n
			by[w.node] += w.n
		}
		if !ok || q.Limit < 0 || float64(q.Used)+sum <= float64(q.Limit) {
			continue
		}
		list.Add(quotaFinding(r.Topology, k, q, sum, by))
	}
	return list
}

// quotaFinding points at the node that asks for most.
func quotaFinding(t *topology.Topology, name string, q driver.Quota, sum float64, by map[string]float64) diag.Diagnostic {
	nodes := slices.SortedFunc(maps.Keys(by), func(a, b string) int {
		if by[a] != by[b] {
			return int(by[b] - by[a])
		}
		if a < b {
			return -1
		}
		return 1
	})
	dg := diag.Diagnostic{Severity: diag.Error, Code: CodeQuota,
		Message: fmt.Sprintf("the topology needs %.0f more %s; the project has %d free of %d", sum, name, max(0, q.Limit-q.Used), q.Limit),
		Hint:    "free what is no longer used (orch sweep), ask for a higher quota, or make the topology smaller"}
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

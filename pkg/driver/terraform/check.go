package terraform

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
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
			list.Add(r.Check(ctx, q.ID())...)
			ids = append(ids, q.ID())
		}
	}
	if cloud != nil && b.empty() {
		list.Add(checkUnknown(ctx, reqs[0], cloud)...)
	}
	if cloud != nil {
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

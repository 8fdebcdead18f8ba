package cinder

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func overLimit(format string, args ...any) *rest.Error {
	return rest.Fail(http.StatusRequestEntityTooLarge, format, args...)
}

// quota refuses when a further volume of that size would exceed the project's limits.
func (s *Service) quota(project string, size int) error {
	q := &s.Cloud.Quotas
	if limit := q.Limit("cinder", project, "per_volume_gigabytes"); limit >= 0 && size > limit {
		return overLimit("VolumeSizeExceedsLimit: Requested volume size %dG is larger than maximum allowed limit %dG.", size, limit)
	}
	used := s.used(project, "gigabytes")
	if limit := q.Limit("cinder", project, "gigabytes"); limit >= 0 && used+size > limit {
		return overLimit("VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. Requested %dG, quota is %dG and %dG has been consumed.", size, limit, used)
	}
	if limit := q.Limit("cinder", project, "volumes"); limit >= 0 && s.used(project, "volumes")+1 > limit {
		return overLimit("VolumeLimitExceeded: Maximum number of volumes allowed (%d) exceeded for quota 'volumes'.", limit)
	}
	return nil
}

func (s *Service) used(project, resource string) int {
	n := 0
	for v := range s.Cloud.Volumes.Where(func(v *cloud.Volume) bool { return v.ProjectID == project }) {
		switch resource {
		case "volumes":
			n++
		case "gigabytes":
			n += v.Size
		}
	}
	for p := range s.Cloud.Snapshots.Where(func(p *cloud.Snapshot) bool { return p.ProjectID == project }) {
		switch resource {
		case "snapshots":
			n++
		case "gigabytes":
			n += p.Size
		}
	}
	return n
}

func (s *Service) limits(c *rest.Call) (rest.Reply, error) {
	l, p := s.Cloud.Quotas.Limits("cinder", c.Project()), c.Project()
	return rest.OK(map[string]any{"limits": map[string]any{"rate": []any{}, "absolute": map[string]int{
		"maxTotalVolumes": l["volumes"], "maxTotalVolumeGigabytes": l["gigabytes"], "maxTotalSnapshots": l["snapshots"],
		"maxTotalBackups": l["backups"], "maxTotalBackupGigabytes": l["backup_gigabytes"], "totalVolumesUsed": s.used(p, "volumes"),
		"totalGigabytesUsed": s.used(p, "gigabytes"), "totalSnapshotsUsed": s.used(p, "snapshots"), "totalBackupsUsed": 0, "totalBackupGigabytesUsed": 0,
	}}})
}

func (s *Service) quotaDoc(c *rest.Call, project string, usage bool) map[string]any {
	out := map[string]any{"id": project}
	limits := s.Cloud.Quotas.Limits("cinder", project)
	for t := range s.Cloud.VolumeTypes.All() {
		for _, name := range []string{"volumes", "gigabytes", "snapshots"} {
			if _, own := limits[name+"_"+t.Name]; !own {
				limits[name+"_"+t.Name] = -1
			}
		}
	}
	for name, limit := range limits {
		if usage {
			out[name] = map[string]int{"limit": limit, "in_use": s.used(project, name), "reserved": 0, "allocated": 0}
		} else {
			out[name] = limit
		}
	}
	return out
}

func (s *Service) showQuota(c *rest.Call) (rest.Reply, error) {
	project := c.PathValue("project")
	if project != c.Project() && !c.Admin() {
		return rest.Reply{}, rest.Forbidden("Policy doesn't allow volume_extension:quotas:show to be performed.")
	}
	usage, _ := rest.ParseBool(c.Query.Get("usage"))
	return rest.OK(map[string]any{"quota_set": s.quotaDoc(c, project, usage)})
}

func (s *Service) defaultQuota(c *rest.Call) (rest.Reply, error) {
	out := map[string]any{"id": c.PathValue("project")}
	for name, n := range s.Cloud.Quotas.Defaults("cinder") {
		out[name] = n
	}
	return rest.OK(map[string]any{"quota_set": out})
}

func (s *Service) updateQuota(c *rest.Call) (rest.Reply, error) {
	var want map[string]any
	if err := json.Unmarshal(c.Object("quota_set"), &want); err != nil {
		return rest.Reply{}, rest.Bad("Invalid input for field/attribute quota_set.")
	}
	project := c.PathValue("project")
	known := s.quotaDoc(c, project, false)
	set := map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if name == "tenant_id" || name == "force" || name == "id" {
			continue
		}
		n, ok := want[name].(float64)
		if _, exists := known[name]; !exists || !ok || n < -1 {
			return rest.Reply{}, rest.Bad("Invalid input received: Bad key(s) or value(s) in quota set: %s", strings.TrimSpace(name))
		}
		set[name] = int(n)
	}
	for name, n := range set {
		s.Cloud.Quotas.Set("cinder", project, name, n)
	}
	return rest.OK(map[string]any{"quota_set": s.quotaDoc(c, project, false)})
}

func (s *Service) deleteQuota(c *rest.Call) (rest.Reply, error) {
	s.Cloud.Quotas.Reset("cinder", c.PathValue("project"))
	return rest.Reply{Status: http.StatusOK}, nil
}

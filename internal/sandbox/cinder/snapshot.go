package cinder

import (
	"context"
	"net/http"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// createSnapshot records a snapshot. Volumes with a file behind them are refused: their content would not be kept.
func (s *Service) createSnapshot(c *rest.Call) (rest.Reply, error) {
	var b struct {
		Snapshot struct {
			Volume            string `json:"volume_id"`
			Name, Description *string
			Force             any
			Metadata          map[string]string
		}
	}
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	v := s.Cloud.Volumes.Get(b.Snapshot.Volume)
	if v == nil || v.ProjectID != c.Project() {
		return rest.Reply{}, volumeMissing(b.Snapshot.Volume)
	}
	if s.Cloud.Host != nil {
		return rest.Reply{}, rest.Fail(http.StatusNotImplemented, "The sandbox cannot snapshot volumes of running machines.")
	}
	force, _ := rest.ParseBool(rest.Text(b.Snapshot.Force))
	if v.Status != "available" && (v.Status != "in-use" || !force && !c.Version.At(66)) {
		return rest.Reply{}, rest.Bad("Invalid volume: Volume %s status must be available, but current status is: %s.", v.ID, v.Status)
	}
	if limit := s.Cloud.Quotas.Limit("cinder", c.Project(), "snapshots"); limit >= 0 && s.used(c.Project(), "snapshots")+1 > limit {
		return rest.Reply{}, overLimit("SnapshotLimitExceeded: Maximum number of snapshots allowed (%d) exceeded", limit)
	}
	now := s.Cloud.Now()
	p := &cloud.Snapshot{
		ID: cloud.UUID(), Name: text(b.Snapshot.Name), Description: text(b.Snapshot.Description), ProjectID: c.Project(), UserID: c.Token.User.ID,
		VolumeID: v.ID, Size: v.Size, Status: "creating", Metadata: b.Snapshot.Metadata, Created: now, Updated: now,
	}
	s.Cloud.Snapshots.Put(p.ID, p)
	s.Cloud.Work.Do("snapshot:"+p.ID, func(ctx context.Context) {
		cloud.Sleep(ctx, s.Cloud.Delays.Volume)
		s.Cloud.Lock()
		defer s.Cloud.Unlock()
		p.Status, p.Updated = "available", s.Cloud.Now()
	})
	return rest.Accepted(map[string]any{"snapshot": s.snapshotDoc(p)})
}

func (s *Service) snapshot(c *rest.Call) (*cloud.Snapshot, error) {
	p := s.Cloud.Snapshots.Get(c.PathValue("id"))
	if p == nil || p.ProjectID != c.Project() && !c.Admin() {
		return nil, rest.Missing("Snapshot %s could not be found.", c.PathValue("id"))
	}
	return p, nil
}

func (s *Service) showSnapshot(c *rest.Call) (rest.Reply, error) {
	p, err := s.snapshot(c)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"snapshot": s.snapshotDoc(p)})
}

func (s *Service) updateSnapshot(c *rest.Call) (rest.Reply, error) {
	p, err := s.snapshot(c)
	if err != nil {
		return rest.Reply{}, err
	}
	var b struct {
		Snapshot struct{ Name, Description *string }
	}
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	if b.Snapshot.Name != nil {
		p.Name = *b.Snapshot.Name
	}
	if b.Snapshot.Description != nil {
		p.Description = *b.Snapshot.Description
	}
	return rest.OK(map[string]any{"snapshot": s.snapshotDoc(p)})
}

func (s *Service) deleteSnapshot(c *rest.Call) (rest.Reply, error) {
	p, err := s.snapshot(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if p.Status != "available" && p.Status != "error" {
		return rest.Reply{}, rest.Bad("Invalid snapshot: Snapshot status must be available or error, but current status is: %s.", p.Status)
	}
	p.Status = "deleting"
	s.Cloud.Work.Do("snapshot:"+p.ID, func(ctx context.Context) {
		cloud.Sleep(ctx, s.Cloud.Delays.Delete)
		s.Cloud.Lock()
		defer s.Cloud.Unlock()
		s.Cloud.Snapshots.Delete(p.ID)
	})
	return rest.Reply{Status: http.StatusAccepted}, nil
}

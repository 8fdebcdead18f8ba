package nova

import (
	"slices"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// began notes an action in the server's history.
func (s *Service) began(c *rest.Call, v *cloud.Server, name string) {
	now := s.Cloud.Now()
	v.Actions = append(v.Actions, &cloud.Action{
		Name: name, RequestID: c.RequestID, UserID: c.Token.User.ID, ProjectID: v.ProjectID, Start: now, Updated: now,
	})
}

// ended notes the result of the oldest action under way.
func (s *Service) ended(v *cloud.Server, err error) {
	for _, a := range v.Actions {
		if a.Finished {
			continue
		}
		a.Finished, a.Updated, a.Result = true, s.Cloud.Now(), "Success"
		if err != nil {
			a.Result, a.Message = "Error", "Error"
		}
		return
	}
}

func actionDoc(c *rest.Call, v *cloud.Server, a *cloud.Action) rest.Doc {
	d := rest.Doc{
		"action": a.Name, "instance_uuid": v.ID, "request_id": a.RequestID, "user_id": a.UserID, "project_id": a.ProjectID,
		"start_time": cloud.Micro(a.Start), "message": orNil(a.Message),
	}
	if c.Version.At(58) {
		d["updated_at"] = cloud.Micro(a.Updated)
	}
	return d
}

func (s *Service) listActions(c *rest.Call) (rest.Reply, error) {
	v, err := s.server(c)
	if err != nil {
		return rest.Reply{}, err
	}
	docs := []rest.Doc{}
	for _, a := range slices.Backward(v.Actions) {
		docs = append(docs, actionDoc(c, v, a))
	}
	return rest.OK(map[string]any{"instanceActions": docs})
}

func (s *Service) showAction(c *rest.Call) (rest.Reply, error) {
	v, err := s.server(c)
	if err != nil {
		return rest.Reply{}, err
	}
	for _, a := range v.Actions {
		if a.RequestID != c.PathValue("request") {
			continue
		}
		d := actionDoc(c, v, a)
		event := rest.Doc{"event": "compute_" + a.Name, "start_time": cloud.Micro(a.Start), "finish_time": nil, "result": nil}
		if a.Finished {
			event["finish_time"], event["result"] = cloud.Micro(a.Updated), a.Result
		}
		d["events"] = []any{event}
		return rest.OK(map[string]any{"instanceAction": d})
	}
	return rest.Reply{}, rest.Missing("Action for request_id %s on instance %s not found", c.PathValue("request"), v.ID)
}

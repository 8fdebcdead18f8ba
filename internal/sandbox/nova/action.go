package nova

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// serverAction is one action of POST /servers/{id}/action.
type serverAction struct {
	do func(*rest.Call, *cloud.Server, json.RawMessage) (rest.Reply, error)
	// from are the vm_states that allow it; nil: any.
	from []string
	// name is the one that conflicts and the history show; the action's own when empty.
	name string
	// admin needs an administrator.
	admin bool
	// last is the last microversion that has it; 0: all.
	last int
	// always is possible with a task under way and on a locked server.
	always bool
}

func (s *Service) actions() map[string]serverAction {
	live := []string{"active", "stopped", "paused", "suspended"}
	return map[string]serverAction{
		"os-start":            {do: s.start, from: []string{"stopped"}, name: "start"},
		"os-stop":             {do: s.stop, from: []string{"active", "error"}, name: "stop"},
		"reboot":              {do: s.reboot, from: append(slices.Clone(live), "error")},
		"pause":               {do: s.recordOnly("pausing", "paused", 3), from: []string{"active"}},
		"unpause":             {do: s.recordOnly("unpausing", "active", 1), from: []string{"paused"}},
		"suspend":             {do: s.recordOnly("suspending", "suspended", 4), from: []string{"active"}},
		"resume":              {do: s.recordOnly("resuming", "active", 1), from: []string{"suspended"}},
		"rescue":              {do: s.rescue, from: []string{"active", "stopped", "error"}},
		"unrescue":            {do: s.recordOnly("unrescuing", "active", 1), from: []string{"rescued"}},
		"shelve":              {do: s.shelve, from: live},
		"shelveOffload":       {do: s.shelve, from: []string{"shelved"}, admin: true},
		"unshelve":            {do: s.unshelve, from: []string{"shelved", "shelved_offloaded"}},
		"resize":              {do: s.resize, from: []string{"active", "stopped"}},
		"migrate":             {do: s.migrate, from: []string{"active", "stopped"}, admin: true},
		"confirmResize":       {do: s.confirmResize, from: []string{"resized"}},
		"revertResize":        {do: s.revertResize, from: []string{"resized"}},
		"rebuild":             {do: s.rebuild, from: []string{"active", "stopped", "error"}},
		"lock":                {do: s.lock, always: true},
		"unlock":              {do: s.unlock, always: true},
		"forceDelete":         {do: s.forceDelete, always: true},
		"restore":             {do: s.restore, from: []string{"soft-delete"}},
		"createImage":         {do: s.createImage, from: live, name: "createImage"},
		"changePassword":      {do: s.changePassword, from: []string{"active"}},
		"os-resetState":       {do: s.resetState, admin: true, always: true},
		"addSecurityGroup":    {do: s.addGroup},
		"removeSecurityGroup": {do: s.removeGroup},
		"addFloatingIp":       {do: s.addFloating, last: 43},
		"removeFloatingIp":    {do: s.removeFloating, last: 43},
		"os-getVNCConsole":    {do: s.noConsole, last: 5},
		"os-getSPICEConsole":  {do: s.noConsole, last: 5},
		"os-getSerialConsole": {do: s.noConsole, last: 5},
		"trigger_crash_dump":  {do: s.unsupported("trigger crash dumps")},
		"createBackup":        {do: s.unsupported("make backups"), admin: true},
		"evacuate":            {do: s.unsupported("evacuate servers"), admin: true},
		"os-migrateLive":      {do: s.unsupported("migrate live"), admin: true},
		"resetNetwork":        {do: s.nothing, admin: true},
		"injectNetworkInfo":   {do: s.nothing, admin: true},
		"addFixedIp":          {do: s.unsupported("add fixed addresses this way: use os-interface"), last: 43},
		"removeFixedIp":       {do: s.unsupported("remove fixed addresses this way: use os-interface"), last: 43},
	}
}

// action takes the lock itself: reading a console must not hold it.
func (s *Service) action(c *rest.Call) (rest.Reply, error) {
	var body map[string]json.RawMessage
	if json.Unmarshal(c.Body, &body) != nil || len(body) != 1 {
		return rest.Reply{}, rest.Bad("There is no such action: %s", strings.Join(slices.Sorted(maps.Keys(body)), ", "))
	}
	name := slices.Collect(maps.Keys(body))[0]
	if name == "os-getConsoleOutput" {
		return s.consoleOutput(c, body[name])
	}
	s.Cloud.Lock()
	defer s.Cloud.Unlock()
	v, err := s.server(c)
	if err != nil {
		return rest.Reply{}, err
	}
	a, ok := s.actions()[name]
	if !ok || a.last > 0 && c.Version.Minor > a.last {
		return rest.Reply{}, rest.Bad("There is no such action: %s", name)
	}
	if a.admin && !c.Admin() {
		return rest.Reply{}, denied(policyOf(name))
	}
	if a.name == "" {
		a.name = name
	}
	if !a.always {
		if err := unlocked(c, v); err != nil {
			return rest.Reply{}, err
		}
		if a.from != nil && !slices.Contains(a.from, v.VMState) || v.TaskState != "" && name != "os-stop" {
			return rest.Reply{}, conflict(a.name, v)
		}
		if v.TaskState == "deleting" {
			return rest.Reply{}, conflict(a.name, v)
		}
	}
	task := v.TaskState
	s.began(c, v, a.name)
	reply, err := a.do(c, v, body[name])
	if err != nil || v.TaskState == task {
		s.ended(v, err) // done at once, or refused
	}
	return reply, err
}

// policyOf is the policy's name of an administrators' action.
func policyOf(action string) string {
	switch action {
	case "os-resetState":
		return "os-admin-actions:reset_state"
	case "migrate":
		return "os-migrate-server:migrate"
	case "os-migrateLive":
		return "os-migrate-server:migrate_live"
	case "evacuate":
		return "os-evacuate"
	case "shelveOffload":
		return "os-shelve:shelve_offload"
	}
	return "os-admin-actions:" + action
}

// conflict says why an action cannot be done now.
func conflict(action string, v *cloud.Server) *rest.Error {
	if v.TaskState != "" {
		return rest.Conflict("Cannot '%s' instance %s while it is in task_state %s", action, v.ID, v.TaskState)
	}
	return rest.Conflict("Cannot '%s' instance %s while it is in vm_state %s", action, v.ID, v.VMState)
}

// unlocked refuses changes of a locked server by members.
func unlocked(c *rest.Call, v *cloud.Server) error {
	if v.Locked && !c.Admin() {
		return rest.Conflict("Instance %s is locked", v.ID)
	}
	return nil
}

var accepted = rest.Reply{Status: http.StatusAccepted}

// step is an asynchronous change of a server: the task while it runs, what is done without the lock, and the state after.
type step struct {
	task  string
	work  func(ctx context.Context) error
	after func(*cloud.Server)
}

// run queues a step; a failure puts the server into ERROR.
func (s *Service) run(v *cloud.Server, p step) {
	v.TaskState, v.Updated = p.task, s.Cloud.Now()
	s.Cloud.Work.Do(lane(v), func(ctx context.Context) {
		if !cloud.Sleep(ctx, s.Cloud.Delays.Action) {
			return
		}
		var err error
		if p.work != nil && s.Cloud.Host != nil {
			err = p.work(ctx)
		}
		s.Cloud.Lock()
		defer s.Cloud.Unlock()
		if v.TaskState == "deleting" {
			return
		}
		v.TaskState, v.Updated = "", s.Cloud.Now()
		if err != nil {
			s.failed(v, fmt.Errorf("cannot finish %s: %w", p.task, err))
		} else {
			p.after(v)
		}
		s.ended(v, err)
	})
}

func (s *Service) start(_ *rest.Call, v *cloud.Server, _ json.RawMessage) (rest.Reply, error) {
	s.run(v, step{"powering-on", func(ctx context.Context) error { return s.Cloud.Host.Start(ctx, v.ID) }, s.running})
	return accepted, nil
}

func (s *Service) stop(_ *rest.Call, v *cloud.Server, _ json.RawMessage) (rest.Reply, error) {
	s.run(v, step{"powering-off", func(ctx context.Context) error { return s.Cloud.Host.Stop(ctx, v.ID) }, func(v *cloud.Server) {
		v.VMState, v.PowerState, v.Fault = "stopped", 4, nil
	}})
	return accepted, nil
}

func (s *Service) reboot(_ *rest.Call, v *cloud.Server, raw json.RawMessage) (rest.Reply, error) {
	var b struct{ Type string }
	_ = json.Unmarshal(raw, &b) // the type is checked below
	hard := strings.EqualFold(b.Type, "HARD")
	if !hard && !strings.EqualFold(b.Type, "SOFT") {
		return rest.Reply{}, rest.Bad("Invalid input for field/attribute type. Value: %s. '%s' is not one of ['HARD', 'Hard', 'hard', 'SOFT', 'Soft', 'soft']", b.Type, b.Type)
	}
	if !hard && v.VMState != "active" {
		return rest.Reply{}, conflict("reboot", v)
	}
	task := "rebooting"
	if hard {
		task = "rebooting_hard"
	}
	s.run(v, step{task, func(ctx context.Context) error { return s.Cloud.Host.Reboot(ctx, v.ID, hard) }, s.running})
	return accepted, nil
}

// recordOnly is a state that a machine of the sandbox cannot be in.
func (s *Service) recordOnly(task, state string, power int) func(*rest.Call, *cloud.Server, json.RawMessage) (rest.Reply, error) {
	return func(c *rest.Call, v *cloud.Server, raw json.RawMessage) (rest.Reply, error) {
		if s.Cloud.Host != nil {
			return s.unsupported("freeze servers")(c, v, raw)
		}
		s.run(v, step{task, nil, func(v *cloud.Server) { v.VMState, v.PowerState = state, power }})
		return accepted, nil
	}
}

func (s *Service) unsupported(what string) func(*rest.Call, *cloud.Server, json.RawMessage) (rest.Reply, error) {
	return func(*rest.Call, *cloud.Server, json.RawMessage) (rest.Reply, error) {
		return rest.Reply{}, rest.Fail(http.StatusNotImplemented, "Unable to complete the requested action: the sandbox cannot %s.", what)
	}
}

func (s *Service) nothing(*rest.Call, *cloud.Server, json.RawMessage) (rest.Reply, error) {
	return accepted, nil
}

func (s *Service) rescue(c *rest.Call, v *cloud.Server, raw json.RawMessage) (rest.Reply, error) {
	var b struct {
		AdminPass string `json:"adminPass"`
	}
	_ = json.Unmarshal(raw, &b) // null is allowed
	if _, err := s.recordOnly("rescuing", "rescued", 1)(c, v, raw); err != nil {
		return rest.Reply{}, err
	}
	if b.AdminPass == "" {
		b.AdminPass = cloud.Hex(6)
	}
	return rest.OK(map[string]any{"adminPass": b.AdminPass})
}

// shelve stops the machine and keeps its disk.
func (s *Service) shelve(_ *rest.Call, v *cloud.Server, _ json.RawMessage) (rest.Reply, error) {
	s.run(v, step{"shelving", func(ctx context.Context) error { return s.Cloud.Host.Stop(ctx, v.ID) }, func(v *cloud.Server) {
		v.VMState, v.PowerState = "shelved_offloaded", 4
		s.plugPorts(v, false)
	}})
	return accepted, nil
}

func (s *Service) unshelve(_ *rest.Call, v *cloud.Server, _ json.RawMessage) (rest.Reply, error) {
	s.run(v, step{"spawning", func(ctx context.Context) error { return s.Cloud.Host.Start(ctx, v.ID) }, s.running})
	return accepted, nil
}

func (s *Service) lock(c *rest.Call, v *cloud.Server, raw json.RawMessage) (rest.Reply, error) {
	var b struct {
		Reason string `json:"locked_reason"`
	}
	_ = json.Unmarshal(raw, &b) // null is allowed
	if b.Reason != "" && !c.Version.At(73) {
		return rest.Reply{}, rest.Bad("Invalid input for field/attribute lock. Additional properties are not allowed ('locked_reason' was unexpected)")
	}
	v.Locked, v.LockedReason = true, b.Reason
	return accepted, nil
}

func (s *Service) unlock(_ *rest.Call, v *cloud.Server, _ json.RawMessage) (rest.Reply, error) {
	v.Locked, v.LockedReason = false, ""
	return accepted, nil
}

func (s *Service) forceDelete(c *rest.Call, v *cloud.Server, _ json.RawMessage) (rest.Reply, error) {
	if err := unlocked(c, v); err != nil {
		return rest.Reply{}, err
	}
	s.terminate(v)
	return accepted, nil
}

func (s *Service) restore(_ *rest.Call, v *cloud.Server, _ json.RawMessage) (rest.Reply, error) {
	return rest.Reply{}, conflict("restore", v) // deletion is never deferred
}

func (s *Service) resetState(_ *rest.Call, v *cloud.Server, raw json.RawMessage) (rest.Reply, error) {
	var b struct{ State string }
	_ = json.Unmarshal(raw, &b) // the state is checked below
	if b.State != "active" && b.State != "error" {
		return rest.Reply{}, rest.Bad("Invalid input for field/attribute state. Value: %s. '%s' is not one of ['active', 'error']", b.State, b.State)
	}
	v.VMState, v.TaskState, v.Updated = b.State, "", s.Cloud.Now()
	return accepted, nil
}

func (s *Service) changePassword(c *rest.Call, v *cloud.Server, raw json.RawMessage) (rest.Reply, error) {
	var b struct {
		AdminPass *string `json:"adminPass"`
	}
	if json.Unmarshal(raw, &b) != nil || b.AdminPass == nil {
		return rest.Reply{}, rest.Bad("Invalid input for field/attribute changePassword. 'adminPass' is a required property")
	}
	if s.Cloud.Host != nil {
		return s.unsupported("change passwords of running servers")(c, v, raw)
	}
	v.AdminPass = *b.AdminPass
	return accepted, nil
}

// createImage records a snapshot of a server that is a record; a machine's disk cannot be made an image.
func (s *Service) createImage(c *rest.Call, v *cloud.Server, raw json.RawMessage) (rest.Reply, error) {
	var b struct {
		Name     string
		Metadata map[string]string
	}
	if json.Unmarshal(raw, &b) != nil || b.Name == "" {
		return rest.Reply{}, rest.Bad("Invalid input for field/attribute createImage. 'name' is a required property")
	}
	if s.Cloud.Host != nil {
		return s.unsupported("make images of running servers")(c, v, raw)
	}
	now := s.Cloud.Now()
	i := &cloud.Image{
		ID: cloud.UUID(), Name: b.Name, Owner: v.ProjectID, Status: "active", Visibility: "private", DiskFormat: "raw", ContainerFormat: "bare",
		MinDisk: v.Flavor.Disk, Size: int64(v.Flavor.Disk) << 30, Created: now, Updated: now,
		Properties: map[string]string{"image_type": "snapshot", "instance_uuid": v.ID, "base_image_ref": v.ImageID},
	}
	maps.Copy(i.Properties, b.Metadata)
	s.Cloud.Images.Put(i.ID, i)
	if c.Version.At(45) {
		return rest.Accepted(map[string]any{"image_id": i.ID})
	}
	return accepted.With("Location", c.Base+"/v2.1/images/"+i.ID), nil
}

package nova

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/machine"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// The compute agent's life of a server (vm_state/task_state):
//
//	building/scheduling -> building/networking -> building/block_device_mapping -> building/spawning -> active
//	        |                     |                          |                            |
//	        +---------------------+-----------> error <------+----------------------------+
//	any -> any/deleting -> gone
//
// All work on one server runs in one lane, in the order of the requests.

func lane(v *cloud.Server) string { return "server:" + v.ID }

// errNoHost is the fault that Nova's scheduler leaves, with its trailing blank.
//
//lint:ignore ST1005 the text is Nova's
var errNoHost = errors.New("No valid host was found. ")

// build starts the building of a recorded server; the lock is held.
func (s *Service) build(v *cloud.Server, o order) {
	s.Cloud.Work.Do(lane(v), func(ctx context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		s.Cloud.Lock()
		if v.TaskState == "deleting" {
			s.Cloud.Unlock()
			return
		}
		s.building[v.ID] = cancel
		s.Cloud.Unlock()
		err := s.spawn(ctx, v, o)
		s.Cloud.Lock()
		defer s.Cloud.Unlock()
		delete(s.building, v.ID)
		switch {
		case v.TaskState == "deleting":
			// The removal that waits in the lane cleans up.
		case err != nil:
			s.failed(v, err)
		default:
			s.running(v)
		}
		s.ended(v, err)
	})
}

func (s *Service) spawn(ctx context.Context, v *cloud.Server, o order) error {
	c := s.Cloud
	c.Lock()
	var fault *cloud.BuildFault
	if c.ServerFault != nil {
		fault = c.ServerFault(v)
	}
	host := s.schedule(v, o.hints)
	if host == "" {
		c.Unlock()
		return errNoHost
	}
	v.Host, v.Node, v.TaskState, v.Updated = host, host, "networking", c.Now()
	err := s.takePorts(v, o)
	if err == nil {
		v.TaskState = "block_device_mapping"
	}
	c.Unlock()
	if err != nil {
		// Nova hides the reason from users; the operator finds it in the log.
		c.Log.Warn("cannot allocate the server's network", "server", v.ID, "error", err)
		return rest.Fail(http.StatusInternalServerError, "Build of instance %s aborted: Failed to allocate the network(s), not rescheduling.", v.ID)
	}
	if err := s.makeDisks(ctx, v, o.devices); err != nil {
		return rest.Fail(http.StatusInternalServerError, "Build of instance %s aborted: %s", v.ID, neutronMessage(err))
	}
	c.Lock()
	v.TaskState = "spawning"
	spec := s.machineOf(v)
	c.Unlock()
	wait := c.Delays.Build
	if fault != nil {
		wait += fault.Build
		spec.BootDelay = fault.Boot
	}
	if !cloud.Sleep(ctx, wait) {
		return ctx.Err()
	}
	if fault != nil && fault.Message != "" {
		return rest.Fail(orInt(fault.Code, 500), "%s", fault.Message)
	}
	if c.Host != nil {
		if err := c.Host.Boot(ctx, spec); err != nil {
			return err
		}
	}
	c.Lock()
	v.Booted = true
	c.Unlock()
	return s.plugDisks(ctx, v)
}

func orInt(n, other int) int {
	if n == 0 {
		return other
	}
	return n
}

// running marks a built server as ACTIVE; its ports are wired.
func (s *Service) running(v *cloud.Server) {
	v.VMState, v.TaskState, v.PowerState, v.Updated, v.Fault = "active", "", 1, s.Cloud.Now(), nil
	if v.Launched.IsZero() {
		v.Launched = v.Updated
	}
	s.plugPorts(v, true)
}

func (s *Service) plugPorts(v *cloud.Server, up bool) {
	for _, nic := range v.NICs {
		if p := s.Cloud.Ports.Get(nic.PortID); p != nil {
			s.Neutron.PlugPort(p, up)
		}
	}
}

// failed puts a server into ERROR and gives back what it took.
func (s *Service) failed(v *cloud.Server, err error) {
	fault := &cloud.Fault{Code: 500, Message: err.Error(), Created: s.Cloud.Now()}
	var e *rest.Error
	if errors.As(err, &e) {
		fault.Code, fault.Message = e.Status, e.Message
	}
	if errors.Is(err, errNoHost) {
		v.Host = ""
	}
	v.VMState, v.TaskState, v.PowerState, v.Fault, v.Updated = "error", "", 0, fault, s.Cloud.Now()
	s.Cloud.Log.Info("server failed", "server", v.ID, "fault", fault.Message)
	if !v.Booted {
		s.givePorts(v)
		s.releaseDisks(v)
	}
}

// machineOf is the server as the host shall run it.
func (s *Service) machineOf(v *cloud.Server) machine.Server {
	spec := machine.Server{
		ID: v.ID, Hostname: v.Hostname, User: s.loginOf(v), PublicKeys: v.KeyPublic, UserData: v.UserData, MetaData: s.metaData(v),
		ConfigDrive: v.ConfigDrive, AdminPass: v.AdminPass, MemoryMiB: v.Flavor.RAM,
	}
	for _, nic := range v.NICs {
		if p := s.Cloud.Ports.Get(nic.PortID); p != nil {
			spec.Ports = append(spec.Ports, s.Neutron.MachinePort(p))
		}
	}
	return spec
}

// loginOf is the default user of the server's image.
func (s *Service) loginOf(v *cloud.Server) string {
	properties := map[string]string{}
	if i := s.Cloud.Images.Get(v.ImageID); i != nil {
		properties = i.Properties
	} else {
		for _, d := range v.Disks {
			if volume := s.Cloud.Volumes.Get(d.VolumeID); d.Root && volume != nil {
				properties = volume.ImageMeta
			}
		}
	}
	for _, key := range []string{"os_admin_user", "default_user", "login_user"} {
		if user := properties[key]; user != "" {
			return user
		}
	}
	return "debian"
}

// metaData is openstack/latest/meta_data.json.
func (s *Service) metaData(v *cloud.Server) []byte {
	doc := map[string]any{
		"uuid": v.ID, "name": v.Name, "hostname": v.Hostname + ".novalocal", "launch_index": v.LaunchIndex, "availability_zone": v.Zone,
		"project_id": v.ProjectID, "meta": orEmpty(v.Metadata), "admin_pass": v.AdminPass, "devices": []any{}, "dedicated_cpus": []any{},
	}
	if v.KeyName != "" && len(v.KeyPublic) > 0 {
		doc["public_keys"] = map[string]string{v.KeyName: v.KeyPublic[0]}
		doc["keys"] = []any{map[string]string{"name": v.KeyName, "type": "ssh", "data": v.KeyPublic[0]}}
	}
	data, err := json.Marshal(doc)
	if err != nil {
		s.Cloud.Log.Error("cannot encode metadata", "server", v.ID, "error", err)
	}
	return data
}

func (s *Service) deleteServer(c *rest.Call) (rest.Reply, error) {
	v, err := s.server(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if err := unlocked(c, v); err != nil {
		return rest.Reply{}, err
	}
	s.began(c, v, "delete")
	s.terminate(v)
	return rest.Empty()
}

// terminate starts the removal of a server; a build under way is interrupted.
func (s *Service) terminate(v *cloud.Server) {
	if v.TaskState == "deleting" {
		return
	}
	v.TaskState, v.Updated = "deleting", s.Cloud.Now()
	if cancel := s.building[v.ID]; cancel != nil {
		cancel()
	}
	s.Cloud.Work.Do(lane(v), func(ctx context.Context) {
		if !cloud.Sleep(ctx, s.Cloud.Delays.Delete) {
			return
		}
		if host := s.Cloud.Host; host != nil {
			if err := host.Destroy(ctx, v.ID); err != nil {
				s.Cloud.Lock()
				s.failed(v, err)
				s.Cloud.Unlock()
				return
			}
		}
		s.Cloud.Lock()
		defer s.Cloud.Unlock()
		v.VMState, v.TaskState, v.PowerState, v.Terminated, v.Booted = "deleted", "", 0, s.Cloud.Now(), false
		s.givePorts(v)
		s.releaseDisks(v)
		s.Cloud.Servers.Delete(v.ID)
	})
}

// Stopped tells that a machine has ended by itself: the server becomes SHUTOFF, as Nova's power state sync makes it.
func (s *Service) Stopped(id string) {
	s.Cloud.Lock()
	defer s.Cloud.Unlock()
	if v := s.Cloud.Servers.Get(id); v != nil && v.VMState == "active" && v.TaskState == "" {
		v.VMState, v.PowerState, v.Updated = "stopped", 4, s.Cloud.Now()
	}
}

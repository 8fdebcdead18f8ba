package nova

import (
	"context"
	"errors"
	"net/http"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func (s *Service) interfaceDoc(c *rest.Call, nic *cloud.NIC, p *cloud.Port) rest.Doc {
	ips := p.FixedIPs
	if ips == nil {
		ips = []cloud.FixedIP{}
	}
	d := rest.Doc{"net_id": p.NetworkID, "port_id": p.ID, "mac_addr": p.MAC, "port_state": p.Status, "fixed_ips": ips}
	if c.Version.At(70) {
		d["tag"] = orNil(nic.Tag)
	}
	return d
}

func (s *Service) listInterfaces(c *rest.Call) (rest.Reply, error) {
	v, err := s.server(c)
	if err != nil {
		return rest.Reply{}, err
	}
	docs := []rest.Doc{}
	for _, nic := range v.NICs {
		if p := s.Cloud.Ports.Get(nic.PortID); p != nil {
			docs = append(docs, s.interfaceDoc(c, nic, p))
		}
	}
	return rest.OK(map[string]any{"interfaceAttachments": docs})
}

// nic is the interface of the path.
func (s *Service) nic(c *rest.Call) (*cloud.Server, *cloud.NIC, *cloud.Port, error) {
	v, err := s.server(c)
	if err != nil {
		return nil, nil, nil, err
	}
	id := c.PathValue("port")
	for _, nic := range v.NICs {
		if nic.PortID == id {
			if p := s.Cloud.Ports.Get(id); p != nil {
				return v, nic, p, nil
			}
		}
	}
	return nil, nil, nil, rest.Missing("Port %s could not be found.", id)
}

func (s *Service) showInterface(c *rest.Call) (rest.Reply, error) {
	_, nic, p, err := s.nic(c)
	if err != nil {
		var e *rest.Error
		if errors.As(err, &e) && s.Cloud.Servers.Get(c.PathValue("id")) != nil {
			e.Message = "Instance " + c.PathValue("id") + " does not have a port with id " + c.PathValue("port")
			if s.Cloud.Ports.Get(c.PathValue("port")) == nil {
				e.Message = "Port id " + c.PathValue("port") + " could not be found."
			}
		}
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"interfaceAttachment": s.interfaceDoc(c, nic, p)})
}

type interfaceBody struct {
	Attachment struct {
		Port     string `json:"port_id"`
		Network  string `json:"net_id"`
		FixedIPs []struct {
			IP string `json:"ip_address"`
		} `json:"fixed_ips"`
		Tag string
	} `json:"interfaceAttachment"`
}

// attachInterface is synchronous, as Nova's is; it takes the lock itself because the host is called.
func (s *Service) attachInterface(c *rest.Call) (rest.Reply, error) {
	var b interfaceBody
	if len(c.Body) > 0 {
		if err := c.Decode(&b); err != nil {
			return rest.Reply{}, err
		}
	}
	s.Cloud.Lock()
	v, nic, err := s.addNIC(c, &b)
	if err != nil {
		s.Cloud.Unlock()
		return rest.Reply{}, err
	}
	p := s.Cloud.Ports.Get(nic.PortID)
	spec, host := s.Neutron.MachinePort(p), s.Cloud.Host
	s.Cloud.Unlock()
	if host != nil {
		err = host.AttachPort(context.WithoutCancel(c.Context()), v.ID, spec)
	}
	s.Cloud.Lock()
	defer s.Cloud.Unlock()
	if err != nil {
		s.dropNIC(v, nic.PortID)
		s.Neutron.ReleasePort(nic.PortID, nic.Made)
		return rest.Reply{}, rest.Fail(http.StatusInternalServerError, "Failed to attach network adapter device to %s: %v", v.ID, err)
	}
	if v.VMState == "active" {
		s.Neutron.PlugPort(p, true)
	}
	v.Updated = s.Cloud.Now()
	return rest.OK(map[string]any{"interfaceAttachment": s.interfaceDoc(c, nic, p)})
}

// addNIC checks the request and takes the port.
func (s *Service) addNIC(c *rest.Call, b *interfaceBody) (*cloud.Server, *cloud.NIC, error) {
	v, err := s.server(c)
	if err != nil {
		return nil, nil, err
	}
	if err := unlocked(c, v); err != nil {
		return nil, nil, err
	}
	if v.VMState != "active" && v.VMState != "stopped" && v.VMState != "paused" || v.TaskState != "" {
		return nil, nil, conflict("attach_interface", v)
	}
	w := nicWish{port: b.Attachment.Port, network: b.Attachment.Network, tag: b.Attachment.Tag}
	switch {
	case w.port != "" && w.network != "":
		return nil, nil, rest.Bad("Must not input both network_id and port_id")
	case len(b.Attachment.FixedIPs) > 0 && w.network == "":
		return nil, nil, rest.Bad("Must input network_id when request IP address")
	case len(b.Attachment.FixedIPs) > 0:
		w.fixed = b.Attachment.FixedIPs[0].IP
	}
	if w.port == "" && w.network == "" {
		found, err := s.autoNetwork(c, false)
		if err != nil {
			return nil, nil, err
		}
		if len(found) == 0 {
			return nil, nil, rest.Bad("No suitable network was found")
		}
		w.network = found[0].network
	}
	if w.port != "" && s.Cloud.Ports.Get(w.port) == nil {
		return nil, nil, rest.Missing("Port %s could not be found.", w.port)
	}
	if err := s.checkWish(c, &w); err != nil {
		return nil, nil, err
	}
	if err := s.takePort(v, w, nil); err != nil {
		var e *rest.Error
		if errors.As(err, &e) && e.Type == "OverQuota" {
			return nil, nil, rest.Forbidden("Maximum number of ports exceeded")
		}
		return nil, nil, err
	}
	s.began(c, v, "attach_interface")
	s.ended(v, nil)
	return v, v.NICs[len(v.NICs)-1], nil
}

func (s *Service) detachInterface(c *rest.Call) (rest.Reply, error) {
	v, nic, _, err := s.nic(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if err := unlocked(c, v); err != nil {
		return rest.Reply{}, err
	}
	if v.VMState != "active" && v.VMState != "stopped" && v.VMState != "paused" || v.TaskState != "" {
		return rest.Reply{}, conflict("detach_interface", v)
	}
	s.began(c, v, "detach_interface")
	s.Cloud.Work.Do(lane(v), func(ctx context.Context) {
		if !cloud.Sleep(ctx, s.Cloud.Delays.Action) {
			return
		}
		var err error
		if host := s.Cloud.Host; host != nil {
			err = host.DetachPort(ctx, v.ID, nic.PortID)
		}
		s.Cloud.Lock()
		defer s.Cloud.Unlock()
		s.ended(v, err)
		if err != nil {
			s.Cloud.Log.Error("cannot pull the port", "server", v.ID, "port", nic.PortID, "error", err)
			return
		}
		s.dropNIC(v, nic.PortID)
		s.Neutron.ReleasePort(nic.PortID, nic.Made)
	})
	return rest.Accepted(nil)
}

// unplug pulls a port that no longer exists.
func (s *Service) unplug(v *cloud.Server, portID string) {
	if s.Cloud.Host == nil {
		return
	}
	s.Cloud.Work.Do(lane(v), func(ctx context.Context) {
		if err := s.Cloud.Host.DetachPort(ctx, v.ID, portID); err != nil {
			s.Cloud.Log.Error("cannot pull the deleted port", "server", v.ID, "port", portID, "error", err)
		}
	})
}

// portChanged plugs a port anew, with its present addresses.
func (s *Service) portChanged(serverID, portID string) {
	v := s.Cloud.Servers.Get(serverID)
	if v == nil || s.Cloud.Host == nil || !v.Booted {
		return
	}
	s.Cloud.Work.Do(lane(v), func(ctx context.Context) {
		s.Cloud.Lock()
		p := s.Cloud.Ports.Get(portID)
		if p == nil || p.DeviceID != serverID {
			s.Cloud.Unlock()
			return
		}
		spec := s.Neutron.MachinePort(p)
		s.Cloud.Unlock()
		err := s.Cloud.Host.DetachPort(ctx, serverID, portID)
		if err == nil {
			err = s.Cloud.Host.AttachPort(ctx, serverID, spec)
		}
		if err != nil {
			s.Cloud.Log.Error("cannot readdress the port", "server", serverID, "port", portID, "error", err)
		}
	})
}

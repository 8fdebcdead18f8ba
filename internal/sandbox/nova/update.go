package nova

import (
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"slices"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func (s *Service) updateServer(c *rest.Call) (rest.Reply, error) {
	v, err := s.server(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if err := only(c, "server", "name", "description", "hostname", "accessIPv4", "accessIPv6", "OS-DCF:diskConfig"); err != nil {
		return rest.Reply{}, err
	}
	var b struct {
		Server *struct {
			Name, Description, Hostname *string
			AccessV4                    *string `json:"accessIPv4"`
			AccessV6                    *string `json:"accessIPv6"`
			DiskConfig                  *string `json:"OS-DCF:diskConfig"`
		}
	}
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	if b.Server == nil {
		return rest.Reply{}, rest.Bad("Invalid input for field/attribute server. 'server' is a required property")
	}
	if b.Server.Name != nil && (*b.Server.Name == "" || len(*b.Server.Name) > 255) {
		return rest.Reply{}, rest.Bad("Invalid input for field/attribute name. Value: %s. '%s' is too short", *b.Server.Name, *b.Server.Name)
	}
	if b.Server.Description != nil && !c.Version.At(19) {
		return rest.Reply{}, rest.Bad("Invalid input for field/attribute server. Additional properties are not allowed ('description' was unexpected)")
	}
	for to, from := range map[*string]*string{
		&v.Name: b.Server.Name, &v.Description: b.Server.Description, &v.AccessV4: b.Server.AccessV4, &v.AccessV6: b.Server.AccessV6,
		&v.DiskConfig: b.Server.DiskConfig, &v.Hostname: b.Server.Hostname,
	} {
		if from != nil {
			*to = *from
		}
	}
	v.Updated = s.Cloud.Now()
	return rest.OK(map[string]any{"server": s.serverDoc(c, v)})
}

// only refuses properties of the object that are not among the known.
func only(c *rest.Call, object string, known ...string) error {
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(c.Object(object), &fields) // another type is refused by its reader
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(known, name) {
			return rest.Bad("Invalid input for field/attribute %s. Value: %s. Additional properties are not allowed ('%s' was unexpected)", object, name, name)
		}
	}
	return nil
}

type groupName struct{ Name string }

func (s *Service) addGroup(c *rest.Call, v *cloud.Server, raw json.RawMessage) (rest.Reply, error) {
	return accepted, s.changeGroups(v, raw, func(have []string, id string) ([]string, error) {
		if slices.Contains(have, id) {
			return have, nil
		}
		return append(slices.Clone(have), id), nil
	})
}

func (s *Service) removeGroup(c *rest.Call, v *cloud.Server, raw json.RawMessage) (rest.Reply, error) {
	found := false
	err := s.changeGroups(v, raw, func(have []string, id string) ([]string, error) {
		found = found || slices.Contains(have, id)
		return slices.DeleteFunc(slices.Clone(have), func(h string) bool { return h == id }), nil
	})
	if err == nil && !found {
		err = rest.Missing("Security group %s not associated with the instance %s", string(raw), v.ID)
	}
	return accepted, err
}

// changeGroups applies a change to all ports of the server.
func (s *Service) changeGroups(v *cloud.Server, raw json.RawMessage, change func(have []string, id string) ([]string, error)) error {
	var b groupName
	if json.Unmarshal(raw, &b) != nil || b.Name == "" {
		return rest.Bad("Missing parameter dict")
	}
	g, err := s.Neutron.GroupByName(v.ProjectID, b.Name)
	if err != nil {
		var e *rest.Error
		if errors.As(err, &e) && e.Status == 404 {
			return rest.Missing("Security group %s is not found for project %s", b.Name, v.ProjectID)
		}
		return err
	}
	for _, nic := range v.NICs {
		p := s.Cloud.Ports.Get(nic.PortID)
		if p == nil || p.NoPortSecurity {
			continue
		}
		next, err := change(p.SecurityGroups, g.ID)
		if err != nil {
			return err
		}
		s.Neutron.SetGroups(p, next)
	}
	return nil
}

func (s *Service) addFloating(c *rest.Call, v *cloud.Server, raw json.RawMessage) (rest.Reply, error) {
	var b struct{ Address, FixedAddress string }
	var wire struct {
		Address string
		Fixed   string `json:"fixed_address"`
	}
	if json.Unmarshal(raw, &wire) != nil || wire.Address == "" {
		return rest.Reply{}, rest.Bad("Invalid input for field/attribute addFloatingIp. 'address' is a required property")
	}
	b.Address, b.FixedAddress = wire.Address, wire.Fixed
	f := s.floating(v, b.Address)
	if f == nil {
		return rest.Reply{}, rest.Missing("floating IP not found")
	}
	for _, nic := range v.NICs {
		p := s.Cloud.Ports.Get(nic.PortID)
		if p == nil {
			continue
		}
		for _, ip := range p.FixedIPs {
			if b.FixedAddress != "" && b.FixedAddress != ip.IPAddress.String() || !ip.IPAddress.Is4() {
				continue
			}
			if err := s.Neutron.Associate(f, p.ID, ip.IPAddress); err != nil {
				return rest.Reply{}, rest.Bad("Unable to associate floating IP %s to fixed IP %s for instance %s. Error: %s", b.Address, ip.IPAddress, v.ID, neutronMessage(err))
			}
			return accepted, nil
		}
	}
	return rest.Reply{}, rest.Bad("No fixed IPs associated to instance")
}

func (s *Service) floating(v *cloud.Server, address string) *cloud.FloatingIP {
	want, err := netip.ParseAddr(address)
	if err != nil {
		return nil
	}
	return s.Cloud.FloatingIPs.First(func(f *cloud.FloatingIP) bool { return f.ProjectID == v.ProjectID && f.Address == want })
}

func (s *Service) removeFloating(_ *rest.Call, v *cloud.Server, raw json.RawMessage) (rest.Reply, error) {
	var b struct{ Address string }
	_ = json.Unmarshal(raw, &b) // an unreadable address is not found
	f := s.floating(v, b.Address)
	if f == nil {
		return rest.Reply{}, rest.Missing("floating IP not found")
	}
	for _, nic := range v.NICs {
		if nic.PortID == f.PortID {
			s.Neutron.Disassociate(f)
			return accepted, nil
		}
	}
	return rest.Reply{}, rest.Conflict("Floating IP %s is not associated with instance %s.", b.Address, v.ID)
}

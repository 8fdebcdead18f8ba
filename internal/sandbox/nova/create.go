package nova

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

type createBody struct {
	Name, Description, Hostname *string
	Image                       *string `json:"imageRef"`
	Flavor                      any     `json:"flavorRef"`
	AdminPass                   string
	Metadata                    map[string]string
	Networks                    any
	DiskConfig                  string                  `json:"OS-DCF:diskConfig"`
	AccessV4                    string                  `json:"accessIPv4"`
	AccessV6                    string                  `json:"accessIPv6"`
	Zone                        *string                 `json:"availability_zone"`
	Devices                     []deviceBody            `json:"block_device_mapping_v2"`
	OldDevices                  []deviceBody            `json:"block_device_mapping"`
	ConfigDrive                 any                     `json:"config_drive"`
	KeyName                     *string                 `json:"key_name"`
	Min                         any                     `json:"min_count"`
	Max                         any                     `json:"max_count"`
	Reservation                 any                     `json:"return_reservation_id"`
	Groups                      []struct{ Name string } `json:"security_groups"`
	UserData                    *string                 `json:"user_data"`
	Tags                        []string
	Host                        string
	Node                        string `json:"hypervisor_hostname"`
	Personality                 []any
	Certificates                any `json:"trusted_image_certificates"`
}

// createFields are the body's properties with the microversion that brought them, and the last that has them (0: all).
var createFields = map[string][2]int{
	"name": {}, "imageRef": {}, "flavorRef": {}, "adminPass": {}, "metadata": {}, "networks": {}, "OS-DCF:diskConfig": {}, "accessIPv4": {},
	"accessIPv6": {}, "availability_zone": {}, "block_device_mapping_v2": {}, "block_device_mapping": {}, "config_drive": {}, "key_name": {},
	"min_count": {}, "max_count": {}, "return_reservation_id": {}, "security_groups": {}, "user_data": {}, "personality": {1, 56},
	"description": {19, 0}, "tags": {52, 0}, "trusted_image_certificates": {63, 0}, "host": {74, 0}, "hypervisor_hostname": {74, 0}, "hostname": {90, 0},
}

type hintsBody struct {
	Group         any
	DifferentHost any `json:"different_host"`
	SameHost      any `json:"same_host"`
}

// hints are the scheduler's.
type hints struct {
	group           string
	different, same []string
	forcedHost      string
}

func (s *Service) createServer(c *rest.Call) (rest.Reply, error) {
	b, h, err := readCreate(c)
	if err != nil {
		return rest.Reply{}, err
	}
	plan, err := s.check(c, b, h)
	if err != nil {
		return rest.Reply{}, err
	}
	if err := s.quota(c, plan); err != nil {
		return rest.Reply{}, err
	}
	var first *cloud.Server
	reservation := "r-" + cloud.Hex(4)
	for i := range plan.count {
		v := s.record(c, b, plan, i)
		v.ReservationID = reservation
		s.Cloud.Servers.Put(v.ID, v)
		s.build(v, plan.order)
		if first == nil {
			first = v
		}
	}
	if want, _ := rest.ParseBool(rest.Text(b.Reservation)); want {
		return rest.Accepted(map[string]any{"reservation_id": reservation})
	}
	groups := []any{}
	for _, g := range b.Groups {
		groups = append(groups, map[string]any{"name": g.Name})
	}
	if len(b.Groups) == 0 {
		groups = append(groups, map[string]any{"name": "default"})
	}
	reply, _ := rest.Accepted(map[string]any{"server": rest.Doc{
		"id": first.ID, "links": links(c, "servers", first.ID), "OS-DCF:diskConfig": first.DiskConfig, "security_groups": groups, "adminPass": first.AdminPass,
	}})
	return reply.With("Location", c.Base+"/v2.1/servers/"+first.ID), nil
}

func readCreate(c *rest.Call) (*createBody, hints, error) {
	raw := c.Object("server")
	if raw == nil {
		return nil, hints{}, rest.Bad("'server' is a required property")
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return nil, hints{}, rest.Bad("Invalid input for field/attribute server. Value is not of type 'object'")
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		span, ok := createFields[name]
		if !ok || !c.Version.At(span[0]) || span[1] > 0 && c.Version.At(span[1]+1) {
			return nil, hints{}, rest.Bad("Invalid input for field/attribute server. Value: %s. Additional properties are not allowed ('%s' was unexpected)", name, name)
		}
	}
	if err := textual(fields["metadata"]); err != nil {
		return nil, hints{}, err
	}
	b := &createBody{DiskConfig: "MANUAL"}
	if err := json.Unmarshal(raw, b); err != nil {
		return nil, hints{}, (&rest.Call{Body: raw}).Decode(b)
	}
	if b.Name == nil {
		return nil, hints{}, rest.Bad("Invalid input for field/attribute server. Value: %s. 'name' is a required property", "{}")
	}
	if n := strings.TrimSpace(*b.Name); n == "" || len(n) > 255 {
		return nil, hints{}, rest.Bad("Invalid input for field/attribute name. Value: %s. '%s' is too short", *b.Name, *b.Name)
	}
	if b.Flavor == nil {
		return nil, hints{}, rest.Bad("Invalid input for field/attribute server. Value: %s. 'flavorRef' is a required property", *b.Name)
	}
	if b.Networks == nil && c.Version.At(37) {
		return nil, hints{}, rest.Bad("Invalid input for field/attribute server. Value: %s. 'networks' is a required property", *b.Name)
	}
	return b, readHints(c, b), nil
}

func readHints(c *rest.Call, b *createBody) hints {
	var in hintsBody
	for _, name := range []string{"os:scheduler_hints", "OS-SCH-HNT:scheduler_hints"} {
		if raw := c.Object(name); raw != nil {
			_ = json.Unmarshal(raw, &in) // unknown hints are ignored
		}
	}
	h := hints{different: texts(in.DifferentHost), same: texts(in.SameHost), forcedHost: b.Host}
	if g := texts(in.Group); len(g) > 0 {
		h.group = g[0]
	}
	return h
}

// texts is a string or a list of strings.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, x := range v {
			out = append(out, rest.Text(x))
		}
		return out
	}
	return nil
}

// creation is a checked request.
type creation struct {
	count    int
	flavor   *cloud.Flavor
	image    *cloud.Image
	key      *cloud.KeyPair
	userData []byte
	drive    bool
	zone     string
	order    order
}

// order is what the compute agent is to build.
type order struct {
	hints   hints
	nics    []nicWish
	groups  []string // ids for the ports that Nova makes; nil: default
	devices []device
}

func (s *Service) check(c *rest.Call, b *createBody, h hints) (*creation, error) {
	p := &creation{zone: s.Zone}
	if err := p.counts(b); err != nil {
		return nil, err
	}
	if p.flavor = s.Cloud.Flavors.Get(lastSegment(rest.Text(b.Flavor))); p.flavor == nil || !s.seesFlavor(c, p.flavor) {
		return nil, rest.Bad("Flavor %s could not be found.", lastSegment(rest.Text(b.Flavor)))
	}
	if err := s.checkImage(c, b, p); err != nil {
		return nil, err
	}
	if b.KeyName != nil && *b.KeyName != "" {
		if p.key = s.Cloud.KeyPairs.Get(cloud.KeyPairKey(c.Token.User.ID, *b.KeyName)); p.key == nil {
			return nil, rest.Bad("Invalid key_name provided.")
		}
	}
	if err := p.data(b); err != nil {
		return nil, err
	}
	if err := s.checkZone(c, b, p, &h); err != nil {
		return nil, err
	}
	if h.group != "" {
		if g := s.Cloud.ServerGroups.Get(h.group); g == nil || g.ProjectID != c.Project() {
			return nil, rest.Bad("Instance group %s could not be found.", h.group)
		}
	}
	limit := s.Cloud.Quotas.Limit("nova", c.Project(), "metadata_items")
	if limit >= 0 && len(b.Metadata) > limit {
		return nil, rest.Forbidden("Maximum number of metadata items exceeds %d", limit)
	}
	for _, a := range []string{b.AccessV4, b.AccessV6} {
		if _, err := netip.ParseAddr(a); a != "" && err != nil {
			return nil, rest.Bad("Invalid input for field/attribute accessIPv4. Value: %s. '%s' is not a 'ipv4'", a, a)
		}
	}
	p.order.hints = h
	var err error
	if p.order.nics, err = s.wishes(c, b.Networks); err != nil {
		return nil, err
	}
	for _, g := range b.Groups {
		found, err := s.Neutron.GroupByName(c.Project(), g.Name)
		if err != nil {
			if e := err.(*rest.Error); e.Status == http.StatusConflict {
				return nil, e
			}
			return nil, rest.Bad("Unable to find security_group with name or id '%s'", g.Name)
		}
		p.order.groups = append(p.order.groups, found.ID)
	}
	if p.count > 1 && slices.ContainsFunc(p.order.nics, func(w nicWish) bool { return w.port != "" || w.fixed != "" }) {
		return nil, rest.Bad("Failed to launch instances: Unable to launch multiple instances with a single configured port ID. Please launch your instance one by one with different ports.")
	}
	return p, nil
}

func lastSegment(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

func (p *creation) counts(b *createBody) error {
	low, ok1 := toInt(b.Min)
	high, ok2 := toInt(b.Max)
	if !ok1 || !ok2 || b.Min != nil && low < 1 || b.Max != nil && high < 1 {
		return rest.Bad("Invalid input for field/attribute min_count. Value: %v. %v is less than the minimum of 1", b.Min, b.Min)
	}
	low = max(low, 1)
	if b.Max == nil {
		high = low
	}
	if low > high {
		return rest.Bad("min_count must be <= max_count")
	}
	p.count = high
	return nil
}

// lenientBase64 skips what is not of the alphabet, as Python does for Nova.
func lenientBase64(text string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(notBase64.ReplaceAllString(text, ""))
}

var notBase64 = regexp.MustCompile(`[^A-Za-z0-9+/=]`)

func (p *creation) data(b *createBody) error {
	if b.UserData != nil {
		data, err := lenientBase64(*b.UserData)
		if err != nil {
			return rest.Bad("Invalid input for field/attribute user_data. Value: %.40s. '%.40s' is not a 'base64'", *b.UserData, *b.UserData)
		}
		if len(*b.UserData) > 65535 {
			return rest.Bad("Invalid input for field/attribute user_data. Value is too long")
		}
		p.userData = data
	}
	drive, err := rest.ParseBool(rest.Text(b.ConfigDrive))
	if err != nil {
		return rest.Bad("Invalid input for field/attribute config_drive. Value: %v. %v is not a boolean", b.ConfigDrive, b.ConfigDrive)
	}
	p.drive = drive
	return nil
}

// checkImage finds the image and the block devices, and whether the flavor is large enough.
func (s *Service) checkImage(c *rest.Call, b *createBody, p *creation) error {
	ref := ""
	if b.Image != nil {
		ref = lastSegment(*b.Image)
	}
	devices := append(slices.Clone(b.Devices), b.OldDevices...)
	if ref == "" && len(devices) == 0 {
		return rest.Bad("Missing imageRef attribute")
	}
	if ref != "" {
		if p.image = s.Cloud.Images.Get(ref); p.image == nil || p.image.Visibility == "private" && p.image.Owner != c.Project() {
			return rest.Bad("Can not find requested image")
		}
		if p.image.Status != "active" {
			return rest.Bad("Image %s is not active.", ref)
		}
	}
	var err error
	if p.order.devices, err = s.devices(c, devices, p.image != nil); err != nil {
		return err
	}
	img := p.image
	if img == nil {
		return nil
	}
	switch {
	case p.flavor.RAM < img.MinRAM:
		return rest.Bad("Flavor's memory is too small for requested image.")
	case rootDevice(p.order.devices) == nil && p.flavor.Disk != 0 && p.flavor.Disk < img.MinDisk:
		return rest.Bad("Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is %d bytes, minimum size is %d bytes.", p.flavor.Disk<<30, img.MinDisk<<30)
	case rootDevice(p.order.devices) == nil && p.flavor.Disk != 0 && int64(p.flavor.Disk)<<30 < img.Size:
		return rest.Bad("Flavor's disk is too small for requested image. Flavor disk is %d bytes, image is %d bytes.", p.flavor.Disk<<30, img.Size)
	}
	return nil
}

// checkZone understands "zone" and, for administrators, "zone:host".
func (s *Service) checkZone(c *rest.Call, b *createBody, p *creation, h *hints) error {
	if b.Zone == nil || *b.Zone == "" {
		if h.forcedHost != "" && !c.Admin() {
			return denied("servers:create:forced_host")
		}
		return nil
	}
	zone, host, forced := strings.Cut(*b.Zone, ":")
	if forced {
		if !c.Admin() {
			return denied("servers:create:forced_host")
		}
		h.forcedHost = strings.Split(host, ":")[0]
	}
	for _, hv := range s.Cloud.Hypervisors {
		if hv.Zone == zone {
			p.zone = zone
			return nil
		}
	}
	return rest.Bad("The requested availability zone is not available")
}

var notHostname = regexp.MustCompile(`[^a-z0-9.-]+`)

// hostname makes a name of a server fit for a host, as Nova does.
func hostname(name, id string) string {
	h := strings.ToLower(strings.NewReplacer(" ", "-", "_", "-").Replace(name))
	h = strings.Trim(notHostname.ReplaceAllString(h, ""), ".-")
	if h == "" {
		h = "server-" + id
	}
	return strings.Trim(h[:min(len(h), 63)], ".-")
}

// record makes the i-th server of the request, in BUILD.
func (s *Service) record(c *rest.Call, b *createBody, p *creation, i int) *cloud.Server {
	now := s.Cloud.Now()
	v := &cloud.Server{
		ID: cloud.UUID(), Name: strings.TrimSpace(*b.Name), ProjectID: c.Project(), UserID: c.Token.User.ID, Flavor: *p.flavor,
		VMState: "building", TaskState: "scheduling", Metadata: maps.Clone(b.Metadata), Tags: slices.Clone(b.Tags), UserData: p.userData,
		ConfigDrive: p.drive, AdminPass: b.AdminPass, Zone: p.zone, AccessV4: b.AccessV4, AccessV6: b.AccessV6, DiskConfig: b.DiskConfig,
		LaunchIndex: i, Group: p.order.hints.group, Created: now, Updated: now,
	}
	if p.count > 1 {
		v.Name = fmt.Sprintf("%s-%d", v.Name, i+1)
	}
	v.Hostname = hostname(v.Name, v.ID)
	if b.Hostname != nil {
		v.Hostname = *b.Hostname
	}
	if b.Description != nil {
		v.Description = *b.Description
	}
	if p.image != nil {
		v.ImageID = p.image.ID
		if root := rootDevice(p.order.devices); root != nil {
			v.ImageID = "" // boots from a volume
		}
	}
	if p.key != nil {
		v.KeyName, v.KeyPublic = p.key.Name, []string{p.key.PublicKey}
	}
	if v.AdminPass == "" {
		v.AdminPass = cloud.Hex(6)
	}
	s.began(c, v, "create")
	return v
}

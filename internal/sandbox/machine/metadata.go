package machine

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// metadataHandler is the metadata service on one network. Who asks is known by the address on that network.
type metadataHandler struct {
	host    *host
	network string
}

// openstackVersions are those that Nova's metadata service lists.
var openstackVersions = []string{"2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06", "2017-02-22",
	"2018-08-27", "2020-10-14", "latest"}

// ec2Versions are those that Nova's metadata service lists.
var ec2Versions = []string{"1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01",
	"2009-04-04", "latest"}

func (m *metadataHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	hostPart, _, _ := net.SplitHostPort(r.RemoteAddr)
	addr, err := netip.ParseAddr(hostPart)
	if err != nil {
		http.Error(w, "400 Bad Request", http.StatusBadRequest)
		return
	}
	s := m.host.serverByAddress(m.network, addr.Unmap())
	if s == nil {
		http.Error(w, "404 Not Found", http.StatusNotFound)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "405 Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	body, ok := m.host.metadataTree(s).get(r.URL.Path)
	if !ok {
		http.Error(w, "404 Not Found", http.StatusNotFound)
		return
	}
	kind := "text/plain; charset=UTF-8"
	if strings.HasSuffix(r.URL.Path, ".json") {
		kind = "application/json"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// tree is a set of documents by path, without leading slash; directories are implied.
type tree map[string][]byte

// get returns a document, or the listing of a directory as the metadata service gives it.
func (t tree) get(path string) ([]byte, bool) {
	path = strings.Trim(path, "/")
	path = ec2Alias(path)
	if doc, ok := t[path]; ok {
		return doc, true
	}
	prefix := path + "/"
	if path == "" {
		return []byte(strings.Join(append(slices.Clone(ec2Versions), "openstack"), "\n")), true
	}
	if path == "openstack" {
		return []byte(strings.Join(openstackVersions, "\n")), true
	}
	names := map[string]bool{}
	for p := range t {
		if rest, ok := strings.CutPrefix(p, prefix); ok {
			name, _, dir := strings.Cut(rest, "/")
			if dir {
				name += "/"
			}
			if name == "0/" && strings.HasSuffix(path, "public-keys") {
				name = "0=key"
			}
			names[name] = true
		}
	}
	if len(names) == 0 {
		return nil, false
	}
	return []byte(strings.Join(slices.Sorted(maps.Keys(names)), "\n")), true
}

// ec2Alias maps all versions to "latest".
func ec2Alias(path string) string {
	first, rest, _ := strings.Cut(path, "/")
	if slices.Contains(ec2Versions, first) {
		return strings.Trim("latest/"+rest, "/")
	}
	if first == "openstack" {
		version, doc, _ := strings.Cut(rest, "/")
		if slices.Contains(openstackVersions, version) {
			return strings.Trim("openstack/latest/"+doc, "/")
		}
	}
	return path
}

// metadataTree are the documents of one server (Nova's user guide, "Metadata").
func (h *host) metadataTree(s *server) tree {
	spec, ports := s.snapshot()
	var meta struct {
		UUID             string
		Hostname         string
		AvailabilityZone string            `json:"availability_zone"`
		PublicKeys       map[string]string `json:"public_keys"`
		Keys             []struct{ Name, Data string }
	}
	_ = json.Unmarshal(spec.MetaData, &meta) // an empty document leaves the defaults below
	doc := spec.MetaData
	if len(doc) == 0 {
		doc, _ = json.Marshal(map[string]any{"uuid": spec.ID, "hostname": spec.Hostname, "name": spec.Hostname, "launch_index": 0})
	}
	if meta.AvailabilityZone == "" {
		meta.AvailabilityZone = "nova"
	}
	t := tree{
		"openstack/latest/meta_data.json":    doc,
		"openstack/latest/vendor_data.json":  []byte("{}"),
		"openstack/latest/vendor_data2.json": []byte(`{"static": {}}`),
		"openstack/latest/network_data.json": networkData(ports),
	}
	ec2 := map[string]string{"instance-id": "i-" + shortHex(spec.ID), "ami-id": "ami-" + shortHex(spec.ID+"image"), "ami-launch-index": "0",
		"ami-manifest-path": "FIXME", "hostname": spec.Hostname, "local-hostname": spec.Hostname, "public-hostname": spec.Hostname,
		"instance-action": "none", "instance-type": "", "reservation-id": "r-" + shortHex(spec.ID)[:8],
		"placement/availability-zone": meta.AvailabilityZone, "security-groups": "", "local-ipv4": "", "public-ipv4": ""}
	if a := firstIPv4(ports); a.IsValid() {
		ec2["local-ipv4"] = a.String()
		if f := h.floatingOf(a); f.IsValid() {
			ec2["public-ipv4"] = f.String()
		}
	}
	for i, k := range spec.PublicKeys {
		ec2[fmt.Sprintf("public-keys/%d/openssh-key", i)] = strings.TrimSpace(k) + "\n"
	}
	for k, v := range ec2 {
		t["latest/meta-data/"+k] = []byte(v)
	}
	if len(spec.UserData) > 0 {
		t["openstack/latest/user_data"], t["latest/user-data"] = spec.UserData, spec.UserData
	}
	return t
}

func shortHex(id string) string {
	n := strings.ReplaceAll(shortName("", id), "-", "")
	return n[:min(len(n), 8)]
}

func firstIPv4(ports []Port) netip.Addr {
	for _, p := range ports {
		for _, a := range p.Addresses {
			if a.Addr().Is4() {
				return a.Addr()
			}
		}
	}
	return netip.Addr{}
}

// networkData is network_data.json (Nova's schema of the same name).
func networkData(ports []Port) []byte {
	type object = map[string]any
	links, networks, services := []object{}, []object{}, []object{}
	dns := map[string]bool{}
	for i, p := range ports {
		tap := "tap" + p.ID[:min(len(p.ID), 11)]
		mtu := p.MTU
		if mtu == 0 {
			mtu = 1500
		}
		links = append(links, object{"id": tap, "vif_id": p.ID, "type": "ovs", "mtu": mtu, "ethernet_mac_address": p.MAC})
		for j, a := range p.Addresses {
			kind, gateway := "ipv4", "0.0.0.0"
			if a.Addr().Is6() {
				kind, gateway = "ipv6", "::"
			}
			n := object{"id": fmt.Sprintf("network%d", i+j), "type": kind, "link": tap, "ip_address": a.Addr().String(),
				"netmask": net.IP(ipNet(a).Mask).String(), "network_id": p.NetworkID}
			routes := []object{}
			if p.Gateway.IsValid() && p.Gateway.Is4() == a.Addr().Is4() {
				routes = append(routes, object{"network": gateway, "netmask": gateway, "gateway": p.Gateway.String()})
			}
			n["routes"] = routes
			networks = append(networks, n)
		}
		for _, d := range p.DNS {
			dns[d.String()] = true
		}
	}
	names := slices.Collect(maps.Keys(dns))
	sort.Strings(names)
	for _, d := range names {
		services = append(services, object{"type": "dns", "address": d})
	}
	out, _ := json.Marshal(object{"links": links, "networks": networks, "services": services})
	return out
}

package cloudify

import (
	"maps"
	"net"
	"net/http"
	"slices"
)

// release is the version of Cloudify Manager whose API this is.
const release = "7.0.4"

func (s *Server) version(*request) (any, error) {
	return map[string]any{"version": release, "edition": "community", "distribution": "orch", "distro_release": "orch", "build": nil, "date": nil, "commit": nil}, nil
}

// status asks the store: a server that cannot read it serves nobody.
func (s *Server) status(q *request) (any, error) {
	overall, service := "OK", "Active"
	if _, err := s.opts.Engine.LastIndex(q.Request().Context()); err != nil {
		overall, service = "FAIL", "Inactive"
	}
	services := map[string]any{}
	for _, name := range []string{"Cloudify API", "PostgreSQL", "RabbitMQ", "Management Worker", "Manager Rest-Service", "Webserver"} {
		services[name] = map[string]any{"status": service, "is_remote": false, "extra_info": map[string]any{}}
	}
	if q.api < v3_1 { // a list of services with instances
		list := []map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(services)) {
			list = append(list, map[string]any{"display_name": name, "instances": []map[string]any{{"Id": name, "state": map[string]string{"Active": "running", "Inactive": "down"}[service]}}})
		}
		return map[string]any{"status": map[string]string{"OK": "running", "FAIL": "down"}[overall], "services": list}, nil
	}
	if summary, err := q.flag("summary"); err != nil {
		return nil, err
	} else if summary {
		return map[string]any{"status": overall, "services": map[string]any{}}, nil
	}
	return map[string]any{"status": overall, "services": services}, nil
}

func (s *Server) ok(q *request) (any, error) {
	if _, err := s.opts.Engine.LastIndex(q.Request().Context()); err != nil {
		return answered{http.StatusInternalServerError, "FAIL"}, nil
	}
	return "OK", nil
}

func (s *Server) clusterStatus(q *request) (any, error) {
	overall := "OK"
	if _, err := s.opts.Engine.LastIndex(q.Request().Context()); err != nil {
		overall = "Fail"
	}
	return map[string]any{"status": overall, "services": map[string]any{}}, nil
}

func (s *Server) maintenance(*request) (any, error) {
	return map[string]any{"status": "deactivated", "activated_at": "", "activation_requested_at": "", "remaining_executions": []any{}, "requested_by": ""}, nil
}

func (s *Server) providerContext(*request) (any, error) {
	return map[string]any{"name": "orch", "context": map[string]any{"cloudify": map[string]any{}}}, nil
}

// self is the address by which the client has reached the server: managers, brokers and databases at one address are an all-in-one.
func (q *request) self() string {
	host, _, err := net.SplitHostPort(q.Request().Host)
	if err != nil {
		host = q.Request().Host
	}
	return host
}

func (s *Server) managers(q *request) (any, error) {
	host := q.self()
	return onePage(map[string]any{"id": 0, "hostname": host, "private_ip": host, "public_ip": host, "version": release, "edition": "community", "distribution": "orch",
		"distro_release": "orch", "fs_sync_node_id": "", "networks": map[string]any{"default": host}, "ca_cert_content": "", "node_id": "orch", "last_seen": nil, "status_report_frequency": nil}), nil
}

func (s *Server) brokers(q *request) (any, error) {
	host := q.self()
	return onePage(map[string]any{"id": 0, "name": host, "host": host, "port": 5671, "management_host": host, "username": "", "params": nil, "networks": map[string]any{"default": host},
		"is_external": false, "node_id": "orch", "ca_cert_content": ""}), nil
}

func (s *Server) databases(q *request) (any, error) {
	host := q.self()
	return onePage(map[string]any{"id": 0, "name": host, "host": host, "is_external": false, "node_id": "orch"}), nil
}

func onePage(items ...any) page {
	if items == nil {
		items = []any{}
	}
	return page{Items: items, Metadata: metadata{Pagination: pagination{len(items), defaultSize, 0}}}
}

// emptyList answers for kinds of which there never are any.
func emptyList(*Server, *request) (any, error) { return onePage(), nil }

// limits that the client checks before it sends a blueprint.
var limits = map[string]any{"blueprint_folder_max_size_mb": 50, "blueprint_folder_max_files": 10000}

func configItem(name string) map[string]any {
	return map[string]any{"name": name, "value": limits[name], "schema": map[string]any{"type": "number"}, "scope": []string{"rest"}, "is_editable": false,
		"updated_at": nil, "updater_name": nil, "admin_only": false}
}

// config is a map by name that also is a page, for both kinds of readers.
func (s *Server) config(*request) (any, error) {
	out := map[string]any{}
	items := []any{}
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		out[name] = configItem(name)
		items = append(items, configItem(name))
	}
	out["items"], out["metadata"] = items, metadata{Pagination: pagination{len(items), defaultSize, 0}}
	return out, nil
}

func (s *Server) configValue(q *request) (any, error) {
	name := q.param("name")
	if limits[name] == nil {
		return nil, notFound("Config", name)
	}
	return configItem(name), nil
}

func (s *Server) ssl(q *request) (any, error) {
	if q.Request().TLS != nil {
		return "SSL enabled", nil
	}
	return "SSL disabled", nil
}

func (s *Server) license(*request) (any, error) { return onePage(), nil }

// snapshotStatus says whether a snapshot is being restored: there are none.
func (s *Server) snapshotStatus(*request) (any, error) {
	return map[string]string{"status": "not-running"}, nil
}

// licenseCheck is asked of premium editions before an upload: nothing needs a licence here.
func (s *Server) licenseCheck(*request) (any, error) { return "OK", nil }

package cloud

import "maps"

// Quotas are the limits of the projects by service and resource; -1 is no limit.
type Quotas struct {
	own map[string]map[string]int // project + "/" + service -> resource -> limit
}

// defaults are those of the services' own configuration.
var defaults = map[string]map[string]int{
	"nova": {
		"instances": 10, "cores": 20, "ram": 51200, "metadata_items": 128, "key_pairs": 100,
		"server_groups": 10, "server_group_members": 10,
		"injected_files": 5, "injected_file_content_bytes": 10240, "injected_file_path_bytes": 255,
		"fixed_ips": -1, "floating_ips": -1, "security_groups": -1, "security_group_rules": -1,
	},
	"neutron": {
		"network": 100, "subnet": 100, "subnetpool": -1, "port": 500, "router": 10, "floatingip": 50,
		"security_group": 10, "security_group_rule": 100, "rbac_policy": 10,
	},
	"cinder": {
		"volumes": 10, "snapshots": 10, "gigabytes": 1000, "backups": 10, "backup_gigabytes": 1000,
		"per_volume_gigabytes": -1, "groups": 10,
	},
}

// Limits returns all limits of the service for the project.
func (q *Quotas) Limits(service, project string) map[string]int {
	all := maps.Clone(defaults[service])
	maps.Copy(all, q.own[project+"/"+service])
	return all
}

// Defaults returns the limits of a project without own ones.
func (q *Quotas) Defaults(service string) map[string]int { return maps.Clone(defaults[service]) }

// Limit returns one limit; a resource without one has -1.
func (q *Quotas) Limit(service, project, resource string) int {
	if n, ok := q.own[project+"/"+service][resource]; ok {
		return n
	}
	if n, ok := defaults[service][resource]; ok {
		return n
	}
	return -1
}

// Set changes one limit of a project.
func (q *Quotas) Set(service, project, resource string, n int) {
	if q.own == nil {
		q.own = map[string]map[string]int{}
	}
	key := project + "/" + service
	if q.own[key] == nil {
		q.own[key] = map[string]int{}
	}
	q.own[key][resource] = n
}

// Reset returns a project to the defaults of the service.
func (q *Quotas) Reset(service, project string) { delete(q.own, project+"/"+service) }

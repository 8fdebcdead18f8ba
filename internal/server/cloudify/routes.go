package cloudify

import (
	"net/http"
	"slices"
	"strings"
)

type route struct {
	method, path string
	// since is the version of the API that has it first.
	since  api
	need   scope
	handle handler
}

// mount adds every route for each version of the API that has it.
func (s *Server) mount() {
	for _, r := range routes() {
		for name, v := range versions {
			if v >= r.since && v > v1 {
				s.echo.Add(r.method, "/api/"+name+r.path, s.serve(v, r.need, r.handle))
			}
		}
	}
	s.echo.GET(versionPath, s.serve(v3_1, anybody, (*Server).version))
}

const versionPath = "/api/version"

// Prefixes of the paths that this endpoint answers. /api/v1 is orch's own API; clients of Cloudify have not used theirs for ten years.
func Prefixes() []string {
	return []string{versionPath, "/api/v2", "/api/v2.1", "/api/v3", "/api/v3.1"}
}

// splitPath takes the version off a path.
func splitPath(path string) (version, rest string) {
	rest, ok := strings.CutPrefix(path, "/api/")
	if !ok {
		return "", path
	}
	version, rest, _ = strings.Cut(rest, "/")
	return version, "/" + rest
}

// cut2 are the first two segments of a path.
func cut2(path string) (first, second, rest string) {
	first, rest, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")
	second, rest, _ = strings.Cut(rest, "/")
	return first, second, rest
}

// routes are all that cfy, the client libraries and Alien4Cloud's provider use.
func routes() []route {
	return slices.Concat(systemRoutes(), accountRoutes(), blueprintRoutes(), deploymentRoutes(), instanceRoutes(), executionRoutes(), secretRoutes(), emptyRoutes(),
		filterKind("blueprints").routes(), filterKind("deployments").routes(), absentRoutes())
}

const get, post, put, patch, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete

// systemRoutes are those of the server itself: what it is and how it does, which clients ask for when they connect.
func systemRoutes() []route {
	return []route{
		{get, "/version", v1, known, (*Server).version},
		{get, "/status", v1, known, (*Server).status},
		{get, "/ok", v3_1, anybody, (*Server).ok},
		{get, "/maintenance", v2_1, known, (*Server).maintenance},
		{get, "/provider/context", v1, known, (*Server).providerContext},
		{get, "/managers", v3_1, known, (*Server).managers},
		{get, "/brokers", v3_1, known, (*Server).brokers},
		{get, "/db-nodes", v3_1, known, (*Server).databases},
		{get, "/cluster-status", v3_1, known, (*Server).clusterStatus},
		{get, "/config", v3_1, known, (*Server).config},
		{get, "/config/:name", v3_1, known, (*Server).configValue},
		{get, "/ssl", v3, known, (*Server).ssl},
		{get, "/license", v3_1, known, (*Server).license},
		{get, "/license-check", v3_1, known, (*Server).licenseCheck},
		{get, "/snapshot-status", v3_1, known, (*Server).snapshotStatus},
	}
}

// accountRoutes are those of users, tenants and tokens.
func accountRoutes() []route {
	return []route{
		{get, "/user", v3_1, known, (*Server).user},
		{get, "/users", v3, known, (*Server).users},
		{put, "/users", v3, known, (*Server).createUser},
		{get, "/users/:name", v3, known, (*Server).userNamed},
		{post, "/users/:name", v3, known, (*Server).editUser},
		{del, "/users/:name", v3, known, (*Server).deleteUser},
		{post, "/users/active/:name", v3, known, (*Server).activateUser},
		{post, "/users/unlock/:name", v3, known, (*Server).unlockUser},
		{post, "/tenants/:name", v3, known, (*Server).createTenant},
		{del, "/tenants/:name", v3, known, (*Server).deleteTenant},
		{put, "/tenants/users", v3, known, (*Server).grant},
		{patch, "/tenants/users", v3, known, (*Server).grant},
		{del, "/tenants/users", v3, known, (*Server).grant},
		{get, "/tokens", v2, known, (*Server).tokens},
		{post, "/tokens", v3_1, known, (*Server).createToken},
		{get, "/tokens/:id", v3_1, known, (*Server).token},
		{del, "/tokens/:id", v3_1, known, (*Server).deleteToken},
		{get, "/tenants", v3, known, (*Server).tenants},
		{get, "/tenants/:name", v3, known, (*Server).tenantNamed},
	}
}

// blueprintRoutes are those of blueprints and the plugins that they import.
func blueprintRoutes() []route {
	return []route{
		{get, "/blueprints", v1, tenantly, everywhere((*Server).blueprints)},
		{put, "/blueprints/:id", v1, tenantly, (*Server).uploadBlueprint},
		{put, "/blueprints/:id/validate", v3_1, tenantly, (*Server).validateBlueprint},
		{get, "/blueprints/:id", v1, tenantly, (*Server).blueprint},
		{del, "/blueprints/:id", v1, tenantly, (*Server).deleteBlueprint},
		{patch, "/blueprints/:id", v3_1, tenantly, (*Server).editBlueprint},
		{get, "/blueprints/:id/archive", v1, tenantly, (*Server).downloadBlueprint},
		{patch, "/blueprints/:id/set-visibility", v3_1, tenantly, (*Server).showBlueprint},
		{patch, "/blueprints/:id/set-global", v3, tenantly, (*Server).showBlueprint},
		{patch, "/blueprints/:id/icon", v3_1, tenantly, (*Server).setIcon},
		{post, "/searches/blueprints", v3_1, tenantly, everywhere((*Server).blueprints)},
		{post, "/plugins", v2, tenantly, (*Server).uploadPlugin},
		{get, "/plugins", v2, tenantly, everywhere((*Server).plugins)},
		{get, "/plugins/:id", v2, tenantly, (*Server).plugin},
		{del, "/plugins/:id", v2, tenantly, (*Server).deletePlugin},
		{get, "/plugins/:id/archive", v2, tenantly, (*Server).downloadPlugin},
		{get, "/plugins/:id/yaml", v3_1, tenantly, (*Server).pluginYAML},
		{patch, "/plugins/:id/set-visibility", v3_1, tenantly, (*Server).showPlugin},
		{patch, "/plugins/:id/set-global", v3, tenantly, (*Server).showPlugin},
		{get, "/labels/blueprints", v3_1, tenantly, labelKeys(blueprintLabels)},
		{get, "/labels/blueprints/:key", v3_1, tenantly, labelKeys(blueprintLabels)},
		{get, "/summary/blueprints", v3_1, tenantly, summary("blueprints", blueprintDocuments)},
	}
}

// deploymentRoutes are those of deployments, their groups and updates.
func deploymentRoutes() []route {
	return []route{
		{post, "/evaluate/functions", v2, tenantly, (*Server).evaluateFunctions},
		{get, "/deployments", v1, tenantly, everywhere((*Server).deployments)},
		{put, "/deployments/:id", v1, tenantly, (*Server).createDeployment},
		{get, "/deployments/:id", v1, tenantly, (*Server).deployment},
		{del, "/deployments/:id", v1, tenantly, (*Server).deleteDeployment},
		{patch, "/deployments/:id", v3_1, tenantly, (*Server).editDeployment},
		{get, "/deployments/:id/outputs", v2, tenantly, (*Server).outputs},
		{get, "/deployments/:id/capabilities", v3_1, tenantly, (*Server).capabilities},
		{post, "/deployments/:id/set-site", v3_1, tenantly, (*Server).setSite},
		{patch, "/deployments/:id/set-visibility", v3_1, tenantly, (*Server).showDeployment},
		{post, "/searches/deployments", v3_1, tenantly, everywhere((*Server).deployments)},
		{get, "/deployment-groups", v3_1, tenantly, everywhere((*Server).deploymentGroups)},
		{get, "/deployment-groups/:id", v3_1, tenantly, (*Server).deploymentGroup},
		{put, "/deployment-groups/:id", v3_1, tenantly, (*Server).setGroup},
		{patch, "/deployment-groups/:id", v3_1, tenantly, (*Server).editGroup},
		{del, "/deployment-groups/:id", v3_1, tenantly, (*Server).deleteGroup},
		{post, "/deployment-updates/:id/update/initiate", v2_1, tenantly, (*Server).initiateUpdate},
		{put, "/deployment-updates/:id/update/initiate", v3, tenantly, (*Server).initiateUpdate},
		{get, "/deployment-updates", v2_1, tenantly, everywhere((*Server).updates)},
		{get, "/deployment-updates/:id", v2_1, tenantly, (*Server).deploymentUpdate},
		{post, "/searches/capabilities", v3_1, tenantly, everywhere(searchOf("capabilities", capabilityDocuments))},
		{post, "/searches/scaling-groups", v3_1, tenantly, everywhere(searchOf("scaling-groups", scalingGroupDocuments))},
		{post, "/searches/workflows", v3_1, tenantly, (*Server).workflowList},
		{get, "/workflows", v3_1, tenantly, (*Server).workflowList},
		{get, "/sites", v3_1, tenantly, everywhere((*Server).sites)},
		{put, "/sites/:name", v3_1, tenantly, (*Server).createSite},
		{post, "/sites/:name", v3_1, tenantly, (*Server).updateSite},
		{get, "/sites/:name", v3_1, tenantly, (*Server).site},
		{del, "/sites/:name", v3_1, tenantly, (*Server).deleteSite},
		{get, "/labels/deployments", v3_1, tenantly, labelKeys(deploymentLabels)},
		{get, "/labels/deployments/:key", v3_1, tenantly, labelKeys(deploymentLabels)},
		{get, "/summary/deployments", v3_1, tenantly, summary("deployments", deploymentDocuments)},
	}
}

// instanceRoutes are those of nodes and their instances.
func instanceRoutes() []route {
	return []route{
		{get, "/nodes", v1, tenantly, everywhere((*Server).nodes)},
		{get, "/nodes/:id/:node", v3_1, tenantly, (*Server).node},
		{post, "/searches/nodes", v3_1, tenantly, everywhere((*Server).nodes)},
		{get, "/node-instances", v1, tenantly, everywhere((*Server).instances)},
		{get, "/node-instances/:id", v1, tenantly, (*Server).instance},
		{patch, "/node-instances/:id", v1, tenantly, (*Server).editInstance},
		{post, "/searches/node-instances", v3_1, tenantly, everywhere((*Server).instances)},
		{post, "/searches/node-types", v3_1, tenantly, everywhere(searchOf("node-types", nodeTypeDocuments))},
		{get, "/summary/nodes", v3_1, tenantly, summary("nodes", nodeDocuments)},
		{get, "/summary/node_instances", v3_1, tenantly, summary("node_instances", instanceDocuments)},
	}
}

// executionRoutes are those of executions, what is to become one, and what they have said.
func executionRoutes() []route {
	return []route{
		{get, "/execution-groups", v3_1, tenantly, everywhere((*Server).executionGroups)},
		{post, "/execution-groups", v3_1, tenantly, (*Server).startGroup},
		{get, "/execution-groups/:id", v3_1, tenantly, (*Server).executionGroup},
		{post, "/execution-groups/:id", v3_1, tenantly, (*Server).steerGroup},
		{patch, "/execution-groups/:id", v3_1, tenantly, (*Server).editExecutionGroup},
		{get, "/execution-schedules", v3_1, tenantly, everywhere((*Server).schedules)},
		{get, "/execution-schedules/:id", v3_1, tenantly, (*Server).oneSchedule},
		{put, "/execution-schedules/:id", v3_1, tenantly, (*Server).createSchedule},
		{patch, "/execution-schedules/:id", v3_1, tenantly, (*Server).editSchedule},
		{del, "/execution-schedules/:id", v3_1, tenantly, (*Server).deleteSchedule},
		{get, "/summary/execution_schedules", v3_1, tenantly, summary("execution_schedules", scheduleDocuments)},
		{get, "/executions", v1, tenantly, everywhere((*Server).executions)},
		{post, "/executions", v1, tenantly, (*Server).start},
		{get, "/executions/:id", v1, tenantly, (*Server).execution},
		{post, "/executions/:id", v1, tenantly, (*Server).steer},
		{del, "/executions", v3_1, tenantly, (*Server).deleteExecutions},
		{patch, "/executions/:id", v1, tenantly, (*Server).editExecution},
		{get, "/tasks_graphs", v3_1, tenantly, (*Server).taskGraphs},
		{get, "/operations", v3_1, tenantly, (*Server).graphOperations},
		{get, "/events", v2, tenantly, (*Server).events},
		{post, "/events", v3, tenantly, (*Server).tell},
		{del, "/events", v2, tenantly, (*Server).clearEvents},
		{get, "/summary/executions", v3_1, tenantly, summary("executions", executionDocuments)},
	}
}

// secretRoutes are those of secrets.
func secretRoutes() []route {
	return []route{
		{get, "/secrets", v3, tenantly, everywhere((*Server).secrets)},
		{put, "/secrets/:key", v3, tenantly, (*Server).createSecret},
		{patch, "/secrets/:key", v3, tenantly, (*Server).updateSecret},
		{get, "/secrets/:key", v3, tenantly, (*Server).secret},
		{del, "/secrets/:key", v3, tenantly, (*Server).deleteSecret},
		{patch, "/secrets/:key/set-visibility", v3_1, tenantly, (*Server).showSecret},
		{patch, "/secrets/:key/set-global", v3, tenantly, (*Server).showSecret},
		{get, "/secrets/share/export", v3_1, tenantly, (*Server).exportSecrets},
		{post, "/secrets/share/import", v3_1, tenantly, (*Server).importSecrets},
		{post, "/searches/secrets", v3_1, tenantly, everywhere((*Server).secrets)},
	}
}

// emptyRoutes are those of lists of what there is never any of.
func emptyRoutes() []route {
	return []route{
		{get, "/user-groups", v3, known, emptyList},
		{get, "/snapshots", v2, tenantly, emptyList},
		{get, "/agents", v3_1, tenantly, emptyList},
		{get, "/log-bundles", v3_1, tenantly, emptyList},
		{get, "/plugins-updates", v3_1, tenantly, emptyList},
		{get, "/deployments/inter-deployment-dependencies", v3_1, tenantly, emptyList},
		{get, "/deployments/:id/inter-deployment-dependencies", v3_1, tenantly, emptyList},
		{get, "/deployment-modifications", v1, tenantly, emptyList},
		{get, "/secrets-providers", v3_1, tenantly, emptyList},
	}
}

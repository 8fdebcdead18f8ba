package a4c

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

type route struct {
	method, path string
	accept       string // what the client must accept; "" anything
	content      string // type of the body; "" there is none
	handle       echo.HandlerFunc
}

// routes is all that Yorc offers and orch has. What Yorc's plugin for Alien4Cloud uses is in the first two groups.
func (s *Server) routes() []route {
	const get, head, post, put, patch, del = http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete
	return []route{
		{get, "/server/info", jsonType, "", s.info},
		{get, "/server/health", jsonType, "", s.health},
		{get, "/deployments", jsonType, "", s.deployments},
		{get, "/events", jsonType, "", s.events},
		{get, "/logs", jsonType, "", s.logs},
		{head, "/events", "", "", s.index},
		{head, "/logs", "", "", s.index},

		{put, "/deployments/:id", "", zipType, s.deploy},
		{patch, "/deployments/:id", "", zipType, s.update},
		{del, "/deployments/:id", "", "", s.undeploy},
		{post, "/deployments/:id/purge", jsonType, "", s.purge},
		{post, "/deployments/:id/scale/:node", "", "", s.scale},
		{post, "/deployments/:id/custom", "", jsonType, s.custom},
		{post, "/deployments/:id/workflows/:workflow", "", jsonType, s.execute},
		{get, "/deployments/:id", jsonType, "", s.deployment},
		{get, "/deployments/:id/nodes/:node", jsonType, "", s.node},
		{get, "/deployments/:id/nodes/:node/instances/:instance", jsonType, "", s.instance},
		{get, "/deployments/:id/nodes/:node/instances/:instance/attributes/:attribute", jsonType, "", s.attribute},
		{get, "/deployments/:id/tasks/:task", jsonType, "", s.task},
		{put, "/deployments/:id/tasks/:task", "", "", s.resume},
		{del, "/deployments/:id/tasks/:task", "", "", s.cancel},
		{get, "/deployments/:id/tasks/:task/steps", jsonType, "", s.steps},
		{put, "/deployments/:id/tasks/:task/steps/:step", "", jsonType, s.fixStep},

		{post, "/deployments", "", zipType, s.deployUnnamed},
		{get, "/deployments/:id/nodes/:node/instances/:instance/attributes", jsonType, "", s.attributes},
		{get, "/deployments/:id/outputs", jsonType, "", s.outputs},
		{get, "/deployments/:id/outputs/:output", jsonType, "", s.output},
		{get, "/deployments/:id/workflows", jsonType, "", s.workflows},
		{get, "/deployments/:id/workflows/:workflow", jsonType, "", s.workflow},
		{get, "/deployments/:id/events", jsonType, "", s.events},
		{get, "/deployments/:id/logs", jsonType, "", s.logs},
		{head, "/deployments/:id/events", "", "", s.index},
		{head, "/deployments/:id/logs", "", "", s.index},

		{get, "/locations", jsonType, "", s.locations},
		{get, "/locations/:location", jsonType, "", s.location},
		{put, "/locations/:location", "", jsonType, s.createLocation},
		{patch, "/locations/:location", "", jsonType, s.replaceLocation},
		{del, "/locations/:location", "", "", s.deleteLocation},

		{get, "/hosts_pool", jsonType, "", s.hostsPools},
		{get, "/hosts_pool/:location", jsonType, "", s.hosts},
		{post, "/hosts_pool/:location", "", jsonType, s.applyHostsAt},
		{put, "/hosts_pool/:location", "", jsonType, s.applyHosts},
		{get, "/hosts_pool/:location/:host", jsonType, "", s.poolHost},
		{put, "/hosts_pool/:location/:host", "", jsonType, s.addHost},
		{patch, "/hosts_pool/:location/:host", "", jsonType, s.updateHost},
		{del, "/hosts_pool/:location/:host", "", "", s.removeHost},

		{get, "/registry/delegates", jsonType, "", s.delegates},
		{get, "/registry/implementations", jsonType, "", s.implementations},
		{get, "/registry/definitions", jsonType, "", s.definitions},
		{get, "/registry/vaults", jsonType, "", s.vaults},
		{get, "/registry/infra_usage_collectors", jsonType, "", s.collectors},
		{get, "/infra_usage", jsonType, "", s.collections},
		{post, "/infra_usage/:infra/:location", "", jsonType, s.collect},
		{get, "/infra_usage/:infra/:location/tasks/:task", jsonType, "", s.collection},
		{del, "/infra_usage/:infra/:location/tasks/:task", "", "", s.forgetCollection},
	}
}

package nova

import "github.com/orch-project/orch/internal/sandbox/rest"

func (s *Service) routes() []rest.Route {
	return []rest.Route{
		{Method: "GET", Path: "/{$}", Handler: s.roots, Public: true},
		{Method: "GET", Path: "/v2.1", Handler: s.root, Public: true},

		{Method: "GET", Path: "/v2.1/servers", Handler: s.listServers(false)},
		{Method: "GET", Path: "/v2.1/servers/detail", Handler: s.listServers(true)},
		{Method: "POST", Path: "/v2.1/servers", Handler: s.createServer},
		{Method: "POST", Path: "/v2.1/os-volumes_boot", Handler: s.createServer},
		{Method: "GET", Path: "/v2.1/servers/{id}", Handler: s.showServer},
		{Method: "PUT", Path: "/v2.1/servers/{id}", Handler: s.updateServer},
		{Method: "DELETE", Path: "/v2.1/servers/{id}", Handler: s.deleteServer},
		{Method: "POST", Path: "/v2.1/servers/{id}/action", Handler: s.action, Unlocked: true},
		{Method: "GET", Path: "/v2.1/servers/{id}/ips", Handler: s.listAddresses},
		{Method: "GET", Path: "/v2.1/servers/{id}/ips/{network}", Handler: s.showAddresses},
		{Method: "GET", Path: "/v2.1/servers/{id}/diagnostics", Handler: s.diagnostics, Admin: "os_compute_api:os-server-diagnostics"},
		{Method: "GET", Path: "/v2.1/servers/{id}/os-security-groups", Handler: s.serverGroups},
		{Method: "GET", Path: "/v2.1/servers/{id}/os-server-password", Handler: s.serverPassword},
		{Method: "DELETE", Path: "/v2.1/servers/{id}/os-server-password", Handler: s.clearPassword},
		{Method: "GET", Path: "/v2.1/servers/{id}/os-instance-actions", Handler: s.listActions},
		{Method: "GET", Path: "/v2.1/servers/{id}/os-instance-actions/{request}", Handler: s.showAction},
		{Method: "POST", Path: "/v2.1/servers/{id}/remote-consoles", Handler: s.remoteConsole},
		{Method: "GET", Path: "/v2.1/servers/{id}/migrations", Handler: s.none("migrations"), Admin: "servers:migrations:index"},

		{Method: "GET", Path: "/v2.1/servers/{id}/metadata", Handler: s.showMetadata},
		{Method: "POST", Path: "/v2.1/servers/{id}/metadata", Handler: s.mergeMetadata},
		{Method: "PUT", Path: "/v2.1/servers/{id}/metadata", Handler: s.replaceMetadata},
		{Method: "GET", Path: "/v2.1/servers/{id}/metadata/{key}", Handler: s.showMeta},
		{Method: "PUT", Path: "/v2.1/servers/{id}/metadata/{key}", Handler: s.setMeta},
		{Method: "DELETE", Path: "/v2.1/servers/{id}/metadata/{key}", Handler: s.deleteMeta},

		{Method: "GET", Path: "/v2.1/servers/{id}/tags", Handler: s.listTags},
		{Method: "PUT", Path: "/v2.1/servers/{id}/tags", Handler: s.replaceTags},
		{Method: "DELETE", Path: "/v2.1/servers/{id}/tags", Handler: s.clearTags},
		{Method: "GET", Path: "/v2.1/servers/{id}/tags/{tag}", Handler: s.checkTag},
		{Method: "PUT", Path: "/v2.1/servers/{id}/tags/{tag}", Handler: s.addTag},
		{Method: "DELETE", Path: "/v2.1/servers/{id}/tags/{tag}", Handler: s.removeTag},

		{Method: "GET", Path: "/v2.1/servers/{id}/os-interface", Handler: s.listInterfaces},
		{Method: "POST", Path: "/v2.1/servers/{id}/os-interface", Handler: s.attachInterface, Unlocked: true},
		{Method: "GET", Path: "/v2.1/servers/{id}/os-interface/{port}", Handler: s.showInterface},
		{Method: "DELETE", Path: "/v2.1/servers/{id}/os-interface/{port}", Handler: s.detachInterface},

		{Method: "GET", Path: "/v2.1/servers/{id}/os-volume_attachments", Handler: s.listAttachments},
		{Method: "POST", Path: "/v2.1/servers/{id}/os-volume_attachments", Handler: s.attachVolume},
		{Method: "GET", Path: "/v2.1/servers/{id}/os-volume_attachments/{volume}", Handler: s.showAttachment},
		{Method: "PUT", Path: "/v2.1/servers/{id}/os-volume_attachments/{volume}", Handler: s.updateAttachment},
		{Method: "DELETE", Path: "/v2.1/servers/{id}/os-volume_attachments/{volume}", Handler: s.detachVolume},

		{Method: "GET", Path: "/v2.1/flavors", Handler: s.listFlavors(false)},
		{Method: "GET", Path: "/v2.1/flavors/detail", Handler: s.listFlavors(true)},
		{Method: "POST", Path: "/v2.1/flavors", Handler: s.createFlavor, Admin: "os-flavor-manage:create"},
		{Method: "GET", Path: "/v2.1/flavors/{id}", Handler: s.showFlavor},
		{Method: "PUT", Path: "/v2.1/flavors/{id}", Handler: s.updateFlavor, Admin: "os-flavor-manage:update"},
		{Method: "DELETE", Path: "/v2.1/flavors/{id}", Handler: s.deleteFlavor, Admin: "os-flavor-manage:delete"},
		{Method: "GET", Path: "/v2.1/flavors/{id}/os-extra_specs", Handler: s.extraSpecs},
		{Method: "POST", Path: "/v2.1/flavors/{id}/os-extra_specs", Handler: s.addExtraSpecs, Admin: "os-flavor-extra-specs:create"},
		{Method: "GET", Path: "/v2.1/flavors/{id}/os-extra_specs/{key}", Handler: s.extraSpec},
		{Method: "PUT", Path: "/v2.1/flavors/{id}/os-extra_specs/{key}", Handler: s.setExtraSpec, Admin: "os-flavor-extra-specs:update"},
		{Method: "DELETE", Path: "/v2.1/flavors/{id}/os-extra_specs/{key}", Handler: s.deleteExtraSpec, Admin: "os-flavor-extra-specs:delete"},
		{Method: "GET", Path: "/v2.1/flavors/{id}/os-flavor-access", Handler: s.flavorAccess, Admin: "os-flavor-access"},
		{Method: "POST", Path: "/v2.1/flavors/{id}/action", Handler: s.flavorAction, Admin: "os-flavor-access:add_tenant_access"},

		{Method: "GET", Path: "/v2.1/os-keypairs", Handler: s.listKeyPairs},
		{Method: "POST", Path: "/v2.1/os-keypairs", Handler: s.createKeyPair},
		{Method: "GET", Path: "/v2.1/os-keypairs/{name}", Handler: s.showKeyPair},
		{Method: "DELETE", Path: "/v2.1/os-keypairs/{name}", Handler: s.deleteKeyPair},

		{Method: "GET", Path: "/v2.1/os-server-groups", Handler: s.listGroups},
		{Method: "POST", Path: "/v2.1/os-server-groups", Handler: s.createGroup},
		{Method: "GET", Path: "/v2.1/os-server-groups/{id}", Handler: s.showGroup},
		{Method: "DELETE", Path: "/v2.1/os-server-groups/{id}", Handler: s.deleteGroup},

		{Method: "GET", Path: "/v2.1/limits", Handler: s.limits},
		{Method: "GET", Path: "/v2.1/os-quota-sets/{project}", Handler: s.showQuota},
		{Method: "GET", Path: "/v2.1/os-quota-sets/{project}/defaults", Handler: s.defaultQuota},
		{Method: "GET", Path: "/v2.1/os-quota-sets/{project}/detail", Handler: s.detailQuota},
		{Method: "PUT", Path: "/v2.1/os-quota-sets/{project}", Handler: s.updateQuota, Admin: "os-quota-sets:update"},
		{Method: "DELETE", Path: "/v2.1/os-quota-sets/{project}", Handler: s.deleteQuota, Admin: "os-quota-sets:delete"},

		{Method: "GET", Path: "/v2.1/os-availability-zone", Handler: s.listZones},
		{Method: "GET", Path: "/v2.1/os-availability-zone/detail", Handler: s.listZonesDetail, Admin: "os-availability-zone:detail"},
		{Method: "GET", Path: "/v2.1/os-hypervisors", Handler: s.listHypervisors(false), Admin: "os-hypervisors:list"},
		{Method: "GET", Path: "/v2.1/os-hypervisors/detail", Handler: s.listHypervisors(true), Admin: "os-hypervisors:list-detail"},
		{Method: "GET", Path: "/v2.1/os-services", Handler: s.listServices, Admin: "os-services:list"},
		{Method: "GET", Path: "/v2.1/os-aggregates", Handler: s.none("aggregates"), Admin: "os-aggregates:index"},
		{Method: "GET", Path: "/v2.1/os-simple-tenant-usage/{project}", Handler: s.usage},
		{Method: "GET", Path: "/v2.1/extensions", Handler: s.listExtensions},
		{Method: "GET", Path: "/v2.1/extensions/{alias}", Handler: s.showExtension},

		{Method: "GET", Path: "/v2.1/images", Handler: s.proxy(35, s.listImages(false))},
		{Method: "GET", Path: "/v2.1/images/detail", Handler: s.proxy(35, s.listImages(true))},
		{Method: "GET", Path: "/v2.1/images/{id}", Handler: s.proxy(35, s.showImage)},
		{Method: "GET", Path: "/v2.1/os-tenant-networks", Handler: s.proxy(35, s.tenantNetworks)},
		{Method: "GET", Path: "/v2.1/os-networks", Handler: s.proxy(35, s.tenantNetworks)},
		{Method: "GET", Path: "/v2.1/os-floating-ip-pools", Handler: s.proxy(35, s.floatingPools)},
		{Method: "GET", Path: "/v2.1/os-floating-ips", Handler: s.proxy(35, s.floatingIPs)},
		{Method: "GET", Path: "/v2.1/os-security-groups", Handler: s.proxy(35, s.securityGroups)},
		{Method: "GET", Path: "/v2.1/os-security-groups/{id}", Handler: s.proxy(35, s.securityGroup)},
	}
}

func (s *Service) none(name string) rest.Handler {
	return func(*rest.Call) (rest.Reply, error) { return rest.OK(map[string]any{name: []any{}}) }
}

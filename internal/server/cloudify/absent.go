package cloudify

import (
	"net/http"
	"strings"
)

// What Cloudify Manager has and this endpoint has not. Clients are told what there is instead, with the code that the manager's community edition
// uses for what only its premium edition has, or that of an action which is not allowed.

// premium answers as a manager without the premium package does.
func premium(instead string) handler {
	return func(*Server, *request) (any, error) {
		return nil, &problem{http.StatusNotFound, "missing_premium_package_error", "This feature exists only in the premium edition of Cloudify. " + instead}
	}
}

// absent refuses an action that means nothing here.
func absent(instead string) handler {
	return func(*Server, *request) (any, error) { return nil, refused("illegal_action_error", "%s", instead) }
}

func absentRoutes() (out []route) {
	const (
		snapshots = "There are no snapshots: whoever runs the server saves its store with `orch store backup`"
		agents    = "There are no agents: operations run over SSH, or on the server"
		updates   = "Plugins of deployments are not updated: a deployment keeps the definitions that it was made with; upload the blueprint again and update the deployment to it"
		groups    = "Users have their roles in tenants themselves: use `cfy tenants add-user`"
		upkeep    = "There is no maintenance mode: a server that is told to stop lets its tasks go on elsewhere"
		providers = "Secrets providers are orch's references: `env:`, `file:` and `vault:` in a secret's place"
		bundles   = "There are no log bundles: `journalctl -u orch` has the server's log"
		workers   = "Only Cloudify Manager's own workers ask for this: here the server runs workflows itself. Start one with POST /executions"
		scaling   = "Instances are added and removed by the workflow scale: start it with POST /executions, as `cfy executions start scale` does"
		clusters  = "Servers that use one Consul are a cluster: start another one with the same store"
	)
	for _, r := range []struct {
		paths, methods string
		handle         handler
	}{
		{"/user-groups /user-groups/:name /user-groups/users /tenants/user-groups", post + " " + put + " " + patch + " " + del, premium(groups)},
		{"/user-groups/:name", get, premium(groups)},
		{"/ldap", get + " " + post + " " + del, premium("Users are orch's own, or come from an OpenID provider")},
		{"/idp", get + " " + post, premium("Users are orch's own, or come from an OpenID provider")},
		{"/audit", get + " " + post + " " + del, premium("`orch audit` shows who has changed what")},
		{"/permissions /permissions/:role", get, premium("Roles are fixed: viewer, operator and admin of a tenant, and admin of the server")},
		{"/permissions/:role/:permission", put + " " + del, premium("Roles are fixed: viewer, operator and admin of a tenant, and admin of the server")},
		{"/license", put + " " + del, absent("There is nothing to license")},
		{"/cluster", get, premium(clusters)},
		{"/managers /brokers /db-nodes", post + " " + del, absent(clusters)},
		{"/managers/:name /brokers/:name /db-nodes/:name", put + " " + del, absent(clusters)},
		{"/maintenance/:state", post, absent(upkeep)},
		{"/config", put, absent("The configuration is the server's own: see `orch config show`")},
		{"/config/:name", put, absent("The configuration is the server's own: see `orch config show`")},
		{"/ssl", post, absent("Whether the server speaks TLS is said when it is started: `--tls-cert` and `--tls-key`")},
		{"/snapshots/:id", put + " " + get + " " + patch + " " + del, absent(snapshots)},
		{"/snapshots/:id/restore", post, absent(snapshots)},
		{"/snapshots/:id/archive", put + " " + get, absent(snapshots)},
		{"/log-bundles/:id", put + " " + get + " " + patch + " " + del, absent(bundles)},
		{"/log-bundles/:id/archive", get, absent(bundles)},
		{"/agents/:name", put + " " + get + " " + patch, absent(agents)},
		{"/agents", put + " " + patch, absent(agents)},
		{"/plugins-updates/:id/update/initiate /plugins-updates/:id/update/finalize", post, absent(updates)},
		{"/plugins/:id", put + " " + post, absent("A plugin's code is not installed: what it declares can be imported as soon as it is uploaded")},
		{"/nodes /node-instances /tasks_graphs", post, absent(workers)},
		{"/nodes/:id/:node", patch + " " + del, absent(workers)},
		{"/node-instances/:id", del, absent(workers)},
		{"/operations/:id", put + " " + get + " " + patch + " " + del, absent(workers)},
		{"/tasks_graphs/:id", patch, absent(workers)},
		{"/executions/:id/should-start", get, absent(workers)},
		{"/deployment-updates/:id", put + " " + patch, absent(workers)},
		{"/deployment-updates/:id/update/finalize", post, absent(workers)},
		{"/deployments/:id/inter-deployment-dependencies", put + " " + post + " " + del, absent(workers)},
		{"/deployments/inter-deployment-dependencies", put + " " + post + " " + del, absent(workers)},
		{"/deployment-modifications", post, absent(scaling)},
		{"/deployment-modifications/:id", get, absent(scaling)},
		{"/deployment-modifications/:id/finish /deployment-modifications/:id/rollback", post, absent(scaling)},
		{"/provider/context", post + " " + put, absent(workers)},
		{"/secrets-providers", put, absent(providers)},
		{"/secrets-providers/:name", put + " " + get + " " + patch + " " + del, absent(providers)},
		{"/secrets-providers/:name/check", put, absent(providers)},
	} {
		need := tenantly
		switch first, _, _ := cut2(r.paths); first {
		case "user-groups", "ldap", "idp", "audit", "permissions", "license", "cluster", "managers", "brokers", "db-nodes", "maintenance", "config", "ssl", "provider":
			need = known
		}
		for path := range strings.FieldsSeq(r.paths) {
			for method := range strings.FieldsSeq(r.methods) {
				out = append(out, route{method, path, v3_1, need, r.handle})
			}
		}
	}
	return out
}

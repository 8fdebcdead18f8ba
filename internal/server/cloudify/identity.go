package cloudify

import (
	"encoding/json"
	"net/http"

	"github.com/orch-project/orch/pkg/orch"
)

// scope says what a route needs to know of its client.
type scope int

const (
	anybody  scope = iota // nothing
	known                 // who it is
	tenantly              // and for which tenant
)

// identify takes over what the server has found out. Clients of the API before tenants need not name one.
func (q *request) identify(need scope) error {
	q.who, _ = orch.IdentityOf(q.Request().Context())
	if q.who.User == "" {
		q.who.User = "admin"
	}
	if need == tenantly && q.api >= v3 && q.Request().Header.Get("Tenant") == "" {
		return forbidden("Authorization failed: tenant not provided")
	}
	return nil
}

// admin of the tenant, who may see what others hide.
func (q *request) admin() bool {
	return q.who.Role == "" || q.who.Allows(orch.Admin)
}

// Needs says which role a request needs, for the server that checks it before it comes here.
func Needs(r *http.Request) orch.Role {
	path, method := r.URL.Path, r.Method
	read := method == http.MethodGet || method == http.MethodHead
	_, rest := splitPath(path)
	first, second, _ := cut2(rest)
	switch {
	case path == versionPath || rest == "/ok":
		return orch.Public
	case read && (first == "version" || first == "status" || first == "user" || first == "maintenance" || first == "provider" || first == "config" || first == "license" || first == "license-check" || first == "snapshot-status" || first == "ssl" ||
		first == "managers" || first == "brokers" || first == "db-nodes" || first == "cluster-status"), first == "tokens":
		return orch.Known
	case first == "tenants" && read:
		return orch.Known
	case first == "users" || first == "user-groups" || first == "tenants" || first == "permissions" || first == "ldap" || first == "audit" || first == "config" || first == "license" ||
		first == "maintenance" || first == "ssl" || first == "managers" || first == "brokers" || first == "db-nodes":
		return orch.ServerAdmin
	case first == "secrets" && second != "": // values
		return orch.Operator
	case read, first == "searches", first == "evaluate":
		return orch.Viewer
	}
	return orch.Operator
}

// Refuse answers a request that the server does not let through, in Cloudify's words.
func Refuse(w http.ResponseWriter, _ *http.Request, p orch.Problem) {
	out := withStatus(p.Status, p.Detail)
	switch p.Status {
	case http.StatusUnauthorized:
		out.message = "User unauthorized: " + p.Detail
	case http.StatusNotFound: // the tenant
		out = forbidden("Authorization failed: Tried to authenticate with invalid tenant name: " + p.Detail).(*problem)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(out.status)
	_ = json.NewEncoder(w).Encode(out.document()) // the client went away
}

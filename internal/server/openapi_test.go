package server

import (
	"context"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/orch-project/orch/internal/server/apitest"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/hostpool"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

var parsed = sync.OnceValues(func() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err == nil {
		err = doc.Validate(context.Background())
	}
	return doc, err
})

func apiDocument(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := parsed()
	if err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	return doc
}

// asTemplate turns echo's /a/:b into OpenAPI's /a/{b}.
func asTemplate(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if name, ok := strings.CutPrefix(p, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	return strings.Join(parts, "/")
}

func TestEveryRouteIsDescribed(t *testing.T) {
	doc := apiDocument(t)
	known := map[string]bool{}
	for _, r := range New(Options{Service: &stub{}}).routes() {
		path := asTemplate(r.path)
		known[r.method+" "+path] = true
		item := doc.Paths.Value(path)
		if item == nil || item.GetOperation(r.method) == nil {
			t.Errorf("%s %s is not in internal/server/openapi.yaml: add below paths, as the others are\n  %s:\n    %s:\n      operationId: …\n      x-orch-role: %s\n      responses: …",
				r.method, r.path, path, strings.ToLower(r.method), r.needs)
			continue
		}
		op := item.GetOperation(r.method)
		if role, _ := op.Extensions["x-orch-role"].(string); role != string(r.needs) {
			t.Errorf("%s %s needs %q in routes.go, and x-orch-role is %q in openapi.yaml", r.method, r.path, r.needs, role)
		}
		if op.OperationID == "" || op.Summary == "" || len(op.Tags) == 0 {
			t.Errorf("%s %s needs operationId, summary and tags in openapi.yaml", r.method, r.path)
		}
		for _, p := range strings.Split(path, "/") {
			if name := strings.Trim(p, "{}"); strings.HasPrefix(p, "{") && op.Parameters.GetByInAndName("path", name) == nil {
				t.Errorf("%s %s: openapi.yaml lacks the path parameter %s", r.method, r.path, name)
			}
		}
		hasKey := op.Parameters.GetByInAndName("header", keyHeader) != nil
		if hasKey != (r.traits&once != 0) {
			t.Errorf("%s %s: %s is in one of routes.go (trait once) and openapi.yaml (parameter idem) only", r.method, r.path, keyHeader)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			if !known[method+" "+path] {
				t.Errorf("openapi.yaml describes %s %s, which routes.go does not have", method, path)
			}
		}
	}
}

// described are the Go types behind the schemas.
var described = map[string]any{
	"Problem": orch.Problem{}, "ProblemPart": orch.ProblemPart{}, "Diagnostic": diag.Diagnostic{}, "Pos": diag.Pos{}, "Related": diag.Related{}, "Identity": orch.Identity{},
	"Request": orch.Request{}, "Control": orch.Control{}, "PlanAnswer": orch.PlanAnswer{}, "SavedPlan": orch.SavedPlan{}, "Plan": plan.Plan{}, "Step": plan.Step{},
	"StepStatus": orch.StepStatus{}, "Wait": orch.Wait{}, "Change": driver.Change{}, "FieldChange": driver.FieldChange{}, "Instance": topology.Instance{}, "Deployment": orch.Deployment{},
	"Detail": orch.Detail{}, "NodeStatus": orch.NodeStatus{}, "InstanceStatus": orch.InstanceStatus{}, "Task": orch.Task{}, "Progress": orch.Progress{}, "Failure": engine.Failure{},
	"Output": orch.Output{}, "HostAccess": orch.HostAccess{}, "Host": driver.Host{}, "Resource": orch.Resource{}, "Event": event.Event{}, "Blueprint": orch.Blueprint{},
	"BlueprintInput": orch.BlueprintInput{}, "SecretInfo": orch.SecretInfo{}, "Tenant": orch.Tenant{}, "Member": orch.Member{}, "User": orch.User{}, "NewUser": orch.NewUser{},
	"UserChange": orch.UserChange{}, "Token": orch.Token{}, "IssuedToken": orch.IssuedToken{}, "NewToken": orch.NewToken{}, "AuditEntry": orch.AuditEntry{},
	"SecretDetail": orch.SecretDetail{}, "SecretVersion": orch.SecretVersion{}, "SecretChange": orch.SecretChange{}, "SecretExport": orch.SecretExport{},
	"SecretExported": orch.SecretExported{}, "SecretImport": orch.SecretImport{}, "SecretImported": orch.SecretImported{}, "SecretRotate": orch.SecretRotate{},
	"SecretRotation": orch.SecretRotation{}, "SecretRead": orch.SecretRead{}, "DriftRequest": orch.DriftRequest{}, "Drift": orch.Drift{}, "DriftedOne": orch.DriftedOne{},
	"Revision": orch.Revision{}, "PlanSummary": plan.Summary{}, "WorkflowInfo": orch.WorkflowInfo{}, "WorkflowInput": orch.WorkflowInput{}, "LocationInfo": orch.LocationInfo{}, "Usage": orch.Usage{}, "HostList": orch.HostList{}, "PoolHost": hostpool.Host{},
	"Connection": hostpool.Connection{}, "Allocation": hostpool.Allocation{}, "WantedHost": hostpool.Wanted{}, "LogLevel": orch.LogLevel{}, "PolicyStatus": orch.PolicyStatus{},
}

// inline are schemas of bodies that handlers decode into structs of their own.
var inline = []string{"Role", "TenantRole", "NewTenant", "RoleChange", "PasswordChange", "Bootstrap"}

func TestSchemasHaveTheFieldsOfTheTypes(t *testing.T) {
	doc := apiDocument(t)
	for name, schema := range doc.Components.Schemas {
		v, ok := described[name]
		if !ok {
			if !slices.Contains(inline, name) {
				t.Errorf("openapi.yaml has a schema %s: add its Go type to `described` in openapi_test.go", name)
			}
			continue
		}
		have := schema.Value.Properties
		want := fields(reflect.TypeOf(v))
		names := map[string]bool{}
		for _, n := range jsonNames(reflect.TypeOf(v)) {
			names[n] = true
			if have[n] == nil && !testing.Short() {
				t.Errorf("%T has the field %q: add it to components.schemas.%s.properties in internal/server/openapi.yaml", v, n, name)
			}
		}
		for n := range have {
			if !names[n] {
				t.Errorf("openapi.yaml: schema %s has %q, which %T does not (it has %v)", name, n, v, slices.Sorted(maps.Keys(want)))
			}
		}
	}
	for name := range described {
		if doc.Components.Schemas[name] == nil {
			t.Errorf("openapi.yaml has no schema %s", name)
		}
	}
}

// What every guarded route, and every route with a body, may answer is said of each: clients are generated from it.
func TestUsualAnswersAreDescribed(t *testing.T) {
	for path, item := range apiDocument(t).Paths.Map() {
		for method, op := range item.Operations() {
			var want []string
			if op.Extensions["x-orch-role"] != "public" {
				want = append(want, "401", "403", "429")
			}
			if op.RequestBody != nil {
				want = append(want, "400", "413", "415")
			}
			for _, status := range want {
				if op.Responses.Value(status) == nil {
					t.Errorf("%s %s: openapi.yaml does not say that it answers %s", method, path, status)
				}
			}
		}
	}
}

func jsonNames(t reflect.Type) (out []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case f.Anonymous && name == "":
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			out = append(out, jsonNames(inner)...)
		case f.IsExported() && name == "":
			out = append(out, f.Name)
		case f.IsExported():
			out = append(out, name)
		}
	}
	return out
}

// validated holds every request that the handler accepts, and every answer, against the document.
func validated(t testing.TB, next http.Handler) http.Handler {
	t.Helper()
	h, err := apitest.Handler(apiDocument(t), next, t.Errorf)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Generators of clients make a type of every component, in one namespace and whatever case a name is written in.
func TestComponentsHaveNamesOfTheirOwn(t *testing.T) {
	c := apiDocument(t).Components
	said := map[string]string{}
	for section, names := range map[string][]string{
		"schemas": slices.Collect(maps.Keys(c.Schemas)), "parameters": slices.Collect(maps.Keys(c.Parameters)),
		"requestBodies": slices.Collect(maps.Keys(c.RequestBodies)), "responses": slices.Collect(maps.Keys(c.Responses)), "headers": slices.Collect(maps.Keys(c.Headers)),
	} {
		for _, name := range names {
			if other := said[strings.ToLower(name)]; other != "" {
				t.Errorf("openapi.yaml: components/%s/%s has the name of %s", section, name, other)
			}
			said[strings.ToLower(name)] = "components/" + section + "/" + name
		}
	}
}

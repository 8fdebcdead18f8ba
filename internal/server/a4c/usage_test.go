package a4c

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/orch"
)

// measured are locations whose cloud answers when it is let.
type measured struct {
	configured
	answer chan error
}

func (m *measured) Usage(ctx context.Context, location string) ([]orch.Usage, error) {
	select {
	case err := <-m.answer:
		return []orch.Usage{{Service: "compute", Resource: "cores", Used: 4, Limit: 20}, {Service: "compute", Resource: "ram", Used: 512, Limit: -1, Unit: "MiB"}}, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// The usage of a location is asked for, waited for by polling, and forgotten.
func TestInfraUsage(t *testing.T) {
	t.Parallel()
	cloud := &measured{answer: make(chan error)}
	s := newSiteOf(t, cloud)
	s.converse([]asked{
		{"GET", "/registry/infra_usage_collectors", "", 200, `{"id":"openstack","origin":"builtin"}`},
		{"GET", "/infra_usage", "", 200, `{}`},
		{"POST", "/infra_usage/slurm/openstack", "", 400, "no collector"},
		{"POST", "/infra_usage/openstack/nowhere", "", 400, "no location"},
		{"POST", "/infra_usage/hostspool/openstack", "", 400, "not of the infrastructure"},
		{"GET", "/infra_usage/openstack/openstack/tasks/x", "", 404, "not_found"},
	})
	r := s.Send("POST", "/infra_usage/openstack/openstack?verbose=1", "application/json", []byte("{}"))
	at := r.Header.Get("Location")
	if r.Status != 202 || !strings.HasPrefix(at, "/infra_usage/openstack/openstack/tasks/") {
		t.Fatalf("asking: %+v", r)
	}
	if again := s.Send("POST", "/infra_usage/openstack/openstack", "application/json", []byte("{}")); again.Status != 202 || again.Header.Get("Location") != at {
		t.Errorf("asking twice: %+v", again)
	}
	s.converse([]asked{
		{"GET", at, "", 200, `"status":"RUNNING"`},
		{"DELETE", at, "", 400, "still runs"},
		{"GET", "/infra_usage?target=openstack", "", 200, at},
		{"GET", "/infra_usage?target=slurm", "", 200, `{}`},
		{"GET", strings.Replace(at, "/openstack/openstack/", "/openstack/other/", 1), "", 404, "not_found"},
	})
	cloud.answer <- nil
	doc := s.collected(at)
	ram := doc.Result["compute"]["ram"]
	if doc.Status != "DONE" || doc.Type != "Query" || *doc.Result["compute"]["cores"].Limit != 20 || ram.Used != 512 || ram.Limit != nil || ram.Unit != "MiB" {
		t.Errorf("collected %+v", doc)
	}
	r = s.Send("POST", "/infra_usage/openstack/openstack", "application/json", []byte("{}"))
	cloud.answer <- errors.New("the cloud is away")
	if doc = s.collected(r.Header.Get("Location")); doc.Status != "FAILED" || !strings.Contains(doc.ErrorMessage, "is away") {
		t.Errorf("collected %+v", doc)
	}
	s.converse([]asked{{"DELETE", at, "", 202, ""}, {"GET", at, "", 404, "not_found"}, {"DELETE", at, "", 404, "not_found"}})
}

// collected polls until the task has ended.
func (s *site) collected(path string) (doc queryDocument) {
	s.T.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		r := s.Send("GET", path, "", nil)
		doc = queryDocument{}
		if err := json.Unmarshal([]byte(r.Body), &doc); err != nil || r.Status != 200 {
			s.T.Fatalf("%+v: %v", r, err)
		}
		if doc.Status != "RUNNING" {
			return doc
		}
	}
	s.T.Fatal("the collection does not end")
	return doc
}

package server

import (
	"net/http/httptest"
	"testing"

	"github.com/orch-project/orch/pkg/client"
	"github.com/orch-project/orch/pkg/orch"
)

func TestWorkflowsAndDriftOverHTTP(t *testing.T) {
	srv := httptest.NewServer(New(Options{Service: &stub{}}).Handler())
	defer srv.Close()
	c := client.New(srv.URL, srv.Client())
	all, err := c.Workflows(t.Context(), "my web")
	if err != nil || len(all) != 1 || all[0].Name != "of my web" || !all[0].Inputs[0].Required {
		t.Errorf("workflows: %+v, %v", all, err)
	}
	d, err := c.Drift(t.Context(), orch.DriftRequest{Deployment: "my web", NoChecks: true})
	if err != nil || d.Deployment != "my web" || !d.Drifted || d.Checked != 3 {
		t.Errorf("drift: %+v, %v", d, err)
	}
}

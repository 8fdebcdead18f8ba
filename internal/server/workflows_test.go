package server

import (
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

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

func TestSweepOverHTTP(t *testing.T) {
	st := &stub{}
	srv := httptest.NewServer(New(Options{Service: st}).Handler())
	defer srv.Close()
	c := client.New(srv.URL, srv.Client())
	for name, req := range map[string]orch.SweepRequest{
		"list":          {Deployment: "my web", Location: "far"},
		"adopt":         {Deployment: "my web", Adopt: true},
		"adopt some":    {Deployment: "my web", Adopt: true, IDs: []string{"1f", "2f/3f"}},
		"delete":        {Deployment: "my web", Delete: true, Location: "far"},
		"delete some":   {Deployment: "my web", Delete: true, IDs: []string{"1f", "2f/3f"}},
		"delete anyway": {Deployment: "my web", Delete: true, Force: true},
	} {
		all, err := c.Sweep(t.Context(), req)
		if err != nil || len(all) != 1 || all[0].Record != "cloud" || all[0].Adopted != req.Adopt || all[0].Deleted != req.Delete {
			t.Errorf("%s: %+v, %v", name, all, err)
		}
		st.swept.User = ""
		if diff := cmp.Diff(req, st.swept); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

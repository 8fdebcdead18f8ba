package a4c

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/internal/orchtest/bounded"
	"github.com/orch-project/orch/internal/server/jsonbody"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

// refusal reports what is neither accepted nor a mistake of the client.
func refusal(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if p := problemOf(err); p.status < 400 || p.status >= 500 || p.detail == "" {
		t.Errorf("status %d %q: %v", p.status, p.detail, err)
	}
}

// Whatever a poll asks for, it waits no longer than it may, and never begins before the first index.
func FuzzPollParameters(f *testing.F) {
	for _, s := range []string{"index=1", "index=0&wait=5s", "index=-1", "wait=1h", "wait=x&index", "index=18446744073709551615", "index=1;wait=%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		defer bounded.Input(t)()
		r := httptest.NewRequest(http.MethodGet, "/events", nil)
		r.URL.RawQuery = query
		filter, wait, err := pollParameters(echo.New().NewContext(r, httptest.NewRecorder()))
		refusal(t, err)
		asked, _ := url.ParseQuery(query)
		if err == nil && (wait < 0 || wait > maxWait || asked.Get("index") == "0" && (wait != 0 || filter.After != 0)) {
			t.Errorf("after %d, waiting %s", filter.After, wait)
		}
		if err == nil && asked.Get("wait") == "" && asked.Get("index") != "" && filter.After > 0 && wait != 5*time.Minute {
			t.Errorf("waiting %s", wait)
		}
	})
}

// A command's body is refused, or names an operation that does something.
func FuzzCustomBody(f *testing.F) {
	f.Add([]byte(`{"node":"N","interface":"custom","name":"do","inputs":{"a":{"type":0,"value":"x"},"b":[1,{"value":2}]},"instances":["0"]}`))
	f.Add([]byte(`{"node":"N","name":"DO"}`))
	f.Add([]byte(`{"node":"N","interface":"my.Custom","name":"do","inputs":{"a":{"type":1,"value":"get_input: x"}}}`))
	op := &topology.Operation{Name: "do", Call: "x"}
	top := &topology.Topology{Nodes: []*topology.Node{{Name: "N", Interfaces: []*topology.Interface{{Name: "custom", Operations: []*topology.Operation{op, {Name: "nothing"}}}}}}}
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounded.Input(t)()
		var b customBody
		if err := decode(data, &b); err != nil {
			refusal(t, err)
			return
		}
		found, err := command(top, b)
		refusal(t, err)
		if err == nil && found.Name != "do" {
			t.Errorf("found %+v", found)
		}
		plainInputs(t, b.Inputs)
	})
}

func plainInputs(t *testing.T, raw map[string]any) {
	t.Helper()
	in, err := inputs(raw)
	refusal(t, err)
	if _, jerr := json.Marshal(in); err == nil && jerr != nil {
		t.Errorf("inputs that cannot be stored: %v", jerr)
	}
}

// A workflow's body is refused, or names instances that there are.
func FuzzExecuteBody(f *testing.F) {
	f.Add([]byte(`{"inputs":{"how":"well"},"nodesinstances":[{"name":"N","instances":["0"]},{"name":"N"}]}`))
	f.Add([]byte(`{"nodesinstances":[{"name":"M","instances":["9"]}]}`))
	d := &orch.Detail{Nodes: []orch.NodeStatus{{Name: "N", Instances: []orch.InstanceStatus{{Index: "0"}, {Index: "1"}}}}}
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounded.Input(t)()
		var b executeBody
		if err := decode(data, &b); err != nil {
			refusal(t, err)
			return
		}
		plainInputs(t, b.Inputs)
		chosen := map[string][]string{}
		for _, n := range b.Nodes {
			chosen[n.Name] = n.Instances
		}
		got, err := selection(d, chosen)
		refusal(t, err)
		for _, i := range got {
			if i.Node != "N" || i.Index != "0" && i.Index != "1" {
				t.Errorf("chosen is %v", i)
			}
		}
	})
}

// Locations and pools of hosts are refused, or can be stored.
func FuzzLocationBody(f *testing.F) {
	f.Add([]byte(`{"type":"openstack","properties":{"auth_url":"x","n":1e400,"list":[1,{"a":null}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounded.Input(t)()
		var b locationBody
		if err := decode(data, &b); err != nil {
			refusal(t, err)
			return
		}
		if _, err := json.Marshal(jsonbody.PlainMap(b.Properties)); err != nil {
			t.Error(err)
		}
	})
}

func FuzzPoolBody(f *testing.F) {
	f.Add([]byte(`{"hosts":[{"Name":"a","connection":{"host":"h","port":18446744073709551615,"password":"-"},"labels":{"x":"y"}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounded.Input(t)()
		var b poolHosts
		if err := decode(data, &b); err != nil {
			refusal(t, err)
			return
		}
		for _, h := range b.Hosts {
			if w := h.Connection.wanted(h.Labels); w.Port != nil && *w.Port < 0 || w.Password != nil && *w.Password == orch.Mask {
				t.Errorf("wanted is %+v", w)
			}
		}
	})
}

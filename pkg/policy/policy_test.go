package policy_test

import (
	"context"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/policy"
	"github.com/orch-project/orch/pkg/topology"
)

// props makes properties of pairs.
func props(pairs ...any) *topology.Values {
	v := topology.NewValues()
	for i := 0; i < len(pairs); i += 2 {
		x := pairs[i+1]
		switch t := x.(type) {
		case map[string]any:
			m := topology.NewValues()
			for k, e := range t {
				m.Set(k, topology.Lit(e))
			}
			v.Set(pairs[i].(string), &topology.Value{Kind: topology.MapValue, Map: m})
		case []any:
			l := &topology.Value{Kind: topology.ListValue}
			for _, e := range t {
				l.List = append(l.List, topology.Lit(e))
			}
			v.Set(pairs[i].(string), l)
		default:
			v.Set(pairs[i].(string), topology.Lit(x))
		}
	}
	return v
}

func top(policies ...*topology.Policy) *topology.Topology {
	t := &topology.Topology{Policies: policies}
	for _, name := range []string{"web", "db"} {
		n := &topology.Node{Name: name, Type: topology.Type{"N"}}
		n.Interfaces = []*topology.Interface{{Name: "job", Operations: []*topology.Operation{{Interface: "job", Name: "load", Implementation: &topology.Artifact{File: "l.sh"}}}}}
		t.Nodes = append(t.Nodes, n)
	}
	t.Groups = []*topology.Group{{Name: "both", Members: []string{"web", "db"}}}
	t.Reindex()
	return t
}

func pol(typ string, p *topology.Values) *topology.Policy {
	base := map[string]topology.Type{
		"orch.policies.health.TCP": {"orch.policies.Health"}, "orch.policies.health.HTTP": {"orch.policies.Health"},
		"orch.policies.health.Command": {"orch.policies.Health"}, "orch.policies.health.Operation": {"orch.policies.Health"},
	}
	return &topology.Policy{Name: "p", Type: append(topology.Type{typ}, base[typ]...), Targets: []string{"both"}, Properties: p}
}

func TestRead(t *testing.T) {
	list, findings := policy.Read(t.Context(), top(
		pol("orch.policies.health.TCP", props("port", int64(5432), "period", "1 m", "failures", int64(2))),
		pol("orch.policies.health.HTTP", props("path", "/up", "scheme", "https", "headers", map[string]any{"Host": "x"}, "status", []any{int64(204)}, "body", "o+k")),
		pol("orch.policies.AutoHeal", props("grace", "90 s")),
		pol("orch.policies.AutoScale", props("url_path", "/load", "value", "a.0", "scale_out_above", 80.0, "scale_in_below", int64(20), "max_instances", int64(5))),
		pol("yorc.policies.monitoring.TCPMonitoring", props("port", int64(22), "time_interval", "10 s")),
		pol("tosca.policies.Placement", props()),
	), nil)
	if len(findings) > 0 || len(list) != 5 {
		t.Fatalf("%d policies, %v", len(list), findings)
	}
	tcp, web, heal, scale, yorc := list[0], list[1], list[2], list[3], list[4]
	if tcp.Kind != policy.Health || tcp.Period != time.Minute || tcp.Failures != 2 || tcp.Probe.Port != 5432 || strings.Join(tcp.Nodes, " ") != "web db" {
		t.Errorf("tcp: %+v", tcp)
	}
	if web.Probe.Port != 443 || web.Probe.Headers["Host"] != "x" || web.Probe.Status[0] != 204 || !web.Probe.Body.MatchString("ook") {
		t.Errorf("http: %+v", web.Probe)
	}
	if heal.Grace != 90*time.Second || heal.Cooldown != 5*time.Minute || heal.Workflow != "heal" || heal.Attempts != 3 {
		t.Errorf("heal: %+v", heal)
	}
	if *scale.Above != 80 || *scale.Below != 20 || scale.Max != 5 || scale.Probe.Kind != policy.HTTP || scale.Probe.Value != "a.0" {
		t.Errorf("scale: %+v", scale)
	}
	if yorc.Period != 10*time.Second || yorc.Failures != 1 {
		t.Errorf("yorc: %+v", yorc)
	}
}

// A condition's period has room for its evaluations; a policy of triggers keeps the pace of the quickest. A target_filter says whose instances are meant.
func TestReadTriggers(t *testing.T) {
	act := []topology.Activity{{Kind: topology.ActivityInline, Name: "w"}}
	condition := func(pairs ...any) *topology.Value {
		m := props(pairs...)
		m.Set("constraint", topology.Lit(true))
		return &topology.Value{Kind: topology.MapValue, Map: m}
	}
	p := pol("orch.policies.Triggers", props("period", "40 s"))
	p.Triggers = []*topology.Trigger{
		{Name: "often", Condition: condition("period", "30 s", "evaluations", int64(3)), Actions: act, Target: "db"},
		{Name: "own", Condition: condition("evaluations", int64(2)), Actions: act},
		{Name: "of a type", Condition: condition("period", int64(60)), Actions: act, Target: "N"},
	}
	list, findings := policy.Read(t.Context(), top(p), nil)
	if len(findings) > 0 || len(list) != 1 || list[0].Period != 10*time.Second {
		t.Fatalf("%+v, %v", list, findings)
	}
	for i, want := range []struct {
		every time.Duration
		nodes string
	}{{10 * time.Second, "db"}, {40 * time.Second, ""}, {time.Minute, "web db"}} {
		if got := list[0].Triggers[i]; got.Every != want.every || strings.Join(got.Nodes, " ") != want.nodes {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	p.Triggers[0].Target = "nobody"
	p.Triggers[1].Condition = condition("period", "0 s")
	if _, findings := policy.Read(t.Context(), top(p), nil); len(findings) != 2 {
		t.Errorf("findings %v", findings)
	}
}

func TestReadFindsMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		p    *topology.Policy
		want string
	}{
		"no port":           {pol("orch.policies.health.TCP", props()), "port is needed"},
		"no time":           {pol("orch.policies.health.TCP", props("port", int64(1), "period", "soon")), "must be a time"},
		"no metric":         {pol("orch.policies.AutoScale", props("scale_out_above", 1.0)), "where does the metric come from"},
		"no bound":          {pol("orch.policies.AutoScale", props("command", "echo 1")), "scale_in_below is needed"},
		"crossed bounds":    {pol("orch.policies.AutoScale", props("command", "echo 1", "scale_out_above", 1.0, "scale_in_below", 2.0)), "must be less than"},
		"crossed limits":    {pol("orch.policies.AutoScale", props("command", "echo 1", "scale_out_above", 1.0, "min_instances", int64(3), "max_instances", int64(2))), "must not be less"},
		"no limit":          {pol("orch.policies.AutoScale", props("command", "echo 1", "scale_out_above", 1.0)), "max_instances is needed"},
		"no Yorc port":      {pol("yorc.policies.monitoring.TCPMonitoring", props()), "port is needed"},
		"authority's file":  {pol("yorc.policies.monitoring.HTTPMonitoring", props("tls_client", map[string]any{"ca_cert": "/etc/ca.pem"})), "are not read"},
		"client's key":      {pol("yorc.policies.monitoring.HTTPMonitoring", props("tls_client", map[string]any{"client_key": "k"})), "not client_key"},
		"unknown operation": {pol("orch.policies.health.Operation", props("operation", "job.lode")), "no operation job.lode"},
		"bare operation":    {pol("orch.policies.health.Operation", props("operation", "load")), "interface.operation"},
		"bad pattern":       {pol("orch.policies.health.HTTP", props("body", "(")), "no regular expression"},
		"no targets":        {&topology.Policy{Name: "p", Type: topology.Type{"orch.policies.AutoHeal"}, Properties: props()}, "has no targets"},
		"abstract":          {pol("orch.policies.Health", props()), "says not how"},
	} {
		list, findings := policy.Read(t.Context(), top(c.p), nil)
		if len(list) > 0 || len(findings) == 0 || !strings.Contains(findings[0].Message, c.want) {
			t.Errorf("%s: %d policies, %v", name, len(list), findings)
		}
	}
}

func TestPulse(t *testing.T) {
	p := &policy.Policy{Failures: 3, Successes: 2}
	var u policy.Pulse
	at := time.Unix(0, 0)
	bad := errors.New("refused")
	for i, c := range []struct {
		err     error
		changed bool
		status  string
	}{
		{nil, false, ""}, {nil, true, policy.Healthy}, {bad, false, policy.Healthy}, {bad, false, policy.Healthy}, {nil, false, policy.Healthy},
		{bad, false, policy.Healthy}, {bad, false, policy.Healthy}, {bad, true, policy.Unhealthy}, {bad, false, policy.Unhealthy},
		{nil, false, policy.Unhealthy}, {bad, false, policy.Unhealthy}, {nil, false, policy.Unhealthy}, {nil, true, policy.Healthy},
	} {
		if changed := p.Take(&u, c.err, at); changed != c.changed || u.Status != c.status {
			t.Errorf("probe %d: changed %v to %q, want %v %q", i, changed, u.Status, c.changed, c.status)
		}
	}
}

func TestWanted(t *testing.T) {
	hi, lo := 80.0, 20.0
	p := &policy.Policy{Metric: "load", Above: &hi, Below: &lo, Evaluations: 2, Step: 2, Min: 1, Max: 4}
	for name, c := range map[string]struct {
		values []float64
		have   int
		want   int
	}{
		"within":             {[]float64{50, 50, 50}, 2, 2},
		"once above":         {[]float64{90}, 2, 2},
		"above":              {[]float64{90, 90}, 2, 4},
		"interrupted":        {[]float64{90, 50, 90}, 2, 2},
		"above, at the most": {[]float64{90, 90}, 3, 4},
		"below":              {[]float64{10, 10}, 4, 2},
		"below, at least":    {[]float64{10, 10}, 2, 1},
		"never to nothing":   {[]float64{10, 10}, 1, 1},
		"too many":           {[]float64{50}, 6, 4},
	} {
		var g policy.Gauge
		got := 0
		for _, v := range c.values {
			got, _ = p.Wanted(&g, v, c.have)
		}
		if got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestCombine(t *testing.T) {
	for how, want := range map[string]float64{"avg": 2, "max": 3, "min": 1, "sum": 6, "": 2} {
		if got, ok := (&policy.Policy{Aggregate: how}).Combine([]float64{1, 2, 3}); !ok || got != want {
			t.Errorf("%s: %v", how, got)
		}
	}
	if _, ok := (&policy.Policy{}).Combine(nil); ok {
		t.Error("a value of nothing")
	}
}

func TestMetricOfASample(t *testing.T) {
	for name, c := range map[string]struct {
		p    policy.Probe
		s    policy.Sample
		want float64
		err  string
	}{
		"a number":   {policy.Probe{Kind: policy.Command}, policy.Sample{Text: " 4.5\n"}, 4.5, ""},
		"json":       {policy.Probe{Kind: policy.HTTP, Value: "load.1.avg"}, policy.Sample{Text: `{"load":[1,{"avg":7}]}`}, 7, ""},
		"an output":  {policy.Probe{Kind: policy.Operation, Output: "N"}, policy.Sample{Outputs: map[string]string{"N": "3"}}, 3, ""},
		"no output":  {policy.Probe{Kind: policy.Operation, Output: "N"}, policy.Sample{}, 0, "no output N"},
		"not there":  {policy.Probe{Kind: policy.HTTP, Value: "a.9"}, policy.Sample{Text: `{"a":[1]}`}, 0, "has no a.9"},
		"not json":   {policy.Probe{Kind: policy.HTTP, Value: "a"}, policy.Sample{Text: `<html>`}, 0, "not JSON"},
		"no number":  {policy.Probe{Kind: policy.Command}, policy.Sample{Text: "high"}, 0, "no number"},
		"not finite": {policy.Probe{Kind: policy.Command}, policy.Sample{Text: "NaN"}, 0, "no number"},
	} {
		got, err := c.p.Read(c.s)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestDialer(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/up" && r.Header.Get("X-Key") == "k" && r.Host == "shop.example":
			_, _ = w.Write([]byte("all is ok"))
		case r.URL.Path == "/away":
			http.Redirect(w, r, "/", http.StatusFound)
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer srv.Close()
	host, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	n, _ := strconv.Atoi(port)
	at := policy.Target{Addresses: []string{host}}
	get := policy.Probe{Kind: policy.HTTP, Scheme: "http", Port: n, Path: "up", Headers: map[string]string{"X-Key": "k", "host": "shop.example"}}
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := dead.Addr().(*net.TCPAddr).Port
	dead.Close()
	with := func(change func(*policy.Probe)) policy.Probe { p := get; change(&p); return p }
	for name, c := range map[string]struct {
		target policy.Target
		probe  policy.Probe
		want   string
	}{
		"tcp":               {at, policy.Probe{Kind: policy.TCP, Port: n}, ""},
		"tcp closed":        {at, policy.Probe{Kind: policy.TCP, Port: closed}, "refused"},
		"no address":        {policy.Target{}, get, "address is not known"},
		"http":              {at, get, ""},
		"body":              {at, with(func(p *policy.Probe) { p.Body = regexp.MustCompile("is ok") }), ""},
		"other body":        {at, with(func(p *policy.Probe) { p.Body = regexp.MustCompile("is bad") }), "does not contain"},
		"answer":            {at, with(func(p *policy.Probe) { p.Path = "/down" }), "503"},
		"wanted answer":     {at, with(func(p *policy.Probe) { p.Path, p.Status = "/down", []int{503} }), ""},
		"redirect is good":  {at, with(func(p *policy.Probe) { p.Path = "/away" }), ""},
		"the next address":  {policy.Target{Addresses: []string{"127.0.0.254:bad", host}}, get, ""},
		"unwanted redirect": {at, with(func(p *policy.Probe) { p.Path, p.Status = "/away", []int{200} }), "302"},
	} {
		_, err := policy.Dialer{}.Probe(t.Context(), c.target, c.probe)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestDialerFollowsAndTrusts(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/busy":
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}))
	defer srv.Close()
	port := srv.Listener.Addr().(*net.TCPAddr).Port
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	list, findings := policy.Read(t.Context(), top(pol("yorc.policies.monitoring.HTTPMonitoring", props("scheme", "https", "port", int64(port), "path", "/away",
		"tls_client", map[string]any{"ca_cert": ca}))), nil)
	if len(findings) > 0 || len(list) != 1 || !list[0].Marks || list[0].Timeout != list[0].Period/2 {
		t.Fatalf("%+v %v", list, findings)
	}
	at := policy.Target{Addresses: []string{"127.0.0.1"}}
	p := list[0].Probe
	if _, err := (policy.Dialer{}).Probe(t.Context(), at, p); err != nil {
		t.Error(err)
	}
	p.Path = "/busy"
	if _, err := (policy.Dialer{}).Probe(t.Context(), at, p); err != nil {
		t.Errorf("Yorc only warns of 429: %v", err)
	}
	p.CA = ""
	if _, err := (policy.Dialer{}).Probe(t.Context(), at, p); err == nil {
		t.Error("an unknown authority is trusted")
	}
	// A way that cannot be taken is no answer: the other addresses are not tried either.
	dials := 0
	d := policy.Dialer{Dial: func(context.Context, string, string) (net.Conn, error) {
		dials++
		return nil, &policy.Unasked{Err: errors.New("no way")}
	}}
	_, err := d.Probe(t.Context(), policy.Target{Addresses: []string{"10.0.0.1", "10.0.0.2"}}, p)
	if unasked := new(policy.Unasked); !errors.As(err, &unasked) || dials != 1 {
		t.Errorf("%v after %d dials", err, dials)
	}
}

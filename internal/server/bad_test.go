package server

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/orch-project/orch/internal/orchtest/bounded"
	"github.com/orch-project/orch/internal/orchtest/ziptest"
	"github.com/orch-project/orch/pkg/orch"
)

// TestWrongFieldsHavePointers: the answer says where in the body the mistake is.
func TestWrongFieldsHavePointers(t *testing.T) {
	h := validated(t, New(Options{Service: &stub{}}).Handler())
	for body, want := range map[string]string{
		`{"verb":"deploy","nmae":"x"}`:                "/nmae",
		`{"deployment":"x","inputs":{"a":1},"x~/":1}`: "/x~0~1",
		`{"deployment":1}`:                            "/deployment",
		`{"deployment":"x","scale":{"web":"many"}}`:   "/scale",
		`{"deployment":"x","instances":"all"}`:        "/instances",
		``:                                            "",
		`{`:                                           "",
		`{} {}`:                                       "",
		`[]`:                                          "",
		`"deploy"`:                                    "",
		`{"verb":"deploy","verb":"undeploy"}`:         "/verb",
		`{"inputs":{"a":[{"b":1,"b":2}]}}`:            "/inputs/a/0/b",
	} {
		rec := post(h, "", asJSON, body)
		var p orch.Problem
		if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil || rec.Code != 400 || len(p.Errors) != 1 || p.Errors[0].Pointer != want || p.RequestID == "" || p.Hint == "" {
			t.Errorf("%s: %d %s", body, rec.Code, rec.Body)
		}
	}
}

func TestBadInput(t *testing.T) {
	s := withSecrets(t)
	h := validated(t, New(Options{Service: s, MaxUpload: 1 << 16}).Handler())
	long := strings.Repeat("x", 1<<17)
	cut, slip := ziptest.Pack(t, map[string]string{"a.yaml": "a: b"})[:20], ziptest.Pack(t, map[string]string{"../a.yaml": "a: b"})
	kindCut, formCut := form(t, `{"deployment":"web"}`, cut)
	kindSlip, formSlip := form(t, `{"deployment":"web"}`, slip)
	for name, tt := range map[string]struct {
		method, path, kind, body string
		status                   int
		want                     string
	}{
		"html as a blueprint":     {"POST", "/blueprints?name=a", "text/html", "<p>", 415, "no type that is taken"},
		"json as a blueprint":     {"POST", "/blueprints?name=a", asJSON, "{}", 415, ""},
		"broken content type":     {"POST", "/blueprints?name=a", ";;", "{}", 415, ""},
		"oversized blueprint":     {"POST", "/blueprints?name=a", "application/zip", long, 413, "larger"},
		"oversized request":       {"POST", "/tasks", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=request\r\n\r\n" + long, 413, ""},
		"form without an archive": {"POST", "/blueprints?name=a", "multipart/form-data; boundary=x", "--x--\r\n", 400, "parts named archive"},
		"form without boundary":   {"POST", "/blueprints?name=a", "multipart/form-data", "x", 400, ""},
		"bad label":               {"POST", "/blueprints?name=a&label=x", "application/zip", "PK", 400, "key=value"},
		"cut archive":             {"POST", "/tasks", kindCut, formCut, 400, "bad-archive"},
		"zip slip":                {"POST", "/tasks", kindSlip, formSlip, 400, "leaves the archive"},
		"json as a form":          {"POST", "/tasks", "text/plain", "{}", 415, ""},
		"no content type":         {"POST", "/tasks", "", `{"deployment":"x"}`, 415, ""},
		"oversized secret":        {"PUT", "/secrets/a", "", strings.Repeat("x", 2<<20), 413, "larger"},
		"import that is no JSON":  {"POST", "/secret-store/import", "text/plain", "{}", 415, "no type that is taken"},
		"bad bool":                {"GET", "/deployments/web/outputs?reveal=maybe", "", "", 400, "true or false"},
		"bad number":              {"GET", "/audit?limit=-1", "", "", 400, "a number"},
		"bad time":                {"GET", "/audit?since=yesterday", "", "", 400, "a time"},
		"bad follow":              {"GET", "/events?follow=sure", "", "", 400, "true or false"},
		"bad index":               {"GET", "/events?after=-1", "", "", 400, "sequence number"},
		"huge index":              {"GET", "/events?after=99999999999999999999", "", "", 400, "sequence number"},
		"negative last":           {"GET", "/events?last=-5", "", "", 400, "last"},
		"role that is none":       {"PUT", "/tenants/default/members/x", asJSON, `{"role":""}`, 400, "viewer, operator or admin"},
		"tenant with a slash":     {"POST", "/tenants", asJSON, `{"name":"a/b"}`, 400, "no name for a tenant"},
		"tenant twice":            {"POST", "/tenants", asJSON, `{"name":"default"}`, 409, "already"},
		"unknown user":            {"GET", "/users/ghost", "", "", 404, "no user"},
		"unknown token":           {"DELETE", "/tokens/ffff", "", "", 404, "no token"},
		"unknown task":            {"GET", "/deployments/web/tasks/zzz", "", "", 404, "no task"},
		"name of another tenant":  {"GET", "/deployments/acme~web", "", "", 404, "no deployment"},
		"unknown method":          {"PATCH", "/deployments", "", "", 405, ""},
		"unknown path":            {"GET", "/nope", "", "", 404, "no such path"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, base+tt.path, strings.NewReader(tt.body))
			if tt.kind != "" {
				r.Header.Set("Content-Type", tt.kind)
			}
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			if rec.Code != tt.status || !strings.Contains(rec.Body.String(), tt.want) || rec.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%d %s %s", rec.Code, rec.Header().Get("Content-Type"), rec.Body)
			}
		})
	}
	if s.uploaded.Name != "" || s.asked.Deployment != "" {
		t.Errorf("something came through: %+v, %+v", s.uploaded, s.asked)
	}
}

func TestEntityTags(t *testing.T) {
	p := newPeople(t)
	h := validated(t, p.server(t, &stub{}).Handler())
	ask := func(method, path, body string, header ...string) *httptest.ResponseRecorder {
		return p.ask(h, "server-admin", method, base+path, body, header...)
	}
	first := ask("GET", "/deployments", "")
	tag := first.Header().Get("ETag")
	if tag == "" || ask("GET", "/deployments", "", "If-None-Match", tag).Code != http.StatusNotModified || ask("GET", "/deployments", "", "If-None-Match", `"other", W/`+tag).Code != http.StatusNotModified ||
		ask("GET", "/deployments", "", "If-None-Match", `"other"`).Code != http.StatusOK {
		t.Errorf("tag %s", tag)
	}
	user := ask("GET", "/users/viewer", "").Header().Get("ETag")
	for _, tt := range []struct {
		tag    string
		status int
	}{{`"v99"`, 412}, {`"x"`, 412}, {user, 200}, {user, 412}} {
		if rec := ask("PATCH", "/users/viewer", `{"disabled":false}`, "If-Match", tt.tag); rec.Code != tt.status {
			t.Errorf("%+v: %d %s", tt, rec.Code, rec.Body)
		}
	}
	if rec := ask("DELETE", "/blueprints/a", "", "If-Match", `"old"`); rec.Code != http.StatusPreconditionFailed {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec := ask("DELETE", "/blueprints/a", "", "If-Match", `"5ha"`); rec.Code != http.StatusNoContent {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec := ask("POST", "/plans/p1/apply", "", "If-Match", `"d0"`); rec.Code != http.StatusPreconditionFailed {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	reviewed := ask("GET", "/plans/p1", "").Header().Get("ETag")
	if rec := ask("POST", "/plans/p1/apply", "", "If-Match", reviewed); rec.Code != http.StatusAccepted {
		t.Errorf("the tag of what was read, %s: %d %s", reviewed, rec.Code, rec.Body)
	}
	for _, name := range []string{"X-Content-Type-Options", "Content-Security-Policy", "X-Request-Id", "Cache-Control"} {
		if first.Header().Get(name) == "" {
			t.Errorf("no %s", name)
		}
	}
}

// TestMethodsThatAPathHasNot: the answer says which it has.
func TestMethodsThatAPathHasNot(t *testing.T) {
	h := New(Options{Service: &stub{}}).Handler()
	for path, want := range map[string]string{"/deployments": "GET", "/users/a": "GET, PATCH, DELETE", "/tasks": "POST"} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("PUT", base+path, nil))
		if rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != want || !strings.Contains(rec.Body.String(), "PUT is no method of "+base+path) {
			t.Errorf("PUT %s: %d, Allow %q, %s", path, rec.Code, rec.Header().Get("Allow"), rec.Body)
		}
	}
}

// TestAStreamThatCannotBeginIsRefused, so that browsers do not open it again and again.
func TestAStreamThatCannotBeginIsRefused(t *testing.T) {
	h := validated(t, New(Options{Service: &stub{err: &orch.Error{Kind: orch.KindNotFound, Msg: "no deployment x"}}}).Handler())
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("GET", base+"/events?deployment=x&follow=true", nil))
	if rec.Code != http.StatusNotFound || rec.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestOtherSitesAreRefused(t *testing.T) {
	h := New(Options{Service: &stub{}}).Handler()
	for origin, status := range map[string]int{"": 202, "https://evil.example": 403} {
		r := httptest.NewRequest("POST", base+"/tasks", strings.NewReader(`{"deployment":"web"}`))
		r.Header.Set("Content-Type", asJSON)
		if origin != "" {
			r.Header.Set("Origin", origin)
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != status {
			t.Errorf("%q: %d %s", origin, rec.Code, rec.Body)
		}
	}
}

func TestTooManyRequests(t *testing.T) {
	h := validated(t, New(Options{Service: &stub{}, Rate: 0.001, Burst: 3}).Handler())
	var last *httptest.ResponseRecorder
	for range 4 {
		last = httptest.NewRecorder()
		h.ServeHTTP(last, httptest.NewRequest("GET", base+"/deployments", nil))
	}
	if last.Code != http.StatusTooManyRequests || last.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", last.Code, last.Body)
	}
	r := httptest.NewRequest("GET", base+"/deployments", nil)
	r.RemoteAddr = "192.0.2.99:1"
	rec := httptest.NewRecorder()
	if h.ServeHTTP(rec, r); rec.Code != 200 {
		t.Errorf("another client: %d", rec.Code)
	}
}

func FuzzDecodeRequest(f *testing.F) {
	for _, seed := range []string{`{}`, `{"verb":"deploy","inputs":{"a":[1,{"b":null}]}}`, `{"scale":{"a":1}}`, `[[[`, `{"a":{"a":{"a":1}}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		defer bounded.Input(t)()
		var req, again orch.Request
		if err := strict(bytes.NewReader(raw), &req); err != nil {
			if !strings.Contains(err.Error(), "cannot read the request") {
				t.Error(err)
			}
			return
		}
		if err := json.Unmarshal(raw, &again); err != nil || !reflect.DeepEqual(req, again) {
			t.Errorf("%v", err)
		}
	})
}

// FuzzTwice: what is refused as being there twice is lost when the text is decoded and encoded again.
func FuzzTwice(f *testing.F) {
	for _, seed := range []string{`{"a":1,"a":2}`, `[{"x":{"a":1},"y":[{"a":1,"b":{"a":1}}]}]`, `"a"`, `{"a":{"b":1,"b":1}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		defer bounded.Input(t)()
		if !json.Valid(raw) {
			return
		}
		_, found := twice(json.NewDecoder(bytes.NewReader(raw)), "")
		if names, kept := members(raw), membersOf(raw); found != (names != kept) {
			t.Errorf("%s: twice says %v, of %d members %d are kept", raw, found, names, kept)
		}
	})
}

// members of all objects in a text, counted as they stand there.
func members(raw []byte) (n int) {
	d := json.NewDecoder(bytes.NewReader(raw))
	var inside []json.Delim
	for name := false; ; {
		t, err := d.Token()
		if err != nil {
			return n
		}
		object := len(inside) > 0 && inside[len(inside)-1] == '{'
		delim, ok := t.(json.Delim)
		switch {
		case ok && (delim == '}' || delim == ']'):
			inside = inside[:len(inside)-1]
			name = false
			continue
		case object && !name:
			n, name = n+1, true
			continue
		case ok:
			inside = append(inside, delim)
		}
		name = false
	}
}

// membersOf counts those that are left after decoding.
func membersOf(raw []byte) int {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return 0
	}
	var count func(v any) int
	count = func(v any) (n int) {
		switch v := v.(type) {
		case map[string]any:
			for _, x := range v {
				n += 1 + count(x)
			}
		case []any:
			for _, x := range v {
				n += count(x)
			}
		}
		return n
	}
	return count(v)
}

func FuzzUnknownField(f *testing.F) {
	f.Add([]byte(`{"steps":[{"id":1}],"x":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		defer bounded.Input(t)()
		if !json.Valid(raw) {
			return
		}
		_, found := unknownField(raw, reflect.TypeFor[orch.SavedPlan](), "")
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		var v orch.SavedPlan
		err := d.Decode(&v)
		if err == nil && found {
			t.Errorf("%s has no unknown field for encoding/json", raw)
		}
	})
}

package server

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/orch-project/orch/internal/orchtest/bounded"
	"github.com/orch-project/orch/internal/orchtest/ziptest"
)

// sound fails where an answer is no success and no problem document of the client's.
func sound(t *testing.T, what string, rec *httptest.ResponseRecorder) {
	t.Helper()
	refused := rec.Code >= 400
	if rec.Code >= 500 || refused != (rec.Header().Get("Content-Type") == "application/problem+json") {
		t.Errorf("%s: %d %s %.300s", what, rec.Code, rec.Header().Get("Content-Type"), rec.Body)
	}
}

// FuzzQueriesAndTags: whatever stands in a query, or in the headers that the API reads, is answered.
func FuzzQueriesAndTags(f *testing.F) {
	for _, seed := range [][2]string{{"deployment=web&after=7&last=3&types=log,step", "3"}, {"limit=5&since=2026-01-31T12:00:00Z", `"a", W/"b"`}, {"reveal=true&dry_run=maybe", "*"},
		{"after=-1", "99999999999999999999"}, {"%zz;a=b", "\xff"}} {
		f.Add(seed[0], seed[1])
	}
	h := New(Options{Service: &stub{}}).Handler()
	f.Fuzz(func(t *testing.T, query, header string) {
		defer bounded.Input(t)()
		for _, path := range []string{"/events", "/deployments", "/deployments/web/outputs", "/plans", "/blueprints", "/audit"} {
			r := httptest.NewRequest("GET", base+path, nil)
			r.URL = &url.URL{Path: base + path, RawQuery: query}
			for _, name := range []string{"Last-Event-ID", "If-None-Match", "If-Match", "X-Orch-Tenant"} {
				if name != "X-Orch-Tenant" || path == "/deployments" {
					r.Header.Set(name, header)
				}
			}
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			sound(t, path+"?"+query, rec)
		}
	})
}

// FuzzForms: a form with a request and an archive is taken as a whole or refused.
func FuzzForms(f *testing.F) {
	kind, body := form(f, `{"verb":"deploy","deployment":"web"}`, ziptest.Pack(f, map[string]string{"topology.yaml": "a: b"}))
	_, random, _ := strings.Cut(kind, "boundary=")
	const boundary = "part" // the same in every run, or what a run has found says nothing in the next
	kind, body = strings.Replace(kind, random, boundary, 1), strings.ReplaceAll(body, random, boundary)
	f.Add(body)
	f.Add(strings.Replace(body, "name=\"request\"", "name=\"source\"", 1))
	f.Add("--" + boundary + "--\r\n")
	f.Fuzz(func(t *testing.T, body string) {
		defer bounded.Input(t)()
		s := &stub{}
		h := New(Options{Service: s}).Handler()
		r := httptest.NewRequest("POST", base+"/tasks", strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		sound(t, "a form", rec)
		if rec.Code >= 400 && (s.asked.Verb != "" || s.files != nil) {
			t.Errorf("%d, and the request went on: %+v", rec.Code, s.asked)
		}
	})
}

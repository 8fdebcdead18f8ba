package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestGet(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/broken" {
			http.Error(w, "no backend", http.StatusBadGateway)
			return
		}
		_, _ = w.Write([]byte("hello\n"))
	}))
	defer srv.Close()
	var out strings.Builder
	if err := get(srv.URL, &out); err != nil || out.String() != "hello\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
	if err := get(srv.URL+"/broken", &out); err == nil || !strings.Contains(err.Error(), "502 Bad Gateway") {
		t.Errorf("error of a 502: %v", err)
	}
}

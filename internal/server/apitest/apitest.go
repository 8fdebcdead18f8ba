// Package apitest holds requests and answers of the native API against its OpenAPI document, in the tests of whoever speaks it.
package apitest

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

var binaryBodies = sync.OnceFunc(func() {
	for _, kind := range []string{"application/x-tar", "application/gzip", "application/zip"} {
		openapi3filter.RegisterBodyDecoder(kind, openapi3filter.FileBodyDecoder)
	}
})

// Handler passes requests on, and reports every request that is accepted, and every answer, that is not as the document says. Paths that are
// not the API's pass as they are; streams are not looked into.
func Handler(doc *openapi3.T, next http.Handler, report func(format string, args ...any)) (http.Handler, error) {
	binaryBodies()
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route, params, err := router.FindRoute(r)
		if err != nil || strings.HasSuffix(r.URL.Path, "/api/v1/events") || strings.HasSuffix(r.URL.Path, "/wait") {
			next.ServeHTTP(w, r)
			return
		}
		body, _ := io.ReadAll(io.LimitReader(r.Body, 64<<20))
		r.Body = io.NopCloser(bytes.NewReader(body))
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		asked := r.Clone(r.Context())
		asked.Body = io.NopCloser(bytes.NewReader(body))
		check(route, params, asked, rec, report)
		maps.Copy(w.Header(), rec.Header())
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	}), nil
}

func check(route *routers.Route, params map[string]string, r *http.Request, rec *httptest.ResponseRecorder, report func(format string, args ...any)) {
	options := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, MultiError: true}
	// A form's archive is bytes that the validator would read as text.
	options.ExcludeRequestBody = strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/")
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: options}
	if err := openapi3filter.ValidateRequest(r.Context(), in); err != nil && rec.Code < http.StatusBadRequest {
		report("%s %s was accepted (%d) and is not as openapi.yaml says: %v", r.Method, r.URL, rec.Code, err)
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: rec.Code, Header: rec.Header(), Options: options}
	out.SetBodyBytes(rec.Body.Bytes())
	if err := openapi3filter.ValidateResponse(r.Context(), out); err != nil {
		report("the answer to %s %s (%d, %s) is not as openapi.yaml says: %v\n%s", r.Method, r.URL, rec.Code, rec.Header().Get("Content-Type"), err, rec.Body)
	}
}

// Proxy stands before a running server, whose own document it takes. Close it after use.
func Proxy(server string, report func(format string, args ...any)) (*httptest.Server, error) {
	target, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	resp, err := http.Get(server + "/api/v1/openapi.yaml")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		return nil, err
	}
	through := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) },
		// The client has gone, or the server: there is no answer, and so none to be checked.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }}
	h, err := Handler(doc, through, report)
	if err != nil {
		return nil, err
	}
	return httptest.NewServer(h), nil
}

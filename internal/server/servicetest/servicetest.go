// Package servicetest is a whole Service in memory whose operations a fake world does, with an endpoint before it: what the tests of the
// endpoints for other orchestrators' clients talk to.
package servicetest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/orch-project/orch/pkg/access"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/fake"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/mem"
	"github.com/orch-project/orch/pkg/state/secrets"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca"
)

// Site is a server on a real service whose operations a fake world does.
type Site struct {
	T     *testing.T
	Store state.Store
	World *fake.World
	Local *orch.Local
	// HTTP is the server; a test may put another one in its place.
	HTTP *httptest.Server

	setup  Setup
	mu     sync.Mutex
	script fake.Table
}

// Setup says what is peculiar to an endpoint.
type Setup struct {
	// Handler of the endpoint, on the service that has just started.
	Handler func() http.Handler
	// Service changes the options of the service before it starts; nil: they are as they are.
	Service func(*orch.Options)
	// Act adds to what a test says of an operation; nil: nothing.
	Act func(*driver.Request, *fake.Behaviour)
	// Stop is told before the server ends; nil: nobody is.
	Stop func()
}

// New is a site that is not started yet; the test's end ends it.
func New(t *testing.T) *Site {
	t.Helper()
	s := &Site{T: t, Store: mem.New(mem.Options{}), World: &fake.World{}}
	t.Cleanup(func() { s.Store.Close() })
	return s
}

// Start the service and the server.
func (s *Site) Start(setup Setup) {
	s.T.Helper()
	s.setup = setup
	s.start()
	s.T.Cleanup(s.end)
}

// Restart is a new process on the same store.
func (s *Site) Restart() {
	s.T.Helper()
	s.end()
	s.start()
}

func (s *Site) start() {
	s.T.Helper()
	d := s.Driver()
	o := orch.Options{Store: s.Store, Infra: d, Remote: d, Local: d, Retry: engine.Retry{Max: -1}, Cipher: Unsealed{}, Load: Load, Accounts: access.New(s.Store), Secrets: s.Secrets()}
	if s.setup.Service != nil {
		s.setup.Service(&o)
	}
	l, err := orch.New(o)
	if err != nil {
		s.T.Fatal(err)
	}
	s.Local = l
	s.HTTP = httptest.NewServer(s.setup.Handler())
}

func (s *Site) end() {
	if s.setup.Stop != nil {
		s.setup.Stop()
	}
	s.HTTP.Close()
	s.Local.Close()
	http.DefaultClient.CloseIdleConnections()
}

// Secrets of the store.
func (s *Site) Secrets() *secrets.Store {
	return secrets.New(s.Store, secrets.Options{Key: secret.KeySource{Key: masterKey()}})
}

// Behave sets how operations go from now on.
func (s *Site) Behave(table fake.Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = table
}

// Driver of the world.
func (s *Site) Driver() driver.Driver {
	return &fake.Driver{World: s.World, Script: func(req *driver.Request) fake.Behaviour {
		s.mu.Lock()
		defer s.mu.Unlock()
		b := s.script.Behave(req)
		if s.setup.Act != nil {
			s.setup.Act(req, &b)
		}
		b.Output = append(b.Output, "doing "+req.Step)
		return b
	}}
}

// Load reads a topology as the program does, without locations.
func Load(ctx context.Context, b orch.Bundle) (*topology.Topology, diag.List) {
	bundle, list := source.OpenFS(b.Name, b.FS, b.Entry)
	if list.HasErrors() {
		return nil, list
	}
	libraries := tosca.Builtin()
	for _, f := range b.ImportPath {
		lib, more := tosca.ReadLibrary(f)
		list.Add(more...)
		if lib != nil {
			libraries = append(libraries, lib)
		}
	}
	t, more := tosca.Load(ctx, tosca.Options{Bundle: bundle, Libraries: libraries})
	return t, append(list, more...)
}

// masterKey is the same for a site's restarts.
var masterKey = sync.OnceValue(func() secret.Value {
	k, err := secret.GenerateKeyring()
	if err != nil {
		panic(err)
	}
	return k.Text()
})

// Unsealed seals nothing: what is stored stays readable.
type Unsealed struct{}

func (Unsealed) Seal(b []byte) ([]byte, error) { return b, nil }
func (Unsealed) Open(b []byte) ([]byte, error) { return b, nil }

// Reply is what came back.
type Reply struct {
	Status int
	Header http.Header
	Body   string
}

// Send a request; header are names and values in turn, and "" takes a header away.
func (s *Site) Send(method, path, contentType string, body []byte, header ...string) Reply {
	s.T.Helper()
	req, err := http.NewRequestWithContext(s.T.Context(), method, s.HTTP.URL+path, bytes.NewReader(body))
	if err != nil {
		s.T.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
		if header[i+1] == "" {
			req.Header.Del(header[i])
		}
	}
	return s.Do(req)
}

// Do sends a request and reads the whole answer.
func (s *Site) Do(req *http.Request) Reply {
	s.T.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.T.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.T.Fatal(err)
	}
	return Reply{resp.StatusCode, resp.Header, string(data)}
}

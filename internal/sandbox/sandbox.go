// Package sandbox is an OpenStack on this machine: the APIs of Keystone, Nova, Neutron, Glance and Cinder on one loopback port, behind
// paths as devstack has them (/identity, /compute, /networking, /image, /volume), with servers one can log in to when machines are asked for.
//
// Start runs one in this process, for tests; Up, Down and Status (daemon.go) run one in the background. Faults are injected with
// the Faults of a Sandbox, or from another process with a Client.
//
// It must not know of orch: it is a cloud like any other for it. What the services do is in the packages below; this one joins them.
package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/orch-project/orch/internal/sandbox/cinder"
	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/fault"
	"github.com/orch-project/orch/internal/sandbox/glance"
	"github.com/orch-project/orch/internal/sandbox/keystone"
	"github.com/orch-project/orch/internal/sandbox/machine"
	"github.com/orch-project/orch/internal/sandbox/neutron"
	"github.com/orch-project/orch/internal/sandbox/nova"
)

// Sandbox is a running cloud.
type Sandbox struct {
	// URL is the address of all services, "http://127.0.0.1:PORT".
	URL string
	// Dir is the state directory.
	Dir string
	// Password is that of all users.
	Password string
	// External is the network of floating addresses.
	External netip.Prefix
	// Faults are the ones in force.
	Faults *fault.Set

	region   string
	token    string // of the admin endpoint
	cloud    *cloud.Cloud
	server   *http.Server
	done     chan struct{}
	served   sync.WaitGroup
	closing  sync.Once
	closeErr error
	cleanup  []func() error // last first
}

// AuthURL is OS_AUTH_URL.
func (s *Sandbox) AuthURL() string { return s.URL + "/identity/v3" }

// Region is the region of all endpoints.
func (s *Sandbox) Region() string { return s.region }

// Start starts a sandbox in this process. ctx bounds the start only; Close ends the sandbox.
func Start(ctx context.Context, o Options) (_ *Sandbox, err error) {
	s := &Sandbox{Faults: &fault.Set{}, Password: o.Password, region: o.Region, token: cloud.Hex(16), done: make(chan struct{})}
	defer func() {
		if err != nil {
			_ = s.Close() // the error that matters is the first
		}
	}()
	if s.Password == "" {
		s.Password = cloud.Hex(12)
	}
	if s.region == "" {
		s.region = "RegionOne"
	}
	o.Password = s.Password
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := s.openDir(o.Dir); err != nil {
		return nil, err
	}
	if err := s.chooseExternal(&o); err != nil {
		return nil, err
	}
	listener, err := listen(ctx, &o)
	if err != nil {
		return nil, err
	}
	s.URL = "http://" + listener.Addr().String()
	handler, compute := s.assemble(&o)
	if err := s.startMachines(ctx, &o, compute); err != nil {
		_ = listener.Close()
		return nil, err
	}
	s.serve(listener, handler, o.Logger)
	if o.outside != nil {
		s.cleanup = append(s.cleanup, o.outside.Close)
		if err := s.serveFront(ctx, listener.Addr().String()); err != nil {
			return nil, err
		}
	}
	if err := s.writeCredentials(); err != nil {
		return nil, err
	}
	return s, nil
}

// openDir takes the state directory, or makes one that Close removes.
func (s *Sandbox) openDir(dir string) error {
	if dir == "" {
		made, err := os.MkdirTemp("", "orch-sandbox-")
		if err != nil {
			return fmt.Errorf("cannot make the sandbox's directory: %w", err)
		}
		s.cleanup = append(s.cleanup, func() error { return os.RemoveAll(made) })
		dir = made
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("cannot resolve the sandbox's directory: %w", err)
	}
	s.Dir = abs
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return fmt.Errorf("cannot make the sandbox's directory: %w", err)
	}
	return nil
}

func listen(ctx context.Context, o *Options) (net.Listener, error) {
	addr := cmp.Or(o.Listen, "127.0.0.1:0")
	open := (&net.ListenConfig{}).Listen
	if o.outside != nil {
		open = o.outside.Listen
	}
	l, err := open(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for the sandbox's APIs on %s: %w", addr, err)
	}
	return l, nil
}

// Path prefixes of the services.
const (
	identityPath = "/identity"
	computePath  = "/compute"
	networkPath  = "/networking"
	imagePath    = "/image"
	volumePath   = "/volume"
	adminPath    = "/sandbox"
)

// assemble makes the cloud and its services.
func (s *Sandbox) assemble(o *Options) (http.Handler, *nova.Service) {
	c := &cloud.Cloud{
		Region: s.region, Log: o.Logger, Work: cloud.NewWork(),
		Delays: cloud.Delays{
			Build: orDefault(o.Delays.Build, 300*time.Millisecond), Action: orDefault(o.Delays.Action, 100*time.Millisecond),
			Volume: orDefault(o.Delays.Volume, 100*time.Millisecond), Delete: orDefault(o.Delays.Delete, 100*time.Millisecond),
		},
	}
	s.cloud = c
	c.ServerFault = s.serverFault
	seed(c, o, s.External)
	_, identity := keystone.New(c, keystone.Options{
		Prefix: identityPath, URL: s.URL, TokenSeconds: int(o.TokenTTL / time.Second),
		Endpoints: []keystone.Endpoint{
			{Type: "identity", Name: "keystone", Path: identityPath},
			{Type: "compute", Name: "nova", Path: computePath + "/v2.1"},
			{Type: "network", Name: "neutron", Path: networkPath},
			{Type: "image", Name: "glance", Path: imagePath},
			{Type: "volumev3", Name: "cinderv3", Path: volumePath + "/v3/%(project_id)s"},
			{Type: "block-storage", Name: "cinder", Path: volumePath + "/v3/%(project_id)s"},
		},
	})
	netService, network := neutron.New(c, networkPath)
	blockService, block := cinder.New(c, volumePath)
	computeService, compute := nova.New(c, computePath, netService, blockService)
	_, image := glance.New(c, imagePath)
	mux := http.NewServeMux()
	for _, e := range []struct {
		name, prefix string
		handler      http.Handler
	}{
		{"keystone", identityPath, identity}, {"nova", computePath, compute}, {"neutron", networkPath, network},
		{"glance", imagePath, image}, {"cinder", volumePath, block},
	} {
		h := s.Faults.Handler(e.name, e.handler, replies(e.name), s.done)
		mux.Handle(e.prefix, h)
		mux.Handle(e.prefix+"/", h)
	}
	mux.Handle(adminPath+"/", s.adminHandler())
	return mux, computeService
}

// serverFault asks the rules what befalls a server.
func (s *Sandbox) serverFault(v *cloud.Server) *cloud.BuildFault {
	r := s.Faults.HitServer(v.Name)
	if r == nil {
		return nil
	}
	return &cloud.BuildFault{Message: r.Message, Code: r.Code, Build: time.Duration(r.Build), Boot: time.Duration(r.Boot)}
}

// startMachines makes the host on which servers run.
func (s *Sandbox) startMachines(ctx context.Context, o *Options, compute *nova.Service) error {
	switch {
	case o.Host != nil:
		s.cloud.Host = o.Host
		return nil
	case o.Machines == nil:
		return nil
	}
	m := *o.Machines
	if m.Dir == "" {
		m.Dir = filepath.Join(s.Dir, "machines")
	}
	if m.Logger == nil {
		m.Logger = o.Logger
	}
	m.External, m.Stopped = s.External, compute.Stopped
	host, err := machine.New(ctx, m)
	if err != nil {
		return fmt.Errorf("cannot start the sandbox's machines: %w", err)
	}
	s.cloud.Host = host
	s.cleanup = append(s.cleanup, host.Close)
	return nil
}

func (s *Sandbox) serve(l net.Listener, h http.Handler, log *slog.Logger) {
	s.server = &http.Server{Handler: h, ReadHeaderTimeout: 30 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	s.served.Go(func() {
		if err := s.server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error("the sandbox's APIs ended", "error", err)
		}
	})
}

// Close ends all servers, waits for everything that the sandbox started, and removes what it made. It may be called more than once.
func (s *Sandbox) Close() error {
	s.closing.Do(func() {
		close(s.done)
		if s.server != nil {
			// Requests that hang have ended with done; the others are short.
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			if s.server.Shutdown(ctx) != nil {
				_ = s.server.Close()
			}
			cancel()
		}
		s.served.Wait()
		if s.cloud != nil {
			s.cloud.Work.Close()
		}
		for i := len(s.cleanup) - 1; i >= 0; i-- {
			s.closeErr = errors.Join(s.closeErr, s.cleanup[i]())
		}
	})
	return s.closeErr
}

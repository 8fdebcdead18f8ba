package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/pkg/orch"
)

// ServeOptions say how `orch server` listens.
type ServeOptions struct {
	// Listener that is open already, and its TLS configuration (nil: plain HTTP).
	Listener net.Listener
	TLS      *tls.Config
	// Drain is how long requests may go on when the server is told to stop.
	Drain time.Duration
	// Metrics listener of its own for what operators ask; nil: there is none. Level of the log, which can be changed.
	Metrics net.Listener
	Level   *slog.LevelVar
	// Loopback is set where only this machine can reach the listener; NoAuth lets everybody do everything.
	Loopback, NoAuth bool
}

type serverFlags struct {
	listen, metrics    string
	cert, key, clients string
	noAuth, noTLS      bool
	drain              time.Duration
}

func serverCmd(env *environment) *cobra.Command {
	var f serverFlags
	c := &cobra.Command{
		Use:   "server",
		Short: "Serve the native API, Alien4Cloud's orchestrator endpoint and Cloudify's REST API",
		Long: `The server keeps the store open, goes on with tasks that a killed process has left, and answers on one port: the native API below
/api/v1, at the root the paths that Alien4Cloud's orchestrator plugin asks for, and
those of Cloudify Manager below /api/v2 to /api/v3.1 (docs/cloudify.md).

It listens on this machine only, and lets everybody of this machine in until there is an admin (orch users bootstrap). Other addresses need
TLS (--tls-cert, --tls-key), and clients must always say who they are: by token, by password, or by a certificate of --client-ca, of which
name or alternative name is a user. SIGTERM stops it in an orderly way: running requests finish, running tasks are left to the next
server, which goes on with them. SIGUSR1 switches the log to debug and back.

Everything is also in the configuration file, under server, and in ORCH_* variables: orch config show. /healthz, /readyz and /metrics (for
Prometheus) are for who runs it.`,
		Example: `  orch server
  orch server --listen 10.0.0.5:8800 --tls-cert server.pem --tls-key server.key --client-ca clients.pem`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return env.serve(c, f) },
	}
	c.AddCommand(logLevelCmd(env))
	fl := c.Flags()
	fl.StringVar(&f.listen, "listen", "127.0.0.1:8800", "`address` to listen on; port 0 takes a free one")
	fl.StringVar(&f.cert, "tls-cert", "", "`file` with the server's certificate chain (PEM)")
	fl.StringVar(&f.key, "tls-key", "", "`file` with its private key (PEM)")
	fl.StringVar(&f.clients, "client-ca", "", "`file` with the authorities whose certificates clients must have (PEM)")
	fl.StringVar(&f.metrics, "metrics-listen", "", "`address` of a listener of its own for /metrics, /healthz and /readyz, without authentication")
	fl.BoolVar(&f.noAuth, "insecure-no-auth", false, "let everybody who reaches the address do everything")
	fl.BoolVar(&f.noTLS, "insecure-no-tls", false, "listen without TLS on an address that other machines can reach: passwords and tokens travel in clear")
	fl.DurationVar(&f.drain, "drain", 15*time.Second, "how long running requests may go on when the server is told to stop")
	return c
}

func (e *environment) serve(c *cobra.Command, f serverFlags) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	f.complete(c, cfg.Server)
	log := e.loggerAt(slog.LevelInfo)
	conf, err := f.tls(log)
	if err != nil {
		return err
	}
	addr, err := f.address(conf)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process
	l, err := net.Listen("tcp", addr.String())
	if err != nil {
		return &orch.Error{Kind: orch.KindUser, Msg: "cannot listen on " + f.listen, Err: err, Hint: "choose another address with --listen"}
	}
	defer l.Close()
	scheme := "http"
	if conf != nil {
		scheme = "https"
	}
	o := ServeOptions{Listener: l, TLS: conf, Drain: f.drain, Level: &e.level, Loopback: addr.Addr().IsLoopback(), NoAuth: f.noAuth}
	if f.metrics != "" {
		if o.Metrics, err = net.Listen("tcp", f.metrics); err != nil {
			return &orch.Error{Kind: orch.KindUser, Msg: "cannot listen on " + f.metrics, Err: err, Hint: "choose another address with --metrics-listen"}
		}
		defer o.Metrics.Close()
	}
	switchLevel(ctx, &e.level, log)
	ready := func() {
		e.out.Printf("orch is listening on %s://%s\n", scheme, l.Addr())
		if o.Metrics != nil {
			e.out.Printf("metrics are on http://%s/metrics\n", o.Metrics.Addr())
		}
	}
	return e.deps.Serve(ctx, cfg, log, o, ready)
}

// complete takes from the configuration what no flag says.
func (f *serverFlags) complete(c *cobra.Command, s config.Server) {
	take := func(flag string, into *string, value string) {
		if !c.Flags().Changed(flag) && value != "" {
			*into = value
		}
	}
	take("listen", &f.listen, s.Listen)
	take("metrics-listen", &f.metrics, s.Metrics)
	take("tls-cert", &f.cert, s.TLSCert)
	take("tls-key", &f.key, s.TLSKey)
	take("client-ca", &f.clients, s.ClientCA)
	if !c.Flags().Changed("drain") {
		f.drain = s.Drain
	}
}

// levelled is a service whose log level can be changed from outside: a server's.
type levelled interface {
	LogLevel(ctx context.Context, level string) (string, error)
}

func logLevelCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "log-level [LEVEL]", Short: "Show or change the log level of a running server", Args: cobra.MaximumNArgs(1),
		ValidArgs: []string{"debug", "info", "warn", "error"},
		Long: `Asks the server that has the store, or the one that the command works with, and changes the level of its log until it is started again.
Without a way to it, SIGUSR1 to its process switches to debug and back.`,
		Example: "  orch server log-level\n  orch server log-level debug",
		RunE: func(c *cobra.Command, args []string) error {
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			server, ok := app.Service.(levelled)
			if !ok {
				return &orch.Error{Kind: orch.KindNotFound, Msg: "there is no server to ask", Hint: "send SIGUSR1 to its process: that switches between its level and debug"}
			}
			want := ""
			if len(args) > 0 {
				want = args[0]
			}
			level, err := server.LogLevel(c.Context(), want)
			if err != nil {
				return err
			}
			return env.print(orch.LogLevel{Level: level}, func() { env.out.Println(level) })
		},
	}
}

// address resolves the listen address once, so that what was checked is what is listened on.
func (f serverFlags) address(conf *tls.Config) (netip.AddrPort, error) {
	a, err := net.ResolveTCPAddr("tcp", f.listen)
	if err != nil {
		return netip.AddrPort{}, usage("--listen: %v", err)
	}
	if !a.IP.IsLoopback() && conf == nil && !f.noTLS && !f.noAuth {
		return netip.AddrPort{}, &orch.Error{Kind: orch.KindUser, Msg: fmt.Sprintf("%s can be reached from other machines, and credentials would travel in clear", f.listen),
			Hint: "give --tls-cert and --tls-key, or listen on 127.0.0.1; --insecure-no-tls is for a proxy in front that does it"}
	}
	ip, _ := netip.AddrFromSlice(a.IP)
	if a.IP == nil {
		ip = netip.IPv6Unspecified()
	}
	return netip.AddrPortFrom(ip.Unmap().WithZone(a.Zone), uint16(a.Port)), nil
}

// tls returns nil for plain HTTP.
func (f serverFlags) tls(log *slog.Logger) (*tls.Config, error) {
	if f.cert == "" && f.key == "" {
		if f.clients != "" {
			return nil, usage("--client-ca needs --tls-cert and --tls-key")
		}
		return nil, nil
	}
	own := &certificate{cert: f.cert, key: f.key, log: log}
	if err := own.load(); err != nil {
		return nil, &orch.Error{Kind: orch.KindUser, Msg: "cannot use the server's certificate", Err: err, Hint: "--tls-cert and --tls-key name PEM files"}
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: own.get}
	if f.clients == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(f.clients)
	if err != nil {
		return nil, &orch.Error{Kind: orch.KindUser, Msg: "cannot read the clients' authorities", Err: err}
	}
	conf.ClientCAs = x509.NewCertPool()
	if !conf.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, usage("%s holds no certificate", f.clients)
	}
	conf.ClientAuth = tls.VerifyClientCertIfGiven // others give a token or a password
	return conf, nil
}

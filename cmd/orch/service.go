package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/internal/cli"
	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/internal/metrics"
	"github.com/orch-project/orch/internal/tracing"
	"github.com/orch-project/orch/internal/version"
	"github.com/orch-project/orch/pkg/access"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/existing"
	pooldriver "github.com/orch-project/orch/pkg/driver/hostpool"
	"github.com/orch-project/orch/pkg/driver/local"
	"github.com/orch-project/orch/pkg/driver/ssh"
	"github.com/orch-project/orch/pkg/driver/terraform"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/hostpool"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plugin"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/consul"
	"github.com/orch-project/orch/pkg/state/secrets"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca"
)

// openApp opens the service that the configuration asks for. A store file is opened when it is needed and shared with other commands.
func openApp(ctx context.Context, c *config.Config, log *slog.Logger) (*cli.App, error) {
	if err := os.MkdirAll(c.Home, 0o700); err != nil {
		return nil, &orch.Error{Kind: orch.KindStore, Msg: "cannot use the home directory", Err: err, Hint: "set ORCH_HOME to a directory that can be written"}
	}
	open := func(ctx context.Context) (*service, error) { return openService(ctx, c, log, nil) }
	if ownedByOneProcess(c.Store) {
		s := newShared(c, c.Tenant, log, open)
		s.dial = dialer(c)
		return &cli.App{Service: s, Shell: s.shell, WhoAmI: whoAmI(c.Tenant), Finish: s.Finish}, nil
	}
	svc, err := open(ctx)
	if err != nil {
		return nil, err
	}
	if err := tenantKnown(ctx, svc, c.Tenant); err != nil {
		return nil, errors.Join(err, svc.Close())
	}
	in := asOwner(svc, c.Tenant, log)
	return &cli.App{Service: in, Shell: svc.shell, WhoAmI: whoAmI(c.Tenant)}, nil
}

// service is the engine in this process with everything that it works on.
type service struct {
	*orch.Local
	secrets secrets.Drivers
	dial    dialFunc
	reach   remoteDriver
	ssh     *ssh.Driver
	store   state.Store
	log     *slog.Logger
	tracer  *tracing.Tracer
	access  *access.Accounts
}

// Close ends the service, its connections and its store.
func (s *service) Close() error {
	err := errors.Join(s.Local.Close(), s.ssh.Close())
	ctx, cancel := context.WithTimeout(context.Background(), traceTime)
	defer cancel()
	if terr := s.tracer.Close(ctx); terr != nil {
		s.log.Warn("the last traces are not sent", "error", terr)
	}
	return errors.Join(err, s.store.Close())
}

func (s *service) reveal(ctx context.Context, ref string) (secret.Value, error) {
	return s.secrets.Resolve(ctx, ref)
}

// applyParallelism of one apply: most of its time goes into waiting for the cloud, in the provider's own steps of 5 to 10 seconds.
const applyParallelism = 40

// openService wires store, secrets, plugins, drivers and engine.
func openService(ctx context.Context, c *config.Config, log *slog.Logger, count *metrics.Metrics) (_ *service, err error) {
	set, libraries, list := pluginsOf(c)
	if err := list.Err(); err != nil {
		return nil, err
	}
	store, err := openStore(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = store.Close()
		}
	}()
	if count != nil {
		store = count.Store(store)
	}
	tracer, err := tracing.FromEnvironment(ctx, version.Version(), log)
	if err != nil {
		return nil, &orch.Error{Kind: orch.KindUser, Err: err, Hint: "set OTEL_SDK_DISABLED=true to send no traces"}
	}
	redactor := secret.NewRedactor()
	vault, err := openSecrets(ctx, c, store, redactor)
	if err != nil {
		return nil, err
	}
	cipher := cipher{vault}
	kept := secrets.Drivers{Store: vault}
	where := &locations{cfg: c, set: set, stored: func(ctx context.Context, name string) (*orch.LocationInfo, state.Rev, error) {
		return orch.ReadLocation(ctx, store, cipher, name)
	}}
	locationOf := func(ctx context.Context, deployment string) (plugin.Location, error) {
		name, err := orch.Location(ctx, store, deployment)
		if err != nil {
			return plugin.Location{}, err
		}
		return where.named(name)
	}

	relayed, err := relay(c)
	if err != nil {
		return nil, err
	}
	infra, err := terraform.New(terraform.Options{
		Home: filepath.Join(c.Home, "terraform"), Plugins: set, States: states{store, vault}, Secrets: kept,
		Location: locationOf,
		Cloud:    where.cloud, Parallelism: applyParallelism, Binary: c.Terraform.Binary, Mirror: c.Terraform.Mirror, Relay: relayed, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	keys := hostKeys{store}
	dial := dialer(c)
	remote := ssh.New(ssh.Options{Secrets: kept, Pin: keys.Pin, ConsoleKeys: where.consoleKeys, Cloud: where.cloudOf(locationOf), Dial: dial, ReadyTimeout: c.SSH.ReadyTimeout, Timeout: c.SSH.OperationTimeout})
	here, err := local.New(local.Options{Dir: opsDir(c), Timeout: c.SSH.OperationTimeout, AllowSudo: true})
	if err != nil {
		return nil, err
	}
	ways := &bastions{patience: c.SSH.ReadyTimeout, wanted: func(ctx context.Context, deployment string) (bool, error) {
		name, err := orch.Location(ctx, store, deployment)
		if err != nil {
			return false, err
		}
		loc, err := where.named(name)
		return loc.Setting("bastion") == "auto", err
	}}
	reach := remoteDriver{remote, keys, ways, where.cloudOf(locationOf)}
	accounts := access.New(store)
	hosts := hostpool.New(hostpool.Options{Store: store, Secrets: orch.PoolSecrets{Secrets: kept}, Reach: poolReach(remote, keys)})
	where.pools = hosts.Locations
	made := pooldriver.New(pooldriver.Options{Pool: hosts, Next: infra, Location: locationOf})
	find := &existing.Finder{Secrets: orch.PoolSecrets{Secrets: kept}, Ref: func(deployment, node, what string) string {
		return plugin.SecretRef(deployment, "login", node, what)
	}}
	svc, err := orch.New(orch.Options{
		Hosts: find.Host, Complete: find.Complete, Login: find.Login, Prober: &prober{ways: ways, keys: keys, ssh: remote, dial: dial},
		Store: store, Accounts: accounts, Load: loader(c, libraries), Keep: tosca.Keep, Bind: where.bind, Infra: made, Remote: reach, Local: here,
		Inventory: inventory{where, hosts}, Pool: hosts, Locations: where, Secrets: vault, Cipher: cipher, Redactor: redactor, Observe: observe(count, tracer), Limits: engine.Limits{Deployment: c.Parallel},
		Revisions: c.Revisions, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	ways.deployments = svc
	return &service{Local: svc, secrets: kept, dial: dial, reach: reach, ssh: remote, store: store, log: log, tracer: tracer, access: accounts}, nil
}

// traceTime bounds sending the last traces.
const traceTime = 5 * time.Second

// observe tells both, as far as there are.
func observe(count *metrics.Metrics, tracer *tracing.Tracer) func(engine.Observation) {
	if count == nil && tracer == nil {
		return nil
	}
	return func(o engine.Observation) {
		if count != nil {
			count.Observe(o)
		}
		tracer.Observe(o)
	}
}

// Host of an instance, with the way to it and the keys pinned for it.
func (s *service) Host(ctx context.Context, deployment string, in topology.Instance) (*driver.Host, error) {
	h, err := s.Local.Host(ctx, deployment, in)
	if err != nil {
		return nil, err
	}
	return s.reach.reach(ctx, deployment, h, 0, nil)
}

// opsDir is where operations on this machine have their journal. Servers that share a store share it, too, as far as they are on one machine:
// what one of them has begun when it dies is found by the other, and not done twice.
func opsDir(c *config.Config) string {
	own := filepath.Join(c.Home, "ops")
	if ownedByOneProcess(c.Store) {
		return own
	}
	base := os.Getenv("XDG_STATE_HOME") // https://specifications.freedesktop.org/basedir-spec: "actions history"
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return own
		}
		base = filepath.Join(home, ".local", "state")
	}
	// One server may know of other addresses of Consul than its neighbour. Operations have ids of their own in every store.
	prefix := ""
	if o, err := consul.ParseURL(c.Store); err == nil {
		prefix = cmp.Or(o.Prefix, "orch") + "\n" + o.Namespace + "\n" + o.Partition
	}
	return filepath.Join(base, "orch", "ops", hash(prefix))
}

// inventory proves that nothing is left of a deployment.
type inventory struct {
	where *locations
	hosts *hostpool.Pool
}

func (i inventory) Inventory(ctx context.Context, deployment, location string) (left, checked []string, err error) {
	left, _, checked, err = i.Proof(ctx, deployment, location)
	return left, checked, err
}

// Proof implements orch.Prover.
func (i inventory) Proof(ctx context.Context, deployment, location string) (left, kept, checked []string, err error) {
	loc, err := i.where.named(location)
	if err != nil {
		return nil, nil, nil, err
	}
	if pool, ok := pooldriver.PoolOf(loc); ok {
		left, err = i.hosts.Held(ctx, pool, deployment)
		return left, nil, []string{"pool " + pool}, err
	}
	cloud, err := i.where.cloud(ctx, loc)
	if err != nil {
		return nil, nil, nil, err
	}
	found, err := cloud.Inventory(ctx, deployment)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, r := range found {
		line := strings.Join(slices.DeleteFunc([]string{r.Service, r.Kind, r.Name, r.ID, r.Status}, func(s string) bool { return s == "" }), " ")
		if r.Kept {
			kept = append(kept, line)
		} else {
			left = append(left, line)
		}
	}
	return left, kept, []string{"nova", "neutron", "cinder"}, nil
}

// Observe lists what the cloud has of a deployment.
func (i inventory) Observe(ctx context.Context, deployment, location string) ([]driver.CloudResource, error) {
	loc, err := i.where.named(location)
	if err != nil {
		return nil, err
	}
	cloud, err := i.where.cloud(ctx, loc)
	if err != nil {
		return nil, err
	}
	return cloud.Inventory(ctx, deployment)
}

var _ orch.Observer = inventory{}

// Remove implements orch.Remover. Hosts of a pool are given back by their driver.
func (i inventory) Remove(ctx context.Context, deployment, location string, ids ...string) error {
	loc, err := i.where.named(location)
	if err != nil {
		return err
	}
	if _, ok := pooldriver.PoolOf(loc); ok {
		return nil
	}
	cloud, err := i.where.cloud(ctx, loc)
	if err != nil {
		return err
	}
	found, err := cloud.Inventory(ctx, deployment)
	if err != nil {
		return err
	}
	return cloud.Delete(ctx, slices.DeleteFunc(found, func(r driver.CloudResource) bool { return r.Kept || len(ids) > 0 && !slices.Contains(ids, r.ID) }))
}

// bind lets the plugin of a location bind a topology.
func (l *locations) bind(_ context.Context, t *topology.Topology, location string) diag.List {
	loc, err := l.named(location)
	if err != nil {
		return listOf(err)
	}
	return l.set.Bind(t, loc)
}

// listOf turns an error into diagnostics.
func listOf(err error) diag.List {
	var known *diag.ListError
	if errors.As(err, &known) {
		return known.List
	}
	d := diag.Diagnostic{Severity: diag.Error, Code: "location", Message: err.Error()}
	var e *orch.Error
	if errors.As(err, &e) {
		d.Hint = e.Hint
	}
	return diag.List{d}
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:6])
}

var _ driver.Secrets = secrets.Drivers{}

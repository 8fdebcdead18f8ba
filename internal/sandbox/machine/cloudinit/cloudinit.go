// Package cloudinit applies user data to a server as cloud-init does: #cloud-config, scripts, boot hooks, MIME multipart and
// gzip, with the files, console output and exit codes by which orchestrators follow it.
//
// It implements the modules that servers of topologies use (https://cloudinit.readthedocs.io, "Module reference"); what it
// does not know it reports as a warning. It must not know of namespaces or of the sandbox's host.
package cloudinit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// Options describe the instance.
type Options struct {
	// Root is the file system to change; empty is "/", and only then are commands run in it.
	Root       string
	InstanceID string
	Hostname   string
	User       string // the image's default user
	PublicKeys []string
	UserData   []byte
	AdminPass  string
	// Datasource is named in messages and result.json.
	Datasource string
	// Console gets what cloud-init prints there.
	Console io.Writer
	// SetHostname tells the kernel; nil does not.
	SetHostname func(string) error
	// Power is called for power_state with "reboot", "poweroff" or "halt".
	Power func(mode string)
}

// Version is the release whose behaviour is followed.
const Version = "24.2"

// Run is one boot of one instance.
//
//	Network ─▶ (SSH is started by the caller) ─▶ Final
type Run struct {
	Options
	cfg      config
	scripts  []part
	hooks    []part
	started  time.Time
	status   status
	log      *os.File // /var/log/cloud-init.log
	output   *os.File // /var/log/cloud-init-output.log
	firstRun bool
}

// New reads the user data. Mistakes in it are warnings, as in cloud-init: the server must come up.
func New(o Options) (*Run, error) {
	if o.Root == "" {
		o.Root = "/"
	}
	if o.Console == nil {
		o.Console = io.Discard
	}
	if o.Datasource == "" {
		o.Datasource = "DataSourceOpenStackLocal [net,ver=2]"
	}
	r := &Run{Options: o, cfg: config{}, started: time.Now()}
	for _, d := range []string{"/run/cloud-init", "/var/log", "/var/lib/cloud/data", "/var/lib/cloud/sem", "/var/lib/cloud/scripts/per-boot",
		"/var/lib/cloud/scripts/per-instance", "/var/lib/cloud/scripts/per-once", "/var/lib/cloud/instances/" + o.InstanceID + "/scripts",
		"/var/lib/cloud/instances/" + o.InstanceID + "/sem"} {
		if err := os.MkdirAll(r.path(d), 0o755); err != nil {
			return nil, err
		}
	}
	var err error
	if r.log, err = os.OpenFile(r.path("/var/log/cloud-init.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640); err != nil {
		return nil, err
	}
	if r.output, err = os.OpenFile(r.path("/var/log/cloud-init-output.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640); err != nil {
		return nil, err
	}
	if err := r.identify(); err != nil {
		return nil, err
	}
	r.status.begin("init-local", r)
	r.read()
	return r, nil
}

// Close releases the logs.
func (r *Run) Close() {
	_ = r.log.Close()
	_ = r.output.Close()
}

func (r *Run) path(p string) string { return filepath.Join(r.Root, p) }

// instance is a path in the instance's directory.
func (r *Run) instance(p string) string {
	return r.path(filepath.Join("/var/lib/cloud/instances", r.InstanceID, p))
}

// identify finds out whether this instance boots for the first time, and points /var/lib/cloud/instance at it.
func (r *Run) identify() error {
	const idFile = "/var/lib/cloud/data/instance-id"
	old, _ := os.ReadFile(r.path(idFile))
	r.firstRun = strings.TrimSpace(string(old)) != r.InstanceID
	link := r.path("/var/lib/cloud/instance")
	_ = os.Remove(link)
	if err := os.Symlink(filepath.Join("/var/lib/cloud/instances", r.InstanceID), link); err != nil {
		return err
	}
	_ = os.Remove(r.instance("boot-finished"))
	for _, f := range []struct {
		path, text string
		mode       os.FileMode
	}{{idFile, r.InstanceID + "\n", 0o644}, {"/run/cloud-init/.instance-id", r.InstanceID + "\n", 0o644}, {"/run/cloud-init/enabled", "", 0o644},
		{"/var/lib/cloud/instance/user-data.txt", string(r.UserData), 0o600},
		{"/var/lib/cloud/instance/datasource", r.Datasource + "\n", 0o644}} {
		path := r.path(f.path)
		if strings.HasPrefix(f.path, "/var/lib/cloud/instance/") {
			path = r.instance(filepath.Base(f.path))
		}
		if err := os.WriteFile(path, []byte(f.text), f.mode); err != nil {
			return err
		}
	}
	return nil
}

// read takes the user data apart and merges the cloud-configs, later ones winning key by key.
func (r *Run) read() {
	parts, err := parse(r.UserData)
	if err != nil {
		r.warn("user data", err)
	}
	r.sort(parts)
	known := map[string]bool{}
	for _, k := range knownKeys {
		known[k] = true
	}
	var unknown []string
	for k := range r.cfg {
		if !known[k] {
			unknown = append(unknown, k)
		}
	}
	sort.Strings(unknown)
	for _, k := range unknown {
		r.warn("cloud-config", fmt.Errorf("the key %q is not supported in the sandbox", k))
	}
}

func (r *Run) sort(parts []part) {
	for _, p := range parts {
		switch p.kind {
		case "config":
			c, err := decodeConfig(p.body)
			if err != nil {
				r.warn(p.name, err)
				continue
			}
			for k, v := range c {
				r.cfg[k] = v
			}
		case "archive":
			more, err := decodeArchive(p.body)
			if err != nil {
				r.warn(p.name, err)
			}
			r.sort(more)
		case "script", "script-per-boot", "script-per-instance", "script-per-once":
			r.scripts = append(r.scripts, p)
		case "boothook":
			r.hooks = append(r.hooks, p)
		default:
			first, _, _ := strings.Cut(string(p.body[:min(len(p.body), 50)]), "\n")
			r.warn(p.name, fmt.Errorf("unhandled user data (%s) starting %q: it needs a first line like #cloud-config or #!/bin/sh", p.kind, first))
		}
	}
}

// step is one module of a stage.
type step struct {
	name   string
	always bool // at every boot; others once for an instance
	run    func(context.Context) error
}

// Network runs what comes before SSH: boot commands, files, host name, users, keys.
func (r *Run) Network(ctx context.Context) {
	r.status.end("init-local", r)
	r.status.begin("init", r)
	r.announce("init")
	r.stage(ctx, []step{
		{"boothooks", true, r.bootHooks},
		{"bootcmd", true, r.bootCommands},
		{"write-files", false, func(context.Context) error { return r.writeFiles(false) }},
		{"set_hostname", true, r.setHostname},
		{"update_etc_hosts", true, r.updateHosts},
		{"users-groups", false, r.users},
		{"ssh", false, r.ssh},
		{"set-passwords", false, r.passwords},
	})
	r.status.end("init", r)
}

// Final runs the rest. It returns after everything, also when things failed: the status tells.
func (r *Run) Final(ctx context.Context) {
	r.status.begin("modules-config", r)
	r.announce("modules:config")
	r.stage(ctx, []step{
		{"timezone", false, r.timezone},
		{"runcmd", false, r.runCommands},
	})
	r.status.end("modules-config", r)
	r.status.begin("modules-final", r)
	r.announce("modules:final")
	r.stage(ctx, []step{
		{"package-update-upgrade-install", false, r.packages},
		{"write-files-deferred", false, func(context.Context) error { return r.writeFiles(true) }},
		{"scripts-per-once", false, func(ctx context.Context) error { return r.runDir(ctx, "/var/lib/cloud/scripts/per-once") }},
		{"scripts-per-boot", true, func(ctx context.Context) error { return r.runDir(ctx, "/var/lib/cloud/scripts/per-boot") }},
		{"scripts-per-instance", false, func(ctx context.Context) error { return r.runDir(ctx, "/var/lib/cloud/scripts/per-instance") }},
		{"scripts-user", false, func(ctx context.Context) error { return r.runDir(ctx, "/var/lib/cloud/instance/scripts") }},
		{"ssh-authkey-fingerprints", false, r.keyFingerprints},
		{"keys-to-console", false, r.keysToConsole},
		{"final-message", true, r.finalMessage},
	})
	r.status.finish(r)
	_ = os.WriteFile(r.instance("boot-finished"), []byte(r.finishedLine()+"\n"), 0o644)
	r.powerState()
}

// stage runs modules in order. A failed one is recorded and the next runs all the same.
func (r *Run) stage(ctx context.Context, steps []step) {
	for _, s := range steps {
		sem := r.instance("sem/config_" + strings.ReplaceAll(s.name, "-", "_"))
		if !s.always {
			if _, err := os.Stat(sem); err == nil {
				continue
			}
		}
		r.debug("running module %s", s.name)
		if err := s.run(ctx); err != nil {
			r.fail(s.name, err)
		}
		if !s.always {
			if err := os.WriteFile(sem, fmt.Appendf(nil, "%d: %s\n", os.Getpid(), time.Now().Format(time.RFC3339)), 0o644); err != nil {
				r.warn(s.name, err)
			}
		}
	}
}

func (r *Run) debug(format string, args ...any) { r.write("DEBUG", fmt.Sprintf(format, args...)) }

// warn notes a recoverable mistake ("degraded").
func (r *Run) warn(where string, err error) {
	text := where + ": " + err.Error()
	r.write("WARNING", text)
	r.status.recoverable = append(r.status.recoverable, text)
	fmt.Fprintf(r.Console, "%s - cloud-init[WARNING]: %s\n", time.Now().UTC().Format("2006-01-02 15:04:05,000"), text)
}

// fail notes a failed module ("error").
func (r *Run) fail(module string, err error) {
	text := fmt.Sprintf("('%s', %s)", module, quoteJSON(err.Error()))
	r.write("WARNING", "Running module "+module+" failed: "+err.Error())
	r.status.fail(text)
	fmt.Fprintf(r.Console, "%s - cloud-init[WARNING]: Running module %s failed: %s\n", time.Now().UTC().Format("2006-01-02 15:04:05,000"), module, err)
}

func quoteJSON(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func (r *Run) write(level, text string) {
	fmt.Fprintf(r.log, "%s - cloud-init[%s]: %s\n", time.Now().UTC().Format("2006-01-02 15:04:05,000"), level, text)
}

// announce is the line at the start of each stage.
func (r *Run) announce(stage string) {
	line := fmt.Sprintf("Cloud-init v. %s running '%s' at %s. Up %.2f seconds.\n", Version, stage, time.Now().UTC().Format(time.RFC1123Z), time.Since(r.started).Seconds())
	_, _ = io.WriteString(r.Console, line)
	_, _ = io.WriteString(r.output, line)
}

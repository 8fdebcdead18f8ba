package services

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"
)

// Request is one call of systemctl or service, carried to the manager in process 1.
type Request struct {
	Program string // "systemctl" or "service"
	Args    []string
	// Package is set when dpkg runs the caller for a package (DPKG_MAINTSCRIPT_PACKAGE).
	Package string
	Root    bool // whether the caller is root
}

// Response is what the caller prints and exits with.
type Response struct {
	Out, Err string
	Code     int
	Power    string // "reboot" or "poweroff", to be done after answering
}

// call is one run of a command.
type call struct {
	m        *Manager
	ctx      context.Context
	req      Request
	out, err strings.Builder
	opts     options
	power    string
}

type options struct {
	now, quiet, value, all, noLegend bool
	properties, types, states        []string
}

func (c *call) say(s string) {
	if !c.opts.quiet {
		c.err.WriteString(s + "\n")
	}
}

// Handle runs a command.
func (m *Manager) Handle(ctx context.Context, req Request) Response {
	c := &call{m: m, ctx: ctx, req: req}
	code := 0
	if req.Program == "service" {
		code = c.service()
	} else {
		code = c.systemctl()
	}
	return Response{Out: c.out.String(), Err: c.err.String(), Code: code, Power: c.power}
}

// service is "service NAME ACTION".
func (c *call) service() int {
	args := c.req.Args
	if len(args) == 1 && args[0] == "--status-all" {
		scripts, _ := filepath.Glob("/etc/init.d/*")
		for _, s := range scripts {
			mark := "-"
			if c.m.state(c.ctx, filepath.Base(s)+".service") == "active" {
				mark = "+"
			}
			fmt.Fprintf(&c.out, " [ %s ]  %s\n", mark, filepath.Base(s))
		}
		return 0
	}
	if len(args) < 2 {
		c.say("Usage: service < option > | --status-all | [ service_name [ command | --full-restart ] ]")
		return 1
	}
	name := fullName(args[0])
	if k, _ := c.m.kind(name); k == "" {
		c.say(args[0] + ": unrecognized service")
		return 1
	}
	action := args[1]
	if action == "--full-restart" {
		action = "restart"
	}
	if action == "status" {
		return c.status([]string{name})
	}
	return c.act(action, []string{name})
}

// verbs that change something need root.
var verbs = []string{"start", "stop", "restart", "try-restart", "condrestart", "reload", "reload-or-restart", "reload-or-try-restart", "force-reload"}

func (c *call) systemctl() int {
	var words []string
	args := c.req.Args
	for i := 0; i < len(args); i++ {
		a := args[i]
		name, value, given := strings.Cut(a, "=")
		take := func() string {
			if !given && i+1 < len(args) {
				i++
				return args[i]
			}
			return value
		}
		switch {
		case a == "--version":
			c.out.WriteString("systemd 252 (orch sandbox)\n")
			return 0
		case a == "--user":
			c.say("Failed to connect to bus: No medium found")
			return 1
		case name == "--now":
			c.opts.now = true
		case name == "-q" || name == "--quiet":
			c.opts.quiet = true
		case name == "--value":
			c.opts.value = true
		case name == "-a" || name == "--all":
			c.opts.all = true
		case name == "--no-legend":
			c.opts.noLegend = true
		case name == "-p" || name == "--property":
			c.opts.properties = append(c.opts.properties, strings.Split(take(), ",")...)
		case strings.HasPrefix(a, "-p") && len(a) > 2 && a[1] != '-':
			c.opts.properties = append(c.opts.properties, strings.Split(a[2:], ",")...)
		case name == "-t" || name == "--type":
			c.opts.types = append(c.opts.types, strings.Split(take(), ",")...)
		case name == "--state":
			c.opts.states = append(c.opts.states, strings.Split(take(), ",")...)
		case name == "-n" || name == "--lines" || name == "-o" || name == "--output" || name == "-s" || name == "--signal" || name == "--kill-who" || name == "--job-mode":
			_ = take()
		case strings.HasPrefix(a, "-"):
		default:
			words = append(words, a)
		}
	}
	verb := "list-units"
	if len(words) > 0 {
		verb, words = words[0], words[1:]
	}
	units := make([]string, len(words))
	for i, w := range words {
		units[i] = fullName(w)
	}
	return c.verb(verb, units)
}

func (c *call) verb(verb string, units []string) int {
	changes := slices.Contains(verbs, verb) || slices.Contains([]string{"enable", "disable", "reenable", "mask", "unmask", "preset", "daemon-reload", "daemon-reexec",
		"reset-failed", "kill", "poweroff", "reboot", "halt", "set-default"}, verb)
	if changes && !c.req.Root {
		c.say("Failed to " + verb + ": Access denied")
		return 4
	}
	if slices.Contains(verbs, verb) {
		return c.act(verb, units)
	}
	switch verb {
	case "enable", "reenable", "preset", "unmask", "mask", "disable":
		return c.install(verb, units)
	case "is-active", "is-failed":
		return c.isState(verb, units)
	case "is-enabled":
		code := 1
		for _, u := range units {
			word := c.m.enabled(u)
			if word == "not-found" {
				c.say("Failed to get unit file state for " + u + ": No such file or directory")
				continue
			}
			if !c.opts.quiet {
				c.out.WriteString(word + "\n")
			}
			if word == "enabled" || word == "static" || word == "alias" {
				code = 0
			}
		}
		return code
	case "status":
		return c.status(units)
	case "show":
		return c.show(units)
	case "cat":
		return c.cat(units)
	case "list-units", "list-unit-files", "list-timers", "list-sockets", "list-jobs":
		return c.list(verb)
	case "daemon-reload", "daemon-reexec", "reset-failed", "preset-all", "set-default", "log-level", "import-environment", "set-environment":
		return 0 // files are read at every use, so there is nothing to reload
	case "is-system-running":
		if c.m.stopping.Load() {
			c.out.WriteString("stopping\n")
			return 1
		}
		c.out.WriteString("running\n")
		return 0
	case "get-default":
		c.out.WriteString("multi-user.target\n")
		return 0
	case "show-environment":
		c.out.WriteString("LANG=C.UTF-8\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n")
		return 0
	case "reboot", "poweroff", "halt":
		c.power = verb
		return 0
	}
	c.say("Unknown command verb '" + verb + "', or it is not supported in the sandbox's servers.")
	return 1
}

// act starts, stops and so on.
func (c *call) act(verb string, units []string) int {
	if len(units) == 0 {
		c.say("Too few arguments.")
		return 1
	}
	code := 0
	for _, u := range units {
		kind, canonical := c.m.kind(u)
		if kind == "" {
			if verb == "stop" {
				c.say(fmt.Sprintf("Failed to stop %s: Unit %s not loaded.", u, u))
			} else {
				c.say(fmt.Sprintf("Failed to %s %s: Unit %s not found.", verb, u, u))
			}
			code = 5
			continue
		}
		err := c.m.Do(c.ctx, verb, u)
		if err == nil {
			continue
		}
		code = 1
		c.say(fmt.Sprintf("Job for %s failed: %v.\nSee \"systemctl status %s\" and \"journalctl -xeu %s\" for details.", u, err, u, u))
		if tail := logTail(unitOf(kind, canonical), 10); tail != "" {
			c.say(tail)
		}
	}
	return code
}

func unitOf(kind, canonical string) string {
	if kind == "script" {
		return canonical + ".service"
	}
	return canonical
}

func (c *call) install(verb string, units []string) int {
	code := 0
	for _, u := range units {
		var err error
		switch verb {
		case "enable", "preset":
			err = c.m.enable(u, c.say)
		case "reenable":
			if err = c.m.disable(u, c.say); err == nil {
				err = c.m.enable(u, c.say)
			}
		case "disable":
			err = c.m.disable(u, c.say)
		case "mask", "unmask":
			err = c.m.mask(u, verb == "mask", c.say)
		}
		if err != nil {
			c.say(err.Error())
			code = 1
			continue
		}
		if verb == "preset" && c.req.Package != "" {
			c.m.startAfterInstall(u)
		}
		if c.opts.now && code == 0 {
			switch verb {
			case "enable", "reenable":
				code = c.act("start", []string{u})
			case "disable", "mask":
				code = c.act("stop", []string{u})
			}
		}
	}
	return code
}

// startAfterInstall starts a service that a package has brought and enabled, once dpkg is done: its maintainer scripts do so
// only under systemd. Services with a script are started by invoke-rc.d.
func (m *Manager) startAfterInstall(name string) {
	if kind, _ := m.kind(name); kind != "service" {
		return
	}
	go func() {
		for range 600 {
			time.Sleep(200 * time.Millisecond)
			if !dpkgRuns() {
				break
			}
		}
		if m.enabled(name) == "enabled" {
			_ = m.Do(context.Background(), "start", name)
		}
	}()
}

func dpkgRuns() bool {
	found, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, f := range found {
		if data, err := os.ReadFile(f); err == nil && strings.TrimSpace(string(data)) == "dpkg" {
			return true
		}
	}
	return false
}

func (c *call) isState(verb string, units []string) int {
	code := 3
	if verb == "is-failed" {
		code = 1
	}
	for _, u := range units {
		st := c.m.state(c.ctx, u)
		if !c.opts.quiet {
			c.out.WriteString(st + "\n")
		}
		if verb == "is-active" && st == "active" || verb == "is-failed" && st == "failed" {
			code = 0
		}
	}
	return code
}

func (c *call) describe(name string) (load, description, path string) {
	kind, canonical := c.m.kind(name)
	u, err := loadUnit("/", name)
	switch {
	case kind == "":
		return "not-found", name, ""
	case err == nil && u.masked:
		return "masked", name, u.path
	case err == nil:
		return "loaded", u.get("Unit", "Description", name), u.path
	case kind == "script":
		return "loaded", "LSB: " + canonical, "/etc/init.d/" + canonical
	}
	return "loaded", name, ""
}

func (c *call) status(units []string) int {
	code := 0
	if len(units) == 0 {
		return c.list("list-units")
	}
	for _, name := range units {
		load, description, path := c.describe(name)
		if load == "not-found" {
			c.say("Unit " + name + " could not be found.")
			code = 4
			continue
		}
		st := c.m.state(c.ctx, name)
		mark, sub := "○", "dead"
		switch st {
		case "active":
			mark, sub = "●", "running"
		case "failed":
			mark, sub = "×", "failed"
		}
		kind, canonical := c.m.kind(name)
		pid, since := 0, time.Time{}
		if kind == "service" {
			_, pid, since = c.m.service(canonical).get()
			if st == "active" && pid == 0 {
				sub = "exited"
			}
		}
		fmt.Fprintf(&c.out, "%s %s - %s\n     Loaded: %s (%s; %s)\n     Active: %s (%s)", mark, name, description, load, path, c.m.enabled(name), st, sub)
		if !since.IsZero() {
			fmt.Fprintf(&c.out, " since %s; %s ago", since.UTC().Format("Mon 2006-01-02 15:04:05 UTC"), time.Since(since).Round(time.Second))
		}
		c.out.WriteString("\n")
		if pid > 0 {
			fmt.Fprintf(&c.out, "   Main PID: %d\n", pid)
		}
		if tail := logTail(unitOf(kind, canonical), 10); tail != "" {
			c.out.WriteString("\n" + tail + "\n")
		}
		if st != "active" && st != "activating" && code == 0 {
			code = 3
		}
	}
	return code
}

// show prints properties that tools ask for (Ansible's systemd module among them).
func (c *call) show(units []string) int {
	if len(units) == 0 {
		units = []string{""}
	}
	for i, name := range units {
		if i > 0 {
			c.out.WriteString("\n")
		}
		props := map[string]string{"Version": "252", "SystemState": "running"}
		if name != "" {
			load, description, path := c.describe(name)
			st := c.m.state(c.ctx, name)
			sub := map[string]string{"active": "running", "failed": "failed", "activating": "start"}[st]
			if sub == "" {
				sub = "dead"
			}
			kind, canonical := c.m.kind(name)
			pid := 0
			result := "success"
			if kind == "service" {
				s := c.m.service(canonical)
				_, pid, _ = s.get()
				s.mu.Lock()
				if s.result != "" {
					result = s.result
				}
				s.mu.Unlock()
			}
			enabled := c.m.enabled(name)
			if enabled == "not-found" {
				enabled = ""
			}
			props = map[string]string{"Id": name, "Names": name, "LoadState": load, "Description": description, "FragmentPath": path, "ActiveState": st,
				"SubState": sub, "UnitFileState": enabled, "UnitFilePreset": "enabled", "MainPID": fmt.Sprint(pid), "ExecMainPID": fmt.Sprint(pid), "Result": result, "Type": "simple",
				"CanStart": "yes", "CanStop": "yes", "CanReload": "yes", "NeedDaemonReload": "no", "TriggeredBy": "", "SourcePath": "", "ExecMainStatus": "0", "NRestarts": "0"}
		}
		var keys []string
		for k := range props {
			if len(c.opts.properties) == 0 || slices.Contains(c.opts.properties, k) {
				keys = append(keys, k)
			}
		}
		sort.Strings(keys)
		for _, k := range keys {
			if c.opts.value {
				c.out.WriteString(props[k] + "\n")
			} else {
				c.out.WriteString(k + "=" + props[k] + "\n")
			}
		}
	}
	return 0
}

func (c *call) cat(units []string) int {
	for _, name := range units {
		path, ok := findUnit("/", name)
		if !ok {
			c.say("No files found for " + name + ".")
			return 1
		}
		for _, f := range append([]string{path}, dropIns("/", name)...) {
			data, _ := os.ReadFile(f)
			fmt.Fprintf(&c.out, "# %s\n%s\n", f, data)
		}
	}
	return 0
}

// list prints units or unit files.
func (c *call) list(verb string) int {
	if verb != "list-units" && verb != "list-unit-files" {
		c.out.WriteString("0 listed.\n")
		return 0
	}
	names := map[string]bool{}
	for _, b := range c.m.Builtin {
		names[b+".service"] = true
	}
	scripts, _ := filepath.Glob("/etc/init.d/*")
	for _, s := range scripts {
		names[filepath.Base(s)+".service"] = true
	}
	for _, d := range unitDirs {
		found, _ := filepath.Glob(d + "/*.service")
		for _, f := range found {
			if verb == "list-unit-files" || d == adminDir {
				names[filepath.Base(f)] = true
			}
		}
	}
	var sorted []string
	for n := range names {
		sorted = append(sorted, n)
	}
	sort.Strings(sorted)
	for _, n := range sorted {
		if verb == "list-unit-files" {
			fmt.Fprintf(&c.out, "%-40s %s\n", n, c.m.enabled(n))
			continue
		}
		st := c.m.state(c.ctx, n)
		if st != "active" && st != "failed" && !c.opts.all || len(c.opts.states) > 0 && !slices.Contains(c.opts.states, st) {
			continue
		}
		load, description, _ := c.describe(n)
		sub := "running"
		if st == "failed" {
			sub = st
		}
		fmt.Fprintf(&c.out, "  %-40s %s %s %s %s\n", n, load, st, sub, description)
	}
	return 0
}

// logTail is the end of a unit's log.
func logTail(name string, lines int) string {
	data, err := os.ReadFile(filepath.Join(logDir, name+".log"))
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	if lines > 0 && len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}

// Journal is journalctl over the units' logs: -u, -n; what else it is asked for is left out. It returns the exit code.
func Journal(args []string, print func(string)) int {
	var units []string
	lines := 0
	for i := 0; i < len(args); i++ {
		name, value, given := strings.Cut(args[i], "=")
		take := func() string {
			if !given && i+1 < len(args) {
				i++
				return args[i]
			}
			return value
		}
		switch {
		case name == "-u" || name == "--unit" || strings.HasPrefix(name, "-") && !strings.HasPrefix(name, "--") && strings.HasSuffix(name, "u"):
			units = append(units, fullName(take()))
		case name == "-n" || name == "--lines":
			_, _ = fmt.Sscan(take(), &lines)
		case name == "-e" || name == "-xe":
			lines = 1000
		case name == "-o" || name == "--output" || name == "-S" || name == "--since" || name == "--until" || name == "-p" || name == "--priority" || name == "-t" || name == "--identifier":
			_ = take()
		}
	}
	if len(units) == 0 {
		found, _ := filepath.Glob(logDir + "/*.log")
		for _, f := range found {
			units = append(units, strings.TrimSuffix(filepath.Base(f), ".log"))
		}
	}
	any := false
	for _, u := range units {
		if t := logTail(u, lines); t != "" {
			print(t + "\n")
			any = true
		}
	}
	if !any {
		print("-- No entries --\n")
	}
	return 0
}

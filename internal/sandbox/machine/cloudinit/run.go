package cloudinit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/orch-project/orch/internal/sandbox/machine/child"
)

// environment is that of cloud-init's services.
var environment = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "USER=root", "LOGNAME=root",
	"SHELL=/bin/sh", "LANG=C.UTF-8", "INVOCATION_ID=orch"}

// execute runs a command with its output in the output log and on the console. The error names the exit status.
func (r *Run) execute(ctx context.Context, env []string, args ...string) error {
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	p, err := child.Start(child.Command{Path: args[0], Args: args, Env: append(append([]string{}, environment...), env...), Dir: "/",
		Files: []*os.File{nil, in, in}, Sys: &syscall.SysProcAttr{Setsid: true}})
	_ = in.Close()
	if err != nil {
		_ = out.Close()
		return err
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		r.copyLines(out)
		_ = out.Close()
	}()
	stop := context.AfterFunc(ctx, func() { _ = p.Signal(syscall.SIGKILL) })
	defer stop()
	status := p.Wait()
	// A daemon that was started may keep the pipe; its further words are still copied, but nobody waits for them.
	select {
	case <-copied:
	case <-time.After(200 * time.Millisecond):
	}
	if code := child.ExitCode(status); code != 0 {
		return fmt.Errorf("command %s ended with status %d", strings.Join(args, " "), code)
	}
	return nil
}

func (r *Run) copyLines(from io.Reader) {
	b := bufio.NewReader(from)
	for {
		line, err := b.ReadString('\n')
		if line != "" {
			_, _ = io.WriteString(r.output, line)
			_, _ = io.WriteString(r.Console, line)
		}
		if err != nil {
			return
		}
	}
}

// shellScript writes commands as cloud-init's shellify does: without "set -e", so the last one's status counts.
func (r *Run) shellScript(path string, commands []any) error {
	var b strings.Builder
	b.WriteString("#!/bin/sh\n")
	for i, c := range commands {
		line, err := shellCommand(c)
		if err != nil {
			return fmt.Errorf("command %d: %w", i+1, err)
		}
		b.WriteString(line + "\n")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(b.String()), 0o700)
}

func (r *Run) bootCommands(ctx context.Context) error {
	if len(list(r.cfg["bootcmd"])) == 0 {
		return nil
	}
	path := r.path("/run/cloud-init/bootcmd.sh")
	if err := r.shellScript(path, list(r.cfg["bootcmd"])); err != nil {
		return err
	}
	return r.execute(ctx, []string{"INSTANCE_ID=" + r.InstanceID}, "/bin/sh", path)
}

func (r *Run) bootHooks(ctx context.Context) error {
	var errs []error
	for _, h := range r.hooks {
		body := string(h.body)
		if rest, ok := strings.CutPrefix(strings.TrimLeft(body, "\r\n"), "#cloud-boothook"); ok {
			_, body, _ = strings.Cut(rest, "\n")
		}
		path := r.instance("boothooks/" + filepath.Base(h.name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if !strings.HasPrefix(body, "#!") {
			body = "#!/bin/sh\n" + body
		}
		if err := os.WriteFile(path, []byte(body), 0o700); err != nil {
			return err
		}
		errs = append(errs, r.execute(ctx, []string{"INSTANCE_ID=" + r.InstanceID}, path))
	}
	return errors.Join(errs...)
}

// runCommands writes the script; scripts-user runs it, after packages are installed.
func (r *Run) runCommands(context.Context) error {
	for _, s := range r.scripts {
		dir := r.instance("scripts")
		switch s.kind {
		case "script-per-boot", "script-per-instance", "script-per-once":
			dir = r.path("/var/lib/cloud/scripts/" + strings.TrimPrefix(s.kind, "script-"))
		}
		body := strings.TrimLeft(string(s.body), " \t\r\n")
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(s.name)), []byte(body), 0o700); err != nil {
			return err
		}
	}
	if len(list(r.cfg["runcmd"])) == 0 {
		return nil
	}
	return r.shellScript(r.instance("scripts/runcmd"), list(r.cfg["runcmd"]))
}

// runDir runs a directory's executables in order, all of them, and reports how many failed.
func (r *Run) runDir(ctx context.Context, dir string) error {
	entries, err := os.ReadDir(r.path(dir))
	if err != nil {
		return nil
	}
	var failed []string
	total := 0
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name() < entries[j].Name() })
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if fi, err := os.Stat(r.path(path)); err != nil || fi.IsDir() || fi.Mode()&0o111 == 0 {
			continue
		}
		total++
		if err := r.execute(ctx, []string{"INSTANCE_ID=" + r.InstanceID}, path); err != nil {
			r.write("WARNING", "Failed running "+path+": "+err.Error())
			failed = append(failed, e.Name())
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("runparts: %d failures (%s) in %d attempted commands", len(failed), strings.Join(failed, ","), total)
	}
	return nil
}

// packages installs with the image's package manager.
func (r *Run) packages(ctx context.Context) error {
	var names []string
	for _, p := range list(r.cfg["packages"]) {
		if pair, ok := p.([]any); ok && len(pair) == 2 {
			names = append(names, text(pair[0])+"="+text(pair[1]))
			continue
		}
		if m := table(p); m != nil {
			for _, v := range m { // {apt: [...]}
				names = append(names, words(v)...)
			}
			continue
		}
		names = append(names, text(p))
	}
	update := truth(r.cfg["package_update"], truth(r.cfg["apt_update"], false)) || len(names) > 0
	upgrade := truth(r.cfg["package_upgrade"], truth(r.cfg["apt_upgrade"], false))
	m := r.packageManager()
	if (update || upgrade) && m == nil {
		return errors.New("no package manager is known on this image")
	}
	var errs []error
	if update || upgrade {
		errs = append(errs, r.execute(ctx, noninteractive, m.update...))
	}
	if upgrade {
		errs = append(errs, r.execute(ctx, noninteractive, m.upgrade...))
	}
	if len(names) > 0 {
		errs = append(errs, r.execute(ctx, noninteractive, append(append([]string{}, m.install...), names...)...))
	}
	return errors.Join(errs...)
}

var noninteractive = []string{"DEBIAN_FRONTEND=noninteractive"}

type packageManager struct{ update, upgrade, install []string }

func (r *Run) packageManager() *packageManager {
	apt := []string{"/usr/bin/apt-get", "--option=Dpkg::Options::=--force-confold", "--option=Dpkg::options::=--force-unsafe-io", "--assume-yes", "--quiet"}
	with := func(base []string, words ...string) []string { return append(append([]string{}, base...), words...) }
	for _, m := range []packageManager{
		{with(apt, "update"), with(apt, "dist-upgrade"), with(apt, "install")},
		{[]string{"/usr/bin/dnf", "-y", "makecache"}, []string{"/usr/bin/dnf", "-y", "upgrade"}, []string{"/usr/bin/dnf", "-y", "install"}},
		{[]string{"/usr/bin/yum", "-y", "makecache"}, []string{"/usr/bin/yum", "-y", "upgrade"}, []string{"/usr/bin/yum", "-y", "install"}},
		{[]string{"/usr/bin/zypper", "--non-interactive", "refresh"}, []string{"/usr/bin/zypper", "--non-interactive", "update"}, []string{"/usr/bin/zypper", "--non-interactive", "install"}},
		{[]string{"/sbin/apk", "update"}, []string{"/sbin/apk", "upgrade"}, []string{"/sbin/apk", "add"}},
	} {
		if _, err := os.Stat(r.path(m.update[0])); err == nil {
			return &m
		}
	}
	return nil
}

func (r *Run) finishedLine() string {
	return fmt.Sprintf("Cloud-init v. %s finished at %s. Datasource %s.  Up %.2f seconds", Version, time.Now().UTC().Format(time.RFC1123Z), r.Datasource,
		time.Since(r.started).Seconds())
}

func (r *Run) finalMessage(context.Context) error {
	line := r.finishedLine()
	if m := text(r.cfg["final_message"]); m != "" {
		up := fmt.Sprintf("%.2f", time.Since(r.started).Seconds())
		stamp := time.Now().UTC().Format(time.RFC1123Z)
		line = m
		for name, value := range map[string]string{"UPTIME": up, "TIMESTAMP": stamp, "DATASOURCE": r.Datasource, "VERSION": Version} {
			line = strings.NewReplacer("$"+name, value, "$"+strings.ToLower(name), value, "${"+name+"}", value, "${"+strings.ToLower(name)+"}", value).Replace(line)
		}
	}
	line = strings.TrimRight(line, "\n") + "\n"
	_, _ = io.WriteString(r.output, line)
	_, err := io.WriteString(r.Console, line)
	return err
}

// powerState is the power_state module: once for an instance, when all is done.
func (r *Run) powerState() {
	p := table(r.cfg["power_state"])
	sem := r.instance("sem/config_power_state_change")
	if _, err := os.Stat(sem); len(p) == 0 || err == nil || r.Power == nil {
		return
	}
	_ = os.WriteFile(sem, nil, 0o644)
	if c, ok := p["condition"]; ok {
		if b, isBool := c.(bool); isBool && !b {
			return
		} else if !isBool {
			line, err := shellCommand(c)
			if err != nil || r.execute(context.Background(), nil, "/bin/sh", "-c", line) != nil {
				return
			}
		}
	}
	if m := text(p["message"]); m != "" {
		fmt.Fprintln(r.Console, m)
	}
	r.Power(text(p["mode"]))
}

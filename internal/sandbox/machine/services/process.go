package services

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/orch-project/orch/internal/sandbox/machine/account"
	"github.com/orch-project/orch/internal/sandbox/machine/child"
)

// runLine runs one Exec line to its end; a "-" before it makes failures count for nothing.
func (s *service) runLine(ctx context.Context, u *unit, env map[string]string, line string) error {
	p, err := s.process(u, env, line)
	_, prefix := splitCommand(line)
	if err == nil {
		select {
		case <-p.Done():
		case <-ctx.Done():
			_ = p.Signal(syscall.SIGKILL)
			<-p.Done()
			err = errors.New("timed out")
		}
		if code := child.ExitCode(p.Wait()); err == nil && code != 0 && !success(u, code) {
			err = fmt.Errorf("control process exited, code=exited, status=%d", code)
		}
	}
	if strings.Contains(prefix, "-") {
		return nil
	}
	return err
}

func success(u *unit, code int) bool {
	for _, w := range u.words("Service", "SuccessExitStatus") {
		if n, err := strconv.Atoi(w); err == nil && n == code {
			return true
		}
	}
	return false
}

// process starts one Exec line with the unit's user, directories, limits and output.
func (s *service) process(u *unit, env map[string]string, line string) (*child.Process, error) {
	words, prefix := splitCommand(u.expand(line))
	words = substitute(words, env)
	if len(words) == 0 {
		return nil, errors.New("empty command")
	}
	path := words[0]
	if strings.Contains(prefix, "@") && len(words) > 1 {
		words = words[1:]
	}
	if !filepath.IsAbs(path) {
		found, err := exec.LookPath(path)
		if err != nil {
			return nil, err
		}
		path = found
	}
	out, err := s.output(u)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	sys := &syscall.SysProcAttr{Setsid: true}
	if !strings.ContainsAny(prefix, "+!") {
		if sys.Credential, err = credential(u); err != nil {
			return nil, err
		}
	}
	list := make([]string, 0, len(env))
	for k, v := range env {
		list = append(list, k+"="+v)
	}
	dir := u.get("Service", "WorkingDirectory", "/")
	if optional, ok := strings.CutPrefix(dir, "-"); ok {
		if dir = optional; !isDir(dir) {
			dir = "/"
		}
	}
	if dir == "~" {
		dir = env["HOME"]
	}
	if n := u.get("Service", "LimitNOFILE", ""); n != "" {
		path, words = withLimit(path, words, n)
	}
	return child.Start(child.Command{Path: path, Args: words, Env: list, Dir: dir, Files: []*os.File{nil, out, out}, Sys: sys})
}

// withLimit raises the number of open files through a shell, because limits of a child can only be set by itself.
func withLimit(path string, words []string, n string) (string, []string) {
	soft, hard, both := strings.Cut(n, ":")
	if !both {
		hard = soft
	}
	script := fmt.Sprintf("ulimit -Hn %s 2>/dev/null; ulimit -Sn %s 2>/dev/null; exec \"$0\" \"$@\"", number(hard), number(soft))
	return "/bin/sh", append([]string{"sh", "-c", script, path}, words[1:]...)
}

func number(s string) string {
	if _, err := strconv.Atoi(s); err != nil {
		return "unlimited"
	}
	return s
}

func isDir(p string) bool {
	fi, err := os.Stat(p)
	return err == nil && fi.IsDir()
}

// output opens where the unit's words go: StandardOutput's file, or the unit's log, which journalctl shows.
func (s *service) output(u *unit) (*os.File, error) {
	kind, path, _ := strings.Cut(u.get("Service", "StandardOutput", "journal"), ":")
	switch kind {
	case "null":
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	case "append":
		return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	case "file", "truncate":
		return os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	}
	return openLog(s.name)
}

// logDir holds one file for each unit.
const logDir = "/var/log/units"

func openLog(name string) (*os.File, error) {
	if err := os.MkdirAll(logDir, 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(logDir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}

func (s *service) logf(format string, args ...any) {
	if f, err := openLog(s.name); err == nil {
		_, _ = io.WriteString(f, "systemd: "+fmt.Sprintf(format, args...)+"\n")
		_ = f.Close()
	}
}

// credential is the unit's User, Group and SupplementaryGroups.
func credential(u *unit) (*syscall.Credential, error) {
	user, group := u.get("Service", "User", ""), u.get("Service", "Group", "")
	if user == "" && truth(u.get("Service", "DynamicUser", "no")) {
		user = "nobody"
	}
	if user == "" && group == "" {
		return nil, nil
	}
	db, err := account.Open("/")
	if err != nil {
		return nil, err
	}
	c := &syscall.Credential{}
	if user != "" {
		uid, _, err := db.Lookup(user, "")
		if err != nil {
			return nil, fmt.Errorf("failed to determine user credentials: %w", err)
		}
		c.Uid = uint32(uid)
		if a, ok := db.UserByID(uid); ok {
			c.Gid = uint32(a.GID)
			for _, g := range db.GroupIDs(a) {
				c.Groups = append(c.Groups, uint32(g))
			}
		}
	}
	for i, g := range append([]string{group}, u.words("Service", "SupplementaryGroups")...) {
		if g == "" {
			continue
		}
		_, gid, err := db.Lookup("", g)
		if err != nil {
			return nil, fmt.Errorf("failed to determine group credentials: %w", err)
		}
		if i == 0 {
			c.Gid = uint32(gid)
		}
		c.Groups = append(c.Groups, uint32(gid))
	}
	return c, nil
}

// directories makes RuntimeDirectory= and its kin.
func (s *service) directories(u *unit) error {
	c, err := credential(u)
	if err != nil {
		return err
	}
	for key, base := range map[string]string{"RuntimeDirectory": "/run", "StateDirectory": "/var/lib", "CacheDirectory": "/var/cache",
		"LogsDirectory": "/var/log", "ConfigurationDirectory": "/etc"} {
		mode, err := strconv.ParseUint(u.get("Service", key+"Mode", "0755"), 8, 32)
		if err != nil {
			mode = 0o755
		}
		for _, d := range u.words("Service", key) {
			d, _, _ = strings.Cut(d, ":")
			path := filepath.Join(base, d)
			if err := os.MkdirAll(path, 0o755); err != nil {
				return err
			}
			if c != nil && key != "ConfigurationDirectory" {
				if err := os.Chown(path, int(c.Uid), int(c.Gid)); err != nil {
					return err
				}
			}
			if err := os.Chmod(path, os.FileMode(mode)); err != nil {
				return err
			}
		}
	}
	return nil
}

// environment is what the unit's processes get.
func (s *service) environment(u *unit) (map[string]string, error) {
	env := map[string]string{"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "INVOCATION_ID": "orch"}
	if user := u.get("Service", "User", ""); user != "" {
		if db, err := account.Open("/"); err == nil {
			if a, ok := db.User(user); ok {
				env["USER"], env["LOGNAME"], env["HOME"], env["SHELL"] = a.Name, a.Name, a.Home, a.Shell
			}
		}
	}
	for _, v := range u.all("Service", "Environment") {
		words, _ := splitCommand(u.expand(v))
		for _, w := range words {
			if k, val, ok := strings.Cut(w, "="); ok {
				env[k] = val
			}
		}
	}
	for _, f := range u.all("Service", "EnvironmentFile") {
		path, optional := strings.CutPrefix(u.expand(f), "-")
		data, err := os.ReadFile(path)
		if err != nil {
			if optional {
				continue
			}
			return nil, fmt.Errorf("failed to load environment files: %w", err)
		}
		for line := range strings.Lines(string(data)) {
			line = strings.TrimSpace(line)
			k, val, ok := strings.Cut(line, "=")
			if !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
				continue
			}
			val = strings.TrimSpace(val)
			if len(val) > 1 && (val[0] == '"' || val[0] == '\'') && val[len(val)-1] == val[0] {
				val = val[1 : len(val)-1]
			}
			env[strings.TrimSpace(k)] = val
		}
	}
	return env, nil
}

package services

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const adminDir = "/etc/systemd/system"

// enable makes the links of [Install], and for scripts those of update-rc.d.
func (m *Manager) enable(name string, say func(string)) error {
	kind, canonical := m.kind(name)
	if kind == "builtin" {
		return nil
	}
	if kind == "" {
		return fmt.Errorf("failed to enable unit: Unit file %s does not exist", name)
	}
	u, err := loadUnit("/", name)
	if err == nil && u.masked {
		return fmt.Errorf("failed to enable unit: Unit file %s is masked", name)
	}
	if kind == "script" {
		if err := scriptLinks(canonical, true); err != nil {
			return err
		}
	}
	if err != nil {
		return nil // a script without unit
	}
	targets := map[string]string{}
	for _, t := range u.words("Install", "WantedBy") {
		targets[filepath.Join(adminDir, t+".wants", name)] = u.path
	}
	for _, t := range u.words("Install", "RequiredBy") {
		targets[filepath.Join(adminDir, t+".requires", name)] = u.path
	}
	for _, a := range u.words("Install", "Alias") {
		targets[filepath.Join(adminDir, a)] = u.path
	}
	for _, also := range u.words("Install", "Also") {
		if also != name && also != u.name {
			if _, ok := findUnit("/", also); ok {
				targets[filepath.Join(adminDir, "sockets.target.wants", also)] = "/lib/systemd/system/" + also
			}
		}
	}
	for link, to := range targets {
		if cur, err := os.Readlink(link); err == nil && cur == to {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			return err
		}
		_ = os.Remove(link)
		if err := os.Symlink(to, link); err != nil {
			return err
		}
		say("Created symlink " + link + " → " + to + ".")
	}
	return nil
}

// disable removes the unit's links.
func (m *Manager) disable(name string, say func(string)) error {
	kind, canonical := m.kind(name)
	if kind == "" {
		return fmt.Errorf("failed to disable unit: Unit file %s does not exist", name)
	}
	if kind == "script" {
		if err := scriptLinks(canonical, false); err != nil {
			return err
		}
	}
	for _, link := range unitLinks(name) {
		if err := os.Remove(link); err != nil {
			return err
		}
		say("Removed \"" + link + "\".")
	}
	return nil
}

func unitLinks(name string) []string {
	var out []string
	for _, pattern := range []string{"*.wants/", "*.requires/"} {
		found, _ := filepath.Glob(filepath.Join(adminDir, pattern, name))
		out = append(out, found...)
	}
	return out
}

// scriptLinks makes the links of insserv's simplest order in the multi-user runlevels, or the ones that mean "disabled".
func scriptLinks(name string, on bool) error {
	for _, level := range "2345" {
		dir := fmt.Sprintf("/etc/rc%c.d", level)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		old, _ := filepath.Glob(dir + "/[SK][0-9][0-9]" + name)
		start := false
		for _, o := range old {
			if start = strings.HasPrefix(filepath.Base(o), "S"); start == on {
				break
			}
			if err := os.Remove(o); err != nil {
				return err
			}
		}
		if len(old) > 0 && start == on {
			continue
		}
		letter := "K01"
		if on {
			letter = "S01"
		}
		if err := os.Symlink("../init.d/"+name, filepath.Join(dir, letter+name)); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// enabled is the word of "systemctl is-enabled".
func (m *Manager) enabled(name string) string {
	kind, canonical := m.kind(name)
	if kind == "builtin" {
		return "enabled"
	}
	u, err := loadUnit("/", name)
	if err == nil && u.masked {
		return "masked"
	}
	if kind == "" {
		return "not-found"
	}
	if len(unitLinks(name)) > 0 {
		return "enabled"
	}
	if kind == "script" {
		if found, _ := filepath.Glob("/etc/rc5.d/S[0-9][0-9]" + canonical); len(found) > 0 {
			return "enabled"
		}
		return "disabled"
	}
	if err == nil && len(u.words("Install", "WantedBy"))+len(u.words("Install", "RequiredBy"))+len(u.words("Install", "Alias"))+len(u.words("Install", "Also")) == 0 {
		return "static"
	}
	return "disabled"
}

// mask points the unit at nothing; unmask takes that back.
func (m *Manager) mask(name string, on bool, say func(string)) error {
	path := filepath.Join(adminDir, name)
	to, _ := os.Readlink(path)
	if on {
		if to == "/dev/null" {
			return nil
		}
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("failed to mask unit: File %s already exists", path)
		}
		if err := os.MkdirAll(adminDir, 0o755); err != nil {
			return err
		}
		say("Created symlink " + path + " → /dev/null.")
		return os.Symlink("/dev/null", path)
	}
	if to == "/dev/null" {
		say("Removed \"" + path + "\".")
		return os.Remove(path)
	}
	return nil
}

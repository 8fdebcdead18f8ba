// Package services starts and supervises services in a server whose init is not systemd: unit files (systemd.service(5)) and
// /etc/init.d scripts, behind the commands systemctl, service and journalctl.
//
// It owns units and their processes. It must not know of the sandbox's host, and needs process 1 only to reap.
package services

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// unit is a parsed unit file with its drop-ins.
type unit struct {
	name     string // "foo@bar.service"
	path     string // of the main file
	masked   bool
	sections map[string]map[string][]string // section → key → values in order; an empty value has reset the list
}

// unitDirs in order of precedence.
var unitDirs = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system"}

var errNoUnit = errors.New("not found")

// fullName adds ".service" where no type is given.
func fullName(name string) string {
	switch filepath.Ext(name) {
	case ".service", ".socket", ".timer", ".target", ".path", ".mount", ".automount", ".swap", ".slice", ".scope", ".device":
		return name
	}
	return name + ".service"
}

// findUnit looks for the unit's file, then for its template's.
func findUnit(root, name string) (string, bool) {
	candidates := []string{name}
	if t, _, ok := template(name); ok {
		candidates = append(candidates, t)
	}
	for _, c := range candidates {
		for _, d := range unitDirs {
			path := filepath.Join(d, c)
			if _, err := os.Lstat(filepath.Join(root, path)); err == nil {
				return path, true
			}
		}
	}
	return "", false
}

// template splits "foo@bar.service" into "foo@.service" and "bar".
func template(name string) (file, instance string, ok bool) {
	stem, ext := strings.TrimSuffix(name, filepath.Ext(name)), filepath.Ext(name)
	prefix, instance, ok := strings.Cut(stem, "@")
	return prefix + "@" + ext, instance, ok && instance != ""
}

// loadUnit reads a unit. Aliases (symbolic links to another unit) are followed.
func loadUnit(root, name string) (*unit, error) {
	path, ok := findUnit(root, name)
	if !ok {
		return nil, fmt.Errorf("unit %s: %w", name, errNoUnit)
	}
	u := &unit{name: name, path: path, sections: map[string]map[string][]string{}}
	if to, err := os.Readlink(filepath.Join(root, path)); err == nil {
		if to == "/dev/null" {
			u.masked = true
			return u, nil
		}
		if base := filepath.Base(to); base != filepath.Base(path) && !strings.Contains(base, "@.") {
			u.name = base
		}
	}
	data, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("unit %s: %w", name, errNoUnit)
		}
		return nil, err
	}
	if len(data) == 0 {
		u.masked = true
		return u, nil
	}
	u.parse(string(data))
	for _, f := range dropIns(root, name) {
		if data, err := os.ReadFile(f); err == nil {
			u.parse(string(data))
		}
	}
	return u, nil
}

// dropIns are the unit's "*.d/*.conf", by file name, those in earlier directories hiding the others of that name.
func dropIns(root, name string) []string {
	byName := map[string]string{}
	names := []string{name}
	if t, _, ok := template(name); ok {
		names = append(names, t)
	}
	for _, d := range unitDirs {
		for _, n := range names {
			found, _ := filepath.Glob(filepath.Join(root, d, n+".d", "*.conf"))
			for _, f := range found {
				if byName[filepath.Base(f)] == "" {
					byName[filepath.Base(f)] = f
				}
			}
		}
	}
	var out []string
	for _, f := range byName {
		out = append(out, f)
	}
	sort.Slice(out, func(i, j int) bool { return filepath.Base(out[i]) < filepath.Base(out[j]) })
	return out
}

// parse adds a file's assignments (systemd.syntax(7)): continuation lines, comments, resetting by an empty value.
func (u *unit) parse(text string) {
	section, pending := "", ""
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		line = pending + line
		pending = ""
		if rest, more := strings.CutSuffix(line, `\`); more {
			pending = rest + " "
			continue
		}
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			section = line[1 : len(line)-1]
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if u.sections[section] == nil {
			u.sections[section] = map[string][]string{}
		}
		if value == "" {
			delete(u.sections[section], key)
			continue
		}
		u.sections[section][key] = append(u.sections[section][key], value)
	}
}

// all are the values of a key; get is the last one.
func (u *unit) all(section, key string) []string { return u.sections[section][key] }

func (u *unit) get(section, key, otherwise string) string {
	if v := u.all(section, key); len(v) > 0 {
		return u.expand(v[len(v)-1])
	}
	return otherwise
}

// words are the values of a list key, split at spaces.
func (u *unit) words(section, key string) []string {
	var out []string
	for _, v := range u.all(section, key) {
		out = append(out, strings.Fields(u.expand(v))...)
	}
	return out
}

// expand replaces the specifiers of systemd.unit(5) that services use.
func (u *unit) expand(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	stem := strings.TrimSuffix(u.name, filepath.Ext(u.name))
	prefix, instance, _ := strings.Cut(stem, "@")
	host, _ := os.Hostname()
	return strings.NewReplacer("%%", "%", "%i", instance, "%I", unescape(instance), "%n", u.name, "%N", stem, "%p", prefix, "%P", unescape(prefix),
		"%j", prefix[strings.LastIndexByte(prefix, '-')+1:], "%t", "/run", "%S", "/var/lib", "%C", "/var/cache", "%L", "/var/log", "%E", "/etc", "%h", "/root", "%u", "root",
		"%U", "0", "%g", "root", "%H", host, "%l", host, "%T", "/tmp", "%V", "/var/tmp", "%f", "/"+unescape(instance)).Replace(s)
}

func unescape(s string) string { return strings.ReplaceAll(s, "-", "/") }

func truth(s string) bool {
	return slices.Contains([]string{"1", "yes", "true", "on", "y", "t"}, strings.ToLower(s))
}

// splitCommand takes an Exec line apart: quotes, C escapes, and the prefix characters.
func splitCommand(line string) (words []string, prefix string) {
	line = strings.TrimSpace(line)
	for line != "" && strings.ContainsRune("-@:+!|", rune(line[0])) {
		prefix += line[:1]
		line = line[1:]
	}
	var cur strings.Builder
	in, quote, escaped := false, rune(0), false
	for _, c := range line {
		switch {
		case escaped:
			escaped = false
			switch c {
			case 'n':
				c = '\n'
			case 't':
				c = '\t'
			case 's':
				c = ' '
			}
			cur.WriteRune(c)
		case c == '\\':
			escaped, in = true, true
		case quote != 0:
			if c == quote {
				quote = 0
			} else {
				cur.WriteRune(c)
			}
		case c == '"' || c == '\'':
			quote, in = c, true
		case c == ' ' || c == '\t':
			if in {
				words = append(words, cur.String())
				cur.Reset()
				in = false
			}
		default:
			cur.WriteRune(c)
			in = true
		}
	}
	if in {
		words = append(words, cur.String())
	}
	return words, prefix
}

// substitute replaces $NAME (a whole word, split at spaces) and ${NAME} (anywhere).
func substitute(words []string, env map[string]string) []string {
	var out []string
	for i, w := range words {
		if i > 0 && strings.HasPrefix(w, "$") && !strings.HasPrefix(w, "${") && !strings.HasPrefix(w, "$$") {
			out = append(out, strings.Fields(env[w[1:]])...)
			continue
		}
		var b strings.Builder
		for w != "" {
			if rest, ok := strings.CutPrefix(w, "$$"); ok {
				b.WriteByte('$')
				w = rest
			} else if rest, ok := strings.CutPrefix(w, "${"); ok && strings.Contains(rest, "}") {
				name, after, _ := strings.Cut(rest, "}")
				b.WriteString(env[name])
				w = after
			} else {
				b.WriteByte(w[0])
				w = w[1:]
			}
		}
		out = append(out, b.String())
	}
	return out
}

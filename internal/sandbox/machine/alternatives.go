package machine

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// alternative is an administrative file of update-alternatives(1): status, master link, slaves (name and link), an empty
// line, then the choices, each with its priority and one path for each slave (empty when it has none).
type alternative struct {
	name, status, link string
	slaves             [][2]string
	choices            []alternativeChoice
}

type alternativeChoice struct {
	path     string
	priority int
	slaves   []string
}

func parseAlternative(name, text string) (alternative, bool) {
	lines := strings.Split(text, "\n")
	a := alternative{name: name}
	if len(lines) < 3 {
		return a, false
	}
	a.status, a.link = lines[0], lines[1]
	i := 2
	for ; i+1 < len(lines) && lines[i] != ""; i += 2 {
		a.slaves = append(a.slaves, [2]string{lines[i], lines[i+1]})
	}
	for i++; i+1 < len(lines) && lines[i] != ""; {
		c := alternativeChoice{path: lines[i]}
		var err error
		if c.priority, err = strconv.Atoi(lines[i+1]); err != nil {
			return a, false
		}
		i += 2
		for range a.slaves {
			if i >= len(lines) {
				return a, false
			}
			c.slaves = append(c.slaves, lines[i])
			i++
		}
		a.choices = append(a.choices, c)
	}
	return a, true
}

func (a alternative) String() string {
	var b strings.Builder
	b.WriteString("auto\n" + a.link + "\n")
	for _, s := range a.slaves {
		b.WriteString(s[0] + "\n" + s[1] + "\n")
	}
	b.WriteString("\n")
	for _, c := range a.choices {
		b.WriteString(c.path + "\n" + strconv.Itoa(c.priority) + "\n")
		for _, s := range c.slaves {
			b.WriteString(s + "\n")
		}
	}
	b.WriteString("\n")
	return b.String()
}

// repairAlternatives forgets alternatives whose programs are not in the image, and points each name to the best that is.
func repairAlternatives(l *layer) error {
	const dir = "/var/lib/dpkg/alternatives/"
	entries, err := os.ReadDir(l.base + dir)
	if err != nil {
		return nil // another family of systems
	}
	for _, e := range entries {
		data, err := os.ReadFile(l.base + dir + e.Name())
		if err != nil {
			continue
		}
		a, ok := parseAlternative(e.Name(), string(data))
		if !ok {
			continue
		}
		all := a.choices
		a.choices = nil
		for _, c := range all {
			if l.exists(c.path) {
				a.choices = append(a.choices, c)
			}
		}
		if len(a.choices) == len(all) && l.exists(currentTarget(l, e.Name())) {
			continue
		}
		if err := l.setAlternative(dir+e.Name(), a); err != nil {
			return err
		}
	}
	return nil
}

func currentTarget(l *layer, name string) string {
	to, err := os.Readlink(filepath.Join(l.base, "/etc/alternatives", name))
	if err != nil {
		return "/nonexistent"
	}
	return to
}

func (l *layer) setAlternative(admin string, a alternative) error {
	links := append([][2]string{{a.name, a.link}}, a.slaves...)
	targets := make([]string, len(links))
	if len(a.choices) > 0 {
		best := a.choices[0]
		for _, c := range a.choices[1:] {
			if c.priority > best.priority {
				best = c
			}
		}
		targets = append([]string{best.path}, best.slaves...)
		if err := l.write(admin, []byte(a.String()), 0o644); err != nil {
			return err
		}
	} else if err := l.hide(admin); err != nil {
		return err
	}
	for i, link := range links {
		if i < len(targets) && targets[i] != "" && l.exists(targets[i]) {
			if err := l.symlink(targets[i], "/etc/alternatives/"+link[0]); err != nil {
				return err
			}
			continue
		}
		for _, p := range []string{"/etc/alternatives/" + link[0], link[1]} {
			if err := l.hide(p); err != nil {
				return err
			}
		}
	}
	return nil
}

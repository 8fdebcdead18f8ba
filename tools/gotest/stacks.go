package main

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A program of Go that panics, is killed by SIGQUIT or meets a data race prints stacks: hundreds of lines, of which a reader needs the few
// that lie in the module under test.

// limits of what is shown of a crash.
const (
	maxFrames = 6  // of a goroutine
	maxGroups = 12 // goroutines of a hang, equal ones counted once
)

// goroutine of a dump.
type goroutine struct {
	id     string
	status string // chan receive, 5 minutes
	frames []frame
}

type frame struct {
	function, place string
	creator         bool // not called in this goroutine: it started it
}

func (f frame) String() string {
	if f.creator {
		return "started at " + f.place + " " + f.function
	}
	return f.place + " " + f.function
}

var (
	goroutineLine = regexp.MustCompile(`^goroutine (\d+)[^\[]*\[([^\]]*)\]:`)
	placeLine     = regexp.MustCompile(`^\s+(\S+\.go:\d+)`)
	raceLine      = regexp.MustCompile(`^(?:Previous )?(?:[Rr]ead|[Ww]rite|atomic \w+) at 0x[0-9a-f]+ by (.*):`)
)

// crash says in few lines why the output of a package ends in stacks: the value of the panic and the topmost frames of this module, or,
// where a test binary was stuck, what its goroutines wait for. It is empty when there was no crash.
func crash(lines []string, module string) []string {
	at := slices.IndexFunc(lines, isCrash)
	if at < 0 {
		return races(lines, module)
	}
	head := strings.TrimSpace(lines[at])
	hang := strings.HasPrefix(head, "SIGQUIT") || strings.Contains(head, "test timed out")
	out := []string{head}
	all := goroutines(lines[at:])
	if !hang {
		// A value of several lines, or a panic within a panic, stands before the first goroutine.
		for _, l := range lines[at+1:] {
			l = strings.TrimSpace(l)
			if goroutineLine.MatchString(l) || len(out) == 4 {
				break
			}
			if l != "" {
				out = append(out, "  "+l)
			}
		}
		if len(all) > 0 {
			out = append(out, all[0].lines(module, 2*maxFrames)...)
		}
		return append(out, races(lines[:at], module)...)
	}
	return append(out, waiting(all, module)...)
}

func isCrash(l string) bool {
	return strings.HasPrefix(l, "panic: ") || strings.HasPrefix(l, "fatal error: ") || strings.HasPrefix(l, "SIGQUIT: quit") ||
		strings.HasPrefix(l, "unexpected fault address") || strings.HasPrefix(l, "[signal SIG")
}

// waiting shows the goroutines that have frames of the module, those of tests first, then those that wait longest. Equal ones are one.
func waiting(all []goroutine, module string) []string {
	type group struct {
		goroutine
		text  []string
		count int
		test  bool
		wait  int
	}
	var groups []*group
	for _, g := range all {
		text := g.lines(module, maxFrames)
		if len(text) < 2 { // only its status: nothing of this module
			continue
		}
		calls := func(name string) bool {
			return slices.ContainsFunc(g.frames, func(f frame) bool { return !f.creator && f.function == name })
		}
		key := strings.Join(text[1:], "\n")
		if i := slices.IndexFunc(groups, func(o *group) bool { return strings.Join(o.text[1:], "\n") == key }); i >= 0 {
			groups[i].count++
			continue
		}
		groups = append(groups, &group{goroutine: g, text: text, count: 1, wait: g.minutes(),
			test: calls("testing.tRunner") && !calls("testing.(*T).Run")})
	}
	slices.SortStableFunc(groups, func(a, b *group) int {
		if a.test != b.test {
			if a.test {
				return -1
			}
			return 1
		}
		return b.wait - a.wait
	})
	var out []string
	for i, g := range groups {
		if i == maxGroups {
			return append(out, fmt.Sprintf("… and %d more kinds of goroutines in this module", len(groups)-i))
		}
		if g.count > 1 {
			g.text[0] += fmt.Sprintf(" and %d more like it", g.count-1)
		}
		out = append(out, g.text...)
	}
	return out
}

// lines are the goroutine's status and its topmost frames in the module.
func (g goroutine) lines(module string, most int) []string {
	out := []string{fmt.Sprintf("goroutine %s [%s]", g.id, g.status)}
	for _, f := range g.frames {
		if f.function == module || strings.HasPrefix(f.function, module+"/") || strings.HasPrefix(f.function, module+".") {
			if len(out) > most {
				return append(out, "  …")
			}
			f.function = strings.TrimPrefix(f.function, module+"/")
			out = append(out, "  "+f.String())
		}
	}
	return out
}

var minutes = regexp.MustCompile(`(\d+) minutes`)

func (g goroutine) minutes() int {
	m := minutes.FindStringSubmatch(g.status)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// goroutines of a dump.
func goroutines(lines []string) []goroutine {
	var all []goroutine
	for i, l := range lines {
		if m := goroutineLine.FindStringSubmatch(l); m != nil {
			all = append(all, goroutine{id: m[1], status: m[2], frames: frames(lines[i+1:])})
		}
	}
	return all
}

// frames of one stack: pairs of lines up to the first that is none.
func frames(lines []string) []frame {
	var all []frame
	for i := 0; i+1 < len(lines); i += 2 {
		m := placeLine.FindStringSubmatch(lines[i+1])
		if m == nil {
			break
		}
		all = append(all, frame{function: function(lines[i]), place: shortPlace(m[1]), creator: strings.HasPrefix(lines[i], "created by ")})
	}
	return all
}

// function is the name of a frame without its arguments: "pkg/engine.(*run).act(0xc000…)" → "pkg/engine.(*run).act".
func function(l string) string {
	l = strings.TrimSpace(l)
	l = strings.TrimPrefix(l, "created by ")
	l, _, _ = strings.Cut(l, " in goroutine ")
	if i := strings.LastIndexByte(l, '('); i > 0 && strings.HasSuffix(l, ")") && !strings.HasPrefix(l[i:], "(*") {
		l = l[:i]
	}
	return l
}

// shortPlace keeps the directory and the file: "/home/u/orch/pkg/engine/run.go:12" → "engine/run.go:12".
func shortPlace(p string) string { return path.Join(path.Base(path.Dir(p)), path.Base(p)) }

// races are the data races of the output, each as its two accesses.
func races(lines []string, module string) []string {
	var out []string
	seen := 0
	for i, l := range lines {
		if strings.HasPrefix(l, "WARNING: DATA RACE") {
			if seen++; seen > 3 {
				return append(out, "… and more data races")
			}
			out = append(out, "DATA RACE")
		}
		m := raceLine.FindStringSubmatch(l)
		if m == nil || seen == 0 {
			continue
		}
		access, _, _ := strings.Cut(l, " at 0x")
		g := goroutine{id: m[1], status: access, frames: frames(lines[i+1:])}
		out = append(out, access+" by "+m[1])
		out = append(out, g.lines(module, 4)[1:]...)
	}
	return out
}

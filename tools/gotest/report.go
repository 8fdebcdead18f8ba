package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// event is a line of `go test -json`; see `go doc test2json` and, for builds, `go help buildjson`.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build-output and build-fail
	Test        string
	Output      string
	Elapsed     float64 // seconds
	FailedBuild string  // import path whose build-output says why the package failed
}

// report turns events into what a person reads.
type report struct {
	mu       sync.Mutex
	w        io.Writer
	packages map[string]*pkg
	builds   map[string][]string // import path → output
	shown    map[string]bool     // builds whose output was printed

	passed, failed, cached, done int
	skips                        []skip
	failures                     []failure
	module                       string // import path of the module under test
}

// failure is what the end of the report says of a test that failed, or of a package that failed otherwise.
type failure struct {
	pkg, test string
	said      []string
}

// pkg is a package whose tests run.
type pkg struct {
	lines []line // output not yet known to be uninteresting
	state map[string]string
	since map[string]time.Time // when a test that runs began, or went on after a pause
	began time.Time
	heard time.Time     // of the last event
	stuck time.Duration // how long it was silent when it was ended for that
}

type line struct{ test, text string }

type skip struct{ pkg, test, reason string }

func newReport(w io.Writer, module string) *report {
	return &report{w: w, packages: map[string]*pkg{}, builds: map[string][]string{}, shown: map[string]bool{}, module: module}
}

// read all events. Lines that are not JSON are shown as they are: go's own complaints.
func (r *report) read(in io.Reader) error {
	br := bufio.NewReader(in)
	for {
		text, err := br.ReadString('\n')
		if text != "" {
			r.line(text)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) line(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var e event
	if !strings.HasPrefix(text, "{") || json.Unmarshal([]byte(text), &e) != nil {
		io.WriteString(r.w, text)
		return
	}
	switch e.Action {
	case "build-output":
		r.builds[e.ImportPath] = append(r.builds[e.ImportPath], e.Output)
	case "build-fail":
		r.build(e.ImportPath)
	default:
		r.test(e)
	}
}

// build prints the output of a failed build, once.
func (r *report) build(path string) {
	if r.shown[path] {
		return
	}
	r.shown[path] = true
	for _, l := range r.builds[path] {
		io.WriteString(r.w, l)
	}
}

func (r *report) test(e event) {
	p := r.packages[e.Package]
	if p == nil {
		p = &pkg{state: map[string]string{}, since: map[string]time.Time{}, began: time.Now()}
		r.packages[e.Package] = p
	}
	p.heard = time.Now()
	switch e.Action {
	case "run", "cont":
		p.state[e.Test] = "run"
		p.since[e.Test] = p.heard
	case "pause":
		p.state[e.Test] = "pause"
	case "output":
		p.lines = append(p.lines, line{e.Test, e.Output})
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e, p)
			return
		}
		p.state[e.Test] = e.Action
		r.endTest(e, p)
	}
}

func (r *report) endTest(e event, p *pkg) {
	switch e.Action {
	case "pass":
		r.passed++
		p.drop(e.Test)
	case "fail":
		r.failed++
		r.failures = append(r.failures, failure{e.Package, e.Test, p.complaints(e.Test)})
	case "skip":
		r.skips = append(r.skips, skip{e.Package, e.Test, p.reason(e.Test)})
		p.drop(e.Test)
	}
}

// drop the output of a test that is of no more interest.
func (p *pkg) drop(test string) {
	p.lines = slices.DeleteFunc(p.lines, func(l line) bool { return l.test == test })
}

// reason is what the test said when it skipped, without the place.
func (p *pkg) reason(test string) string {
	var said []string
	for _, l := range p.lines {
		if text := strings.TrimSpace(l.text); l.test == test && text != "" && !strings.HasPrefix(text, "===") && !strings.HasPrefix(text, "--- SKIP") {
			said = append(said, text)
		}
	}
	if len(said) == 0 {
		return "no reason given"
	}
	last := said[len(said)-1]
	if place, rest, ok := strings.Cut(last, ": "); ok && strings.Contains(place, ".go:") {
		return rest
	}
	return last
}

func (r *report) endPackage(e event, p *pkg) {
	delete(r.packages, e.Package)
	r.done++
	if e.Action == "fail" {
		r.failPackage(e, p)
		return
	}
	for _, l := range p.lines {
		if l.test != "" || !isClosing(l.text) {
			continue
		}
		if strings.Contains(l.text, "(cached)") {
			r.cached++
		}
		if !strings.Contains(l.text, "[no test files]") {
			io.WriteString(r.w, l.text)
		}
	}
}

// failPackage prints what failed: the output of the failed tests, of those that never ended (a panic, a timeout), and of the package.
// Of stacks only those that say something are printed.
func (r *report) failPackage(e event, p *pkg) {
	if e.FailedBuild != "" {
		r.build(e.FailedBuild)
	}
	var output []string
	for _, l := range whole(p.lines) {
		if !strings.HasPrefix(l.text, "=== ") {
			output = append(output, strings.TrimRight(l.text, "\n"))
		}
	}
	why := crash(output, r.module)
	known := false
	for _, state := range p.state {
		known = known || state == "fail"
	}
	for _, test := range p.open() {
		r.failed++
		known = true
		r.failures = append(r.failures, failure{e.Package, test + " (did not end)", append(p.hung(test), p.complaints(test)...)})
	}
	if !known {
		r.failed++
		cause := " (outside of a test)"
		if e.FailedBuild != "" {
			cause = " (does not build)"
			why = brief(r.builds[e.FailedBuild], 6)
		} else if len(why) == 0 {
			why = brief(output, 6)
		}
		r.failures = append(r.failures, failure{e.Package, cause, nil})
	}
	if len(why) > 0 {
		r.failures = append(r.failures, failure{e.Package, "~", why}) // after the package's tests
	}
	inStack := false
	for _, l := range output {
		if inStack = inStack && !strings.HasPrefix(l, "FAIL\t"); inStack {
			continue
		}
		fmt.Fprintln(r.w, l)
		if isCrash(l) {
			for _, s := range why[min(1, len(why)):] {
				fmt.Fprintln(r.w, s)
			}
			inStack = true
		}
	}
}

// open are the tests that began and did not end, and wait for no subtest.
func (p *pkg) open() []string {
	var names []string
	for test, state := range p.state {
		if state == "run" {
			names = append(names, test)
		}
	}
	slices.Sort(names)
	return slices.DeleteFunc(names, func(n string) bool {
		return slices.ContainsFunc(names, func(o string) bool { return strings.HasPrefix(o, n+"/") })
	})
}

// hung says for how long a test ran, where the package was ended because it was stuck.
func (p *pkg) hung(test string) []string {
	if p.stuck == 0 {
		return nil
	}
	return []string{fmt.Sprintf("ran for %s; nothing was heard of the package for %s, so it was ended", time.Since(p.since[test]).Round(time.Second), p.stuck.Round(time.Second))}
}

// isClosing reports whether this is go test's last line of a package: "ok …", "?   …" or "FAIL …".
func isClosing(s string) bool {
	return strings.HasPrefix(s, "ok  \t") || strings.HasPrefix(s, "?   \t") || strings.HasPrefix(s, "FAIL\t") || strings.HasPrefix(s, "\t")
}

// heartbeat says what still runs when nothing was printed for a while, so that a quiet log can be told from a stuck one.
func (r *report) heartbeat(every time.Duration) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(every)
		defer t.Stop()
		last := -1
		for {
			select {
			case <-quit:
				return
			case <-t.C:
			}
			r.mu.Lock()
			if r.done == last {
				fmt.Fprintf(r.w, "…   \t%s\n", r.running())
			}
			last = r.done
			r.mu.Unlock()
		}
	}()
	return func() { close(quit); <-ended }
}

func (r *report) running() string {
	var names []string
	for name, p := range r.packages {
		names = append(names, fmt.Sprintf("%s (%s)", name, time.Since(p.began).Round(time.Second)))
	}
	if len(names) == 0 {
		return "compiling"
	}
	slices.Sort(names)
	return "still running: " + strings.Join(names, ", ")
}

// finish prints the skipped tests by reason, the failed ones by name, and the summary.
func (r *report) finish(took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.skips) > 0 {
		fmt.Fprintf(r.w, "\nskipped:\n")
		slices.SortStableFunc(r.skips, func(a, b skip) int {
			return cmp.Or(cmp.Compare(a.reason, b.reason), cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.test, b.test))
		})
		for i, s := range r.skips {
			if i == 0 || s.reason != r.skips[i-1].reason {
				fmt.Fprintf(r.w, "  %s\n", s.reason)
			}
			fmt.Fprintf(r.w, "    %s %s\n", s.pkg, s.test)
		}
	}
	if len(r.failures) > 0 {
		fmt.Fprintf(r.w, "\nfailed:\n")
		r.explain()
	}
	fmt.Fprintf(r.w, "\n%d passed, %d failed, %d skipped in %s (%d packages, %d of them unchanged and not run again)\n",
		r.passed, r.failed, len(r.skips), took.Round(100*time.Millisecond), r.done, r.cached)
}

// explain prints the failures, in as many lines as the end of a log that was cut has for them.
func (r *report) explain() {
	slices.SortStableFunc(r.failures, func(a, b failure) int {
		return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.test, b.test))
	})
	left, names := maxEnd, 0
	for i, f := range r.failures {
		if f.test != "~" {
			if names++; names > maxNames {
				continue
			}
			fmt.Fprintf(r.w, "  %s %s\n", f.pkg, strings.TrimSpace(f.test))
		}
		// The first may say more, and each of the others has its share of what is left.
		said := brief(f.said, min(left, max(2, left/min(4, len(r.failures)-i))))
		left -= len(said)
		for _, l := range said {
			fmt.Fprintf(r.w, "      %s\n", l)
		}
	}
	if names > maxNames {
		fmt.Fprintf(r.w, "  … and %d more, named above\n", names-maxNames)
	}
}

// exitCode when go test itself was content.
func (r *report) exitCode() int {
	if r.failed > 0 {
		return 1
	}
	return 0
}

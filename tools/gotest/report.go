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
	failures                     []string
}

// pkg is a package whose tests run.
type pkg struct {
	lines []line // output not yet known to be uninteresting
	state map[string]string
	began time.Time
}

type line struct{ test, text string }

type skip struct{ pkg, test, reason string }

func newReport(w io.Writer) *report {
	return &report{w: w, packages: map[string]*pkg{}, builds: map[string][]string{}, shown: map[string]bool{}}
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
		p = &pkg{state: map[string]string{}, began: time.Now()}
		r.packages[e.Package] = p
	}
	switch e.Action {
	case "run":
		p.state[e.Test] = "run"
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
		r.failures = append(r.failures, e.Package+" "+e.Test+p.complaints(e.Test))
	case "skip":
		r.skips = append(r.skips, skip{e.Package, e.Test, p.reason(e.Test)})
		p.drop(e.Test)
	}
}

// drop the output of a test that is of no more interest.
func (p *pkg) drop(test string) {
	p.lines = slices.DeleteFunc(p.lines, func(l line) bool { return l.test == test })
}

// complaints are lines that a failed test wrote with a place in a test file, to stand where a log is read first: at its end. Of many
// the first and the last ones are shown: the first cause, and what ended the test.
func (p *pkg) complaints(test string) string {
	var said []string
	for _, l := range p.lines {
		text := strings.TrimSpace(l.text)
		if place, _, ok := strings.Cut(text, ": "); ok && l.test == test && strings.Contains(place, "_test.go:") {
			said = append(said, "\n      "+text)
		}
	}
	if len(said) > 4 {
		said = append(append(said[:2:2], "\n      …"), said[len(said)-2:]...)
	}
	return strings.Join(said, "")
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
func (r *report) failPackage(e event, p *pkg) {
	if e.FailedBuild != "" {
		r.build(e.FailedBuild)
	}
	known := false
	for test, state := range p.state {
		known = known || state == "fail"
		if state == "run" {
			r.failed++
			r.failures = append(r.failures, e.Package+" "+test+" (did not end)")
			known = true
		}
	}
	if !known {
		r.failed++
		why := "outside of a test"
		if e.FailedBuild != "" {
			why = "does not build"
		}
		r.failures = append(r.failures, e.Package+" ("+why+")")
	}
	for _, l := range p.lines {
		if strings.HasPrefix(l.text, "=== ") {
			continue
		}
		io.WriteString(r.w, l.text)
	}
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
		slices.Sort(r.failures)
		for _, f := range r.failures {
			fmt.Fprintf(r.w, "  %s\n", f)
		}
	}
	fmt.Fprintf(r.w, "\n%d passed, %d failed, %d skipped in %s (%d packages, %d of them unchanged and not run again)\n",
		r.passed, r.failed, len(r.skips), took.Round(100*time.Millisecond), r.done, r.cached)
}

// exitCode when go test itself was content.
func (r *report) exitCode() int {
	if r.failed > 0 {
		return 1
	}
	return 0
}

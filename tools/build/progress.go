package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// progress tells what is being built: on a terminal one line that counts the seconds, elsewhere a line at the start, one a minute, and
// one at the end.
type progress struct {
	w        io.Writer
	terminal bool
	width    int

	mu      sync.Mutex
	what    string // "" when nothing is being built
	hint    string
	at      string // the package that go compiles
	partial []byte
}

func newProgress(f *os.File) *progress {
	p := &progress{w: f, terminal: term.IsTerminal(int(f.Fd())), width: 80}
	if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 20 {
		p.width = w
	}
	return p
}

// start announces a build; the function it returns ends it.
func (p *progress) start(what, hint string) (done func(error)) {
	begin, stop, stopped := time.Now(), make(chan struct{}), make(chan struct{})
	p.mu.Lock()
	p.what, p.hint, p.at = what, hint, ""
	p.mu.Unlock()
	interval := time.Minute
	if p.terminal {
		interval = time.Second
		p.tick(begin)
	} else {
		p.line(what + " (" + hint + ")")
	}
	go func() {
		defer close(stopped)
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			select {
			case <-stop:
				return
			case <-t.C:
				p.tick(begin)
			}
		}
	}()
	return func(err error) {
		close(stop)
		<-stopped
		if p.terminal {
			fmt.Fprint(p.w, "\r\033[K")
		}
		state := "done"
		if err != nil {
			state = "failed"
		}
		p.line(fmt.Sprintf("%s: %s after %s", what, state, time.Since(begin).Round(time.Second)))
	}
}

func (p *progress) line(s string) { fmt.Fprintf(p.w, "tools: %s\n", s) }

func (p *progress) tick(begin time.Time) {
	p.mu.Lock()
	at := p.at
	if at == "" {
		at = p.hint
	}
	s := fmt.Sprintf("%s: %s … %s", p.what, time.Since(begin).Round(time.Second), at)
	p.mu.Unlock()
	if !p.terminal {
		p.line(s)
		return
	}
	if r := []rune("tools: " + s); len(r) >= p.width {
		s = string(r[7 : p.width-1])
	}
	fmt.Fprintf(p.w, "\r\033[Ktools: %s", s)
}

// Write takes the output of `go build -v`, whose lines say what it is at.
func (p *progress) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.partial = append(p.partial, data...)
	for {
		i := bytes.IndexByte(p.partial, '\n')
		if i < 0 {
			return len(data), nil
		}
		p.at = strings.TrimPrefix(string(p.partial[:i]), "go: ")
		p.partial = p.partial[i+1:]
	}
}

// tail keeps the last lines of a build's output for its error.
type tail struct{ lines []string }

func (t *tail) Write(data []byte) (int, error) {
	const keep = 30
	for line := range strings.Lines(string(data)) {
		if strings.TrimSpace(line) != "" {
			t.lines = append(t.lines, "  "+strings.TrimRight(line, "\n"))
		}
	}
	t.lines = t.lines[max(0, len(t.lines)-keep):]
	return len(data), nil
}

func (t *tail) String() string {
	if len(t.lines) == 0 {
		return ""
	}
	return strings.Join(t.lines, "\n") + "\n"
}

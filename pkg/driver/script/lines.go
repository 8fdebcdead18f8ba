package script

import (
	"bytes"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/secret"
)

// Redactor hides secrets in a text that is complete; *secret.Redactor is one.
type Redactor interface {
	String(s string) string
}

const (
	// lineBuffer is the most of a line that is kept before it is passed on in pieces.
	lineBuffer = 64 << 10
	// heldBack stays for the next piece: the beginning of a secret may be in it.
	heldBack = 4 << 10
)

// lines turns a stream into redacted lines. Memory stays bounded however long a line is.
type lines struct {
	redact Redactor
	emit   func(line string)
	buf    []byte
}

func (l *lines) write(p []byte) {
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			l.buf = append(l.buf, p...)
			break
		}
		l.buf = append(l.buf, p[:i]...)
		l.flush()
		p = p[i+1:]
	}
	if len(l.buf) > lineBuffer {
		l.split()
	}
}

// flush passes on what is there as a line, if anything happened since the last.
func (l *lines) flush() {
	line := l.buf
	l.buf = l.buf[:0]
	l.emit(l.clean(line))
}

// end passes on an unfinished last line.
func (l *lines) end() {
	if len(l.buf) > 0 {
		l.flush()
	}
}

// split passes on a piece of a very long line, keeping back what may be the beginning of a secret.
func (l *lines) split() {
	s := l.redact.String(string(l.buf))
	keep := min(heldBack, len(s))
	for cut := len(s) - keep; keep > 0 && cut < len(s) && !utf8.RuneStart(s[cut]); cut++ {
		keep--
	}
	l.emit(l.clean([]byte(s[:len(s)-keep])))
	l.buf = append(l.buf[:0], s[len(s)-keep:]...)
}

func (l *lines) clean(line []byte) string {
	s := strings.TrimSuffix(string(line), "\r")
	// Progress bars overwrite themselves: the last state is the line.
	if i := strings.LastIndexByte(s, '\r'); i >= 0 {
		s = s[i+1:]
	}
	return strings.ToValidUTF8(l.redact.String(s), "\uFFFD")
}

// tail keeps the last lines of a stream.
type tail struct {
	mu    sync.Mutex
	lines []string
}

const tailLines = 20

func (t *tail) add(line string) {
	if strings.TrimSpace(line) == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, line, _ = logged(line)
	if len(t.lines) == tailLines {
		copy(t.lines, t.lines[1:])
		t.lines = t.lines[:tailLines-1]
	}
	t.lines = append(t.lines, clip(line, 4096))
}

func (t *tail) last() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.lines...)
}

// secretsOf makes the redactor of a request's variables.
func secretsOf(vars []driver.Variable) Redactor {
	r := secret.NewRedactor()
	for _, v := range vars {
		if v.Secret {
			r.Add(secret.New(v.Value))
		}
	}
	return r
}

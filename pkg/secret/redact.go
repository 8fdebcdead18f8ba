package secret

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
)

// Redactor replaces secrets in text by Mask. It knows each by the forms in which programs print it: as it is, quoted for JSON, HCL,
// shells, URLs or HTML, in base64 (both alphabets, padded or not, alone or inside a longer text), in hexadecimal (also as xxd, hexdump and od print it), and, of several
// lines, line by line.
// Secrets below MinLength bytes are not redacted. The zero value is ready; it is safe for concurrent use.
type Redactor struct {
	mu   sync.Mutex // of writers of set
	have map[string]bool
	set  atomic.Pointer[patterns]
}

// NewRedactor knows the given secrets.
func NewRedactor(secrets ...Value) *Redactor {
	r := &Redactor{}
	r.Add(secrets...)
	return r
}

// Add registers secrets. Writers use them from their next Write on, for what they hold back too. It reports false if one is too
// short to be redacted, so that the caller can warn.
func (r *Redactor) Add(secrets ...Value) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.have == nil {
		r.have = make(map[string]bool)
	}
	all := true
	var fresh []string
	for _, v := range secrets {
		s := v.Reveal()
		switch {
		case len(s) < MinLength:
			all = all && s == ""
		case !r.have[s]:
			r.have[s] = true
			fresh = append(fresh, forms(s)...)
		}
	}
	if len(fresh) > 0 {
		r.set.Store(r.set.Load().with(fresh))
	}
	return all
}

// String redacts a text that is complete.
func (r *Redactor) String(s string) string {
	p := r.set.Load()
	if p == nil {
		return s
	}
	out, _ := (&scan{-1}).redact(p, nil, []byte(s), true)
	return string(out)
}

// Bytes is String for bytes; it returns b itself if it holds no secret.
func (r *Redactor) Bytes(b []byte) []byte {
	p := r.set.Load()
	if p == nil {
		return b
	}
	out, _ := (&scan{-1}).redact(p, nil, b, true)
	if bytes.Equal(out, b) {
		return b
	}
	return out
}

// Writer returns a writer that redacts what it passes on to w, also secrets that are spread over several writes: it holds back what may be
// the beginning of one, until the next Write, Flush or Close. Writes are serialized.
func (r *Redactor) Writer(w io.Writer) *Writer { return &Writer{r: r, w: w, scan: scan{-1}} }

// Writer is a redacting writer.
type Writer struct {
	r    *Redactor
	w    io.Writer
	mu   sync.Mutex
	held []byte
	scan scan
}

// Write redacts and passes on. It reports all of p as written unless the underlying writer fails.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = append(w.held, p...)
	if err := w.pass(false); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush passes on what is held back, though it may be the beginning of a secret: of one that is cut, that much is seen.
// Call it at the end of the text only.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pass(true)
}

// Close flushes; it does not close the underlying writer.
func (w *Writer) Close() error { return w.Flush() }

func (w *Writer) pass(end bool) error {
	out, rest := w.held, 0
	if p := w.r.set.Load(); p != nil {
		out, rest = w.scan.redact(p, nil, w.held, end)
	}
	held := w.held[len(w.held)-rest:]
	if len(out) > 0 {
		if _, err := w.w.Write(out); err != nil {
			return err
		}
	}
	w.held = append(w.held[:0], held...)
	return nil
}

// patterns finds any of many texts. It is immutable. A position is looked at closely only if its first two bytes, and then its first
// four, begin a pattern.
type patterns struct {
	list   []string
	two    *[1 << 16]bool
	byFour map[[MinLength]byte][]string
}

func (p *patterns) with(more []string) *patterns {
	q := &patterns{two: new([1 << 16]bool), byFour: make(map[[MinLength]byte][]string)}
	if p != nil {
		q.list = append(q.list, p.list...)
	}
	q.list = append(q.list, more...)
	seen := make(map[string]bool, len(q.list))
	for _, s := range q.list {
		if seen[s] {
			continue
		}
		seen[s] = true
		four := [MinLength]byte([]byte(s[:MinLength]))
		q.two[int(s[0])<<8|int(s[1])] = true
		q.byFour[four] = append(q.byFour[four], s)
	}
	return q
}

// scan redacts a text that comes in parts. masked is how many bytes at the beginning of the next part belong to a secret whose Mask is in the
// output already; -1 outside of secrets. Secrets that overlap or touch become one Mask.
type scan struct{ masked int }

// redact appends the text to out and returns how many of its last bytes must come again with the next part, because they may begin a
// secret: none at the end.
func (c *scan) redact(p *patterns, out, text []byte, end bool) ([]byte, int) {
	i, until := 0, c.masked
	for ; i < len(text); i++ {
		n, open := p.at(text[i:])
		if open && !end {
			break
		}
		switch {
		case n > 0 && until < 0:
			out = append(out, Mask...)
			until = i + n
		case n > 0:
			until = max(until, i+n)
		case i >= until:
			until = -1
			out = append(out, text[i])
		}
	}
	c.masked = -1
	if until >= 0 {
		c.masked = until - i
	}
	return out, len(text) - i
}

// at returns the length of the longest pattern that text begins with, and whether text is the beginning of a longer one.
func (p *patterns) at(text []byte) (length int, open bool) {
	if len(text) < MinLength {
		return 0, p.mayBegin(text)
	}
	if !p.two[int(text[0])<<8|int(text[1])] {
		return 0, false
	}
	for _, s := range p.byFour[[MinLength]byte(text)] {
		switch {
		case len(s) <= len(text):
			if len(s) > length && string(text[:len(s)]) == s {
				length = len(s)
			}
		case s[:len(text)] == string(text):
			open = true
		}
	}
	return length, open
}

// mayBegin is for the last bytes of a text.
func (p *patterns) mayBegin(text []byte) bool {
	if len(text) >= 2 && !p.two[int(text[0])<<8|int(text[1])] {
		return false
	}
	for four := range p.byFour {
		if bytes.HasPrefix(four[:], text) {
			return true
		}
	}
	return false
}

package diag

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// TextOptions of WriteText; the zero value works.
type TextOptions struct {
	// Source returns a file's content for the excerpt; nil reads the file from disk. A failure means no excerpt.
	Source func(file string) ([]byte, error)
	// Color writes ANSI colours.
	Color bool
	// NoExcerpt leaves the source lines out.
	NoExcerpt bool
	// Width cuts source lines; 0 is 160.
	Width int
}

// WriteText renders diagnostics for people: place, severity, message and code, the source line with a caret, hint and related places.
//
//	app.yaml:12:9: error: unknown node type "tosca.nodes.Compte" [unknown-type]
//	   12 |   type: tosca.nodes.Compte
//	      |         ^
//	   = did you mean "tosca.nodes.Compute"?
func WriteText(w io.Writer, l List, o TextOptions) error {
	p := &textPrinter{w: bufio.NewWriter(w), o: o, files: map[string][][]byte{}}
	if p.o.Source == nil {
		p.o.Source = os.ReadFile
	}
	if p.o.Width == 0 {
		p.o.Width = 160
	}
	for _, d := range l {
		p.diagnostic(d)
	}
	return p.w.Flush()
}

type textPrinter struct {
	w     *bufio.Writer
	o     TextOptions
	files map[string][][]byte
}

var severityColor = map[Severity]string{Error: "\x1b[1;31m", Warning: "\x1b[1;33m", Info: "\x1b[1;36m"}

func (p *textPrinter) paint(color, text string) string {
	if !p.o.Color {
		return text
	}
	return color + text + "\x1b[0m"
}

func (p *textPrinter) diagnostic(d Diagnostic) {
	if !d.Pos.IsZero() {
		fmt.Fprintf(p.w, "%s: ", p.paint("\x1b[1m", clean(d.Pos.String())))
	}
	fmt.Fprintf(p.w, "%s: %s [%s]\n", p.paint(severityColor[d.Severity], d.Severity.String()), clean(d.Message), d.Code)
	p.excerpt(d.Pos, severityColor[d.Severity])
	if d.Hint != "" {
		fmt.Fprintf(p.w, "   %s %s\n", p.paint("\x1b[36m", "="), clean(d.Hint))
	}
	for _, r := range d.Related {
		if r.Pos.IsZero() {
			fmt.Fprintf(p.w, "   - %s\n", clean(r.Message))
			continue
		}
		fmt.Fprintf(p.w, "   - %s: %s\n", clean(r.Pos.String()), clean(r.Message))
	}
}

func (p *textPrinter) excerpt(pos Pos, color string) {
	if p.o.NoExcerpt || pos.Line == 0 || pos.File == "" {
		return
	}
	lines, ok := p.files[pos.File]
	if !ok {
		if data, err := p.o.Source(pos.File); err == nil {
			lines = bytes.Split(data, []byte("\n"))
		}
		p.files[pos.File] = lines
	}
	if pos.Line > len(lines) {
		return
	}
	text := clean(strings.TrimRight(string(lines[pos.Line-1]), "\r"))
	runes := []rune(strings.ReplaceAll(text, "\t", " "))
	from := 0
	if pos.Col > p.o.Width-20 { // keep the place visible on very long lines
		from = min(pos.Col-p.o.Width/2, len(runes))
	}
	to := min(from+p.o.Width, len(runes))
	fmt.Fprintf(p.w, "%5d | %s\n", pos.Line, string(runes[from:to]))
	if pos.Col > 0 && pos.Col-1-from <= to-from {
		fmt.Fprintf(p.w, "      | %s%s\n", strings.Repeat(" ", pos.Col-1-from), p.paint(color, "^"))
	}
}

// clean removes what documents could use to confuse a terminal.
func clean(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, isControl) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if isControl(r) {
			return '�'
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
}

func isControl(r rune) bool {
	return r < 0x20 && r != '\t' || r >= 0x7f && r < 0xa0 || r == 0x202e || r == 0x2066
}

// Summary counts in words: "2 errors, 1 warning", or "no problems".
func (l List) Summary() string {
	var parts []string
	for _, s := range []Severity{Error, Warning} {
		switch n := l.Count(s); n {
		case 0:
		case 1:
			parts = append(parts, "1 "+s.String())
		default:
			parts = append(parts, fmt.Sprintf("%d %ss", n, s))
		}
	}
	if parts == nil {
		return "no problems"
	}
	return strings.Join(parts, ", ")
}

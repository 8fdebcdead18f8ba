package lsp

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// text is a document's content with where its lines begin.
type text struct {
	s     string
	lines []int
}

func newText(s string) text {
	t := text{s: s, lines: []int{0}}
	for i := 0; ; {
		n := strings.IndexByte(s[i:], '\n')
		if n < 0 {
			return t
		}
		i += n + 1
		t.lines = append(t.lines, i)
	}
}

// line returns a line without its end; "" for one that is not there.
func (t text) line(n int) string {
	if n < 0 || n >= len(t.lines) {
		return ""
	}
	end := len(t.s)
	if n+1 < len(t.lines) {
		end = t.lines[n+1] - 1
	}
	return strings.TrimSuffix(t.s[t.lines[n]:end], "\r")
}

// offset of a position in bytes; positions beyond a line's or the text's end are at that end, as the protocol says.
func (t text) offset(p position) int {
	if p.Line < 0 {
		return 0
	}
	if p.Line >= len(t.lines) {
		return len(t.s)
	}
	return t.lines[p.Line] + bytesOf(t.line(p.Line), p.Character)
}

// bytesOf is how many bytes of a line the first n UTF-16 units are.
func bytesOf(line string, n int) int {
	at := 0
	for i, r := range line {
		if at >= n {
			return i
		}
		at += unitsOf(r)
	}
	return len(line)
}

func unitsOf(r rune) int {
	if r == utf8.RuneError {
		return 1
	}
	return utf16.RuneLen(r)
}

// units is the length of a text in UTF-16 units.
func units(s string) int {
	n := 0
	for _, r := range s {
		n += unitsOf(r)
	}
	return n
}

// at turns a diagnostic's place (from 1, in characters) into a position.
func (t text) at(line, col int) position {
	if line <= 0 {
		return position{}
	}
	n := 0
	for _, r := range t.line(line - 1) {
		if col--; col <= 0 {
			break
		}
		n += unitsOf(r)
	}
	return position{line - 1, n}
}

// col is a position's column as documents' nodes count: characters, from 1.
func (t text) col(p position) int {
	line := t.line(p.Line)
	return utf8.RuneCountInString(line[:bytesOf(line, p.Character)]) + 1
}

// change applies an edit.
func (t text) change(c contentChange) text {
	if c.Range == nil {
		return newText(c.Text)
	}
	from, to := t.offset(c.Range.Start), t.offset(c.Range.End)
	if to < from {
		from, to = to, from
	}
	return newText(t.s[:from] + c.Text + t.s[to:])
}

// token is the range of the word, quoted text or key at a place.
func (t text) token(line, col int) span {
	start := t.at(line, col)
	l := t.line(start.Line)
	rest := l[bytesOf(l, start.Character):]
	n := len(rest)
	switch {
	case rest == "":
		return span{start, start}
	case rest[0] == '"' || rest[0] == '\'':
		if i := strings.IndexByte(rest[1:], rest[0]); i >= 0 {
			n = i + 2
		}
	default:
		for _, end := range []string{": ", " #", ", ", " }", " ]"} {
			if i := strings.Index(rest, end); i > 0 && i < n {
				n = i
			}
		}
		n = len(strings.TrimRight(rest[:n], " \t:,]}"))
	}
	n = max(n, 1)
	return span{start, position{start.Line, start.Character + units(rest[:min(n, len(rest))])}}
}

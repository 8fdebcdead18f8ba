package source

import (
	"regexp"
	"strconv"
	"strings"
)

// The YAML library names the line where the construct begins that a mistake breaks, often the whole section, and no column. What follows finds
// the mistake itself in the text, for the usual ones. It is only asked when the text is known to be wrong.

// misplaced is where a mistake lies and what it is.
type misplaced struct {
	line, col  int
	what, hint string
}

// locate looks for the mistake behind the library's message, whose line is the given one; nil when nothing is found.
func locate(data []byte, msg string, line int) *misplaced {
	lines := withoutTexts(strings.Split(string(data), "\n"))
	var m *misplaced
	switch {
	case strings.Contains(msg, "did not find expected ','"):
		m = unclosed(lines)
	case strings.Contains(msg, "did not find expected key"), strings.Contains(msg, "could not find expected ':'"), strings.Contains(msg, "did not find expected '-' indicator"):
		if m = unclosed(lines); m == nil {
			m = oddIndent(lines)
		}
	case strings.Contains(msg, "mapping values are not allowed") && line <= len(lines):
		if m := continued(lines, line); m != nil {
			return m
		}
		if cols := colons(lines[line-1]); len(cols) > 0 {
			m = &misplaced{line: line, col: cols[min(1, len(cols)-1)], what: msg}
		}
	}
	if m == nil || m.line < line {
		return glued(lines, line)
	}
	return m
}

// continued finds the line before a key that YAML reads as one text with it: one without a colon, or indented a little less.
func continued(lines []string, line int) *misplaced {
	at := line - 2
	for at >= 0 && strings.TrimSpace(lines[at]) == "" {
		at--
	}
	if at < 0 || strings.HasPrefix(strings.TrimSpace(lines[at]), "#") {
		return nil
	}
	text, key := lines[at], blockKey.FindStringSubmatch(lines[line-1])
	indent := len(text) - len(strings.TrimLeft(text, " "))
	word, rest, two := strings.Cut(strings.TrimSpace(text), " ")
	switch {
	case key == nil:
		return nil
	case len(colons(text)) == 0 && two && indent == len(key[1]) && !strings.HasPrefix(word, "-"):
		return &misplaced{line: at + 1, col: indent + len(word) + 1, what: "there is no ':' after " + word, hint: "write " + word + ": " + strings.TrimSpace(rest)}
	case len(colons(text)) == 1 && indent+1 == len(key[1]) && !strings.HasSuffix(strings.TrimSpace(text), ":"):
		return &misplaced{line: at + 1, col: indent + 1, what: "the line is indented by " + strconv.Itoa(indent) + ", what follows by " + strconv.Itoa(len(key[1])), hint: "keys of one map are indented alike"}
	}
	return nil
}

var gluedKey = regexp.MustCompile(`^( *(?:- +)*[\w.\-]+:)[^\s/:]`)

// glued finds a key whose value follows its colon without a blank.
func glued(lines []string, line int) *misplaced {
	if line < 1 || line > len(lines) {
		return nil
	}
	if m := gluedKey.FindStringSubmatch(lines[line-1]); m != nil {
		return &misplaced{line: line, col: len(m[1]), what: "there is no blank after this ':'", hint: "write " + strings.TrimSpace(m[1]) + " and a blank before the value"}
	}
	return nil
}

// colons are the columns of a line's ": " outside of quotes.
func colons(line string) []int {
	var out []int
	s := scanner{}
	col := 0
	for i, r := range line {
		col++
		s.step(r)
		if r == ':' && s.quote == 0 && !s.comment && (i+1 == len(line) || line[i+1] == ' ' || line[i+1] == '\r') {
			out = append(out, col)
		}
	}
	return out
}

// scanner follows quotes and comments along a text.
type scanner struct {
	quote         rune
	escaped       bool
	comment       bool
	last, lastNon rune // the rune before, and the last one that is no space
}

func (s *scanner) step(r rune) {
	before, word := s.last, s.lastNon
	s.last = r
	if r != ' ' && r != '\r' {
		s.lastNon = r
	}
	switch {
	case s.comment:
	case s.escaped:
		s.escaped = false
	case s.quote == '"' && r == '\\':
		s.escaped = true
	case s.quote != 0:
		if r == s.quote {
			s.quote = 0
		}
	case (r == '"' || r == '\'') && (word == 0 || strings.ContainsRune(":-,[{", word)): // a value begins with it
		s.quote = r
	case r == '#' && (before == 0 || before == ' '):
		s.comment = true
	}
}

func (s *scanner) newline() { s.comment, s.escaped, s.last, s.lastNon = false, false, 0, 0 }

var blockKey = regexp.MustCompile(`^( *)(?:- +)*[\w.\-/$]+:(?: |\r?$)`)

// unclosed finds a bracket that is open where a block's key begins, or that a bracket of the other kind closes.
func unclosed(lines []string) *misplaced {
	type open struct {
		line, col, indent int
		r                 rune
	}
	var stack []open
	s := scanner{}
	for i, line := range lines {
		if s.newline(); len(stack) > 0 {
			s.last, s.lastNon = ' ', ','
			if m := blockKey.FindStringSubmatch(line); m != nil && s.quote == 0 && len(m[1]) <= stack[0].indent {
				top := stack[len(stack)-1]
				return &misplaced{line: top.line, col: top.col, what: "this " + string(top.r) + " is not closed", hint: "close it with " + closing(top.r)}
			}
		}
		indent := len(line) - len(strings.TrimLeft(line, " "))
		col := 0
		for _, r := range line {
			col++
			word := s.lastNon
			s.step(r)
			if s.quote != 0 || s.comment {
				continue
			}
			switch {
			case (r == '{' || r == '[') && (len(stack) > 0 || word == 0 || word == ':' || word == '-'):
				stack = append(stack, open{i + 1, col, indent, r})
			case (r == '}' || r == ']') && len(stack) > 0:
				top := stack[len(stack)-1]
				if closing(top.r) != string(r) {
					return &misplaced{line: i + 1, col: col, what: "this " + string(r) + " closes a " + string(top.r), hint: "close it with " + closing(top.r)}
				}
				stack = stack[:len(stack)-1]
			}
		}
	}
	if len(stack) > 0 {
		top := stack[len(stack)-1]
		return &misplaced{line: top.line, col: top.col, what: "this " + string(top.r) + " is not closed", hint: "close it with " + closing(top.r)}
	}
	return nil
}

func closing(r rune) string {
	if r == '[' {
		return "]"
	}
	return "}"
}

var blockScalar = regexp.MustCompile(`[:\-] +(?:&\S+ +|!\S+ +)*[|>][+\-0-9]*\s*(?:#.*)?$`)

// oddIndent finds the first line that is indented less than the line above it but as none of the blocks that are open.
func oddIndent(lines []string) *misplaced {
	var open []int
	for i, line := range lines {
		rest := strings.TrimLeft(line, " ")
		indent := len(line) - len(rest)
		if rest = strings.TrimRight(rest, " \r"); rest == "" || rest[0] == '#' {
			continue
		}
		for len(open) > 0 && open[len(open)-1] > indent {
			open = open[:len(open)-1]
		}
		if top := len(open) - 1; top >= 0 && open[top] < indent && i > 0 && dedents(lines[:i], indent) {
			return &misplaced{line: i + 1, col: indent + 1, what: "the indentation of this line fits nothing above it", hint: "indent it as the lines that it belongs to"}
		}
		at := indent
		for {
			if len(open) == 0 || open[len(open)-1] < at {
				open = append(open, at)
			}
			if !strings.HasPrefix(rest, "- ") {
				break
			}
			trimmed := strings.TrimLeft(rest[2:], " ")
			at += len(rest) - len(trimmed)
			rest = trimmed
		}
	}
	return nil
}

// withoutTexts empties the lines of block scalars (| and >), in which everything is text.
func withoutTexts(lines []string) []string {
	text := -1 // indentation of the key whose text is being read
	for i, line := range lines {
		rest := strings.TrimLeft(line, " ")
		switch indent := len(line) - len(rest); {
		case strings.TrimRight(rest, " \r") == "":
		case text >= 0 && indent > text:
			lines[i] = ""
		case blockScalar.MatchString(line):
			text = indent
		default:
			text = -1
		}
	}
	return lines
}

// dedents tells whether the last line of a text is indented more than a column.
func dedents(lines []string, indent int) bool {
	for i := len(lines) - 1; i >= 0; i-- {
		rest := strings.TrimLeft(lines[i], " ")
		if t := strings.TrimRight(rest, " \r"); t == "" || t[0] == '#' {
			continue
		}
		return len(lines[i])-len(rest) > indent
	}
	return false
}

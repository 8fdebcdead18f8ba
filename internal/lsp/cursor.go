package lsp

import (
	"strings"
	"unicode/utf8"
)

// cursor is where something is typed, read from the text alone: while one types, the document is seldom sound YAML.
type cursor struct {
	// path of the map, list or value that is typed in. With inKey a key of a map at the path is typed, else the value at the path.
	path  []string
	inKey bool
	// prefix has been typed of the word already.
	prefix string
	// arg counts the items before in a list in brackets.
	arg int
	// before are the items before, for functions' arguments.
	before []string
}

// mark is a key or a dash of a line with its column.
type mark struct {
	col  int
	dash bool
	key  string
}

// marks are the dashes and the key that a line begins with, and what follows them. open is false if the line holds nothing.
func marks(line string) (list []mark, rest string, restCol int) {
	col := len(line) - len(strings.TrimLeft(line, " "))
	rest = line[col:]
	for {
		if rest == "-" || strings.HasPrefix(rest, "- ") {
			list = append(list, mark{col: col, dash: true})
			n := 1 + len(rest[1:]) - len(strings.TrimLeft(rest[1:], " "))
			rest, col = rest[n:], col+n
			continue
		}
		key, after, ok := cutKey(rest)
		if !ok {
			return list, rest, col
		}
		list = append(list, mark{col: col, key: key})
		n := len(rest) - len(after)
		n += len(after) - len(strings.TrimLeft(after, " "))
		return list, strings.TrimLeft(after, " "), col + n
	}
}

// cutKey splits "key: rest"; the key may be quoted.
func cutKey(s string) (key, after string, ok bool) {
	if s == "" || strings.ContainsRune("#{[&*!|>%@`", rune(s[0])) {
		return "", "", false
	}
	from := 0
	if s[0] == '"' || s[0] == '\'' {
		i := strings.IndexByte(s[1:], s[0])
		if i < 0 {
			return "", "", false
		}
		from = i + 2
		if rest, ok := strings.CutPrefix(s[from:], ":"); ok && (rest == "" || rest[0] == ' ') {
			return s[1 : from-1], rest, true
		}
		return "", "", false
	}
	for i := from; i < len(s); i++ {
		switch {
		case s[i] == ':' && (i+1 == len(s) || s[i+1] == ' '):
			return s[:i], s[i+1:], true
		case s[i] == '#' && i > 0 && s[i-1] == ' ':
			return "", "", false
		}
	}
	return "", "", false
}

// maxAbove bounds how many lines are looked at for the way to the cursor; it is more than any document has.
const maxAbove = 1 << 20

// cursorAt reads the way to a position.
func (t text) cursorAt(p position) cursor {
	line := t.line(p.Line)
	line = line[:bytesOf(line, p.Character)]
	list, rest, restCol := marks(line)
	c := cursor{}
	col := restCol
	if n := len(list); n > 0 && !list[n-1].dash {
		c.path = append(c.path, list[n-1].key) // the value of a key on this line
	} else {
		c.inKey = true
	}
	own := list
	if !c.inKey {
		own = list[:len(list)-1]
		col = list[len(list)-1].col
	}
	var up []string
	for i := len(own) - 1; i >= 0; i-- {
		if own[i].dash {
			up = append(up, item)
			col = own[i].col
		}
	}
	up = append(up, t.above(p.Line, col, len(own) > 0)...)
	for i, j := 0, len(up)-1; i < j; i, j = i+1, j-1 {
		up[i], up[j] = up[j], up[i]
	}
	c.path = append(up, c.path...)
	c.prefix = rest
	c.flow(rest)
	return c
}

// above reads the way from the root to a column of a line, backwards. dash: the line begins an item of a list, which may stand at its key's
// column.
func (t text) above(line, col int, dash bool) []string {
	var up []string
	for i := line - 1; i >= 0 && line-i < maxAbove && (col > 0 || dash); i-- {
		l := t.line(i)
		if trimmed := strings.TrimSpace(l); trimmed == "" || trimmed[0] == '#' {
			continue
		}
		list, _, _ := marks(l)
		for j := len(list) - 1; j >= 0; j-- {
			m := list[j]
			switch {
			case m.dash && m.col < col:
				up = append(up, item)
				col, dash = m.col, true
			case !m.dash && (m.col < col || dash && m.col == col):
				up = append(up, m.key)
				col, dash = m.col, false
			}
		}
	}
	return up
}

// flow goes on into maps and lists in brackets on the cursor's own line.
func (c *cursor) flow(s string) {
	type level struct {
		list  bool
		key   string
		items []string
		word  strings.Builder
	}
	var stack []*level
	quote := rune(0)
	for _, r := range s {
		top := (*level)(nil)
		if len(stack) > 0 {
			top = stack[len(stack)-1]
		}
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			} else if top != nil {
				top.word.WriteRune(r)
			}
		case r == '{' || r == '[':
			stack = append(stack, &level{list: r == '['})
		case top == nil:
			if r != ' ' && !strings.ContainsRune("\"'", r) {
				c.prefix = s
			}
			if r == '"' || r == '\'' {
				quote = r
			}
		case r == '"' || r == '\'':
			quote = r
		case r == '}' || r == ']':
			stack = stack[:len(stack)-1]
			if len(stack) > 0 {
				stack[len(stack)-1].word.Reset()
				stack[len(stack)-1].word.WriteString("{}")
			}
		case r == ',':
			if top.list {
				top.items = append(top.items, strings.TrimSpace(top.word.String()))
			}
			top.key = ""
			top.word.Reset()
		case r == ':' && !top.list && top.key == "":
			top.key = strings.TrimSpace(top.word.String())
			top.word.Reset()
		default:
			top.word.WriteRune(r)
		}
		if len(stack) > 64 {
			return
		}
	}
	if len(stack) == 0 {
		c.prefix = strings.TrimLeft(c.prefix, `"'`)
		return
	}
	if c.inKey { // the brackets are an item of a list, or stand alone
		c.inKey = false
	}
	for i, l := range stack {
		final := i == len(stack)-1
		switch {
		case l.list:
			c.path = append(c.path, item)
			c.arg, c.before = len(l.items), l.items
		case l.key != "":
			c.path = append(c.path, l.key)
		case !final:
			return
		default:
			c.inKey = true
		}
		if final {
			c.prefix = strings.TrimLeft(l.word.String(), " ")
		}
	}
}

// sibling reads the text of a key beside or below the last step of a path from the lines around: `type` of the template that is typed in.
func (t text) sibling(line int, path []string, key string) string {
	// The line that the last step stands on is above, the one whose way is the path without its last step.
	for i := line; i >= 0; i-- {
		list, rest, _ := marks(t.line(i))
		for j, m := range list {
			if m.dash || m.key != path[len(path)-1] {
				continue
			}
			if up := t.above(i, m.col, j > 0 && list[j-1].dash); len(up) != len(path)-1 && len(up)+j != len(path)-1 {
				continue
			}
			if strings.HasPrefix(rest, "{") {
				return flowValue(rest, key)
			}
			return t.below(i, m.col, key)
		}
	}
	return ""
}

// below reads a key among the lines below one, that are indented more.
func (t text) below(line, col int, key string) string {
	inner := -1
	for i := line + 1; i < len(t.lines); i++ {
		l := t.line(i)
		trimmed := strings.TrimSpace(l)
		if trimmed == "" || trimmed[0] == '#' {
			continue
		}
		in := len(l) - len(strings.TrimLeft(l, " "))
		if in <= col {
			return ""
		}
		if inner < 0 {
			inner = in
		}
		if k, after, ok := cutKey(l[in:]); ok && in == inner && k == key {
			value, _, _ := strings.Cut(after, " #")
			return strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return ""
}

// flowValue reads a key of a map in brackets.
func flowValue(s, key string) string {
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return r == '{' || r == ',' || r == '}' }) {
		if k, v, ok := cutKey(strings.TrimSpace(part)); ok && k == key {
			return strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return ""
}

// replaced is the range of what has been typed of the word.
func (c cursor) replaced(t text, p position) span {
	line := t.line(p.Line)
	end := bytesOf(line, p.Character)
	word := c.prefix
	if i := strings.LastIndexAny(word, " "); i >= 0 {
		word = word[i+1:]
	}
	word = strings.TrimLeft(word, `"'`)
	if !strings.HasSuffix(line[:end], word) || !utf8.ValidString(word) {
		return span{p, p}
	}
	return span{position{p.Line, p.Character - units(word)}, p}
}

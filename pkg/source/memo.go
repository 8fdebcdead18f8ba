package source

import (
	"bytes"
	"io/fs"

	"github.com/orch-project/orch/pkg/diag"
)

// Memo parses documents again and again with few changes, as an editor's are: a document that has not changed is not parsed anew, and of one
// that has, only the entries that changed are. What it returns is what Parse returns, and shared: callers must not change it. The zero value
// is ready; it is not safe for concurrent use.
type Memo struct {
	files map[string]*memoFile
}

type memoFile struct {
	data   []byte
	node   *Node
	list   diag.List
	chunks map[string]*chunk
}

// maxMemo bounds the files that are kept.
const maxMemo = 512

// ParseFile is ParseFile with a memory; a nil Memo has none.
func (m *Memo) ParseFile(fsys fs.FS, name, display string) (*Node, diag.List) {
	if m == nil {
		return ParseFile(fsys, name, display)
	}
	if display == "" {
		display = name
	}
	data, list := ReadFile(fsys, name, display, MaxDocument)
	if list != nil {
		return nil, list
	}
	return m.Parse(display, data)
}

// Parse is Parse with a memory.
func (m *Memo) Parse(name string, data []byte) (*Node, diag.List) {
	if m.files == nil || len(m.files) > maxMemo {
		m.files = map[string]*memoFile{}
	}
	f := m.files[name]
	if f != nil && bytes.Equal(f.data, data) {
		return f.node, append(diag.List(nil), f.list...)
	}
	next := &memoFile{data: bytes.Clone(data)}
	var before map[string]*chunk
	if f != nil {
		before = f.chunks
	}
	var ok bool
	if next.node, next.list, next.chunks, ok = parseChunks(name, data, before); !ok {
		next.node, next.list = Parse(name, data)
		next.chunks = nil
	}
	m.files[name] = next
	return next.node, append(diag.List(nil), next.list...)
}

// chunk is a part of a document that was parsed by itself: entries of one map, at one indentation.
type chunk struct {
	line   int // of its first line
	pairs  []Pair
	height int
	size   int
}

// Parts of a document are cut where a map at the top, or one or two levels below it, has its entries. Nothing is cut that is smaller.
const (
	cutAbove  = 2 << 10 // bytes
	cutLevels = 3
)

// parseChunks parses a document in parts, taking those that have not changed from before. ok is false where that cannot be done or might give
// another result than parsing it whole: YAML that reaches over parts (anchors, tags, several documents), tabs, and anything wrong.
func parseChunks(name string, data []byte, before map[string]*chunk) (*Node, diag.List, map[string]*chunk, bool) {
	if len(data) < 4*cutAbove || bytes.ContainsAny(data, "&*\t\r!%") || bytes.Contains(data, []byte("<<")) || bytes.Contains(data, []byte("\n---")) ||
		bytes.HasPrefix(data, []byte("---")) || bytes.Contains(data, []byte("\n...")) || bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		return nil, nil, nil, false
	}
	p := &parser{file: name}
	if !p.acceptable(data) {
		return nil, nil, nil, false
	}
	c := &chunker{name: name, before: before, chunks: map[string]*chunk{}}
	lines := bytes.SplitAfter(data, []byte("\n"))
	root := &Node{Kind: Mapping, Tag: "!!map", Pos: diag.Pos{File: name}}
	if !c.mapping(root, lines, 1, 0) || len(root.Pairs) == 0 || c.size > maxExpanded {
		return nil, nil, nil, false
	}
	root.Pos = root.Pairs[0].Key.Pos
	return root, c.list, c.chunks, true
}

type chunker struct {
	name   string
	before map[string]*chunk
	chunks map[string]*chunk
	list   diag.List
	size   int
}

// mapping fills a map from its lines, of which the first is line number `line` of the document.
func (c *chunker) mapping(into *Node, lines [][]byte, line, level int) bool {
	entries, indent := cut(lines)
	if entries == nil {
		return false
	}
	seen := &keys{}
	for _, e := range entries {
		part := lines[e.from:e.to]
		var pairs []Pair
		if level+1 < cutLevels && e.open && length(part) > cutAbove {
			key, ok := c.header(part[0], line+e.from)
			value := &Node{Kind: Mapping, Tag: "!!map", Pos: diag.Pos{File: c.name}}
			if ok && c.mapping(value, part[1:], line+e.from+1, level+1) && len(value.Pairs) > 0 && value.Pairs[0].Key.Pos.Col > indent+1 {
				value.Pos = value.Pairs[0].Key.Pos
				pairs = []Pair{{key, value}}
			}
		}
		if pairs == nil {
			ch := c.parse(bytes.Join(part, nil), line+e.from)
			if ch == nil {
				return false
			}
			pairs = ch.pairs
		}
		for _, p := range pairs {
			if p.Key.Kind != Scalar || seen.add(p.Key) != nil {
				return false // the whole parser says it properly
			}
			into.Pairs = append(into.Pairs, p)
		}
	}
	return true
}

// header parses the line of a key whose value follows on further lines.
func (c *chunker) header(text []byte, line int) (*Node, bool) {
	ch := c.parse(text, line)
	if ch == nil || len(ch.pairs) != 1 || ch.pairs[0].Value.Kind != Null {
		return nil, false
	}
	return ch.pairs[0].Key, true
}

// parse takes a part from before, moved to its line, or parses it. nil: it is not a sound map by itself.
func (c *chunker) parse(text []byte, line int) *chunk {
	key := string(text)
	ch := c.chunks[key]
	if ch == nil {
		ch = c.before[key]
	}
	if ch == nil {
		n, list := Parse(c.name, text)
		if !n.Is(Mapping) || len(list) > 0 {
			return nil
		}
		ch = &chunk{line: 1, pairs: n.Pairs}
		ch.size, ch.height = measure(n)
	}
	if ch.height > maxDepth-cutLevels-1 {
		return nil
	}
	if ch.line != line {
		moved := &chunk{line: line, size: ch.size, height: ch.height, pairs: make([]Pair, len(ch.pairs))}
		for i, p := range ch.pairs {
			moved.pairs[i] = Pair{p.Key.moved(line - ch.line), p.Value.moved(line - ch.line)}
		}
		ch = moved
	}
	c.chunks[key] = ch
	c.size += ch.size
	return ch
}

func measure(n *Node) (size, height int) {
	size = 1
	add := func(child *Node) {
		s, h := measure(child)
		size, height = size+s, max(height, h+1)
	}
	for _, it := range n.Items {
		add(it)
	}
	for _, p := range n.Pairs {
		add(p.Key)
		add(p.Value)
	}
	return size, height
}

// moved is a copy of a node some lines further down.
func (n *Node) moved(by int) *Node {
	c := *n
	c.Pos.Line += by
	if n.Items != nil {
		c.Items = make([]*Node, len(n.Items))
		for i, it := range n.Items {
			c.Items[i] = it.moved(by)
		}
	}
	if n.Pairs != nil {
		c.Pairs = make([]Pair, len(n.Pairs))
		for i, p := range n.Pairs {
			c.Pairs[i] = Pair{p.Key.moved(by), p.Value.moved(by)}
		}
	}
	return &c
}

func length(lines [][]byte) int {
	n := 0
	for _, l := range lines {
		n += len(l)
	}
	return n
}

// entry of a map: its lines, and whether its value begins below its key.
type lineEntry struct {
	from, to int
	open     bool
}

// cut finds where the entries of a block map begin: lines with the indentation of its first one. What is cut inside of a text or a list in
// brackets does not parse, and is then parsed whole. Comments and empty lines belong to the entry before.
func cut(lines [][]byte) (entries []lineEntry, indent int) {
	indent = -1
	for i, l := range lines {
		t := bytes.TrimLeft(l, " ")
		if len(bytes.TrimSpace(t)) == 0 || t[0] == '#' {
			continue
		}
		in := len(l) - len(t)
		switch {
		case indent < 0:
			if t[0] == '-' || t[0] == '{' || t[0] == '[' || t[0] == '?' {
				return nil, 0
			}
			indent = in
		case in < indent:
			return nil, 0
		case in > indent:
			continue
		case t[0] == '-' || t[0] == '?' || t[0] == ']' || t[0] == '}':
			continue // a list at its key's indentation, or the end of one in brackets
		}
		if n := len(entries); n > 0 {
			entries[n-1].to = i
		}
		entries = append(entries, lineEntry{from: i, to: len(lines), open: bytes.HasSuffix(bytes.TrimRight(t, " \n"), []byte(":"))})
	}
	return entries, indent
}

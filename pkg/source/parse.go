package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/orch-project/orch/pkg/diag"
	"gopkg.in/yaml.v3"
)

// Limits of one document. They are far above what people write and far below what hurts.
const (
	// MaxDocument is the largest YAML file that is read, in bytes.
	MaxDocument = 24 << 20
	// maxTokens bounds the memory a document may need before the YAML library sees it: every value costs at least one of these bytes.
	maxTokens = 3 << 20
	// maxDepth of nesting; deeper documents are attacks, and walkers recurse.
	maxDepth = 500
	// maxExpanded values after aliases are followed ("billion laughs").
	maxExpanded = 4 << 20
)

// Diagnostic codes of this package; see diag.Explain.
const (
	CodeSyntax       = "yaml-syntax"
	CodeEncoding     = "yaml-encoding"
	CodeDuplicateKey = "duplicate-key"
	CodeTooLarge     = "document-too-large"
	CodeTooDeep      = "document-too-deep"
	CodeAlias        = "yaml-alias"
	CodeDocuments    = "yaml-documents"
	CodeKey          = "yaml-key"
	CodeRead         = "cannot-read"
)

// ParseFile reads and parses one YAML file of a file system. display is the file's name in positions ("" means name).
func ParseFile(fsys fs.FS, name, display string) (*Node, diag.List) {
	if display == "" {
		display = name
	}
	data, list := ReadFile(fsys, name, display, MaxDocument)
	if list != nil {
		return nil, list
	}
	return Parse(display, data)
}

// ReadFile reads a file that may not be larger than limit bytes. A failure is a diagnostic on the file.
func ReadFile(fsys fs.FS, name, display string, limit int64) ([]byte, diag.List) {
	var list diag.List
	f, err := fsys.Open(name)
	if err != nil {
		list.Errorf(CodeRead, diag.Pos{File: display}, "cannot read %s: %s", display, reason(err))
		return nil, list
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		list.Errorf(CodeRead, diag.Pos{File: display}, "cannot read %s: it is a directory", display)
		return nil, list
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		list.Errorf(CodeRead, diag.Pos{File: display}, "cannot read %s: %s", display, reason(err))
		return nil, list
	case int64(len(data)) > limit:
		list.Errorf(CodeTooLarge, diag.Pos{File: display}, "the file is larger than %d MiB", limit>>20).Hint =
			"split it into several files and import them"
		return nil, list
	}
	return data, nil
}

// reason is the short cause of a file system error, without the path that the message already has.
func reason(err error) string {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// Parse reads one YAML document. name is the file's name in positions. The node is nil when nothing usable could be read (then the list
// has an error) and a Null node for an empty document. Problems that leave the rest readable (duplicate keys) are reported beside the node.
func Parse(name string, data []byte) (*Node, diag.List) {
	p := &parser{file: name, done: map[*yaml.Node]*converted{}}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !p.acceptable(data) {
		return nil, p.diags
	}
	doc := p.decode(data)
	if doc == nil {
		return nil, p.diags
	}
	if len(doc.Content) == 0 {
		return &Node{Kind: Null, Tag: "!!null", Pos: diag.Pos{File: name, Line: 1, Col: 1}}, p.diags
	}
	c := p.convert(doc.Content[0], 0)
	if p.fatal {
		return nil, p.diags
	}
	if c.size > maxExpanded {
		p.diags.Errorf(CodeAlias, c.node.Pos, "the document's aliases expand to more than %d values", maxExpanded).Hint =
			"write the repeated values out, or split the document"
		return nil, p.diags
	}
	return c.node, p.diags
}

type parser struct {
	mended int // lines that got a space, see spaceColons
	file   string
	diags  diag.List
	fatal  bool
	// done holds converted anchors: an alias shares its anchor's Node, so conversion stays linear.
	done map[*yaml.Node]*converted
}

type converted struct {
	node   *Node
	size   int // values including expanded aliases, saturating at maxExpanded+1
	height int // levels below, through aliases
}

func (c *converted) add(child converted) {
	c.size = min(c.size+child.size, maxExpanded+1)
	c.height = max(c.height, child.height+1)
}

// acceptable checks what the YAML library would answer badly: size, encoding, tabs.
func (p *parser) acceptable(data []byte) bool {
	if len(data) > MaxDocument {
		p.diags.Errorf(CodeTooLarge, diag.Pos{File: p.file}, "the document is larger than %d MiB", MaxDocument>>20).Hint =
			"split it into several files and import them"
		return false
	}
	tokens := 0
	for _, c := range data {
		switch c {
		case '\n', ',', '[', '{', '&', '*':
			tokens++
		}
	}
	if tokens > maxTokens {
		p.diags.Errorf(CodeTooLarge, diag.Pos{File: p.file}, "the document has more than %d values", maxTokens).Hint =
			"split it into several files and import them"
		return false
	}
	if i := invalidUTF8(data); i >= 0 {
		line, col := lineCol(data, i)
		p.diags.Errorf(CodeEncoding, diag.Pos{File: p.file, Line: line, Col: col}, "the document is not UTF-8 text (byte 0x%02x)", data[i]).Hint =
			"save it as UTF-8; binary files go beside the document as artifacts"
		return false
	}
	return true
}

func invalidUTF8(data []byte) int {
	if utf8.Valid(data) {
		return -1
	}
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return -1
}

func lineCol(data []byte, i int) (int, int) {
	line := 1 + bytes.Count(data[:i], []byte{'\n'})
	return line, 1 + utf8.RuneCount(data[bytes.LastIndexByte(data[:i], '\n')+1:i])
}

// decode runs the YAML library; a panic in it is a syntax error of the document, never of the program.
func (p *parser) decode(data []byte) (doc *yaml.Node) {
	defer func() {
		if r := recover(); r != nil {
			p.diags.Errorf(CodeSyntax, diag.Pos{File: p.file, Line: 1}, "the document is not valid YAML (%v)", r)
			doc = nil
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var first yaml.Node
	if err := dec.Decode(&first); err != nil {
		if errors.Is(err, io.EOF) {
			return &yaml.Node{}
		}
		if p.mended < 100 {
			if fixed := spaceColons(data, err); fixed != nil {
				p.mended++
				before := len(p.diags)
				if doc = p.decode(fixed); doc != nil {
					return doc
				}
				p.diags = p.diags[:before]
			}
		}
		p.syntaxError(data, err)
		return nil
	}
	var second yaml.Node
	switch err := dec.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		p.syntaxError(data, err)
		return nil
	default:
		pos := diag.Pos{File: p.file, Line: second.Line, Col: second.Column}
		p.diags.Errorf(CodeDocuments, pos, "the file holds more than one YAML document").Hint =
			"keep one document per file: remove the line '---' before it or move it to a file of its own"
	}
	return &first
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+)(?:, column (\d+))?: )?(.*)$`)

var anchorName = regexp.MustCompile(`unknown anchor '([^']*)'`)

func (p *parser) syntaxError(data []byte, err error) {
	m := yamlLine.FindStringSubmatch(strings.TrimSpace(strings.SplitN(err.Error(), "\n", 2)[0]))
	line, _ := strconv.Atoi(m[1])
	col, _ := strconv.Atoi(m[2])
	msg := m[3]
	d := diag.Diagnostic{Code: CodeSyntax, Message: "not valid YAML: " + msg}
	if tab := indentTab(data); tab > 0 && (line == 0 || tab <= line+1) {
		line, col = tab, 1
		d.Message, d.Hint = "not valid YAML: a tab is used for indentation", "indent with spaces"
	}
	if line == 0 {
		line = 1
	}
	if m := locate(data, msg, line); d.Hint == "" && m != nil {
		line, col = m.line, m.col
		d.Message, d.Hint = "not valid YAML: "+m.what, m.hint
	}
	d.Pos = diag.Pos{File: p.file, Line: line, Col: col}
	switch {
	case d.Hint != "":
	case strings.Contains(msg, "mapping values are not allowed"):
		d.Hint = "check the indentation, and quote texts that contain ': '"
	case strings.Contains(msg, "did not find expected key"), strings.Contains(msg, "could not find expected ':'"):
		d.Hint = "check the indentation of this and the previous lines, and quotes that are not closed"
	case strings.Contains(msg, "unexpected end of stream"):
		d.Hint = "a quote that begins on this line is not closed"
	case strings.Contains(msg, "did not find expected '-' indicator"), strings.Contains(msg, "block sequence entries are not allowed"):
		d.Hint = "a list and a map are mixed here or below: the entries of one are indented alike, and all or none begin with a dash"
	case strings.Contains(msg, "unknown anchor"):
		d.Code, d.Message, d.Hint = CodeAlias, "not valid YAML: "+msg, "define it before its use with &name"
		if m := anchorName.FindStringSubmatch(msg); m != nil { // the library does not say where
			if i := bytes.Index(data, []byte("*"+m[1])); i >= 0 {
				d.Pos.Line, d.Pos.Col = lineCol(data, i)
			}
		}
	case strings.Contains(msg, "found character that cannot start any token"):
		d.Hint = "quote texts that begin with one of % @ ` or a tab"
	}
	p.diags.Add(d)
}

// indentTab returns the first line whose indentation has a tab, or 0.
func indentTab(data []byte) int {
	line := 0
	for l := range bytes.Lines(data) {
		line++
		t := bytes.TrimLeft(l, " ")
		if len(t) > 0 && t[0] == '\t' && len(bytes.TrimSpace(t)) > 0 && bytes.TrimSpace(t)[0] != '#' {
			return line
		}
	}
	return 0
}

func (p *parser) pos(n *yaml.Node) diag.Pos {
	return diag.Pos{File: p.file, Line: n.Line, Col: n.Column}
}

func (p *parser) fail(code string, n *yaml.Node, format string, args ...any) *diag.Diagnostic {
	p.fatal = true
	return p.diags.Errorf(code, p.pos(n), format, args...)
}

// convert turns the library's node into ours. Aliases share the Node of their anchor.
func (p *parser) convert(y *yaml.Node, depth int) converted {
	if p.fatal {
		return converted{}
	}
	var c converted
	switch {
	case y.Kind == yaml.AliasNode:
		a, ok := p.done[y.Alias]
		if !ok || a.node == nil {
			p.fail(CodeAlias, y, "the alias *%s is used inside its own anchor", y.Value).Hint = "an anchor cannot contain itself"
			return converted{}
		}
		c = *a
	case y.Anchor != "":
		a := &converted{}
		p.done[y] = a
		*a = p.value(y, depth)
		c = *a
	default:
		c = p.value(y, depth)
	}
	if depth+c.height > maxDepth && !p.fatal {
		p.fail(CodeTooDeep, y, "the document is nested more than %d levels deep", maxDepth)
	}
	return c
}

func (p *parser) value(y *yaml.Node, depth int) converted {
	if depth > maxDepth {
		p.fail(CodeTooDeep, y, "the document is nested more than %d levels deep", maxDepth)
		return converted{}
	}
	c := converted{node: &Node{Pos: p.pos(y)}, size: 1}
	n := c.node
	switch y.Kind {
	case yaml.ScalarNode:
		n.Kind, n.Text = Scalar, y.Value
		n.Quoted = y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
		n.Tag = y.ShortTag()
		if n.Tag == "!!null" && !n.Quoted {
			n.Kind = Null
		}
	case yaml.SequenceNode:
		n.Kind, n.Tag = Sequence, "!!seq"
		n.Items = make([]*Node, 0, len(y.Content))
		for _, child := range y.Content {
			item := p.convert(child, depth+1)
			if p.fatal {
				return converted{}
			}
			n.Items = append(n.Items, item.node)
			c.add(item)
		}
	case yaml.MappingNode:
		p.mapping(&c, y, depth)
	default:
		p.fail(CodeSyntax, y, "not valid YAML")
	}
	return c
}

// mapping fills a mapping; merge keys (<<) add what is not there.
func (p *parser) mapping(c *converted, y *yaml.Node, depth int) {
	n := c.node
	n.Kind, n.Tag = Mapping, "!!map"
	n.Pairs = make([]Pair, 0, len(y.Content)/2)
	seen := &keys{}
	var merges []*Node
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, v := p.convert(y.Content[i], depth+1), p.convert(y.Content[i+1], depth+1)
		if p.fatal {
			return
		}
		c.add(k)
		c.add(v)
		key := k.node
		switch {
		case key.Tag == "!!merge":
			merges = append(merges, v.node)
			continue
		case key.Kind != Scalar && key.Kind != Null:
			p.diags.Errorf(CodeKey, key.Pos, "a %s cannot be the key of a map", key.Kind).Hint = "quote texts that contain { or ["
			if key.Kind == Sequence {
				n.ListKeys = append(n.ListKeys, ListPair{key, v.node})
			}
			continue
		case key.Kind == Null:
			key = &Node{Kind: Scalar, Tag: key.Tag, Text: key.Text, Pos: key.Pos}
		}
		if first := seen.add(key); first != nil {
			d := p.diags.Errorf(CodeDuplicateKey, key.Pos, "the key %q appears twice in this map", key.Text)
			d.Hint = "remove or rename one of the two"
			d.Related = []diag.Related{{Pos: first.Pos, Message: "first used here"}}
			n.replaceNull(first, v.node)
			continue
		}
		n.Pairs = append(n.Pairs, Pair{key, v.node})
	}
	for _, m := range merges {
		p.merge(n, seen, m)
	}
}

// replaceNull gives a key that had no value the one of its repetition.
func (n *Node) replaceNull(key, value *Node) {
	for i := range n.Pairs {
		if n.Pairs[i].Key == key && n.Pairs[i].Value.Kind == Null {
			n.Pairs[i].Value = value
		}
	}
}

// merge adds the pairs of a merge key's value (a map or a list of maps) that n lacks.
func (p *parser) merge(n *Node, seen *keys, from *Node) {
	switch from.Kind {
	case Mapping:
		for _, pair := range from.Pairs {
			if seen.add(pair.Key) == nil {
				n.Pairs = append(n.Pairs, pair)
			}
		}
	case Sequence:
		for _, m := range from.Items {
			if m.Kind != Mapping {
				p.diags.Errorf(CodeAlias, m.Pos, "a merge key (<<) takes maps, not a %s", m.Kind)
				continue
			}
			p.merge(n, seen, m)
		}
	case Null:
	default:
		p.diags.Errorf(CodeAlias, from.Pos, "a merge key (<<) takes a map, not a %s", from.Kind)
	}
}

// keys finds repeated keys: by scanning in small maps, by a table in large ones.
type keys struct {
	list []*Node
	m    map[string]*Node
}

// add returns the earlier key of the same text, or remembers this one and returns nil.
func (k *keys) add(key *Node) *Node {
	if k.m != nil {
		if first := k.m[key.Text]; first != nil {
			return first
		}
		k.m[key.Text] = key
		return nil
	}
	for _, first := range k.list {
		if first.Text == key.Text {
			return first
		}
	}
	if k.list = append(k.list, key); len(k.list) > 12 {
		k.m = make(map[string]*Node, 4*len(k.list))
		for _, e := range k.list {
			k.m[e.Text] = e
		}
	}
	return nil
}

// String is a short form for messages: the text of a scalar, else the kind.
func (n *Node) String() string {
	switch {
	case n == nil || n.Kind == Null:
		return "null"
	case n.Kind == Scalar:
		return n.Text
	}
	return fmt.Sprintf("a %s", n.Kind)
}

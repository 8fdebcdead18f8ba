package lsp

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.lsp.dev/jsonrpc2"
	"go.lsp.dev/protocol"
	"go.lsp.dev/uri"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/tosca"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func analyze(ctx context.Context, file string, overlay source.Overlay, memo *source.Memo) *tosca.Analysis {
	b, list := source.OpenDocument(file, overlay)
	if b == nil {
		return &tosca.Analysis{Findings: list}
	}
	return tosca.Analyze(ctx, tosca.Options{Bundle: b, Memo: memo})
}

// editor is a client of go.lsp.dev/protocol, which knows nothing of this server.
type editor struct {
	t      *testing.T
	server protocol.Server
	conn   jsonrpc2.Conn
	done   chan error

	mu        sync.Mutex
	published map[uri.URI]*protocol.PublishDiagnosticsParams
	changed   chan struct{}
}

// client answers what the server sends.
type client struct {
	protocol.Client
	e *editor
}

func (c client) PublishDiagnostics(_ context.Context, p *protocol.PublishDiagnosticsParams) error {
	c.e.mu.Lock()
	defer c.e.mu.Unlock()
	c.e.published[p.URI] = p
	close(c.e.changed)
	c.e.changed = make(chan struct{})
	return nil
}

func open(t *testing.T, cache string) *editor {
	t.Helper()
	near, far := net.Pipe()
	e := &editor{t: t, published: map[uri.URI]*protocol.PublishDiagnosticsParams{}, changed: make(chan struct{}), done: make(chan error, 1)}
	go func() {
		e.done <- Serve(context.Background(), far, Options{Analyze: analyze, Version: "test", Cache: cache})
	}()
	ctx, cancel := context.WithCancel(context.Background())
	_, e.conn, e.server = protocol.NewClient(ctx, client{e: e}, jsonrpc2.NewStream(near), zap.NewNop())
	t.Cleanup(func() {
		_ = e.conn.Close()
		_ = near.Close()
		<-e.conn.Done()
		cancel()
		select {
		case <-e.done:
		case <-time.After(time.Minute):
			t.Error("the server does not end with its connection")
		}
	})
	r, err := e.server.Initialize(ctx, &protocol.InitializeParams{})
	if err != nil {
		t.Fatal(err)
	}
	if r.ServerInfo.Name != "orch" || r.Capabilities.HoverProvider != true {
		t.Errorf("%+v", r)
	}
	if err := e.server.Initialized(ctx, &protocol.InitializedParams{}); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *editor) didOpen(file, text string) protocol.TextDocumentIdentifier {
	e.t.Helper()
	u := uri.File(file)
	if err := e.server.DidOpen(context.Background(), &protocol.DidOpenTextDocumentParams{TextDocument: protocol.TextDocumentItem{URI: u, LanguageID: "yaml", Version: 1, Text: text}}); err != nil {
		e.t.Fatal(err)
	}
	return protocol.TextDocumentIdentifier{URI: u}
}

func (e *editor) change(doc protocol.TextDocumentIdentifier, version int32, changes ...protocol.TextDocumentContentChangeEvent) {
	e.t.Helper()
	err := e.server.DidChange(context.Background(), &protocol.DidChangeTextDocumentParams{
		TextDocument: protocol.VersionedTextDocumentIdentifier{TextDocumentIdentifier: doc, Version: version}, ContentChanges: changes,
	})
	if err != nil {
		e.t.Fatal(err)
	}
}

// replace is an edit that replaces the only occurrence of a text.
func replace(text, old, new string) (protocol.TextDocumentContentChangeEvent, string) {
	at := strings.Index(text, old)
	t := newText(text)
	pos := func(off int) protocol.Position {
		line := strings.Count(text[:off], "\n")
		return protocol.Position{Line: uint32(line), Character: uint32(units(text[t.lines[line]:off]))}
	}
	return protocol.TextDocumentContentChangeEvent{Range: protocol.Range{Start: pos(at), End: pos(at + len(old))}, Text: new}, strings.Replace(text, old, new, 1)
}

// await waits until the file's findings are as wanted.
func (e *editor) await(doc protocol.TextDocumentIdentifier, what string, ok func([]protocol.Diagnostic) bool) []protocol.Diagnostic {
	e.t.Helper()
	deadline := time.After(time.Minute)
	for {
		e.mu.Lock()
		p, changed := e.published[doc.URI], e.changed
		e.mu.Unlock()
		if p != nil && ok(p.Diagnostics) {
			return p.Diagnostics
		}
		select {
		case <-changed:
		case <-deadline:
			e.t.Fatalf("no findings for: %s; last: %+v", what, p)
		}
	}
}

func clean(l []protocol.Diagnostic) bool { return len(l) == 0 }

func has(code string) func([]protocol.Diagnostic) bool {
	return func(l []protocol.Diagnostic) bool {
		return slices.ContainsFunc(l, func(d protocol.Diagnostic) bool { return d.Code == code })
	}
}

const app = `tosca_definitions_version: tosca_simple_yaml_1_3
imports: [ types.yaml ]
topology_template:
  inputs:
    size: { type: integer, default: 1, description: How large }
  node_templates:
    # ä𝄞
    server: { type: tosca.nodes.Compute }
    "😀 web":
      type: my.Web
      properties:
        port: 80
        mode: fast
        count: { get_input: size }
        other: { get_attribute: [ server, private_address ] }
      requirements:
        - host: server
`

const types = `tosca_definitions_version: tosca_simple_yaml_1_3
node_types:
  my.Web:
    derived_from: tosca.nodes.SoftwareComponent
    description: A web server
    properties:
      port: { type: integer, description: Where it listens }
      mode: { type: string, default: fast, constraints: [ { valid_values: [ fast, slow ] } ] }
      count: { type: integer, required: false }
      other: { type: string, required: false }
    interfaces:
      Standard: { operations: { create: create.sh } }
`

// project writes the files of a small project.
func project(t *testing.T) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range map[string]string{"types.yaml": types, "create.sh": "#!/bin/sh\n", "app.yaml": app} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, filepath.Join(dir, "app.yaml")
}

// spot is the position in the middle of a word's nth occurrence.
func spot(doc protocol.TextDocumentIdentifier, text, word string, n int) protocol.TextDocumentPositionParams {
	off := -1
	for range n + 1 {
		off += 1 + strings.Index(text[off+1:], word)
	}
	line := strings.Count(text[:off], "\n")
	t := newText(text)
	return protocol.TextDocumentPositionParams{TextDocument: doc, Position: protocol.Position{Line: uint32(line), Character: uint32(units(text[t.lines[line]:off])) + 1}}
}

func TestFindingsFollowTheText(t *testing.T) {
	dir, file := project(t)
	e := open(t, "")
	doc := e.didOpen(file, strings.Replace(app, "my.Web", "my.Wbe", 1))
	text := strings.Replace(app, "my.Web", "my.Wbe", 1)
	d := e.await(doc, "a wrong type", has("unknown-type"))[0]
	if d.Range.Start.Line != 9 || d.Range.Start.Character != 12 || d.Range.End.Character != 18 || d.Severity != protocol.DiagnosticSeverityError || !strings.Contains(d.Message, `did you mean "my.Web"`) {
		t.Errorf("%+v", d)
	}
	edit, text := replace(text, "Wbe", "Web")
	e.change(doc, 2, edit)
	e.await(doc, "the right type", clean)

	// a document that is no YAML at all, and back; two edits in one message; positions after characters of two UTF-16 units
	broken, text := replace(text, "properties:", "properties: [")
	e.change(doc, 3, broken)
	e.await(doc, "a bracket that is not closed", func(l []protocol.Diagnostic) bool { return len(l) == 1 && l[0].Code == "yaml-syntax" })
	fixed, text := replace(text, "properties: [", "properties:")
	renamed, text := replace(text, `"😀 web":`, `"😀 web": # 𝄞`)
	e.change(doc, 4, fixed, renamed)
	e.await(doc, "mended", clean)
	wrong, _ := replace(text, "mode: fast", "mode: quick")
	e.change(doc, 5, wrong)
	e.await(doc, "a value that is not allowed", func(l []protocol.Diagnostic) bool { return len(l) == 1 && strings.Contains(l[0].Message, "quick") })

	// the imported document, open with a change that is not saved
	e.change(doc, 6, protocol.TextDocumentContentChangeEvent{Text: app})
	// go.lsp.dev always sends a range; an empty one at the start inserts: set the whole text by closing and opening
	if err := e.server.DidClose(context.Background(), &protocol.DidCloseTextDocumentParams{TextDocument: doc}); err != nil {
		t.Fatal(err)
	}
	doc = e.didOpen(file, app)
	e.await(doc, "opened again", clean)
	lib := e.didOpen(filepath.Join(dir, "types.yaml"), strings.Replace(types, "port: { type: integer", "port: { type: boolean", 1))
	found := e.await(doc, "the change of the imported document", has("value-type"))
	if len(found[0].RelatedInformation) > 0 && !strings.HasSuffix(string(found[0].RelatedInformation[0].Location.URI), "/types.yaml") {
		t.Errorf("%+v", found[0].RelatedInformation)
	}
	if err := e.server.DidClose(context.Background(), &protocol.DidCloseTextDocumentParams{TextDocument: lib}); err != nil {
		t.Fatal(err)
	}
	e.await(doc, "the imported document as it is on disk", clean)
}

func TestHoverSaysWhatThingsAre(t *testing.T) {
	_, file := project(t)
	e := open(t, "")
	doc := e.didOpen(file, app)
	for _, c := range []struct {
		word string
		n    int
		want []string
	}{
		{"my.Web", 0, []string{"**my.Web**: node type derived from `tosca.nodes.SoftwareComponent`", "A web server", "`port`: integer, required – Where it listens"}},
		{"port", 1, []string{"**port**: integer", "Where it listens"}},
		{"mode", 0, []string{"valid values: `[fast, slow]`", "Default: `fast`"}},
		{"tosca.nodes.Compute", 0, []string{"**tosca.nodes.Compute**: node type", "Capabilities: "}},
		{"size", 1, []string{"**size**: integer", "How large"}},
		{"server", 1, []string{"**server**: node template of type `tosca.nodes.Compute`"}},
		{"server", 2, []string{"**server**: node template"}},
		{"node_templates", 0, []string{"The components of the application"}},
		{"get_input", 0, []string{"function", "input"}},
		{"host", 0, []string{"**host**: requirement"}},
		{"integer", 0, []string{"**integer**"}},
	} {
		h, err := e.server.Hover(context.Background(), &protocol.HoverParams{TextDocumentPositionParams: spot(doc, app, c.word, c.n)})
		if err != nil || h == nil {
			t.Errorf("%s: %v %v", c.word, h, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(h.Contents.Value, want) {
				t.Errorf("%s: %q is not in\n%s", c.word, want, h.Contents.Value)
			}
		}
	}
	if h, err := e.server.Hover(context.Background(), &protocol.HoverParams{TextDocumentPositionParams: protocol.TextDocumentPositionParams{TextDocument: doc, Position: protocol.Position{Line: 9999}}}); err != nil || h != nil {
		t.Errorf("beyond the end: %v %v", h, err)
	}
}

func TestDefinitionLeadsToTheDeclaration(t *testing.T) {
	_, file := project(t)
	cache := filepath.Join(t.TempDir(), "types")
	e := open(t, cache)
	doc := e.didOpen(file, app)
	for _, c := range []struct {
		word string
		n    int
		file string
		line uint32
	}{
		{"my.Web", 0, "/types.yaml", 2}, {"port", 1, "/types.yaml", 6}, {"size", 1, "/app.yaml", 4}, {"server", 1, "/app.yaml", 7}, {"server", 2, "/app.yaml", 7},
		{"types.yaml", 0, "/types.yaml", 0},
	} {
		l, err := e.server.Definition(context.Background(), &protocol.DefinitionParams{TextDocumentPositionParams: spot(doc, app, c.word, c.n)})
		if err != nil || len(l) != 1 || !strings.HasSuffix(string(l[0].URI), c.file) || l[0].Range.Start.Line != c.line {
			t.Errorf("%s: %v %v", c.word, l, err)
		}
	}
	// a type of the language itself: a copy that the editor can show
	l, err := e.server.Definition(context.Background(), &protocol.DefinitionParams{TextDocumentPositionParams: spot(doc, app, "tosca.nodes.Compute", 0)})
	if err != nil || len(l) != 1 {
		t.Fatalf("%v %v", l, err)
	}
	data, err := os.ReadFile(l[0].URI.Filename())
	if err != nil || !strings.HasPrefix(l[0].URI.Filename(), cache) {
		t.Fatalf("%s: %v", l[0].URI, err)
	}
	if line := newText(string(data)).line(int(l[0].Range.Start.Line)); !strings.Contains(line, "tosca.nodes.Compute") {
		t.Errorf("the line is %q", line)
	}
}

// complete opens a document with ‸ where the cursor is and returns the labels that are offered.
func complete(t *testing.T, e *editor, dir, text string) []string {
	t.Helper()
	off := strings.Index(text, "‸")
	text = strings.Replace(text, "‸", "", 1)
	doc := e.didOpen(filepath.Join(dir, "new.yaml"), text)
	line := strings.Count(text[:off], "\n")
	char := units(text[newText(text).lines[line]:off])
	l, err := e.server.Completion(context.Background(), &protocol.CompletionParams{TextDocumentPositionParams: protocol.TextDocumentPositionParams{
		TextDocument: doc, Position: protocol.Position{Line: uint32(line), Character: uint32(char)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var labels []string
	for _, it := range l.Items {
		labels = append(labels, it.Label)
	}
	return labels
}

func TestCompletion(t *testing.T) {
	dir, _ := project(t)
	e := open(t, "")
	head := "tosca_definitions_version: tosca_simple_yaml_1_3\nimports: [ types.yaml ]\ntopology_template:\n  inputs:\n    size: { type: integer }\n  node_templates:\n    server: { type: tosca.nodes.Compute }\n"
	web := head + "    web:\n      type: my.Web\n"
	for name, c := range map[string]struct {
		text      string
		want, not []string
	}{
		"versions":                 {"tosca_definitions_version: ‸\n", []string{"tosca_2_0", "cloudify_dsl_1_5", "alien_dsl_3_0_0"}, nil},
		"nothing yet":              {"‸", []string{"tosca_2_0"}, nil},
		"top level":                {"tosca_definitions_version: tosca_2_0\n‸", []string{"service_template", "node_types"}, []string{"topology_template"}},
		"keynames":                 {web + "      re‸\n", []string{"requirements", "directives"}, []string{"valid_source_types"}},
		"types":                    {head + "    web:\n      type: ‸\n", []string{"my.Web", "tosca.nodes.Compute"}, []string{"tosca.capabilities.Compute"}},
		"types that contain":       {head + "    web:\n      type: comp‸\n", []string{"tosca.nodes.Compute"}, []string{"my.Web"}},
		"types in brackets":        {head + "    web: { type: ‸ }\n", []string{"my.Web"}, nil},
		"properties":               {web + "      properties:\n        ‸\n", []string{"port", "mode", "count"}, []string{"type"}},
		"properties in brackets":   {web + "      properties: { port: 1, ‸ }\n", []string{"mode"}, []string{"type"}},
		"values":                   {web + "      properties:\n        mode: ‸\n", []string{"fast", "slow", "get_input"}, nil},
		"requirements":             {web + "      requirements:\n        - ‸\n", []string{"host"}, nil},
		"requirements at the key":  {web + "      requirements:\n      - ‸\n", []string{"host"}, nil},
		"nodes":                    {web + "      requirements:\n        - host: ‸\n", []string{"server"}, []string{"web"}},
		"node of a requirement":    {web + "      requirements:\n        - host:\n            node: ‸\n", []string{"server"}, nil},
		"requirement's keynames":   {web + "      requirements:\n        - host:\n            ‸\n", []string{"node", "relationship", "node_filter"}, nil},
		"relationship types":       {web + "      requirements:\n        - host:\n            relationship: ‸\n", []string{"tosca.relationships.HostedOn"}, nil},
		"inputs":                   {web + "      properties:\n        port: { get_input: ‸ }\n", []string{"size"}, nil},
		"nodes of a function":      {web + "      properties:\n        port: { get_property: [ ‸ ] }\n", []string{"SELF", "server"}, nil},
		"properties of a function": {web + "      properties:\n        port: { get_property: [ SELF, ‸ ] }\n", []string{"mode"}, nil},
		"attributes":               {web + "      properties:\n        port: { get_attribute: [ server, ‸ ] }\n", []string{"private_address"}, nil},
		"capabilities":             {head + "    s2:\n      type: tosca.nodes.Compute\n      capabilities:\n        ‸\n", []string{"host", "os", "scalable"}, nil},
		"capability's properties":  {head + "    s2:\n      type: tosca.nodes.Compute\n      capabilities:\n        host:\n          properties:\n            ‸\n", []string{"num_cpus", "mem_size"}, nil},
		"interfaces":               {web + "      interfaces:\n        ‸\n", []string{"Standard"}, nil},
		"operations":               {web + "      interfaces:\n        Standard:\n          operations:\n            ‸\n", []string{"create", "start"}, nil},
		"scripts":                  {web + "      interfaces:\n        Standard:\n          operations:\n            create:\n              implementation: ‸\n", []string{"create.sh"}, []string{"types.yaml"}},
		"derived from":             {head + "node_types:\n  T:\n    derived_from: ‸\n", []string{"my.Web", "tosca.nodes.Root"}, nil},
		"data types":               {head + "node_types:\n  T:\n    properties:\n      p:\n        type: ‸\n", []string{"string", "map", "tosca.datatypes.Credential"}, nil},
		"constraints":              {head + "node_types:\n  T:\n    properties:\n      p:\n        type: string\n        constraints:\n          - ‸\n", []string{"valid_values", "pattern"}, nil},
		"members":                  {web + "  groups:\n    g:\n      type: tosca.groups.Root\n      members: [ ‸ ]\n", []string{"server", "web"}, nil},
		"members in lines":         {web + "  groups:\n    g:\n      type: tosca.groups.Root\n      members:\n        - ‸\n", []string{"server", "web"}, nil},
		"required":                 {head + "node_types:\n  T:\n    properties:\n      p:\n        required: ‸\n", []string{"true", "false"}, nil},
		"activities":               {web + "  workflows:\n    w:\n      steps:\n        s:\n          activities:\n            - ‸\n", []string{"call_operation", "inline"}, nil},
		"imports":                  {"tosca_definitions_version: tosca_simple_yaml_1_3\nimports:\n  - ‸\n", []string{"types.yaml"}, []string{"create.sh"}},
		"while broken":             {web + "      properties:\n        mode: \"fast\n        po‸", []string{"port"}, nil},
		"Cloudify": {"tosca_definitions_version: cloudify_dsl_1_3\nimports: [ cloudify/types/types.yaml ]\nnode_templates:\n  a:\n    type: ‸\n",
			[]string{"cloudify.nodes.Compute"}, nil},
		"Cloudify's targets": {"tosca_definitions_version: cloudify_dsl_1_3\nimports: [ cloudify/types/types.yaml ]\nnode_templates:\n  a:\n    type: cloudify.nodes.Root\n  b:\n    type: cloudify.nodes.Root\n    relationships:\n      - type: cloudify.relationships.depends_on\n        target: ‸\n",
			[]string{"a"}, nil},
		"Alien4Cloud": {"tosca_definitions_version: alien_dsl_2_0_0\nnode_types:\n  T:\n    ‸\n", []string{"derived_from", "abstract"}, nil},
	} {
		got := complete(t, e, dir, c.text)
		for _, w := range c.want {
			if !slices.Contains(got, w) {
				t.Errorf("%s: %q is not offered: %.300q", name, w, got)
			}
		}
		for _, w := range c.not {
			if slices.Contains(got, w) {
				t.Errorf("%s: %q is offered", name, w)
			}
		}
	}
}

func TestSymbols(t *testing.T) {
	_, file := project(t)
	e := open(t, "")
	doc := e.didOpen(file, app)
	raw, err := e.server.DocumentSymbol(context.Background(), &protocol.DocumentSymbolParams{TextDocument: doc})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(raw)
	var list []protocol.DocumentSymbol
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	var names []string
	var walk func(l []protocol.DocumentSymbol, in string)
	walk = func(l []protocol.DocumentSymbol, in string) {
		for _, s := range l {
			names = append(names, in+s.Name)
			if s.Range.End.Line < s.SelectionRange.End.Line || s.Range.Start.Line > s.SelectionRange.Start.Line {
				t.Errorf("%s: the name is outside of its range", s.Name)
			}
			walk(s.Children, in+s.Name+"/")
		}
	}
	walk(list, "")
	for _, want := range []string{"topology_template", "topology_template/inputs/size", "topology_template/node_templates/😀 web", "topology_template/node_templates/😀 web/properties/port"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not among %q", want, names)
		}
	}
}

func TestTheProtocolsOrder(t *testing.T) {
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- Serve(context.Background(), far, Options{Analyze: analyze}) }()
	defer near.Close()
	ask := func(msg string) string {
		t.Helper()
		_ = near.SetDeadline(time.Now().Add(time.Minute))
		if _, err := io.WriteString(near, "Content-Length: "+itoa(len(msg))+"\r\nContent-Type: application/vscode-jsonrpc; charset=utf-8\r\n\r\n"+msg); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(msg, `"id"`) || strings.Contains(msg, "cancelRequest") {
			return ""
		}
		buf := make([]byte, 1<<16)
		all := ""
		for !strings.HasSuffix(all, "}") {
			n, err := near.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			all += string(buf[:n])
		}
		return all
	}
	for _, c := range []struct{ msg, want string }{
		{`{"jsonrpc":"2.0","id":1,"method":"textDocument/hover","params":{}}`, `"code":-32002`},
		{`{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"file:///x.yaml","text":"a"}}}`, ""},
		{`{"jsonrpc":"2.0","id":"two","method":"initialize","params":{"capabilities":{}}}`, `"positionEncoding":"utf-16"`},
		{`{"jsonrpc":"2.0","id":3,"method":"initialize","params":{}}`, `"code":-32600`},
		{`{"jsonrpc":"2.0","method":"$/setTrace","params":{"value":"off"}}`, ""},
		{`{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":99}}`, ""},
		{`{"jsonrpc":"2.0","id":4,"method":"workspace/nothing"}`, `"code":-32601`},
		{`{"jsonrpc":"2.0","id":5,"method":"textDocument/hover"}`, `"code":-32602`},
		{`{"jsonrpc":"2.0","id":6,"method":"textDocument/hover","params":{"textDocument":{"uri":"file:///not/open.yaml"},"position":{"line":0,"character":0}}}`, `"code":-32602`},
		{`{"jsonrpc":"2.0","id":7,"method":"shutdown"}`, `"result":null`},
		{`{"jsonrpc":"2.0","id":8,"method":"textDocument/hover","params":{}}`, `"code":-32600`},
		{`{"jsonrpc":"2.0","method":"exit"}`, ""},
	} {
		if got := ask(c.msg); !strings.Contains(got, c.want) {
			t.Errorf("%s is answered by %s", c.msg, got)
		}
	}
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("an exit after a shutdown is no error: %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("exit does not end the server")
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

// A request that waits is answered as cancelled at once.
func TestARequestIsCancelled(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	slow := func(ctx context.Context, file string, overlay source.Overlay, memo *source.Memo) *tosca.Analysis {
		once.Do(func() { close(entered) })
		<-release
		return analyze(ctx, file, overlay, memo)
	}
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- Serve(context.Background(), far, Options{Analyze: slow}) }()
	ctx, stop := context.WithCancel(context.Background())
	e := &editor{t: t, published: map[uri.URI]*protocol.PublishDiagnosticsParams{}, changed: make(chan struct{})}
	_, conn, server := protocol.NewClient(ctx, client{e: e}, jsonrpc2.NewStream(near), zap.NewNop())
	if _, err := server.Initialize(ctx, &protocol.InitializeParams{}); err != nil {
		t.Fatal(err)
	}
	e.server = server
	doc := e.didOpen(filepath.Join(t.TempDir(), "a.yaml"), app)
	<-entered // the worker has the workspace now
	asked, cancel := context.WithCancel(ctx)
	answer := make(chan error, 1)
	go func() {
		_, err := server.Hover(asked, &protocol.HoverParams{TextDocumentPositionParams: spot(doc, app, "size", 0)})
		answer <- err
	}()
	cancel()
	select {
	case err := <-answer:
		if err == nil {
			t.Error("a cancelled request has an answer")
		}
	case <-time.After(time.Minute):
		t.Error("a cancelled request is not answered")
	}
	close(release)
	if err := server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	_ = server.Exit(ctx)
	if err := <-done; err != nil {
		t.Error(err)
	}
	_ = conn.Close()
	<-conn.Done()
	stop()
}

// Garbage ends the connection, never the process, and not with a huge allocation.
func TestGarbageEndsTheConnection(t *testing.T) {
	for _, msg := range []string{"Content-Length: 99999999999999\r\n\r\n{", "Content-Length: -1\r\n\r\n", "hello\r\n\r\n", "Content-Length: 4\r\n\r\n}{}{", strings.Repeat("x", 1<<20), "Content-Length: 1000\r\n\r\n{}", "\x00\xff"} {
		near, far := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- Serve(context.Background(), far, Options{Analyze: analyze}) }()
		go func() {
			_, _ = io.WriteString(near, msg)
			_ = near.Close()
		}()
		select {
		case err := <-done:
			if err == nil {
				t.Errorf("%.40q: an end without a shutdown is none", msg)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%.40q: the server goes on", msg)
		}
		_ = near.Close()
	}
}

// Package lsp is a server of the Language Server Protocol over one connection: an editor tells it what is typed, and it answers with findings,
// explanations, places and completions.
//
//	didOpen, didChange, didClose ──▶ documents (text with unsaved changes)
//	                                    │ worker: what a change made stale is analysed again
//	requests ──▶ current analysis ◀─────┘──▶ publishDiagnostics
//
// It knows the protocol and the analysis (pkg/tosca), no files beyond what that reads, no configuration, no deployments. Notifications are
// handled in order, requests beside each other; what they share is behind one lock that gives up when a request is cancelled.
package lsp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"

	"github.com/sourcegraph/jsonrpc2"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/tosca"
)

// Options of Serve.
type Options struct {
	// Analyze loads a document with what the overlay says about files, remembering in memo what it has parsed.
	Analyze func(ctx context.Context, file string, overlay source.Overlay, memo *source.Memo) *tosca.Analysis
	Version string
	// Cache is a directory for copies of plugins' types, so that editors can show them; "" for none.
	Cache  string
	Logger *slog.Logger
}

// ErrNoShutdown says that the client ended without having asked for a shutdown.
var ErrNoShutdown = errors.New("the editor ended the connection without a shutdown")

// Codes of the protocol beyond JSON-RPC's.
const (
	codeNotInitialized = -32002
	codeCancelled      = -32800
)

// server is one connection's state.
type server struct {
	o    Options
	conn *jsonrpc2.Conn
	stop context.CancelFunc

	state   sync.Mutex // guards the next three
	ready   bool
	down    bool
	running map[string]context.CancelFunc // requests by id

	lock  chan struct{} // held by who reads or changes the workspace
	work  workspace
	dirty chan struct{} // wakes the worker
	tasks sync.WaitGroup
}

// Serve answers on a connection until it ends or the client says exit. The error is ErrNoShutdown for an exit that was not announced.
func Serve(ctx context.Context, rwc io.ReadWriteCloser, o Options) error {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s := &server{o: o, stop: stop, running: map[string]context.CancelFunc{}, lock: make(chan struct{}, 1), dirty: make(chan struct{}, 1)}
	s.work.open = map[string]*openDocument{}
	s.work.published = map[string]string{}
	// The handler must not run before s.conn is set: messages may be waiting already.
	set := make(chan struct{})
	s.conn = jsonrpc2.NewConn(ctx, jsonrpc2.NewBufferedStream(rwc, codec{}), handler(func(ctx context.Context, c *jsonrpc2.Conn, r *jsonrpc2.Request) {
		<-set
		s.handle(ctx, r)
	}), jsonrpc2.SetLogger(quiet{}))
	close(set)
	s.tasks.Go(func() { s.worker(ctx) })
	select {
	case <-ctx.Done():
		_ = s.conn.Close()
	case <-s.conn.DisconnectNotify():
		stop()
	}
	s.tasks.Wait()
	s.state.Lock()
	defer s.state.Unlock()
	if !s.down {
		return ErrNoShutdown
	}
	return nil
}

type handler func(ctx context.Context, c *jsonrpc2.Conn, r *jsonrpc2.Request)

func (h handler) Handle(ctx context.Context, c *jsonrpc2.Conn, r *jsonrpc2.Request) { h(ctx, c, r) }

// quiet keeps the library from writing to stderr.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

// handle runs notifications at once, in their order, and every request beside the others.
func (s *server) handle(ctx context.Context, r *jsonrpc2.Request) {
	if r.Notif {
		s.guard(r.Method, func() { s.notification(ctx, r) })
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	id := r.ID.String()
	s.state.Lock()
	s.running[id] = cancel
	s.state.Unlock()
	s.tasks.Go(func() {
		defer cancel()
		var result any
		err := error(&jsonrpc2.Error{Code: jsonrpc2.CodeInternalError, Message: "a defect of orch; see its log"})
		s.guard(r.Method, func() { result, err = s.request(ctx, r) })
		s.state.Lock()
		delete(s.running, id)
		s.state.Unlock()
		if err == nil {
			_ = s.conn.Reply(context.WithoutCancel(ctx), r.ID, result)
			return
		}
		reply := &jsonrpc2.Error{Code: jsonrpc2.CodeInternalError, Message: err.Error()}
		if !errors.As(err, &reply) && errors.Is(err, context.Canceled) {
			reply = &jsonrpc2.Error{Code: codeCancelled, Message: "cancelled"}
		}
		_ = s.conn.ReplyWithError(context.WithoutCancel(ctx), r.ID, reply)
	})
}

// guard keeps a defect in one message from ending the editor's session.
func (s *server) guard(method string, f func()) {
	defer func() {
		if v := recover(); v != nil {
			s.o.Logger.Error("panic in the language server", "method", method, "value", v, "stack", string(debug.Stack()))
		}
	}()
	f()
}

func (s *server) request(ctx context.Context, r *jsonrpc2.Request) (any, error) {
	s.state.Lock()
	ready, down := s.ready, s.down
	s.state.Unlock()
	switch {
	case down:
		return nil, &jsonrpc2.Error{Code: jsonrpc2.CodeInvalidRequest, Message: "the server is shut down"}
	case r.Method == "initialize":
		if ready {
			return nil, &jsonrpc2.Error{Code: jsonrpc2.CodeInvalidRequest, Message: "initialize was sent before"}
		}
		return s.initialize(), nil
	case !ready:
		return nil, &jsonrpc2.Error{Code: codeNotInitialized, Message: "initialize comes first"}
	}
	switch r.Method {
	case "shutdown":
		s.state.Lock()
		s.down = true
		s.state.Unlock()
		return nil, nil
	case "textDocument/hover":
		return at(ctx, s, r, s.hover)
	case "textDocument/definition":
		return at(ctx, s, r, s.definition)
	case "textDocument/completion":
		return at(ctx, s, r, s.completion)
	case "textDocument/documentSymbol":
		return at(ctx, s, r, s.symbols)
	}
	return nil, &jsonrpc2.Error{Code: jsonrpc2.CodeMethodNotFound, Message: "there is no method " + r.Method}
}

// at runs a request about a place of an open document with the workspace locked.
func at[T any](ctx context.Context, s *server, r *jsonrpc2.Request, f func(context.Context, *openDocument, position) (T, error)) (any, error) {
	var p positionParams
	if err := params(r, &p); err != nil {
		return nil, err
	}
	if err := s.acquire(ctx); err != nil {
		return nil, err
	}
	defer s.release()
	d := s.work.open[p.TextDocument.URI]
	if d == nil {
		return nil, &jsonrpc2.Error{Code: jsonrpc2.CodeInvalidParams, Message: "the document is not open: " + p.TextDocument.URI}
	}
	return f(ctx, d, p.Position)
}

func params(r *jsonrpc2.Request, into any) error {
	if r.Params == nil {
		return &jsonrpc2.Error{Code: jsonrpc2.CodeInvalidParams, Message: r.Method + " needs parameters"}
	}
	if err := json.Unmarshal(*r.Params, into); err != nil {
		return &jsonrpc2.Error{Code: jsonrpc2.CodeInvalidParams, Message: r.Method + ": " + err.Error()}
	}
	return nil
}

func (s *server) acquire(ctx context.Context) error {
	select {
	case s.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the workspace: %w", ctx.Err())
	}
}

func (s *server) release() { <-s.lock }

func (s *server) initialize() initializeResult {
	s.state.Lock()
	s.ready = true
	s.state.Unlock()
	return initializeResult{
		Capabilities: capabilities{
			PositionEncoding: "utf-16", Sync: syncOptions{OpenClose: true, Change: 2, Save: true}, Hover: true, Definition: true, Symbols: true,
			Completion: &completionOptions{TriggerCharacters: []string{":", " ", "[", "{", ",", "-"}},
		},
		ServerInfo: serverInfo{Name: "orch", Version: s.o.Version},
	}
}

// notification changes the workspace. What a client sends wrongly is ignored: nobody waits for an answer.
func (s *server) notification(ctx context.Context, r *jsonrpc2.Request) {
	switch r.Method {
	case "exit":
		s.stop()
		return
	case "$/cancelRequest":
		s.cancel(r)
		return
	}
	s.state.Lock()
	ready := s.ready && !s.down
	s.state.Unlock()
	if !ready || s.acquire(ctx) != nil {
		return
	}
	defer s.release()
	var open didOpenParams
	var change didChangeParams
	var other documentParams
	switch r.Method {
	case "textDocument/didOpen":
		if params(r, &open) == nil {
			s.work.didOpen(open.TextDocument)
		}
	case "textDocument/didChange":
		if params(r, &change) == nil {
			s.work.didChange(change)
		}
	case "textDocument/didClose":
		if params(r, &other) == nil {
			s.work.didClose(other.TextDocument.URI)
		}
	case "textDocument/didSave", "workspace/didChangeWatchedFiles":
		s.work.stale("") // files that are not open may have changed, too
	default:
		return
	}
	select {
	case s.dirty <- struct{}{}:
	default: // the worker will see this change with the one before
	}
}

func (s *server) cancel(r *jsonrpc2.Request) {
	var p struct {
		ID jsonrpc2.ID `json:"id"`
	}
	if params(r, &p) != nil {
		return
	}
	s.state.Lock()
	defer s.state.Unlock()
	if cancel := s.running[p.ID.String()]; cancel != nil {
		cancel()
	}
}

// worker analyses what has changed and publishes the findings.
func (s *server) worker(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.dirty:
		}
		for more := true; more && ctx.Err() == nil; {
			if s.acquire(ctx) != nil {
				return
			}
			more = false
			s.guard("analysis", func() {
				if d := s.work.next(); d != nil {
					more = true
					s.analysis(ctx, d)
				} else {
					s.publish(ctx)
				}
			})
			s.release()
		}
	}
}

package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state"
)

// replayed are the answers to requests with an Idempotency-Key: a client that did not get one asks again with the same key, and nothing is
// done twice. Only successes are kept; what was refused may be tried again.
//
//	(none) ──first request──▶ begun ──success──▶ kept, for a day
//	                            │
//	                            └──failure, or its server died and resultPatience passed──▶ (none)
type replayed struct {
	store state.Store
	blobs *state.Blobs
	now   func() time.Time
}

const (
	keyHeader      = "Idempotency-Key"
	replayHeader   = "Idempotency-Replayed"
	maxKey         = 255
	resultPatience = 10 * time.Minute
	smallBody      = 64 << 10
	replayPrefix   = "replay"
)

// replayRecord lies below its day, so that old ones go in one operation.
type replayRecord struct {
	Since       time.Time           `json:"since"`
	Fingerprint string              `json:"fingerprint"`
	Done        bool                `json:"done"`
	Status      int                 `json:"status,omitempty"`
	Header      map[string][]string `json:"header,omitempty"`
	Body        []byte              `json:"body,omitempty"`
	Blob        bool                `json:"blob,omitempty"` // the body is in a blob
}

func newReplayed(store state.Store) *replayed {
	return &replayed{store: store, blobs: state.NewBlobs(store), now: func() time.Time { return time.Now().UTC() }}
}

func (r *replayed) days() (today, yesterday string) {
	t := r.now()
	return t.Format(time.DateOnly), t.AddDate(0, 0, -1).Format(time.DateOnly)
}

// name of a key: keys of others, and of other tenants, are other keys.
func replayName(id orch.Identity, key string) string {
	sum := sha256.Sum256([]byte(fmt.Sprintf("%q %q %q", id.Tenant, id.User, key)))
	return hex.EncodeToString(sum[:])
}

// begin returns the kept answer, or nil if the request is to be done now; the key is taken then.
func (r *replayed) begin(ctx context.Context, name, fingerprint string) (kept *replayRecord, err error) {
	today, yesterday := r.days()
	err = r.store.Update(ctx, func(tx state.Tx) error {
		kept = nil
		for _, day := range []string{today, yesterday} {
			have, found, err := state.Find[replayRecord](tx, state.Join(replayPrefix, day, name))
			switch {
			case err != nil:
				return err
			case !found:
				continue
			case have.Fingerprint != fingerprint:
				return &statusError{http.StatusUnprocessableEntity, &orch.Error{Kind: orch.KindUser, Msg: "the " + keyHeader + " was used for another request", Hint: "give every request a key of its own"}}
			case have.Done:
				kept = &have
				return nil
			case r.now().Sub(have.Since) < resultPatience:
				return &orch.Error{Kind: orch.KindConflict, Msg: "the request with this " + keyHeader + " is being worked on", Hint: "ask again in a moment"}
			}
			if err := tx.Delete(state.Join(replayPrefix, day, name)); err != nil { // its server has died
				return err
			}
		}
		return state.Put(tx, state.Join(replayPrefix, today, name), replayRecord{Since: r.now(), Fingerprint: fingerprint})
	})
	if kept != nil && kept.Blob {
		kept.Body, _, err = r.blobs.ReadAll(ctx, state.Join(replayPrefix, kept.Since.Format(time.DateOnly), name), maxReplay)
	}
	return kept, err
}

const maxReplay = 64 << 20

// keep stores the answer. What is older than yesterday is forgotten at the same time.
func (r *replayed) keep(ctx context.Context, name string, rec replayRecord) error {
	key := state.Join(replayPrefix, rec.Since.Format(time.DateOnly), name)
	if len(rec.Body) > smallBody {
		if _, err := r.blobs.Put(ctx, key, bytes.NewReader(rec.Body)); err != nil {
			return err
		}
		rec.Body, rec.Blob = nil, true
	}
	rec.Done = true
	return errors.Join(r.store.Update(ctx, func(tx state.Tx) error { return state.Put(tx, key, rec) }), r.forget(ctx))
}

func (r *replayed) forget(ctx context.Context) error {
	_, yesterday := r.days()
	old := map[string]bool{}
	err := r.store.View(ctx, func(tx state.Tx) error {
		clear(old)
		for key, err := range tx.Keys(replayPrefix + "/") {
			if err != nil {
				return err
			}
			if parts, err := state.Split(key); err == nil && len(parts) == 3 && parts[1] < yesterday {
				old[parts[1]] = true
			}
		}
		return nil
	})
	for day := range old {
		if err != nil {
			return err
		}
		blobs, berr := r.blobs.List(ctx, state.Prefix(replayPrefix, day))
		for _, b := range blobs {
			berr = errors.Join(berr, r.blobs.Delete(ctx, b.Key))
		}
		err = errors.Join(berr, r.store.Update(ctx, func(tx state.Tx) error { return tx.DeletePrefix(state.Prefix(replayPrefix, day)) }))
	}
	return err
}

func (r *replayed) drop(ctx context.Context, name string) {
	today, yesterday := r.days()
	_ = r.store.Update(ctx, func(tx state.Tx) error { // if it fails, the key is free again after resultPatience
		return errors.Join(tx.Delete(state.Join(replayPrefix, today, name)), tx.Delete(state.Join(replayPrefix, yesterday, name)))
	})
}

// idempotent answers a request with a key that was used before as it was answered then.
func (s *Server) idempotent(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		key := c.Request().Header.Get(keyHeader)
		if key == "" || s.replayed == nil {
			return next(c)
		}
		if len(key) > maxKey || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return badParam(keyHeader, key, fmt.Sprintf("a text of up to %d characters", maxKey))
		}
		fingerprint, release, err := s.spool(c)
		defer release()
		if err != nil {
			return err
		}
		ctx := context.WithoutCancel(c.Request().Context()) // what is begun is ended, also when the client has gone
		name := replayName(identity(c), key)
		kept, err := s.replayed.begin(ctx, name, fingerprint)
		if err != nil {
			return err
		}
		if kept != nil {
			return again(c, kept)
		}
		return s.first(c, ctx, name, fingerprint, next)
	}
}

func again(c echo.Context, kept *replayRecord) error {
	h := c.Response().Header()
	for k, v := range kept.Header {
		h[k] = v
	}
	h.Set(replayHeader, "true")
	c.Response().WriteHeader(kept.Status)
	_, err := c.Response().Write(kept.Body)
	return err
}

// first does the request and keeps its answer.
func (s *Server) first(c echo.Context, ctx context.Context, name, fingerprint string, next echo.HandlerFunc) error {
	since := s.replayed.now()
	tee := &teeWriter{ResponseWriter: c.Response().Writer}
	c.Response().Writer = tee
	settled := false
	defer func() {
		c.Response().Writer = tee.ResponseWriter
		if !settled { // also after a panic
			s.replayed.drop(ctx, name)
		}
	}()
	if err := next(c); err != nil {
		return err
	}
	if c.Response().Status >= http.StatusBadRequest {
		return nil
	}
	rec := replayRecord{Since: since, Fingerprint: fingerprint, Status: c.Response().Status, Header: map[string][]string{}, Body: tee.body.Bytes()}
	for _, k := range []string{"Content-Type", "Location", "Etag"} {
		if v := c.Response().Header()[k]; len(v) > 0 {
			rec.Header[k] = v
		}
	}
	settled = true
	if err := s.replayed.keep(ctx, name, rec); err != nil {
		s.opts.Logger.Warn("cannot keep an answer for its Idempotency-Key", "path", c.Request().URL.Path, "error", err)
		s.replayed.drop(ctx, name)
	}
	return nil
}

type teeWriter struct {
	http.ResponseWriter
	body bytes.Buffer
}

func (w *teeWriter) Write(p []byte) (int, error) {
	w.body.Write(p)
	return w.ResponseWriter.Write(p)
}

func (w *teeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// spool reads the body, a large one into a file, so that it can be compared before anything is done.
func (s *Server) spool(c echo.Context) (fingerprint string, release func(), err error) {
	r, release := c.Request(), func() {}
	limited := http.MaxBytesReader(c.Response(), r.Body, s.opts.MaxUpload)
	head, err := io.ReadAll(io.LimitReader(limited, memoryForm))
	if err != nil {
		return "", release, badUpload(err)
	}
	var body io.ReadSeeker = bytes.NewReader(head)
	if len(head) == memoryForm {
		f, err := os.CreateTemp("", "orch-body-*")
		if err != nil {
			return "", release, err
		}
		release = func() { _ = f.Close(); _ = os.Remove(f.Name()) }
		if _, err := f.Write(head); err != nil {
			return "", release, err
		}
		if _, err := io.Copy(f, limited); err != nil {
			return "", release, badUpload(err)
		}
		body = f
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return "", release, err
		}
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s %s\n", r.Method, r.URL.RequestURI())
	kind, params, _ := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType))
	if strings.HasPrefix(kind, "multipart/") {
		err = hashForm(h, body, params["boundary"])
	} else {
		_, err = io.Copy(h, body)
	}
	if err != nil {
		return "", release, badUpload(err)
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return "", release, err
	}
	r.Body = io.NopCloser(body)
	return hex.EncodeToString(h.Sum(nil)), release, nil
}

// hashForm hashes the parts of a form: its boundary is another one each time it is sent.
func hashForm(h hash.Hash, body io.Reader, boundary string) error {
	form := multipart.NewReader(body, boundary)
	for {
		p, err := form.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "part %q %q\n", p.FormName(), p.FileName())
		inner := sha256.New()
		if _, err := io.Copy(inner, p); err != nil {
			return err
		}
		h.Write(inner.Sum(nil))
	}
}

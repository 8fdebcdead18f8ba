package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/internal/spool"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state"
)

// replayed are the answers to requests with an Idempotency-Key: a client that did not get one asks again with the same key, of the same
// server or another one, and nothing is done twice. Only successes are kept; what was refused may be tried again.
//
//	(none) ──first request──▶ begun, with a beat ──success──▶ kept, for a day
//	                            │
//	                            └──failure, or the beat has stopped: its server has died──▶ (none)
//
// Who asks while it is worked on waits for the answer. What is done anew after the death of a server finds the task that the dead one has
// recorded for the key (orch.WithRequestKey).
type replayed struct {
	store state.Store
	blobs *state.Blobs
	now   func() time.Time

	// beat is how often a server that works on a request says so, dead how long another one must see no change to take it for dead, and
	// patience how long a request waits for the answer to be found.
	beat, dead, patience time.Duration
}

const (
	keyHeader    = "Idempotency-Key"
	replayHeader = "Idempotency-Replayed"
	maxKey       = 255
	smallBody    = 64 << 10
	replayPrefix = "replay"
	replayPace   = 100 * time.Millisecond // of looking whether the answer is there
)

// replayRecord lies below its day, so that old ones go in one operation.
type replayRecord struct {
	Since       time.Time           `json:"since"`
	Fingerprint string              `json:"fingerprint"`
	Done        bool                `json:"done"`
	Worker      string              `json:"worker,omitempty"` // who works on it: another one for each attempt
	Beat        int                 `json:"beat,omitempty"`   // grows while it does
	Status      int                 `json:"status,omitempty"`
	Header      map[string][]string `json:"header,omitempty"`
	Body        []byte              `json:"body,omitempty"`
	Blob        bool                `json:"blob,omitempty"` // the body is in a blob
}

func newReplayed(store state.Store) *replayed {
	return &replayed{store: store, blobs: state.NewBlobs(store), now: func() time.Time { return time.Now().UTC() },
		beat: 3 * time.Second, dead: state.DefaultTTL, patience: 30 * time.Second}
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

// begin returns the kept answer, or nil and the record under which the request is to be done now: the key is taken then. While another one
// works on it, it waits, until asked ends.
func (r *replayed) begin(ctx, asked context.Context, name, fingerprint string) (kept *replayRecord, mine replayRecord, err error) {
	var seen *replayRecord
	worker := rand.Text()
	began, changed := time.Now(), time.Now()
	for {
		var dead *replayRecord
		if seen != nil && time.Since(changed) >= r.dead {
			dead = seen
		}
		mine = replayRecord{Since: r.now(), Fingerprint: fingerprint, Worker: worker}
		kept, working, err := r.look(ctx, name, mine, dead)
		switch {
		case err != nil:
			return nil, mine, err
		case working == nil && kept != nil && kept.Blob:
			kept.Body, _, err = r.blobs.ReadAll(ctx, state.Join(replayPrefix, kept.Since.Format(time.DateOnly), name), maxReplay)
			return kept, mine, err
		case working == nil:
			return kept, mine, nil
		case time.Since(began) >= r.patience:
			return nil, mine, &orch.Error{Kind: orch.KindConflict, Msg: "the request with this " + keyHeader + " is being worked on", Hint: "ask again in a moment"}
		}
		if seen == nil || seen.Worker != working.Worker || seen.Beat != working.Beat {
			seen, changed = working, time.Now()
		}
		select {
		case <-asked.Done():
			return nil, mine, context.Cause(asked)
		case <-time.After(replayPace):
		}
	}
}

// look finds the kept answer, or who works on it. It takes the key if there is neither, or if who works on it is the dead one.
func (r *replayed) look(ctx context.Context, name string, mine replayRecord, dead *replayRecord) (kept, working *replayRecord, err error) {
	today, yesterday := r.days()
	err = r.store.Update(ctx, func(tx state.Tx) error {
		kept, working = nil, nil
		for _, day := range []string{today, yesterday} {
			have, found, err := state.Find[replayRecord](tx, state.Join(replayPrefix, day, name))
			switch {
			case err != nil:
				return err
			case !found:
				continue
			case have.Fingerprint != mine.Fingerprint:
				return &statusError{http.StatusUnprocessableEntity, &orch.Error{Kind: orch.KindUser, Msg: "the " + keyHeader + " was used for another request", Hint: "give every request a key of its own"}}
			case have.Done:
				kept = &have
				return nil
			case dead == nil || have.Worker != dead.Worker || have.Beat != dead.Beat:
				working = &have
				return nil
			}
			if err := tx.Delete(state.Join(replayPrefix, day, name)); err != nil {
				return err
			}
		}
		return state.Put(tx, state.Join(replayPrefix, today, name), mine)
	})
	return kept, working, err
}

// beats tells others that a request is worked on, until ctx ends.
func (r *replayed) beats(ctx context.Context, name string, rec replayRecord) {
	tick := time.NewTicker(r.beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		rec.Beat++
		_, _ = r.write(ctx, name, rec) // if it fails, the next one may not
	}
}

// write changes the record of a key, as long as it is that of the same worker; false if it is not.
func (r *replayed) write(ctx context.Context, name string, rec replayRecord) (own bool, err error) {
	key := state.Join(replayPrefix, rec.Since.Format(time.DateOnly), name)
	err = r.store.Update(ctx, func(tx state.Tx) error {
		have, found, err := state.Find[replayRecord](tx, key)
		if own = found && have.Worker == rec.Worker && !have.Done; err != nil || !own {
			return err
		}
		return state.Put(tx, key, rec)
	})
	return own, err
}

const maxReplay = 64 << 20

// keep stores the answer. What is older than yesterday is forgotten at the same time.
func (r *replayed) keep(ctx context.Context, name string, rec replayRecord) error {
	if len(rec.Body) > smallBody {
		if _, err := r.blobs.Put(ctx, state.Join(replayPrefix, rec.Since.Format(time.DateOnly), name), bytes.NewReader(rec.Body)); err != nil {
			return err
		}
		rec.Body, rec.Blob = nil, true
	}
	rec.Done = true
	_, err := r.write(ctx, name, rec)
	return errors.Join(err, r.forget(ctx))
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

// drop frees the key, as long as it is the worker's.
func (r *replayed) drop(ctx context.Context, name string, rec replayRecord) {
	key := state.Join(replayPrefix, rec.Since.Format(time.DateOnly), name)
	_ = r.store.Update(ctx, func(tx state.Tx) error { // if it fails, the key is free when the beat is seen to have stopped
		have, found, err := state.Find[replayRecord](tx, key)
		if err != nil || !found || have.Worker != rec.Worker {
			return err
		}
		return tx.Delete(key)
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
		fingerprint, release, err := s.fingerprint(c)
		defer release()
		if err != nil {
			return err
		}
		ctx := context.WithoutCancel(c.Request().Context()) // what is begun is ended, also when the client has gone
		name := replayName(identity(c), key)
		asked, cancel := s.streaming(c)
		defer cancel()
		kept, mine, err := s.replayed.begin(ctx, asked, name, fingerprint)
		if err != nil {
			return s.interrupted(c, err)
		}
		if kept != nil {
			return again(c, kept)
		}
		c.SetRequest(c.Request().WithContext(orch.WithRequestKey(c.Request().Context(), name)))
		return s.first(c, ctx, name, mine, next)
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
func (s *Server) first(c echo.Context, ctx context.Context, name string, mine replayRecord, next echo.HandlerFunc) error {
	tee := &teeWriter{ResponseWriter: c.Response().Writer}
	c.Response().Writer = tee
	beating, enough := context.WithCancel(ctx)
	var beats sync.WaitGroup
	beats.Go(func() { s.replayed.beats(beating, name, mine) })
	settled := false
	defer func() {
		c.Response().Writer = tee.ResponseWriter
		enough()
		beats.Wait()
		if !settled { // also after a panic
			s.replayed.drop(ctx, name, mine)
		}
	}()
	if err := next(c); err != nil {
		return err
	}
	if c.Response().Status >= http.StatusBadRequest {
		return nil
	}
	rec := mine
	rec.Status, rec.Header, rec.Body = c.Response().Status, map[string][]string{}, tee.body.Bytes()
	for _, k := range []string{"Content-Type", "Location", "Etag"} {
		if v := c.Response().Header()[k]; len(v) > 0 {
			rec.Header[k] = v
		}
	}
	settled = true
	enough()
	beats.Wait()
	if err := s.replayed.keep(ctx, name, rec); err != nil {
		s.opts.Logger.Warn("cannot keep an answer for its Idempotency-Key", "path", c.Request().URL.Path, "error", err)
		s.replayed.drop(ctx, name, rec)
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

// fingerprint reads the body whole, so that it can be compared before anything is done.
func (s *Server) fingerprint(c echo.Context) (fingerprint string, release func(), err error) {
	r, release := c.Request(), func() {}
	if err := limitBody(c, s.opts.MaxUpload); err != nil {
		return "", release, err
	}
	body, _, err := spool.Read(r.Body, memoryForm)
	if err != nil {
		return "", release, badUpload(err)
	}
	if f, ok := body.(io.Closer); ok {
		release = func() { _ = f.Close() }
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

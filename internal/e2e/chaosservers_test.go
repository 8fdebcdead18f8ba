package e2e

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
)

// site is several orch servers on three Consul servers, of which any one of either is killed at any time, and its clients.
//
// A client's call goes to any server. Where that is gone, or answers that it cannot, the call is made once more, at the next server; nothing
// else is ever repeated, so an error of a call is one of the product.
type site struct {
	*fleet
	mu      sync.Mutex
	servers []*server
	calls   map[*int]chan struct{} // that are under way
	known   []string               // deployments
	done    chan struct{}          // closed when nothing new is to be begun
	http    *http.Client
}

// callTime bounds one attempt: more than any server waits for Consul.
const callTime = 3 * time.Minute

// reply to a call.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// unavailable reports whether another server is to be asked: none has answered, or this one cannot.
func unavailable(status int, err error) bool { return err != nil || status >= 500 }

// call makes a call, and makes it once more if it must.
func (s *site) call(rng *rand.Rand, method, path string, header http.Header, body []byte) (reply, error) {
	defer s.underWay()()
	first := rng.IntN(len(s.servers))
	r, err := s.attempt(first, method, path, header, body)
	if !unavailable(r.status, err) {
		return r, nil
	}
	was := fmt.Sprintf("%d %s %v", r.status, r.body, err)
	pauseAsTold(r.header)
	if r, err = s.attempt(first+1, method, path, header, body); unavailable(r.status, err) {
		return r, fmt.Errorf("%s %s: first %s, then %d %s %w", method, path, was, r.status, r.body, err)
	}
	return r, nil
}

func pauseAsTold(h http.Header) {
	if n, err := strconv.Atoi(h.Get("Retry-After")); err == nil {
		time.Sleep(time.Duration(min(n, 10)) * time.Second)
	}
}

// underWay notes a call until the returned function is called.
func (s *site) underWay() (over func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ended := new(int), make(chan struct{})
	s.calls[id] = ended
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.calls, id)
		close(ended)
	}
}

// settled waits for the calls that are under way. A call that was refused by a server that is gone must not find the next one gone as well.
func (s *site) settled() {
	s.mu.Lock()
	var calls []chan struct{}
	for _, c := range s.calls {
		calls = append(calls, c)
	}
	s.mu.Unlock()
	for _, c := range calls {
		<-c
	}
}

func (s *site) at(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.servers[n%len(s.servers)].url
}

func (s *site) attempt(at int, method, path string, header http.Header, body []byte) (reply, error) {
	resp, err := s.open(at, method, path, header, body)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, b}, err
}

func (s *site) open(at int, method, path string, header http.Header, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.at(at)+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	return s.http.Do(req)
}

// get decodes what a call answers, which must be 200.
func (s *site) get(rng *rand.Rand, path string, into any) error {
	r, err := s.call(rng, http.MethodGet, path, http.Header{"Accept": {"application/json"}, "Tenant": {"default_tenant"}}, nil)
	if err == nil && r.status != http.StatusOK {
		err = fmt.Errorf("GET %s: %d %s", path, r.status, r.body)
	}
	if err == nil {
		err = json.Unmarshal(r.body, into)
	}
	return err
}

// task asks for a task, under a key of its own.
func (s *site) task(rng *rand.Rand, key string, req orch.Request, document string) (orch.Task, error) {
	var form bytes.Buffer
	var t orch.Task
	w := multipart.NewWriter(&form)
	doc, err := json.Marshal(req)
	if err != nil {
		return t, err
	}
	err = w.WriteField("request", string(doc))
	if document != "" && err == nil {
		raw, perr := zipped(filepath.Dir(document))
		part, werr := w.CreateFormFile("source", "source.zip")
		if err = errors.Join(perr, werr); err == nil {
			_, err = part.Write(raw)
		}
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return t, err
	}
	r, err := s.call(rng, http.MethodPost, "/api/v1/tasks", http.Header{"Content-Type": {w.FormDataContentType()}, "Idempotency-Key": {key}}, form.Bytes())
	if err == nil && r.status != http.StatusAccepted {
		err = fmt.Errorf("%s of %s: %d %s", req.Verb, req.Deployment, r.status, r.body)
	}
	if err == nil {
		err = json.Unmarshal(r.body, &t)
	}
	return t, err
}

// ended waits for the end of a task, which must be a good one.
func (s *site) ended(rng *rand.Rand, t orch.Task) error {
	for t.Status != "done" {
		if t.Status == "failed" || t.Status == "cancelled" {
			return fmt.Errorf("task %s of %s is %s: %+v", t.ID, t.Deployment, t.Status, t.Failure)
		}
		time.Sleep(100 * time.Millisecond)
		if err := s.get(rng, "/api/v1/deployments/"+t.Deployment+"/tasks/"+t.ID, &t); err != nil {
			return err
		}
	}
	return nil
}

func (s *site) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return s.t.Failed()
	}
}

// deploys brings up one chain after another, and takes every other one down again.
func (s *site) deploys(rng *rand.Rand, worker int) {
	for n := 0; n == 0 || !s.over(); n++ {
		name := fmt.Sprintf("w%d-%d", worker, n)
		topology, effects := chain(s.t, s.dir, name, 3, 0.4)
		t, err := s.task(rng, name, orch.Request{Verb: orch.Deploy, Deployment: name, Entry: "topology.yaml", SourceName: name}, topology)
		if err != nil {
			s.t.Error(err)
			return
		}
		s.mu.Lock()
		s.known = append(s.known, name)
		s.mu.Unlock()
		want := 1
		err = s.ended(rng, t)
		if err == nil && n%2 == 1 {
			want++
			if t, err = s.task(rng, name+" down", orch.Request{Verb: orch.Undeploy, Deployment: name}, ""); err == nil {
				err = s.ended(rng, t)
			}
		}
		var tasks []orch.Task
		if err == nil {
			err = s.get(rng, "/api/v1/deployments/"+name+"/tasks", &tasks)
		}
		if err != nil {
			s.t.Error(err)
			return
		}
		if len(tasks) != want {
			s.t.Errorf("%d tasks came of %d requests: %+v", len(tasks), want, tasks)
		}
		checkChain(s.t, effects, 3)
	}
}

// reads asks for what there is. What one server has accepted every other one knows.
func (s *site) reads(rng *rand.Rand) {
	for !s.over() {
		s.mu.Lock()
		paths := []string{"/api/v1/deployments"}
		for _, name := range s.known {
			paths = append(paths, "/api/v1/deployments/"+name)
		}
		s.mu.Unlock()
		var any any
		if err := s.get(rng, paths[rng.IntN(len(paths))], &any); err != nil {
			s.t.Error(err)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// theEnd is the deployment after which nothing happens any more: who reads events stops at its last one.
const theEnd = "the-end"

// follows reads the stream of all events, going on at another server with Last-Event-ID when it breaks off.
func (s *site) follows(rng *rand.Rand) (seen []event.Event) {
	after := uint64(0)
	for !s.t.Failed() {
		stream, err := s.stream(rng, after)
		if err != nil {
			s.t.Error(err)
			return seen
		}
		lines := bufio.NewScanner(stream)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			kind, text, _ := strings.Cut(lines.Text(), ": ")
			if kind == "event" {
				break // an error of this server's; another one may be better off
			}
			if kind != "data" {
				continue
			}
			var e event.Event
			if err := json.Unmarshal([]byte(text), &e); err != nil {
				s.t.Errorf("%q: %v", text, err)
			}
			seen, after = append(seen, e), e.Index
			if e.Deployment == theEnd && e.Type == event.DeploymentStatus && e.Status == "deployed" {
				_ = stream.Close()
				return seen
			}
		}
		_ = stream.Close()
	}
	return seen
}

// stream opens the stream of events.
func (s *site) stream(rng *rand.Rand, after uint64) (io.ReadCloser, error) {
	defer s.underWay()()
	first := rng.IntN(len(s.servers))
	var was []string
	for n := range 2 {
		resp, err := s.open(first+n, http.MethodGet, "/api/v1/events?follow=true", http.Header{"Last-Event-ID": {strconv.FormatUint(after, 10)}}, nil)
		if err == nil && resp.StatusCode == http.StatusOK {
			return resp.Body, nil
		}
		was = append(was, fmt.Sprint(resp, err))
		if err == nil {
			_ = resp.Body.Close()
			pauseAsTold(resp.Header)
		}
	}
	return nil, fmt.Errorf("no stream of events: %q", was)
}

// polls reads events as Alien4Cloud's plugin does: by index, with long polls.
func (s *site) polls(rng *rand.Rand) (seen []map[string]string) {
	for index := uint64(1); !s.t.Failed(); {
		page, last, err := s.poll(rng, index, "3s")
		if err != nil {
			s.t.Error(err)
			return seen
		}
		if last < index || last == index && len(page) > 0 {
			s.t.Errorf("index %d after %d with %d events", last, index, len(page))
		}
		seen, index = append(seen, page...), last
		for _, e := range page {
			if e["deploymentId"] == theEnd && e["type"] == "Deployment" && e["status"] == "deployed" {
				return seen
			}
		}
	}
	return seen
}

func (s *site) poll(rng *rand.Rand, index uint64, wait string) ([]map[string]string, uint64, error) {
	var page struct {
		Events []map[string]string
		Last   uint64 `json:"last_index"`
	}
	err := s.get(rng, fmt.Sprintf("/events?index=%d&wait=%s", index, wait), &page)
	return page.Events, page.Last, err
}

// pages reads the events of a deployment as Cloudify's client does: by offset, a few at a time.
func (s *site) pages(rng *rand.Rand, deployment string, size int, enough func(all []map[string]any) bool) (seen []map[string]any) {
	for !s.t.Failed() {
		var page struct{ Items []map[string]any }
		if err := s.get(rng, fmt.Sprintf("/api/v3.1/events?deployment_id=%s&_sort=timestamp&_offset=%d&_size=%d", deployment, len(seen), size), &page); err != nil {
			s.t.Error(err)
			return seen
		}
		seen = append(seen, page.Items...)
		if enough(seen) {
			return seen
		}
		time.Sleep(100 * time.Millisecond)
	}
	return seen
}

// breaks kills and starts again, one at a time of each kind: a server of Consul, and one of orch by SIGKILL or SIGTERM.
func (s *site) breaks(rng *rand.Rand, rounds int) {
	acts := []string{"leader", "kill", "follower", "term"}
	rng.Shuffle(len(acts), func(i, j int) { acts[i], acts[j] = acts[j], acts[i] })
	for n := range rounds {
		if s.t.Failed() {
			return
		}
		time.Sleep(time.Duration(rng.IntN(1500)) * time.Millisecond)
		switch act := acts[n%len(acts)]; act {
		case "leader", "follower":
			s.consul.Spare(s.t)
			leader := s.consul.Leader(s.t)
			victim := leader
			for act == "follower" && victim == leader {
				victim = s.consul.Servers[rng.IntN(len(s.consul.Servers))]
			}
			s.t.Logf("Consul's %s %s is killed", act, victim.Name)
			victim.Kill()
			time.Sleep(time.Duration(rng.IntN(2000)) * time.Millisecond)
			victim.Start(s.t)
		default:
			at := rng.IntN(len(s.servers))
			victim, sig := s.servers[at], syscall.SIGKILL
			if act == "term" {
				sig = syscall.SIGTERM
			}
			s.t.Logf("server %s gets %v", victim.name, sig)
			if err := victim.proc.Stop(sig); sig == syscall.SIGTERM && err != nil {
				s.t.Errorf("server %s did not end in order: %v", victim.name, err)
			}
			next := s.start(victim.name)
			s.mu.Lock()
			s.servers[at] = next
			s.mu.Unlock()
			s.settled()
		}
	}
}

// Three Consul servers and two or three orch servers, of which one of either is gone most of the time, while clients deploy, read, follow and
// poll: every call succeeds when it is made once more, no operation runs twice, and who reads events gets each of them once and in order.
func TestChaosServers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute: three Consul servers")
	}
	rng := chance(t)
	s := &site{fleet: newFleetOn(t, 3), calls: map[*int]chan struct{}{}, done: make(chan struct{}),
		http: &http.Client{Timeout: callTime, Transport: &http.Transport{}}}
	t.Cleanup(s.http.CloseIdleConnections)
	n, rounds, workers := 2, 4, 2
	if long() {
		n, rounds, workers = 3, 40, 4
	}
	for i := range n {
		s.servers = append(s.servers, s.start(string(rune('a'+i))))
	}
	own := func() *rand.Rand { return rand.New(rand.NewPCG(rng.Uint64(), 1)) }
	var work, readers sync.WaitGroup
	var followed []event.Event
	var polled []map[string]string
	var paged []map[string]any
	finished := func(all []map[string]any) bool {
		return len(all) > 0 && all[len(all)-1]["event_type"] == "workflow_succeeded"
	}
	follower, poller, pager, reader := own(), own(), own(), own()
	readers.Go(func() { followed = s.follows(follower) })
	readers.Go(func() { polled = s.polls(poller) })
	readers.Go(func() { paged = s.pages(pager, "w0-0", 3, finished) })
	work.Go(func() { s.reads(reader) })
	for i := range workers {
		r := own()
		work.Go(func() { s.deploys(r, i) })
	}
	s.breaks(own(), rounds)
	close(s.done)
	work.Wait()
	topology, _ := chain(t, s.dir, theEnd, 1, 0)
	last, err := s.task(rng, theEnd, orch.Request{Verb: orch.Deploy, Deployment: theEnd, Entry: "topology.yaml", SourceName: theEnd}, topology)
	if err == nil {
		err = s.ended(rng, last)
	}
	if err != nil {
		t.Error(err)
	}
	readers.Wait()
	if t.Failed() {
		return
	}
	s.checkEvents(rng, followed)
	var polledAgain []map[string]string
	for index := uint64(1); len(polledAgain) < len(polled); {
		page, next, err := s.poll(rng, index, "0s")
		if err != nil || len(page) == 0 {
			t.Fatalf("%d events, %v", len(page), err)
		}
		polledAgain, index = append(polledAgain, page...), next
	}
	if diff := cmp.Diff(polledAgain, polled); diff != "" {
		t.Errorf("what was polled is not what there is (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(s.pages(rng, "w0-0", 1000, finished), paged); diff != "" {
		t.Errorf("the pages of w0-0 are not what there is (-want +got):\n%s", diff)
	}
	t.Logf("%d deployments, %d events", len(s.known), len(followed))
}

// checkEvents wants the followed events to be those that there are, each once, numbered without gaps in each deployment.
func (s *site) checkEvents(rng *rand.Rand, followed []event.Event) {
	s.t.Helper()
	r, err := s.call(rng, http.MethodGet, "/api/v1/events", nil, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	var all []event.Event
	for line := range strings.Lines(string(r.body)) {
		if text, ok := strings.CutPrefix(line, "data: {\"seq"); ok {
			var e event.Event
			if err := json.Unmarshal([]byte("{\"seq"+text), &e); err != nil {
				s.t.Fatal(err)
			}
			all = append(all, e)
		}
	}
	if diff := cmp.Diff(all, followed); diff != "" {
		s.t.Errorf("what was followed is not what there is (-want +got):\n%s", diff)
	}
	next := map[string]uint64{}
	for _, e := range all {
		if next[e.Deployment]++; e.Seq != next[e.Deployment] {
			s.t.Errorf("event %d of %s is numbered %d", next[e.Deployment], e.Deployment, e.Seq)
		}
	}
	for _, name := range append(s.known, theEnd) {
		if next[name] == 0 {
			s.t.Errorf("%s has no events", name)
		}
	}
}

// zipped is a directory as an archive.
func zipped(dir string) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	err := errors.Join(z.AddFS(os.DirFS(dir)), z.Close())
	return b.Bytes(), err
}

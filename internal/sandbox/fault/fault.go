// Package fault makes the sandbox misbehave on purpose: requests that fail, hang, are refused for quota or are lost after they were
// done, and servers that fail or boot slowly. It knows requests as text only, and no resource but a server's name and id.
package fault

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"sync"
	"time"
)

// Do is what befalls a request.
type Do string

// What a rule may do.
const (
	// Answer replies Status and Body instead of doing the request.
	Answer Do = "answer"
	// Quota replies the service's own refusal for an exceeded quota.
	Quota Do = "quota"
	// Hang never replies; the connection ends after Delay if there is one, with the client's patience, or with the sandbox.
	Hang Do = "hang"
	// Lose does the request and closes the connection instead of replying.
	Lose Do = "lose"
	// Drop closes the connection without doing the request.
	Drop Do = "drop"
	// Delay does the request after Delay.
	Delay Do = "delay"
	// Limit replies 429 with Retry-After.
	Limit Do = "limit"
)

// Rule chooses requests and says what befalls them. The zero values of the choosing fields match everything.
type Rule struct {
	// ID is given by Add.
	ID string `json:"id,omitempty"`
	// Service is keystone, nova, neutron, glance or cinder; Method an HTTP method.
	Service string `json:"service,omitempty"`
	Method  string `json:"method,omitempty"`
	// Path and Body are regular expressions; Path is matched with the URL's path and query.
	Path string `json:"path,omitempty"`
	Body string `json:"body,omitempty"`
	// Nth is the first matching request that is hit, 1 being the first (0 too).
	Nth int `json:"nth,omitempty"`
	// Count is how many are hit; 0 means one, -1 all.
	Count int `json:"count,omitempty"`
	// Probability, when not 0, hits only so often, by a generator seeded with Seed: the same requests give the same hits.
	Probability float64 `json:"probability,omitempty"`
	Seed        uint64  `json:"seed,omitempty"`

	Do Do `json:"do"`
	// Status and Message are the answer's; the body has the service's own format unless Raw is given. Status 0 means 500.
	Status  int    `json:"status,omitempty"`
	Message string `json:"message,omitempty"`
	Raw     string `json:"raw,omitempty"`
	// Delay is waited before (delay); RetryAfter is the header in seconds.
	Delay      Duration `json:"delay,omitempty"`
	RetryAfter int      `json:"retry_after,omitempty"`
	// Resource is what Quota claims to be exceeded; a fitting one when empty.
	Resource string `json:"resource,omitempty"`

	// Matched and Hit count the requests so far.
	Matched int `json:"matched"`
	Hit     int `json:"hit"`
}

// ServerRule chooses servers being built, by their name, and says what befalls them.
type ServerRule struct {
	ID string `json:"id,omitempty"`
	// Name is a regular expression; Nth and Count are as in Rule.
	Name  string `json:"name,omitempty"`
	Nth   int    `json:"nth,omitempty"`
	Count int    `json:"count,omitempty"`
	// Message puts the server into ERROR with this fault; Code is the fault's, 500 when 0.
	Message string `json:"message,omitempty"`
	Code    int    `json:"code,omitempty"`
	// Build prolongs the time in BUILD, Boot the time between ACTIVE and the start of the server's init.
	Build Duration `json:"build,omitempty"`
	Boot  Duration `json:"boot,omitempty"`

	Matched int `json:"matched"`
	Hit     int `json:"hit"`
}

// Duration is written as "1.5s" in JSON.
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// ErrRule is wrapped by errors about a rule that makes no sense.
var ErrRule = errors.New("the fault is not valid")

// Set holds the rules in force. The zero value has none. It is safe for concurrent use.
type Set struct {
	mu      sync.Mutex
	next    int
	rules   []*armed
	servers []*armedServer
}

type armed struct {
	Rule
	path, body *regexp.Regexp
	random     *rand.Rand
}

type armedServer struct {
	ServerRule
	name *regexp.Regexp
}

// Add puts a rule in force and returns its id. Errors wrap ErrRule.
func (s *Set) Add(r Rule) (string, error) {
	a := &armed{Rule: r, random: rand.New(rand.NewPCG(r.Seed, r.Seed))}
	if !slices.Contains([]Do{Answer, Quota, Hang, Lose, Drop, Delay, Limit}, r.Do) {
		return "", fmt.Errorf("%w: do is %q, not one of answer, quota, hang, lose, drop, delay, limit", ErrRule, r.Do)
	}
	if r.Probability < 0 || r.Probability > 1 {
		return "", fmt.Errorf("%w: probability %v is not between 0 and 1", ErrRule, r.Probability)
	}
	if r.Status != 0 && (r.Status < 200 || r.Status > 599) {
		return "", fmt.Errorf("%w: status %d", ErrRule, r.Status)
	}
	var err error
	if a.path, err = regexp.Compile(r.Path); err != nil {
		return "", fmt.Errorf("%w: path: %w", ErrRule, err)
	}
	if a.body, err = regexp.Compile(r.Body); err != nil {
		return "", fmt.Errorf("%w: body: %w", ErrRule, err)
	}
	a.Matched, a.Hit = 0, 0
	s.mu.Lock()
	defer s.mu.Unlock()
	a.ID = s.id()
	s.rules = append(s.rules, a)
	return a.ID, nil
}

// AddServer puts a rule for servers in force and returns its id. Errors wrap ErrRule.
func (s *Set) AddServer(r ServerRule) (string, error) {
	re, err := regexp.Compile(r.Name)
	if err != nil {
		return "", fmt.Errorf("%w: name: %w", ErrRule, err)
	}
	r.Matched, r.Hit = 0, 0
	s.mu.Lock()
	defer s.mu.Unlock()
	r.ID = s.id()
	s.servers = append(s.servers, &armedServer{ServerRule: r, name: re})
	return r.ID, nil
}

func (s *Set) id() string {
	s.next++
	return fmt.Sprintf("fault-%d", s.next)
}

// Remove ends a rule and reports whether it existed. An empty id ends all.
func (s *Set) Remove(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.rules) + len(s.servers)
	s.rules = slices.DeleteFunc(s.rules, func(a *armed) bool { return id == "" || a.ID == id })
	s.servers = slices.DeleteFunc(s.servers, func(a *armedServer) bool { return id == "" || a.ID == id })
	return id == "" || len(s.rules)+len(s.servers) < n
}

// List returns the rules with their counts.
func (s *Set) List() ([]Rule, []ServerRule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rules, servers := []Rule{}, []ServerRule{}
	for _, a := range s.rules {
		rules = append(rules, a.Rule)
	}
	for _, a := range s.servers {
		servers = append(servers, a.ServerRule)
	}
	return rules, servers
}

// Request is what rules look at. Path includes the query.
type Request struct {
	Service, Method, Path string
	Body                  []byte
}

// Hit returns the rule that befalls the request, or nil. Every rule that matches counts it; the first that hits wins.
func (s *Set) Hit(r Request) *Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	var hit *Rule
	for _, a := range s.rules {
		if a.Service != "" && a.Service != r.Service || a.Method != "" && a.Method != r.Method || !a.path.MatchString(r.Path) || !a.body.Match(r.Body) {
			continue
		}
		a.Matched++
		if hit == nil && due(a.Matched, a.Hit, a.Nth, a.Count) && (a.Probability == 0 || a.random.Float64() < a.Probability) {
			a.Hit++
			rule := a.Rule
			hit = &rule
		}
	}
	return hit
}

// HitServer returns the rule that befalls a server of that name, or nil.
func (s *Set) HitServer(name string) *ServerRule {
	s.mu.Lock()
	defer s.mu.Unlock()
	var hit *ServerRule
	for _, a := range s.servers {
		if !a.name.MatchString(name) {
			continue
		}
		a.Matched++
		if hit == nil && due(a.Matched, a.Hit, a.Nth, a.Count) {
			a.Hit++
			rule := a.ServerRule
			hit = &rule
		}
	}
	return hit
}

// due reports whether a rule's turn has come and is not over.
func due(matched, hit, nth, count int) bool {
	if count == 0 {
		count = 1
	}
	return matched >= max(nth, 1) && (count < 0 || hit < count)
}

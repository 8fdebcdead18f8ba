package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/orch-project/orch/internal/sandbox/fault"
)

// faultSpec is the compact form of a fault that people type. Exactly one action is given.
type faultSpec struct {
	Match struct {
		// Service is a type (compute, network, image, volume, identity) or a project's name (nova …).
		Service, Method, Path, Body string
		// Skip lets the first n matching requests pass, Times is how many are hit then (1; -1 for all).
		Skip, Times int
		Probability float64
		Seed        uint64
		// Name is a regular expression for the names of servers (server_error, boot_delay, build_delay).
		Name string
	}
	Status     int             `json:"status"`
	Body       string          `json:"body"`
	Message    string          `json:"message"`
	Quota      json.RawMessage `json:"quota"` // true, or the resource
	Hang       json.RawMessage `json:"hang"`  // true, or how long at most
	Lost       bool            `json:"lost"`
	Drop       bool            `json:"drop"`
	Delay      fault.Duration  `json:"delay"`
	RetryAfter fault.Duration  `json:"retry_after"`

	ServerError string         `json:"server_error"`
	BootDelay   fault.Duration `json:"boot_delay"`
	BuildDelay  fault.Duration `json:"build_delay"`
	SSH         *struct {
		Server string `json:"server"`
		SSHFault
	} `json:"ssh"`
	Network *struct {
		Server string `json:"server"`
		NetworkFault
	} `json:"network"`
}

// serviceNames are the projects behind the service types.
var serviceNames = map[string]string{
	"identity": "keystone", "compute": "nova", "network": "neutron", "image": "glance", "volume": "cinder", "volumev3": "cinder",
	"block-storage": "cinder", "blockstorage": "cinder",
}

func serviceName(text string) (string, error) {
	if name, ok := serviceNames[text]; ok {
		return name, nil
	}
	for _, name := range serviceNames {
		if name == text {
			return name, nil
		}
	}
	if text == "" {
		return "", nil
	}
	return "", fmt.Errorf("%w: service %q is not identity, compute, network, image or volume", fault.ErrRule, text)
}

// Fault acts on a specification as a person types it: "" lists the faults in force, "clear" ends all, a JSON object (see faultSpec) adds
// one. The answer is text for the person.
func (c *Client) Fault(ctx context.Context, spec string) (string, error) {
	switch strings.TrimSpace(spec) {
	case "":
		l, err := c.Faults(ctx)
		if err != nil {
			return "", err
		}
		return l.String(), nil
	case "clear":
		return "all faults are cleared; those of SSH and of networks end with {\"ssh\":{\"server\":ID}}, {\"network\":{\"server\":ID}}", c.RemoveFault(ctx, "")
	}
	var f faultSpec
	d := json.NewDecoder(bytes.NewReader([]byte(spec)))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return "", fmt.Errorf("%w: it is not a JSON object of the known fields: %w", fault.ErrRule, err)
	}
	return f.apply(ctx, c)
}

func (f *faultSpec) apply(ctx context.Context, c *Client) (string, error) {
	added := func(id string, err error) (string, error) {
		if err != nil {
			return "", err
		}
		return id + " is set", nil
	}
	switch {
	case f.SSH != nil:
		if err := c.InjectSSH(ctx, f.SSH.Server, f.SSH.SSHFault); err != nil {
			return "", err
		}
		return "SSH of " + f.SSH.Server + " is changed", nil
	case f.Network != nil:
		if err := c.InjectNetwork(ctx, f.Network.Server, f.Network.NetworkFault); err != nil {
			return "", err
		}
		return "the network of " + f.Network.Server + " is changed", nil
	case f.ServerError != "" || f.BootDelay > 0 || f.BuildDelay > 0:
		return added(c.AddServerFault(ctx, fault.ServerRule{
			Name: f.Match.Name, Nth: f.Match.Skip + 1, Count: f.Match.Times, Message: f.ServerError, Boot: f.BootDelay, Build: f.BuildDelay,
		}))
	}
	r, err := f.rule()
	if err != nil {
		return "", err
	}
	return added(c.AddFault(ctx, r))
}

// rule is the request rule of the specification.
func (f *faultSpec) rule() (fault.Rule, error) {
	service, err := serviceName(f.Match.Service)
	if err != nil {
		return fault.Rule{}, err
	}
	r := fault.Rule{
		Service: service, Method: strings.ToUpper(f.Match.Method), Path: f.Match.Path, Body: f.Match.Body, Nth: f.Match.Skip + 1, Count: f.Match.Times,
		Probability: f.Match.Probability, Seed: f.Match.Seed, Status: f.Status, Message: f.Message, Raw: f.Body,
	}
	var actions []fault.Do
	add := func(given bool, do fault.Do) {
		if given {
			actions = append(actions, do)
		}
	}
	add(f.Status != 0 && f.RetryAfter == 0, fault.Answer)
	add(truth(f.Quota), fault.Quota)
	add(truth(f.Hang), fault.Hang)
	add(f.Lost, fault.Lose)
	add(f.Drop, fault.Drop)
	add(f.Delay > 0, fault.Delay)
	add(f.RetryAfter > 0, fault.Limit)
	if len(actions) != 1 {
		return r, fmt.Errorf("%w: give exactly one of status, quota, hang, lost, drop, delay, retry_after, server_error, boot_delay, build_delay, ssh, network", fault.ErrRule)
	}
	r.Do = actions[0]
	r.Delay = f.Delay
	_ = json.Unmarshal(f.Quota, &r.Resource) // true stands for the service's usual resource
	if r.Do == fault.Hang {
		_ = json.Unmarshal(f.Hang, &r.Delay) // true stands for ever
	}
	if f.RetryAfter > 0 {
		r.RetryAfter = int((time.Duration(f.RetryAfter) + time.Second - 1) / time.Second)
		if f.Status != 0 && f.Status != 429 {
			r.Do = fault.Answer
		}
	}
	return r, nil
}

// truth reports whether an action of several forms was asked for.
func truth(raw json.RawMessage) bool {
	return len(raw) > 0 && !bytes.Equal(raw, []byte("false")) && !bytes.Equal(raw, []byte("null"))
}

// String lists the faults, a line each.
func (l FaultList) String() string {
	if len(l.Requests)+len(l.Servers) == 0 {
		return "no faults are set"
	}
	var b strings.Builder
	for _, r := range l.Requests {
		fmt.Fprintf(&b, "%s: %s on %s %s %s (matched %d, hit %d)\n", r.ID, r.Do, orAll(r.Service), orAll(r.Method), orAll(r.Path), r.Matched, r.Hit)
	}
	for _, r := range l.Servers {
		fmt.Fprintf(&b, "%s: servers named %s: %q build +%s boot +%s (matched %d, hit %d)\n", r.ID, orAll(r.Name), r.Message, time.Duration(r.Build), time.Duration(r.Boot), r.Matched, r.Hit)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func orAll(text string) string {
	if text == "" {
		return "*"
	}
	return text
}

// Fault is Client.Fault for the sandbox of a directory.
func Fault(ctx context.Context, dir, spec string) (string, error) {
	c, err := Connect(dir)
	if err != nil {
		return "", err
	}
	answer, err := c.Fault(ctx, spec)
	if errors.Is(err, ErrDown) {
		return "", fmt.Errorf("cannot set the fault: %w", err)
	}
	return answer, err
}

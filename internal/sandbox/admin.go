package sandbox

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/fault"
	"github.com/orch-project/orch/internal/sandbox/machine"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// The admin endpoint, for Client: every request carries the token of the state directory's admin.json.
//
//	GET    /sandbox/health                     {"url", "external", "machines"}
//	GET    /sandbox/inventory?project=NAME     [Thing]
//	GET    /sandbox/faults                     {"requests": [fault.Rule], "servers": [fault.ServerRule]}
//	POST   /sandbox/faults/requests            fault.Rule -> {"id"}
//	POST   /sandbox/faults/servers             fault.ServerRule -> {"id"}
//	DELETE /sandbox/faults[/{id}]
//	POST   /sandbox/servers/{id}/ssh           SSHFault (name or id of a server)
//	POST   /sandbox/servers/{id}/network       NetworkFault
//	GET    /sandbox/dial?address=HOST:PORT     becomes a connection to a server (101), or says why not (502, dialReply)
const tokenHeader = "X-Sandbox-Token"

// SSHFault is machine.SSHFault with its times as text.
type SSHFault struct {
	Refuse    bool           `json:"refuse,omitempty"`
	Hang      bool           `json:"hang,omitempty"`
	Reject    bool           `json:"reject,omitempty"`
	DropAfter fault.Duration `json:"drop_after,omitempty"`
	DropBytes int64          `json:"drop_bytes,omitempty"`
}

// NetworkFault is machine.NetworkFault.
type NetworkFault struct {
	Down bool `json:"down,omitempty"`
	Loss int  `json:"loss,omitempty"`
}

// FaultList are the faults in force with their counts.
type FaultList struct {
	Requests []fault.Rule       `json:"requests"`
	Servers  []fault.ServerRule `json:"servers"`
}

// Health is what the admin endpoint says of itself.
type Health struct {
	URL      string `json:"url"`
	External string `json:"external"`
	Machines bool   `json:"machines"`
}

func (s *Sandbox) adminHandler() http.Handler {
	mux := http.NewServeMux()
	guard := func(pattern string, h http.HandlerFunc) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if subtle.ConstantTimeCompare([]byte(r.Header.Get(tokenHeader)), []byte(s.token)) != 1 {
				rest.WriteJSON(w, http.StatusUnauthorized, map[string]string{"error": "the token of the sandbox's admin.json is needed"})
				return
			}
			h(w, r)
		})
	}
	handle := func(pattern string, h func(*http.Request) (any, error)) {
		guard(pattern, func(w http.ResponseWriter, r *http.Request) {
			answer, err := h(r)
			if err != nil {
				rest.WriteJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
				return
			}
			rest.WriteJSON(w, http.StatusOK, answer)
		})
	}
	handle("GET "+adminPath+"/health", func(*http.Request) (any, error) {
		return Health{URL: s.URL, External: s.External.String(), Machines: s.cloud.Host != nil}, nil
	})
	handle("GET "+adminPath+"/inventory", func(r *http.Request) (any, error) {
		i, err := s.Inventory(r.URL.Query().Get("project"))
		if i == nil {
			i = Inventory{}
		}
		return i, err
	})
	handle("GET "+adminPath+"/faults", func(*http.Request) (any, error) {
		requests, servers := s.Faults.List()
		return FaultList{requests, servers}, nil
	})
	handle("POST "+adminPath+"/faults/requests", func(r *http.Request) (any, error) {
		return addFault(r, s.Faults.Add)
	})
	handle("POST "+adminPath+"/faults/servers", func(r *http.Request) (any, error) {
		return addFault(r, s.Faults.AddServer)
	})
	handle("DELETE "+adminPath+"/faults", func(*http.Request) (any, error) { return s.Faults.Remove(""), nil })
	handle("DELETE "+adminPath+"/faults/{id}", func(r *http.Request) (any, error) {
		if !s.Faults.Remove(r.PathValue("id")) {
			return nil, fmt.Errorf("there is no fault %s", r.PathValue("id"))
		}
		return true, nil
	})
	handle("POST "+adminPath+"/servers/{id}/ssh", func(r *http.Request) (any, error) {
		var f SSHFault
		if err := decodeStrict(r, &f); err != nil {
			return nil, err
		}
		return true, s.InjectSSH(r.Context(), r.PathValue("id"), f)
	})
	handle("POST "+adminPath+"/servers/{id}/network", func(r *http.Request) (any, error) {
		var f NetworkFault
		if err := decodeStrict(r, &f); err != nil {
			return nil, err
		}
		return true, s.InjectNetwork(r.Context(), r.PathValue("id"), f)
	})
	guard("GET "+adminPath+"/dial", s.dial)
	return mux
}

func decodeStrict(r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("cannot read the request: %w", err)
	}
	return nil
}

func addFault[R any](r *http.Request, add func(R) (string, error)) (any, error) {
	var rule R
	if err := decodeStrict(r, &rule); err != nil {
		return nil, err
	}
	id, err := add(rule)
	return map[string]string{"id": id}, err
}

// InjectSSH makes a server's SSH misbehave; the zero fault heals it. The server is given by id or, if unique, by name.
func (s *Sandbox) InjectSSH(ctx context.Context, server string, f SSHFault) error {
	host, id, err := s.running(server)
	if err != nil {
		return fmt.Errorf("cannot inject SSH faults: %w", err)
	}
	return host.InjectSSH(ctx, id, machine.SSHFault{
		Refuse: f.Refuse, Hang: f.Hang, Reject: f.Reject, DropAfter: time.Duration(f.DropAfter), DropBytes: f.DropBytes,
	})
}

// InjectNetwork breaks a server's network from outside; the zero fault mends it. The server is given as for InjectSSH.
func (s *Sandbox) InjectNetwork(ctx context.Context, server string, f NetworkFault) error {
	host, id, err := s.running(server)
	if err != nil {
		return fmt.Errorf("cannot break a network: %w", err)
	}
	return host.InjectNetwork(ctx, id, machine.NetworkFault(f))
}

// running finds a server by id or, if unique, by name, and what runs it.
func (s *Sandbox) running(server string) (machine.Host, string, error) {
	s.cloud.Lock()
	defer s.cloud.Unlock()
	id, n := "", 0
	for v := range s.cloud.Servers.Where(func(v *cloud.Server) bool { return v.ID == server || v.Name == server }) {
		id, n = v.ID, n+1
	}
	switch {
	case s.cloud.Host == nil:
		return nil, "", errors.New("the sandbox runs without machines")
	case n == 0:
		return nil, "", fmt.Errorf("there is no server %q", server)
	case n > 1:
		return nil, "", fmt.Errorf("%d servers are named %q, give an id", n, server)
	}
	return s.cloud.Host, id, nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"

	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/pkg/driver/terraform"
	"github.com/orch-project/orch/pkg/secret"
)

// relayConfig is what Terraform's supervisor needs to open the store as this process has. It holds secrets and travels by pipe.
type relayConfig struct {
	File  string            `json:"file,omitempty"`
	Home  string            `json:"home"`
	Store string            `json:"store"`
	Env   map[string]string `json:"env"`
}

// relayedEnv are the beginnings of the names of variables by which store, master key and configuration are found.
var relayedEnv = []string{"ORCH_", "CONSUL_", "VAULT_", "XDG_", "HOME=", "PATH="}

// relay of Terraform runs to a store that several machines share; nil for a store file.
func relay(c *config.Config) (*terraform.Relay, error) {
	if ownedByOneProcess(c.Store) {
		return nil, nil
	}
	r := relayConfig{File: c.File, Home: c.Home, Store: c.Store, Env: map[string]string{}}
	for _, e := range os.Environ() {
		for _, begin := range relayedEnv {
			if name, value, _ := strings.Cut(e, "="); strings.HasPrefix(e, begin) {
				r.Env[name] = value
			}
		}
	}
	raw, err := json.Marshal(r)
	return &terraform.Relay{Config: raw}, err
}

// openStates opens the states in the supervisor's process, which has no environment of its own.
func openStates(ctx context.Context, raw json.RawMessage) (terraform.StateStore, func() error, error) {
	var r relayConfig
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, nil, errors.New("the configuration of the relay cannot be read")
	}
	for name, value := range r.Env {
		if err := os.Setenv(name, value); err != nil {
			return nil, nil, err
		}
	}
	c, err := config.Load(config.Options{Path: r.File, Overrides: map[string]string{"home": r.Home, "store": r.Store}})
	if err != nil {
		return nil, nil, err
	}
	store, err := openStore(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	vault, err := openSecrets(ctx, c, store, secret.NewRedactor())
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	return states{store, vault}, store.Close, nil
}

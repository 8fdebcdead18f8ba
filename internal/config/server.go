package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/diag"
)

// Secrets says which references outside of the secrets store may be followed.
type Secrets struct {
	// Env are patterns of variables that env:NAME may read, Files the directory that file:PATH may read in. For commands that work in their
	// user's own process both default to everything, for a server to nothing: its users are not who has started it.
	Env   []string `yaml:"env" env:"ORCH_SECRETS_ENV" sep:"," doc:"patterns of environment variables that env:NAME may read; default: all for commands, none for a server"`
	Files string   `yaml:"files" env:"ORCH_SECRETS_FILES" doc:"directory that file:PATH may read in; default: everywhere for commands, nowhere for a server"`
	// Fallback "vault" looks names that the store does not have up in Vault.
	Fallback string `yaml:"fallback" env:"ORCH_SECRETS_FALLBACK" doc:"vault: names that orch's store does not have are paths in Vault"`
}

// Vault is where vault:PATH#KEY is looked up; what is not given comes from Vault's own variables (VAULT_ADDR, VAULT_TOKEN …).
type Vault struct {
	Address    string `yaml:"address" env:"ORCH_VAULT_ADDRESS" doc:"URL of HashiCorp Vault; default: VAULT_ADDR"`
	TokenFile  string `yaml:"token_file" env:"ORCH_VAULT_TOKEN_FILE" doc:"file with Vault's token, read for every request; default: VAULT_TOKEN"`
	Namespace  string `yaml:"namespace" env:"ORCH_VAULT_NAMESPACE" doc:"namespace in Vault"`
	CA         string `yaml:"ca" env:"ORCH_VAULT_CA" doc:"file with the authorities of Vault's certificate (PEM)"`
	Cert       string `yaml:"cert" env:"ORCH_VAULT_CERT" doc:"file with the client's certificate for Vault (PEM)"`
	Key        string `yaml:"key" env:"ORCH_VAULT_KEY" doc:"file with the key of that certificate (PEM)"`
	ServerName string `yaml:"server_name" env:"ORCH_VAULT_SERVER_NAME" doc:"name in Vault's certificate, if not the host's"`
}

// Consul completes a store address that begins with consul:// (or is just "consul"): what that says wins.
type Consul struct {
	Addresses  []string      `yaml:"addresses" env:"ORCH_CONSUL_ADDRESSES" sep:"," doc:"agents or servers, host:port; the next is used when one does not answer"`
	Prefix     string        `yaml:"prefix" env:"ORCH_CONSUL_PREFIX" doc:"of all keys; default: orch"`
	TokenFile  string        `yaml:"token_file" env:"ORCH_CONSUL_TOKEN_FILE" doc:"file with the ACL token, read for every request; default: CONSUL_HTTP_TOKEN"`
	Datacenter string        `yaml:"datacenter" env:"ORCH_CONSUL_DATACENTER" doc:"datacenter; default: the agent's"`
	Namespace  string        `yaml:"namespace" env:"ORCH_CONSUL_NAMESPACE" doc:"namespace (Consul Enterprise)"`
	Partition  string        `yaml:"partition" env:"ORCH_CONSUL_PARTITION" doc:"partition (Consul Enterprise)"`
	TLS        bool          `yaml:"tls" env:"ORCH_CONSUL_TLS" doc:"use HTTPS; implied by the files below"`
	CA         string        `yaml:"ca" env:"ORCH_CONSUL_CA" doc:"file with the authorities of Consul's certificate (PEM)"`
	Cert       string        `yaml:"cert" env:"ORCH_CONSUL_CERT" doc:"file with the client's certificate for Consul (PEM)"`
	Key        string        `yaml:"key" env:"ORCH_CONSUL_KEY" doc:"file with the key of that certificate (PEM)"`
	ServerName string        `yaml:"server_name" env:"ORCH_CONSUL_SERVER_NAME" doc:"name in Consul's certificate, if not the host's"`
	Wait       time.Duration `yaml:"wait" env:"ORCH_CONSUL_WAIT" doc:"how long a call goes on trying while Consul cannot be reached; default: 30s"`
}

// complete adds to the address of a Consul store what it does not say itself.
func (c Consul) complete(store string) string {
	if store == "consul" || store == "consul:" {
		store = "consul://"
	}
	rest, ok := strings.CutPrefix(store, "consul://")
	if !ok {
		return store
	}
	rest, query, _ := strings.Cut(rest, "?")
	hosts, prefix, _ := strings.Cut(rest, "/")
	if hosts[strings.LastIndexByte(hosts, '@')+1:] == "" {
		hosts += strings.Join(c.Addresses, ",")
	}
	if prefix == "" {
		prefix = url.PathEscape(c.Prefix)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return store // the store says what is wrong
	}
	add := func(name, value string, also ...string) {
		if value != "" && !slices.ContainsFunc(append(also, name), values.Has) {
			values.Set(name, value)
		}
	}
	add("token_file", c.TokenFile)
	add("dc", c.Datacenter, "datacenter")
	add("namespace", c.Namespace, "ns")
	add("partition", c.Partition)
	add("ca", c.CA)
	add("cert", c.Cert)
	add("key", c.Key)
	add("server_name", c.ServerName)
	if c.TLS {
		add("tls", "true")
	}
	if c.Wait > 0 {
		add("wait", c.Wait.String())
	}
	out := "consul://" + hosts
	if prefix != "" {
		out += "/" + prefix
	}
	if len(values) > 0 {
		out += "?" + values.Encode()
	}
	return out
}

// Server is what only `orch server` reads.
type Server struct {
	Listen  string `yaml:"listen" env:"ORCH_LISTEN" doc:"address of orch server"`
	Metrics string `yaml:"metrics" env:"ORCH_METRICS_LISTEN" doc:"address of a listener of its own for /metrics, /healthz and /readyz; default: they are on the server's"`
	TLSCert string `yaml:"tls_cert" env:"ORCH_TLS_CERT" doc:"file with the server's certificate chain (PEM)"`
	TLSKey  string `yaml:"tls_key" env:"ORCH_TLS_KEY" doc:"file with the key of that certificate (PEM)"`
	// ClientCA are the authorities whose certificates clients must have.
	ClientCA string        `yaml:"client_ca" env:"ORCH_CLIENT_CA" doc:"file with the authorities of clients' certificates (PEM)"`
	Drain    time.Duration `yaml:"drain" env:"ORCH_DRAIN" doc:"how long running requests may go on when the server is told to stop"`
}

// Log of orch itself, on stderr.
type Log struct {
	Level  string `yaml:"level" env:"ORCH_LOG_LEVEL" doc:"debug, info, warn or error; default: warn, for a server info"`
	Format string `yaml:"format" env:"ORCH_LOG_FORMAT" doc:"text or json"`
}

// Retention says what a server keeps of what grows; 0 keeps everything.
type Retention struct {
	Events    int           `yaml:"events" env:"ORCH_RETENTION_EVENTS" doc:"events and log lines to keep of a deployment, at least"`
	EventAge  time.Duration `yaml:"event_age" env:"ORCH_RETENTION_EVENT_AGE" doc:"age up to which events and log lines are kept, at least"`
	SecretAge time.Duration `yaml:"secret_reads" env:"ORCH_RETENTION_SECRET_READS" doc:"age up to which the audit of secrets is kept"`
	Every     time.Duration `yaml:"every" env:"ORCH_RETENTION_EVERY" doc:"how often a server removes what is too old"`
}

// initial are the defaults that do not depend on other settings.
func initial() *Config {
	return &Config{
		Parallel: 16, Revisions: 20, SSH: SSH{ReadyTimeout: 10 * time.Minute, OperationTimeout: time.Hour},
		Server: Server{Listen: "127.0.0.1:8800", Drain: 15 * time.Second}, Log: Log{Format: "text"}, Auth: Auth{Rate: 200, Burst: 2000},
		Retention: Retention{SecretAge: 400 * 24 * time.Hour, Every: 10 * time.Minute}, origins: map[string]string{}, places: map[string]diag.Pos{},
	}
}

// check finds values that cannot be.
func (c *Config) check() diag.List {
	var list diag.List
	wrong := func(key, value, want string) {
		list = append(list, diag.Diagnostic{Severity: diag.Error, Code: "bad-setting", Pos: c.places[key], Message: fmt.Sprintf("%s from %s: %q is not one of %s", key, c.origin(key), value, want)})
	}
	if c.Log.Level != "" && !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		wrong("log.level", c.Log.Level, "debug, info, warn, error")
	}
	if !slices.Contains([]string{"text", "json"}, c.Log.Format) {
		wrong("log.format", c.Log.Format, "text, json")
	}
	if c.Secrets.Fallback != "" && c.Secrets.Fallback != "vault" {
		wrong("secrets.fallback", c.Secrets.Fallback, "vault")
	}
	if c.Auth.Rate > 0 && c.Auth.Burst < 1 {
		list = append(list, diag.Diagnostic{Severity: diag.Error, Code: "bad-setting", Pos: c.places["auth.burst"],
			Message: fmt.Sprintf("auth.burst from %s lets no request through", c.origin("auth.burst"))})
	}
	for key, n := range map[string]int64{"retention.events": int64(c.Retention.Events), "retention.event_age": int64(c.Retention.EventAge),
		"retention.secret_reads": int64(c.Retention.SecretAge), "retention.every": int64(c.Retention.Every) - 1, "server.drain": int64(c.Server.Drain), "parallel": int64(c.Parallel) - 1,
		"revisions": int64(c.Revisions) - 1, "auth.rate": int64(c.Auth.Rate), "consul.wait": int64(c.Consul.Wait), "ssh.ready_timeout": int64(c.SSH.ReadyTimeout) - 1,
		"ssh.operation_timeout": int64(c.SSH.OperationTimeout) - 1} {
		if n < 0 {
			list = append(list, diag.Diagnostic{Severity: diag.Error, Code: "bad-setting", Pos: c.places[key], Message: fmt.Sprintf("%s from %s is too small", key, c.origin(key))})
		}
	}
	return list.Sorted()
}

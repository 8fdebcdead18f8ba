package consul

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/secret"
)

// Options of Open. The zero value uses the agent on this machine.
type Options struct {
	// Addresses of agents or servers, host:port; the next is used when one does not answer. Default CONSUL_HTTP_ADDR, else 127.0.0.1:8500.
	Addresses []string
	// Prefix of all keys; default "orch". Stores with different prefixes do not see each other.
	Prefix     string
	Token      secret.Value // ACL token; default CONSUL_HTTP_TOKEN
	TokenFile  string       // holds the token, if Token does not; read for every request
	Datacenter string
	Namespace  string // Consul Enterprise
	Partition  string // Consul Enterprise

	TLS                       bool // implied by the four below
	CAFile, CertFile, KeyFile string
	ServerName                string // in the server's certificate, if not the host's name
	Insecure                  bool   // do not check the server's certificate

	// Patience is how long a call goes on trying while Consul cannot be reached or has no leader; default 30 s.
	Patience time.Duration
}

// ParseURL reads consul://[token@]host:port[,host:port…][/prefix][?options]. Options: dc, namespace, partition, token_file, tls=true, ca, cert, key
// (files), server_name, insecure=true, wait (a duration: Patience). No error shows the token.
func ParseURL(s string) (Options, error) {
	var o Options
	rest, ok := strings.CutPrefix(s, "consul://")
	if !ok {
		return o, errors.New("the address of a Consul store begins with consul://")
	}
	rest, query, _ := strings.Cut(rest, "?")
	hosts, prefix, _ := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(hosts, '@'); i >= 0 {
		token, err := url.PathUnescape(strings.Trim(hosts[:i], ":"))
		if err != nil {
			return o, errors.New("the token in the address of the store is not escaped correctly")
		}
		o.Token, hosts = secret.New(token), hosts[i+1:]
	}
	for _, h := range strings.Split(hosts, ",") {
		if h == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(h); err != nil {
			h = net.JoinHostPort(strings.Trim(h, "[]"), "8500")
		}
		host, port, _ := net.SplitHostPort(h)
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" || strings.ContainsAny(host, " \t#") {
			return o, fmt.Errorf("%q is no address of a Consul server: want host:port", h)
		}
		o.Addresses = append(o.Addresses, h)
	}
	p, err := url.PathUnescape(strings.Trim(prefix, "/"))
	if err != nil {
		return o, fmt.Errorf("the prefix in the address of the store is not escaped correctly: %q", prefix)
	}
	o.Prefix = p
	return o, o.query(query)
}

func (o *Options) query(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the options in the address of the store are not escaped correctly")
	}
	for name, vs := range values {
		v := vs[len(vs)-1]
		var err error
		switch name {
		case "dc", "datacenter":
			o.Datacenter = v
		case "namespace", "ns":
			o.Namespace = v
		case "partition":
			o.Partition = v
		case "token_file":
			o.TokenFile = v
		case "tls":
			o.TLS, err = strconv.ParseBool(v)
		case "ca":
			o.CAFile = v
		case "cert":
			o.CertFile = v
		case "key":
			o.KeyFile = v
		case "server_name":
			o.ServerName = v
		case "insecure":
			o.Insecure, err = strconv.ParseBool(v)
		case "wait":
			o.Patience, err = time.ParseDuration(v)
		case "token":
			return errors.New("give the token as consul://TOKEN@host, as token_file=FILE, or in CONSUL_HTTP_TOKEN")
		default:
			return fmt.Errorf("the address of the store has an unknown option %q (known: dc, namespace, partition, token_file, tls, ca, cert, key, server_name, insecure, wait)", name)
		}
		if err != nil {
			return fmt.Errorf("the option %s=%s of the address of the store: %w", name, v, err)
		}
	}
	return nil
}

// fill takes what is not given from Consul's own environment variables.
func (o *Options) fill() error {
	env := func(s *string, name string) {
		if *s == "" {
			*s = os.Getenv(name)
		}
	}
	if len(o.Addresses) == 0 {
		addr := os.Getenv("CONSUL_HTTP_ADDR")
		if rest, ok := strings.CutPrefix(addr, "https://"); ok {
			o.TLS, addr = true, rest
		}
		addr = strings.TrimSuffix(strings.TrimPrefix(addr, "http://"), "/")
		if addr == "" {
			addr = "127.0.0.1:8500"
		}
		o.Addresses = []string{addr}
	}
	env(&o.TokenFile, "CONSUL_HTTP_TOKEN_FILE")
	env(&o.CAFile, "CONSUL_CACERT")
	env(&o.CertFile, "CONSUL_CLIENT_CERT")
	env(&o.KeyFile, "CONSUL_CLIENT_KEY")
	env(&o.ServerName, "CONSUL_TLS_SERVER_NAME")
	env(&o.Namespace, "CONSUL_NAMESPACE")
	env(&o.Partition, "CONSUL_PARTITION")
	if ssl, err := strconv.ParseBool(os.Getenv("CONSUL_HTTP_SSL")); err == nil && ssl {
		o.TLS = true
	}
	if verify, err := strconv.ParseBool(os.Getenv("CONSUL_HTTP_SSL_VERIFY")); err == nil && !verify {
		o.Insecure = true
	}
	switch {
	case !o.Token.IsZero():
	case o.TokenFile != "":
		if _, err := readToken(o.TokenFile); err != nil {
			return err
		}
	default:
		o.Token = secret.New(os.Getenv("CONSUL_HTTP_TOKEN"))
	}
	if o.Prefix = strings.Trim(o.Prefix, "/"); o.Prefix == "" {
		o.Prefix = "orch"
	}
	if o.Patience <= 0 {
		o.Patience = 30 * time.Second
	}
	return nil
}

func readToken(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("cannot read Consul's token: %w", err)
	}
	t := strings.TrimSpace(string(b))
	if t == "" || strings.ContainsAny(t, "\r\n") {
		return "", fmt.Errorf("the file %s does not hold a token for Consul", file)
	}
	return t, nil
}

package secret

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Vault resolves vault:MOUNT/PATH#FIELD from HashiCorp Vault's KV secrets engine, version 2
// (https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2). Without a field the whole object is the secret, or its
// only field if that is named "value". A mount of several segments is separated from the path by two slashes.
type Vault struct {
	Address   string // default VAULT_ADDR
	Token     Value  // default VAULT_TOKEN
	TokenFile string // default VAULT_TOKEN_FILE; read again for every request, as Vault's agent renews it
	Namespace string // default VAULT_NAMESPACE
	// TLS: the authorities (default VAULT_CACERT), the client's certificate and key (VAULT_CLIENT_CERT, VAULT_CLIENT_KEY), all PEM, the
	// name in the server's certificate (VAULT_TLS_SERVER_NAME), and whether not to check it (VAULT_SKIP_VERIFY).
	CAFile, CertFile, KeyFile, ServerName string
	Insecure                              bool
	Client                                *http.Client

	once   sync.Once
	client *http.Client
	err    error
}

const vaultAttempts = 3

// Resolve implements Resolver.
func (v *Vault) Resolve(ctx context.Context, ref Ref) (Value, error) {
	v.once.Do(v.prepare)
	if v.err != nil {
		return Value{}, v.err
	}
	name := strings.TrimPrefix(ref.Name, "/")
	mount, path, ok := strings.Cut(name, "//")
	if !ok {
		mount, path, ok = strings.Cut(name, "/")
	}
	if path = strings.Trim(path, "/"); !ok || mount == "" || path == "" {
		return Value{}, errors.New("want vault:MOUNT/PATH#FIELD")
	}
	path = strings.TrimPrefix(path, "data/") // the API's path, which many write
	segments := strings.Split(path, "/")
	for i := range segments {
		segments[i] = url.PathEscape(segments[i])
	}
	u := strings.TrimRight(v.Address, "/") + "/v1/" + mount + "/data/" + strings.Join(segments, "/")
	if ref.Version > 0 {
		u += "?version=" + strconv.Itoa(ref.Version)
	}
	data, err := v.read(ctx, u)
	if err != nil {
		return Value{}, err
	}
	if ref.Field == "" {
		if only, ok := data["value"]; ok && len(data) == 1 {
			return textOf(only)
		}
		return textOf(data)
	}
	return descend(data, ref.Field)
}

func (v *Vault) prepare() {
	env := func(s *string, name string) {
		if *s == "" {
			*s = os.Getenv(name)
		}
	}
	env(&v.Address, "VAULT_ADDR")
	env(&v.Namespace, "VAULT_NAMESPACE")
	env(&v.CAFile, "VAULT_CACERT")
	env(&v.CertFile, "VAULT_CLIENT_CERT")
	env(&v.KeyFile, "VAULT_CLIENT_KEY")
	env(&v.ServerName, "VAULT_TLS_SERVER_NAME")
	env(&v.TokenFile, "VAULT_TOKEN_FILE")
	if skip, err := strconv.ParseBool(os.Getenv("VAULT_SKIP_VERIFY")); err == nil && skip {
		v.Insecure = true
	}
	if v.Token.IsZero() {
		v.Token = New(os.Getenv("VAULT_TOKEN"))
	}
	if v.Address == "" || v.Token.IsZero() && v.TokenFile == "" {
		v.err = errors.New("access to Vault is not configured: set VAULT_ADDR and VAULT_TOKEN (or VAULT_TOKEN_FILE) in the environment of orch, or vault.address and vault.token_file in its configuration")
		return
	}
	if v.client = v.Client; v.client != nil {
		return
	}
	conf, err := v.tls()
	if err != nil {
		v.err = err
		return
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = conf
	v.client = &http.Client{Transport: transport, Timeout: 30 * time.Second, CheckRedirect: sameHost}
}

func (v *Vault) tls() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: v.ServerName, InsecureSkipVerify: v.Insecure} // only if spelled out
	if v.CAFile != "" {
		pem, err := os.ReadFile(v.CAFile)
		conf.RootCAs = x509.NewCertPool()
		if err == nil && !conf.RootCAs.AppendCertsFromPEM(pem) {
			err = errors.New("it holds no certificate")
		}
		if err != nil {
			return nil, fmt.Errorf("cannot use the certificates in %s: %w", v.CAFile, err)
		}
	}
	if v.CertFile != "" || v.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(v.CertFile, v.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cannot use the client certificate for Vault: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

// token is the one that was given, or what is in the file now.
func (v *Vault) token() (Value, error) {
	if !v.Token.IsZero() {
		return v.Token, nil
	}
	b, err := os.ReadFile(v.TokenFile)
	if err != nil {
		return Value{}, fmt.Errorf("cannot read the token for Vault: %w", err)
	}
	t := strings.TrimSpace(string(b))
	if t == "" || strings.ContainsAny(t, "\r\n") {
		return Value{}, fmt.Errorf("the file %s does not hold a token for Vault", v.TokenFile)
	}
	return New(t), nil
}

// sameHost follows redirects (a standby sends to the active node) but does not carry the token to where it was not meant for in clear text.
func sameHost(req *http.Request, via []*http.Request) error {
	if len(via) > 5 || via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return errors.New("a redirect of Vault leads to " + req.URL.Redacted())
	}
	return nil
}

// read gets the object of a secret, trying again when the server is not ready.
func (v *Vault) read(ctx context.Context, u string) (map[string]any, error) {
	for n := 1; ; n++ {
		data, again, err := v.try(ctx, u)
		if !again || n == vaultAttempts {
			return data, err
		}
		select {
		case <-time.After(time.Duration(n) * 500 * time.Millisecond):
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), err)
		}
	}
}

func (v *Vault) try(ctx context.Context, u string) (data map[string]any, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, false, errors.New("VAULT_ADDR is not a URL")
	}
	token, err := v.token()
	if err != nil {
		return nil, false, err
	}
	req.Header.Set("X-Vault-Token", token.Reveal())
	req.Header.Set("X-Vault-Request", "true")
	if v.Namespace != "" {
		req.Header.Set("X-Vault-Namespace", v.Namespace)
	}
	resp, err := v.client.Do(req)
	if err != nil {
		return nil, ctx.Err() == nil, fmt.Errorf("cannot reach Vault: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 2*MaxSize))
	if err != nil {
		return nil, true, fmt.Errorf("cannot read Vault's answer: %w", err)
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return decodeVault(body)
	case http.StatusNotFound:
		return nil, false, fmt.Errorf("%w in Vault (or the version was deleted, or the mount is not a KV engine of version 2)", ErrNotFound)
	case http.StatusForbidden:
		return nil, false, errors.New("the token is refused by Vault: it has expired, or its policy does not allow to read this path")
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout, http.StatusTooManyRequests, 412, 472, 473:
		return nil, true, fmt.Errorf("the Vault server is not ready (status %d): it may be sealed or in standby", resp.StatusCode)
	}
	return nil, resp.StatusCode >= 500, fmt.Errorf("the Vault server answers status %d%s", resp.StatusCode, vaultErrors(body))
}

func decodeVault(body []byte) (map[string]any, bool, error) {
	var answer struct {
		Data struct {
			Data map[string]any `json:"data"`
		} `json:"data"`
	}
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber()
	if d.Decode(&answer) != nil {
		return nil, false, errors.New("the answer of Vault is not JSON")
	}
	if answer.Data.Data == nil {
		return nil, false, fmt.Errorf("%w: the version was deleted, or the mount is not a KV engine of version 2", ErrNotFound)
	}
	return answer.Data.Data, false, nil
}

// vaultErrors shows what Vault says, which never contains values.
func vaultErrors(body []byte) string {
	var answer struct {
		Errors []string `json:"errors"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Errors) == 0 {
		return ""
	}
	return ": " + strings.Join(answer.Errors, "; ")
}

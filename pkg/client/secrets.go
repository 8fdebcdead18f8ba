package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/orch-project/orch/pkg/orch"
)

// Secrets implements orch.Service. The tenant of the context (see orch.WithTenant) goes along; who asks is what the server finds out.
func (c *Client) Secrets() orch.Secrets { return secrets{c} }

type secrets struct{ c *Client }

func secretPath(name string, rest ...string) string {
	p := "/secrets/" + url.PathEscape(name)
	for _, r := range rest {
		p += "/" + r
	}
	return p
}

// options adds to a path those that are given.
func options(path string, o url.Values) string {
	for name, vs := range o {
		if len(vs) == 0 || vs[0] == "" {
			delete(o, name)
		}
	}
	if len(o) == 0 {
		return path
	}
	return path + "?" + o.Encode()
}

// call sends a request about the tenant of the context and decodes the answer.
func (s secrets) call(ctx context.Context, method, path string, body io.Reader, contentType string, into any) error {
	resp, err := s.c.send(ctx, method, path, body, contentType, tenantOf(ctx))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return decode(resp.Body, into)
}

// tenantOf is the header for a tenant that a call names; the client's own stands otherwise.
func tenantOf(ctx context.Context) http.Header {
	if t := orch.TenantOf(ctx); t != orch.DefaultTenant {
		return http.Header{"X-Orch-Tenant": {t}}
	}
	return nil
}

func (s secrets) Set(ctx context.Context, name string, value []byte, o orch.SecretOptions) (info orch.SecretInfo, err error) {
	q := url.Values{"kind": {string(o.Kind)}, "visibility": {string(o.Visibility)}}
	if o.Hidden != nil {
		q.Set("hidden", strconv.FormatBool(*o.Hidden))
	}
	if o.Create {
		q.Set("create", "true")
	}
	path := options(secretPath(name), q)
	if o.Note != nil { // may be empty: that removes it
		q.Set("note", *o.Note)
		path = secretPath(name) + "?" + q.Encode()
	}
	err = s.call(ctx, http.MethodPut, path, bytes.NewReader(value), "application/octet-stream", &info)
	return info, err
}

func (s secrets) Update(ctx context.Context, name string, change orch.SecretChange) (info orch.SecretInfo, err error) {
	return info, s.json(ctx, http.MethodPatch, secretPath(name), change, &info)
}

// json sends a JSON body.
func (s secrets) json(ctx context.Context, method, path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return s.call(ctx, method, path, bytes.NewReader(b), "application/json", into)
}

func (s secrets) Get(ctx context.Context, name string, version int) ([]byte, error) {
	q := url.Values{}
	if version != 0 {
		q.Set("version", strconv.Itoa(version))
	}
	resp, err := s.c.send(ctx, http.MethodGet, options(secretPath(name), q), nil, "", tenantOf(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

func (s secrets) Describe(ctx context.Context, name string) (d orch.SecretDetail, err error) {
	return d, s.call(ctx, http.MethodGet, secretPath(name, "versions"), nil, "", &d)
}

func (s secrets) List(ctx context.Context, prefix string) (all []orch.SecretInfo, err error) {
	return all, s.call(ctx, http.MethodGet, options("/secrets", url.Values{"prefix": {prefix}}), nil, "", &all)
}

func (s secrets) Remove(ctx context.Context, name string) error {
	return s.call(ctx, http.MethodDelete, secretPath(name), nil, "", nil)
}

func (s secrets) Export(ctx context.Context, o orch.SecretExport) (out orch.SecretExported, err error) {
	return out, s.json(ctx, http.MethodPost, "/secret-store/export", o, &out)
}

func (s secrets) Import(ctx context.Context, o orch.SecretImport) (out orch.SecretImported, err error) {
	return out, s.json(ctx, http.MethodPost, "/secret-store/import", o, &out)
}

func (s secrets) Rotate(ctx context.Context, keepOld bool) (out orch.SecretRotation, err error) {
	return out, s.json(ctx, http.MethodPost, "/secret-store/rotation", orch.SecretRotate{KeepOld: keepOld}, &out)
}

func (s secrets) Reads(ctx context.Context, f orch.SecretReads) (all []orch.SecretRead, err error) {
	q := url.Values{"secret": {f.Secret}, "user": {f.User}, "deployment": {f.Deployment}}
	if !f.Since.IsZero() {
		q.Set("since", f.Since.Format(time.RFC3339Nano))
	}
	if f.Last > 0 {
		q.Set("last", strconv.Itoa(f.Last))
	}
	return all, s.call(ctx, http.MethodGet, options("/secret-store/reads", q), nil, "", &all)
}

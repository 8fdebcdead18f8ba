package client

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/orch-project/orch/pkg/orch"
)

// Secrets implements orch.Service.
func (c *Client) Secrets() orch.Secrets { return secrets{c} }

type secrets struct{ c *Client }

func secretPath(name string) string { return "/secrets/" + url.PathEscape(name) }

func (s secrets) Set(ctx context.Context, name string, value []byte, note string) (info orch.SecretInfo, err error) {
	path := secretPath(name) + "?note=" + url.QueryEscape(note)
	err = s.c.do(ctx, http.MethodPut, path, bytes.NewReader(value), "application/octet-stream", &info)
	return info, err
}

func (s secrets) Get(ctx context.Context, name string) ([]byte, error) {
	resp, err := s.c.send(ctx, http.MethodGet, secretPath(name), nil, "", nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

func (s secrets) List(ctx context.Context) (all []orch.SecretInfo, err error) {
	return all, s.c.get(ctx, "/secrets", &all)
}

func (s secrets) Remove(ctx context.Context, name string) error {
	return s.c.do(ctx, http.MethodDelete, secretPath(name), nil, "", nil)
}

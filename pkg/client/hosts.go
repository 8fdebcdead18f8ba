package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"github.com/orch-project/orch/pkg/hostpool"
	"github.com/orch-project/orch/pkg/orch"
)

// Hosts implements orch.Service.
func (c *Client) Hosts() orch.Hosts { return hosts{c} }

type hosts struct{ c *Client }

func hostsPath(pool string, host ...string) string {
	p := "/pools/" + url.PathEscape(pool) + "/hosts"
	for _, h := range host {
		p += "/" + url.PathEscape(h)
	}
	return p
}

func (h hosts) Pools(ctx context.Context) (names []string, err error) {
	err = h.c.get(ctx, "/pools", &names)
	return names, err
}

func (h hosts) List(ctx context.Context, pool string, filters []string) (l orch.HostList, err error) {
	p := hostsPath(pool)
	if len(filters) > 0 {
		p += "?" + url.Values{"filter": filters}.Encode()
	}
	err = h.c.get(ctx, p, &l)
	return l, err
}

func (h hosts) Host(ctx context.Context, pool, name string) (*hostpool.Host, error) {
	var one hostpool.Host
	err := h.c.get(ctx, hostsPath(pool, name), &one)
	return &one, err
}

func (h hosts) send(ctx context.Context, method, path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return h.c.do(ctx, method, path, bytes.NewReader(b), "application/json", into)
}

func (h hosts) Add(ctx context.Context, pool, name string, w hostpool.Wanted) (*hostpool.Host, error) {
	var one hostpool.Host
	err := h.send(ctx, http.MethodPut, hostsPath(pool, name), w, &one)
	return &one, err
}

func (h hosts) Update(ctx context.Context, pool, name string, w hostpool.Wanted) (*hostpool.Host, error) {
	var one hostpool.Host
	err := h.send(ctx, http.MethodPatch, hostsPath(pool, name), w, &one)
	return &one, err
}

func (h hosts) Remove(ctx context.Context, pool, name string) error {
	return h.c.do(ctx, http.MethodDelete, hostsPath(pool, name), nil, "", nil)
}

func (h hosts) ApplyHosts(ctx context.Context, pool string, wanted map[string]hostpool.Wanted, checkpoint *uint64) (l orch.HostList, err error) {
	p := hostsPath(pool)
	if checkpoint != nil {
		p += "?checkpoint=" + strconv.FormatUint(*checkpoint, 10)
	}
	err = h.send(ctx, http.MethodPut, p, wanted, &l)
	return l, err
}

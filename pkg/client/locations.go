package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/orch-project/orch/pkg/orch"
)

// Locations implements orch.Service.
func (c *Client) Locations() orch.Locations { return locations{c} }

type locations struct{ c *Client }

func (l locations) List(ctx context.Context) (all []orch.LocationInfo, err error) {
	err = l.c.get(ctx, "/locations", &all)
	return all, err
}

func (l locations) Put(ctx context.Context, info orch.LocationInfo, create bool) error {
	p := "/locations/" + url.PathEscape(info.Name)
	if create {
		p += "?create"
	}
	return hosts(l).send(ctx, http.MethodPut, p, info, nil)
}

func (l locations) Usage(ctx context.Context, name string) (all []orch.Usage, err error) {
	if name == "" {
		name = orch.DefaultLocation
	}
	err = l.c.get(ctx, "/locations/"+url.PathEscape(name)+"/usage", &all)
	return all, err
}

func (l locations) Remove(ctx context.Context, name string) error {
	return l.c.do(ctx, http.MethodDelete, "/locations/"+url.PathEscape(name), nil, "", nil)
}

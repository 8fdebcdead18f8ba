package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/orch-project/orch/pkg/orch"
)

// Blueprints implements orch.Service.
func (c *Client) Blueprints() orch.Blueprints { return blueprints{c} }

type blueprints struct{ c *Client }

func blueprintPath(name, version string, rest ...string) string {
	p := "/blueprints/" + url.PathEscape(name)
	if version != "" {
		p += "/versions/" + url.PathEscape(version)
	}
	for _, r := range rest {
		p += "/" + r
	}
	return p
}

func (b blueprints) send(ctx context.Context, path string, n orch.NewBlueprint) (out orch.Blueprint, err error) {
	q := url.Values{}
	for k, v := range map[string]string{"name": n.Name, "version": n.Version, "entry": n.Entry, "filename": n.Filename} {
		if v != "" {
			q.Set(k, v)
		}
	}
	for k, v := range n.Labels {
		q.Add("label", k+"="+v)
	}
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	if n.New {
		header.Set("If-None-Match", "*")
	}
	if n.Unchecked {
		q.Set("unchecked", "true")
	}
	resp, err := b.c.send(ctx, http.MethodPost, path+"?"+q.Encode(), n.Reader(), "", header)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	return out, decode(resp.Body, &out)
}

func (b blueprints) Upload(ctx context.Context, n orch.NewBlueprint) (orch.Blueprint, error) {
	return b.send(ctx, "/blueprints", n)
}

func (b blueprints) Validate(ctx context.Context, n orch.NewBlueprint) (orch.Blueprint, error) {
	return b.send(ctx, "/validate", n)
}

func (b blueprints) List(ctx context.Context) (all []orch.Blueprint, err error) {
	return all, b.c.get(ctx, "/blueprints", &all)
}

func (b blueprints) Versions(ctx context.Context, name string) (all []orch.Blueprint, err error) {
	return all, b.c.get(ctx, blueprintPath(name, "", "versions"), &all)
}

func (b blueprints) Get(ctx context.Context, name, version string) (out orch.Blueprint, err error) {
	return out, b.c.get(ctx, blueprintPath(name, version), &out)
}

// Download asks for the description first, so that the archive is of a version that is known: the newest may change in between.
func (b blueprints) Download(ctx context.Context, name, version string) (orch.Blueprint, orch.Content, error) {
	out, err := b.Get(ctx, name, version)
	if err != nil {
		return out, nil, err
	}
	resp, err := b.c.send(ctx, http.MethodGet, blueprintPath(name, out.Version, "archive"), nil, "", nil)
	if err != nil {
		return out, nil, err
	}
	defer resp.Body.Close()
	data, err := orch.ReadContent(resp.Body)
	return out, data, err
}

func (b blueprints) Remove(ctx context.Context, name, version string, digests ...string) error {
	header := http.Header{}
	for _, d := range digests {
		header.Add("If-Match", `"`+d+`"`)
	}
	resp, err := b.c.send(ctx, http.MethodDelete, blueprintPath(name, version), nil, "", header)
	if err != nil {
		return err
	}
	return errors.Join(decode(resp.Body, nil), resp.Body.Close())
}

package openstack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/orch-project/orch/pkg/driver"
)

// sweepOrder: what refers to something comes before it.
var sweepOrder = []string{"volume attachment", "router interface", "security group rule", "floating IP", "server", "volume", "port", "router", "subnet", "network", "security group", "server group", "key pair"}

// Timing of deletions.
const (
	deletePatience = 5 * time.Minute // for one resource to be gone, or no longer in use
	deleteEvery    = time.Second
)

// Delete implements driver.Cloud. Deleting what is gone succeeds; what is in use is tried again while it may become free.
func (c *Client) Delete(ctx context.Context, resources []driver.CloudResource) error {
	sorted := slices.Clone(resources)
	slices.SortStableFunc(sorted, func(a, b driver.CloudResource) int {
		return slices.Index(sweepOrder, a.Kind) - slices.Index(sweepOrder, b.Kind)
	})
	var errs []error
	for _, r := range sorted {
		if err := c.remove(ctx, r); err != nil {
			errs = append(errs, fmt.Errorf("cannot delete %s %s %s: %w", r.Kind, r.Name, r.ID, err))
		}
		if ctx.Err() != nil {
			return errors.Join(append(errs, context.Cause(ctx))...)
		}
	}
	return errors.Join(errs...)
}

func (c *Client) remove(ctx context.Context, r driver.CloudResource) error {
	ctx, cancel := context.WithTimeoutCause(ctx, deletePatience, errLeft)
	defer cancel()
	if r.Kind == "router interface" {
		return c.takeInterface(ctx, r.Attributes["router_id"], r.ID)
	}
	service, path, err := pathOf(r)
	if err != nil {
		return err
	}
	if r.Kind == "router" {
		if err := c.emptyRouter(ctx, r.ID); err != nil {
			return err
		}
	}
	for {
		err := c.delete(ctx, service, path)
		switch {
		case gone(err):
			return nil
		case err == nil && (r.Kind == "server" || r.Kind == "volume"):
			return c.awaitGone(ctx, service, path)
		case err == nil && r.Kind == "volume attachment":
			return c.awaitDetached(ctx, r.Attributes["volume_id"], r.Attributes["instance_id"])
		case err == nil:
			return nil
		case !gophercloud.ResponseCodeIs(err, http.StatusConflict) && !gophercloud.ResponseCodeIs(err, http.StatusBadRequest):
			return err
		}
		// 409 (Neutron) and 400 (a volume that is being detached): in use, perhaps for a moment only.
		if werr := sleep(ctx, deleteEvery); werr != nil {
			return err
		}
	}
}

func pathOf(r driver.CloudResource) (service, path string, err error) {
	id := url.PathEscape(r.ID)
	switch r.Kind {
	case "server":
		return nova, "servers/" + id, nil
	case "server group":
		return nova, "os-server-groups/" + id, nil
	case "key pair":
		return nova, "os-keypairs/" + url.PathEscape(r.Name), nil
	case "volume":
		return cinder, "volumes/" + id, nil
	case "volume attachment":
		return nova, "servers/" + url.PathEscape(r.Attributes["instance_id"]) + "/os-volume_attachments/" + url.PathEscape(r.Attributes["volume_id"]), nil
	case "security group rule":
		return neutron, "security-group-rules/" + id, nil
	}
	for _, k := range neutronKinds {
		if k.kind == r.Kind {
			return neutron, k.path + "/" + id, nil
		}
	}
	return "", "", fmt.Errorf("the kind %q is not known", r.Kind)
}

func (c *Client) delete(ctx context.Context, service, path string) error {
	s, err := c.service(ctx, service)
	if err != nil {
		return err
	}
	resp, err := s.Delete(ctx, s.ServiceURL()+path, &gophercloud.RequestOpts{OkCodes: []int{200, 202, 204}})
	if err != nil {
		return said(err)
	}
	return resp.Body.Close()
}

// awaitGone waits until a resource that is deleted asynchronously is gone.
func (c *Client) awaitGone(ctx context.Context, service, path string) error {
	for {
		var body map[string]struct {
			Status string `json:"status"`
		}
		switch err := c.get(ctx, service, path, &body); {
		case gone(err):
			return nil
		case err != nil:
			return err
		}
		for _, o := range body {
			if o.Status == "error_deleting" {
				return errors.New("the cloud could not delete it (error_deleting)")
			}
		}
		if err := sleep(ctx, deleteEvery); err != nil {
			return err
		}
	}
}

// emptyRouter takes a router's interfaces away, without which it cannot be deleted.
func (c *Client) emptyRouter(ctx context.Context, id string) error {
	ports, err := c.list(ctx, neutron, "ports?device_id="+url.QueryEscape(id), "ports")
	if err != nil {
		return err
	}
	for _, p := range ports {
		if str(p, "device_owner") == "network:router_gateway" {
			continue
		}
		if err := c.takeInterface(ctx, id, str(p, "id")); err != nil {
			return err
		}
	}
	return nil
}

// takeInterface takes a router's interface away, with its port.
func (c *Client) takeInterface(ctx context.Context, router, port string) error {
	s, err := c.service(ctx, neutron)
	if err != nil {
		return err
	}
	resp, err := s.Put(ctx, s.ServiceURL("routers", router, "remove_router_interface"), object{"port_id": port}, nil, &gophercloud.RequestOpts{OkCodes: []int{200}})
	if err != nil {
		if e := said(err); !gone(e) {
			return e
		}
		return nil
	}
	return resp.Body.Close()
}

// awaitDetached waits until a volume is no longer attached to a server.
func (c *Client) awaitDetached(ctx context.Context, volume, server string) error {
	for {
		var body struct {
			Volume object `json:"volume"`
		}
		switch err := c.get(ctx, cinder, "volumes/"+url.PathEscape(volume), &body); {
		case gone(err):
			return nil
		case err != nil:
			return err
		}
		if !slices.ContainsFunc(items(body.Volume, "attachments"), func(a object) bool { return str(a, "server_id") == server }) {
			return nil
		}
		if err := sleep(ctx, deleteEvery); err != nil {
			return err
		}
	}
}

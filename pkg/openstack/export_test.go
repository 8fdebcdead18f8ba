package openstack

import (
	"context"

	"github.com/gophercloud/gophercloud/v2"
)

// Post makes something in the tests' cloud and returns the answer's object under key.
func (c *Client) Post(ctx context.Context, service, path string, body any, key string) (map[string]any, error) {
	s, err := c.service(ctx, service)
	if err != nil {
		return nil, err
	}
	var out map[string]map[string]any
	resp, err := s.Post(ctx, s.ServiceURL()+path, body, &out, &gophercloud.RequestOpts{OkCodes: []int{200, 201, 202}})
	if err != nil {
		return nil, said(err)
	}
	return out[key], resp.Body.Close()
}

// Put changes something in the tests' cloud.
func (c *Client) Put(ctx context.Context, service, path string, body any) error {
	s, err := c.service(ctx, service)
	if err != nil {
		return err
	}
	resp, err := s.Put(ctx, s.ServiceURL()+path, body, nil, &gophercloud.RequestOpts{OkCodes: []int{200}})
	if err != nil {
		return said(err)
	}
	return resp.Body.Close()
}

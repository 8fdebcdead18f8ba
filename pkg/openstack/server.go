package openstack

import (
	"context"
	"fmt"
	"net/url"

	"github.com/gophercloud/gophercloud/v2"
)

// Fault implements driver.Cloud: the message that Nova keeps with a server in ERROR.
func (c *Client) Fault(ctx context.Context, serverID string) (string, error) {
	var body struct {
		Server struct {
			Status string `json:"status"`
			Fault  *struct {
				Code    int    `json:"code"`
				Message string `json:"message"`
			} `json:"fault"`
		} `json:"server"`
	}
	err := c.get(ctx, nova, "servers/"+url.PathEscape(serverID), &body)
	switch {
	case gone(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("cannot read server %s: %w", serverID, err)
	case body.Server.Fault == nil:
		return "", nil
	}
	f := body.Server.Fault
	return fmt.Sprintf("%s (server %s, fault %d)", f.Message, serverID, f.Code), nil
}

// Console implements driver.Cloud: the last lines of the console log; all of it if lines is not positive.
func (c *Client) Console(ctx context.Context, serverID string, lines int) (string, error) {
	s, err := c.service(ctx, nova)
	if err != nil {
		return "", err
	}
	args := object{}
	if lines > 0 {
		args["length"] = lines
	}
	var out struct {
		Output string `json:"output"`
	}
	resp, err := s.Post(ctx, s.ServiceURL("servers", serverID, "action"), object{"os-getConsoleOutput": args}, &out,
		&gophercloud.RequestOpts{OkCodes: []int{200}})
	if err != nil {
		return "", fmt.Errorf("cannot read the console of server %s: %w", serverID, said(err))
	}
	return out.Output, resp.Body.Close()
}

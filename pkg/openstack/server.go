package openstack

import (
	"context"
	"fmt"
	"net/url"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/orch-project/orch/pkg/driver"
)

// Fault implements driver.Cloud: the message that Nova keeps with a server in ERROR.
func (c *Client) Fault(ctx context.Context, serverID string) (string, error) {
	_, fault, err := c.ServerStatus(ctx, serverID)
	return fault, err
}

// ServerStatus implements driver.Statuser.
func (c *Client) ServerStatus(ctx context.Context, serverID string) (status, fault string, err error) {
	var body struct {
		Server struct {
			Status string `json:"status"`
			Fault  *struct {
				Code    int    `json:"code"`
				Message string `json:"message"`
			} `json:"fault"`
		} `json:"server"`
	}
	err = c.get(ctx, nova, "servers/"+url.PathEscape(serverID), &body)
	switch {
	case gone(err):
		return driver.ServerDeleted, "", nil
	case err != nil:
		return "", "", fmt.Errorf("cannot read server %s: %w", serverID, err)
	}
	if f := body.Server.Fault; f != nil {
		fault = fmt.Sprintf("%s (server %s, fault %d)", f.Message, serverID, f.Code)
	}
	return body.Server.Status, fault, nil
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

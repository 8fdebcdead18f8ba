package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/orch-project/orch/pkg/orch"
)

// LogLevel returns the level of the server's log, after setting it unless level is "".
func (c *Client) LogLevel(ctx context.Context, level string) (string, error) {
	var out orch.LogLevel
	if level == "" {
		err := c.get(ctx, "/log-level", &out)
		return out.Level, err
	}
	body, err := json.Marshal(orch.LogLevel{Level: level})
	if err != nil {
		return "", err
	}
	err = c.do(ctx, http.MethodPut, "/log-level", bytes.NewReader(body), "application/json", &out)
	return out.Level, err
}

package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
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

// Backup writes a backup of the server's store. Whether all of it has come is for the reader to see: it has a checksum.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	resp, err := c.send(ctx, http.MethodGet, "/store/backup", nil, "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(w, resp.Body)
	if err != nil {
		return fmt.Errorf("cannot read the backup: %w", err)
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/orch-project/orch/internal/config"
)

// Bounds of a document that is read from the network.
const (
	maxDocument     = 16 << 20
	documentTimeout = 30 * time.Second
)

// fetcher reads imports from the network where the configuration allows that; nil refuses them.
func fetcher(c *config.Config) func(ctx context.Context, url string) ([]byte, error) {
	if !c.AllowNetwork {
		return nil
	}
	return func(ctx context.Context, from string) ([]byte, error) {
		u, err := url.Parse(from)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" {
			return nil, errors.New("only http and https are read from the network")
		}
		ctx, cancel := context.WithTimeout(ctx, documentTimeout)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
		if err != nil {
			return nil, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("the server answers %s", resp.Status)
		}
		data, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
		if err == nil && len(data) > maxDocument {
			err = fmt.Errorf("it has more than %d MiB", maxDocument>>20)
		}
		return data, err
	}
}

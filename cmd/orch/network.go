package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/orch-project/orch/internal/config"
)

// Bounds of what is read from the network.
const (
	maxDocument     = 16 << 20
	documentTimeout = 30 * time.Second
	archiveTimeout  = 10 * time.Minute
	maxRedirects    = 5
)

// fetcher reads imports from the network where the configuration allows that; nil refuses them.
func fetcher(c *config.Config) func(ctx context.Context, url string) ([]byte, error) {
	if !c.AllowNetwork {
		return nil
	}
	client := http.DefaultClient
	if c.Shared {
		client = guarded(c.NetworkHosts)
	}
	return func(ctx context.Context, from string) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, documentTimeout)
		defer cancel()
		body, err := get(ctx, client, from)
		if err != nil {
			return nil, err
		}
		defer body.Close()
		data, err := io.ReadAll(io.LimitReader(body, maxDocument+1))
		if err == nil && len(data) > maxDocument {
			err = fmt.Errorf("it has more than %d MiB", maxDocument>>20)
		}
		return data, err
	}
}

// archives reads archives that clients of a server name by URL, where the configuration allows that; nil refuses them. Who reads bounds their size.
func archives(c *config.Config) func(ctx context.Context, url string) (io.ReadCloser, error) {
	if !c.AllowNetwork {
		return nil
	}
	client := guarded(c.NetworkHosts)
	return func(ctx context.Context, from string) (io.ReadCloser, error) {
		ctx, cancel := context.WithTimeout(ctx, archiveTimeout)
		body, err := get(ctx, client, from)
		if err != nil {
			cancel()
			return nil, err
		}
		return ending{body, cancel}, nil
	}
}

// ending gives its time limit back when it is closed.
type ending struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (e ending) Close() error { defer e.cancel(); return e.ReadCloser.Close() }

func get(ctx context.Context, client *http.Client, from string) (io.ReadCloser, error) {
	u, err := url.Parse(from)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("only http and https are read from the network")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("the server answers %s", resp.Status)
	}
	return resp.Body, nil
}

// guarded is a client for addresses that others choose: it does not go to this machine nor into its own network, wherever names and redirects
// lead, but for hosts that are allowed ("mirror.example", "10.1.0.0/16"). It uses no proxy, which would go there for it.
func guarded(allowed []string) *http.Client {
	dial := &net.Dialer{Timeout: documentTimeout}
	outside := *dial
	outside.Control = func(_, address string, _ syscall.RawConn) error { return checkAddress(address, allowed) }
	t := &http.Transport{TLSHandshakeTimeout: documentTimeout, ResponseHeaderTimeout: documentTimeout, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if host, _, err := net.SplitHostPort(address); err == nil && slices.ContainsFunc(allowed, func(a string) bool { return strings.EqualFold(a, host) }) {
				return dial.DialContext(ctx, network, address)
			}
			return outside.DialContext(ctx, network, address)
		}}
	return &http.Client{Transport: t, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects || r.URL.Scheme != "http" && r.URL.Scheme != "https" {
			return errors.New("it leads on and on, or to something else than http and https")
		}
		return nil
	}}
}

// sharedSpace is the address range of carriers (RFC 6598), which is nobody's own and not public either.
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// checkAddress refuses what is not a public address, unless a network in the list has it.
func checkAddress(address string, allowed []string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	ip := at.Addr().Unmap().WithZone("")
	for _, a := range allowed {
		if p, err := netip.ParsePrefix(a); err == nil && p.Contains(ip) {
			return nil
		}
	}
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || sharedSpace.Contains(ip) {
		return fmt.Errorf("%s is an address of the server's own network, which it does not read from for others; network_hosts in its configuration allows some", ip)
	}
	return nil
}

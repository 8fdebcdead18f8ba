// Package open opens a state.Store by its address. It is the one package that knows every implementation, so only main programs import it.
package open

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/bolt"
	"github.com/orch-project/orch/pkg/state/consul"
	"github.com/orch-project/orch/pkg/state/mem"
)

// Store opens the store at an address:
//
//	/path/to/file, bolt:/path, bolt:///path   a bbolt file, used by one process at a time
//	consul://[token@]host:port[,…]/prefix?…   Consul; see consul.ParseURL for the options
//	mem:                                      in memory: nothing survives
//
// The zero Options of the implementations apply, with file for those of bolt. Errors never show the token.
func Store(ctx context.Context, address string, file bolt.Options) (state.Store, error) {
	scheme, _, ok := strings.Cut(address, ":")
	switch {
	case address == "":
		return nil, fmt.Errorf("the address of the store is empty: give the path of a file, or consul://host:port/prefix")
	case ok && scheme == "mem":
		return mem.New(mem.Options{}), nil
	case ok && scheme == "consul":
		o, err := consul.ParseURL(address)
		if err != nil {
			return nil, err
		}
		return result(consul.Open(ctx, o))
	case File(address) != "":
		return result(bolt.Open(ctx, File(address), file))
	case ok && (scheme == "bolt" || scheme == "file"):
		return nil, fmt.Errorf("%q is no address of a store: want bolt:/path/to/file", address)
	}
	return nil, fmt.Errorf("stores of the kind %q are not known: want the path of a file, or consul://host:port/prefix", scheme)
}

// File is the path of the file that an address names, "" if it names none.
func File(address string) string {
	scheme, rest, ok := strings.Cut(address, ":")
	switch {
	case ok && (scheme == "bolt" || scheme == "file"):
		path, err := url.PathUnescape(strings.TrimPrefix(rest, "//"))
		if err != nil {
			return ""
		}
		return path
	case scheme == "mem" || scheme == "consul" || strings.Contains(address, "://"):
		return ""
	}
	return address
}

// result keeps a nil pointer from becoming a Store that is not nil.
func result[S state.Store](s S, err error) (state.Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Name is the address without its token, for messages.
func Name(address string) string {
	if rest, ok := strings.CutPrefix(address, "consul://"); ok {
		hosts, more, slash := strings.Cut(rest, "/")
		hosts = hosts[strings.LastIndexByte(hosts, '@')+1:]
		if slash {
			hosts += "/" + more
		}
		return "consul://" + hosts
	}
	return address
}

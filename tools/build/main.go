// Command build makes the third-party programs that orch's demo and tests use, from source through the Go module proxy, and puts them
// into the tool cache (package toolcache says where). Go is all it needs.
//
//	go run ./tools/build consul tofu terraform-provider-openstack
//	go run ./tools/build -list
//	go run ./tools/build -path staticcheck     # prints where the executable lies
//
// What is there already is left alone, so it is cheap to call always. Versions are those that tools/NAME/go.mod pins. Two calls at once
// build a tool once: the second waits for the first.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/orch-project/orch/internal/toolcache"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	list := flag.Bool("list", false, "list the tools, their versions, and whether they are built")
	path := flag.Bool("path", false, "print the path of each executable on standard output")
	clean := flag.Bool("clean", false, "remove all tools from the cache")
	root := flag.String("C", "", "root of the checkout (default: found from the working directory)")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: build [-list] [-clean] [-path] NAME...\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := run(ctx, options{root: *root, list: *list, clean: *clean, path: *path}, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "tools: %v\n", err)
		os.Exit(1)
	}
}

type options struct {
	root              string
	list, clean, path bool
}

func run(ctx context.Context, o options, names []string) error {
	if o.root == "" {
		var err error
		if o.root, err = checkout(); err != nil {
			return err
		}
	}
	cache, err := toolcache.Dir()
	if err != nil {
		return err
	}
	b := &builder{modules: filepath.Join(o.root, "tools"), cache: cache, say: newProgress(os.Stderr)}
	switch {
	case o.list:
		return b.list(os.Stdout)
	case o.clean:
		return b.clean(ctx)
	}
	if len(names) == 0 {
		return errors.New("which tool? `go run ./tools/build -list` lists them")
	}
	for _, name := range names {
		t, err := find(name)
		if err != nil {
			return err
		}
		exe, err := b.build(ctx, t)
		if err != nil {
			return err
		}
		if o.path {
			fmt.Println(exe)
		}
	}
	return nil
}

// checkout walks up to the directory that holds tools/build.
func checkout() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("cannot find the checkout: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "tools", "build", "main.go")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("cannot find the checkout: call this inside of it, or with -C DIR")
		}
		dir = up
	}
}

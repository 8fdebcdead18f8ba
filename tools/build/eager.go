package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The OpenStack provider waits 5 to 10 seconds before it first looks whether the cloud has done what it was told, and 3 and more between its
// looks. The embedded OpenStack is faster, so that tests would spend most of their time in these pauses. An eager provider is the same
// program with its SDK's pauses shortened: what it asks, in which order and until when stays as it is.

const (
	sdk    = "github.com/hashicorp/terraform" // the SDK that the provider builds with
	waits  = "helper/resource/state.go"
	waiter = "func (conf *StateChangeConf) WaitForState() (interface{}, error) {\n"
	haste  = "\tconf.Delay /= 20\n\tconf.MinTimeout /= 10\n\tconf.PollInterval /= 10\n"
)

// hasten copies the SDK into tmp, shortens its pauses, and returns a file for -modfile by which the module in dir takes the copy. Go lets no
// overlay replace a file of its module cache.
func hasten(ctx context.Context, dir, tmp string, env []string) (modfile string, err error) {
	original, err := downloaded(ctx, dir, env)
	if err != nil {
		return "", fmt.Errorf("cannot get the provider's SDK: %w", err)
	}
	copied := filepath.Join(tmp, "sdk")
	if err := os.CopyFS(copied, os.DirFS(original)); err != nil {
		return "", fmt.Errorf("cannot copy the provider's SDK: %w", err)
	}
	file := filepath.Join(copied, filepath.FromSlash(waits))
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("cannot find the provider's pauses: %w", err)
	}
	hasty := strings.Replace(string(text), waiter, waiter+haste, 1)
	if hasty == string(text) {
		return "", fmt.Errorf("cannot find the provider's pauses: %s of %s has no %q", waits, sdk, strings.TrimSpace(waiter))
	}
	if err := os.WriteFile(file, []byte(hasty), 0o600); err != nil {
		return "", err
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		if err := copyFile(filepath.Join(dir, name), filepath.Join(tmp, name)); err != nil {
			return "", err
		}
	}
	modfile = filepath.Join(tmp, "go.mod")
	cmd := exec.CommandContext(ctx, "go", "mod", "edit", "-replace", sdk+"="+copied, modfile)
	cmd.Env = env
	if _, err := cmd.Output(); err != nil {
		return "", fmt.Errorf("cannot replace the provider's SDK: %s", describe(err))
	}
	return modfile, nil
}

// downloaded is the directory of the SDK in Go's module cache.
func downloaded(ctx context.Context, dir string, env []string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", sdk)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.Output()
	if err != nil {
		return "", errors.New(describe(err))
	}
	var mod struct{ Dir string }
	err = json.Unmarshal(out, &mod)
	return mod.Dir, err
}

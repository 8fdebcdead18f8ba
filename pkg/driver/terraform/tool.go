package terraform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hc-install/product"
	"github.com/hashicorp/hc-install/releases"
	"github.com/orch-project/orch/internal/toolcache"
)

// PinnedVersion of Terraform is installed where neither Terraform nor OpenTofu is found.
const PinnedVersion = "1.11.4"

// minVersion of both products: older ones lack `apply -json`'s planned changes and terraform_data.
var minVersion = version.Must(version.NewVersion("1.4.0"))

// Tool is a Terraform or OpenTofu executable.
type Tool struct {
	Path    string
	Product string // terraform or tofu
	Version string
}

// toolFinder finds the executable once.
type toolFinder struct {
	mu   sync.Mutex
	tool *Tool
}

// FindTool returns the executable to use: the configured one (a path or a name), else terraform or tofu on PATH, else of orch's tool
// cache, else a Terraform that is downloaded. Each candidate must run and be new enough.
func FindTool(ctx context.Context, configured string) (*Tool, error) {
	if configured != "" {
		path, err := exec.LookPath(configured)
		if err != nil {
			return nil, fmt.Errorf("cannot find the configured Terraform %q: %w", configured, err)
		}
		return probe(ctx, path)
	}
	var problems []error
	for _, name := range []string{"terraform", "tofu"} {
		path, err := exec.LookPath(name)
		if err != nil {
			if path, err = toolcache.Find(name); err != nil {
				continue
			}
		}
		t, err := probe(ctx, path)
		if err == nil {
			return t, nil
		}
		problems = append(problems, err)
	}
	t, err := install(ctx)
	if err != nil {
		problems = append(problems, err)
		return nil, fmt.Errorf("cannot find Terraform or OpenTofu on PATH or in the tool cache, nor install one: %w; "+
			"install terraform or tofu %s or newer, or name one in the configuration (terraform.binary, ORCH_TERRAFORM)", errors.Join(problems...), minVersion)
	}
	return t, nil
}

func install(ctx context.Context) (*Tool, error) {
	root, err := toolcache.Dir()
	if err != nil {
		return nil, err
	}
	path := toolcache.Executable(root, "terraform", PinnedVersion)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("cannot install Terraform: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(path), "install-")
	if err != nil {
		return nil, fmt.Errorf("cannot install Terraform: %w", err)
	}
	defer os.RemoveAll(tmp)
	got, err := (&releases.ExactVersion{Product: product.Terraform, Version: version.Must(version.NewVersion(PinnedVersion)), InstallDir: tmp,
		Timeout: 3 * time.Minute}).Install(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot download Terraform %s from releases.hashicorp.com: %w", PinnedVersion, err)
	}
	if err := os.Rename(got, path); err != nil {
		return nil, fmt.Errorf("cannot install Terraform: %w", err)
	}
	return probe(ctx, path)
}

// probe asks an executable for its version.
func probe(ctx context.Context, path string) (*Tool, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	cmd := exec.CommandContext(ctx, path, "version", "-json")
	cmd.Env = append(hostEnv(), "CHECKPOINT_DISABLE=1", "TF_CLI_CONFIG_FILE="+os.DevNull)
	cmd.WaitDelay = time.Second
	cmd.Dir = os.TempDir() // this process's own directory may be gone
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot run %s: %w", path, err)
	}
	var v struct {
		Version string `json:"terraform_version"`
	}
	if err := json.Unmarshal(out, &v); err != nil {
		return nil, fmt.Errorf("%s does not answer like Terraform or OpenTofu: %w", path, err)
	}
	got, err := version.NewVersion(v.Version)
	if err != nil {
		return nil, fmt.Errorf("%s has the strange version %q", path, v.Version)
	}
	if got.LessThan(minVersion) {
		return nil, fmt.Errorf("%s is version %s; orch needs %s or newer", path, v.Version, minVersion)
	}
	t := &Tool{Path: path, Product: "terraform", Version: v.Version}
	text := exec.CommandContext(ctx, path, "version")
	text.Env = cmd.Env
	text.WaitDelay, text.Dir = time.Second, cmd.Dir
	if out, err := text.Output(); err == nil && strings.Contains(string(out), "OpenTofu") {
		t.Product = "tofu"
	}
	return t, nil
}

func (f *toolFinder) find(ctx context.Context, configured string) (*Tool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tool != nil {
		return f.tool, nil
	}
	t, err := FindTool(ctx, configured)
	if err == nil {
		f.tool = t
	}
	return t, err
}

// hostEnv is what programs may know of this process's environment: no credentials, none of the variables that change how Terraform behaves.
func hostEnv() []string {
	var out []string
	for _, name := range []string{"PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "XDG_CACHE_HOME", "GODEBUG"} {
		if v, ok := os.LookupEnv(name); ok {
			out = append(out, name+"="+v)
		}
	}
	return out
}

package terraform

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/orch-project/orch/internal/toolcache"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plugin"
)

// prepared is an initialised provider set: one per tool, mirror and list of providers, shared by all deployments, as init is slow and not
// safe to run twice on one cache at once.
type prepared struct {
	dir string
}

func (p *prepared) dataDir() string  { return filepath.Join(p.dir, "data") }
func (p *prepared) lockFile() string { return filepath.Join(p.dir, ".terraform.lock.hcl") }
func (p *prepared) cliConfig() string {
	return filepath.Join(p.dir, "cli.tfrc")
}

// environ is added to every run of the tool.
func (p *prepared) environ() []string {
	return []string{"TF_DATA_DIR=" + p.dataDir(), "TF_CLI_CONFIG_FILE=" + p.cliConfig(), "TF_IN_AUTOMATION=1", "TF_INPUT=0", "CHECKPOINT_DISABLE=1"}
}

var lockedProvider = regexp.MustCompile(`(?m)^provider "([^"]+)" \{\s*version\s*=\s*"([^"]+)"`)

// versions of the providers that were chosen, by namespace/type and host/namespace/type.
func (p *prepared) versions() map[string]string {
	out := map[string]string{}
	data, err := os.ReadFile(p.lockFile())
	if err != nil {
		return out // the newest versions' words are used
	}
	for _, m := range lockedProvider.FindAllStringSubmatch(string(data), -1) {
		source := strings.ToLower(m[1])
		out[source] = m[2]
		if _, short, ok := strings.Cut(source, "/"); ok {
			out[short] = m[2]
		}
	}
	return out
}

// prepare initialises the providers of the plugins, once.
func (d *Driver) prepare(ctx context.Context, tool *Tool, plugins []*plugin.Plugin) (*prepared, error) {
	mod, _, err := buildModule(&manifest{}, plugins, nil, false)
	if err != nil {
		return nil, err
	}
	mirror := d.opts.Mirror
	if mirror == "" {
		if root, err := toolcache.Dir(); err == nil {
			mirror = toolcache.Mirror(root)
		}
	}
	config := cliConfig(mirror, tool, plugins)
	sum := sha256.New()
	for _, s := range []string{tool.Path, tool.Version, config, string(mod), mirrorStamp(mirror, plugins)} {
		fmt.Fprintf(sum, "%d:%s", len(s), s)
	}
	p := &prepared{dir: filepath.Join(d.opts.Home, "init", hex.EncodeToString(sum.Sum(nil))[:16])}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot initialise Terraform's providers: %w", err)
	}
	unlock, err := flock(ctx, filepath.Join(p.dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("cannot initialise Terraform's providers: %w", err)
	}
	defer unlock()
	done := filepath.Join(p.dir, "done")
	if _, err := os.Stat(done); err == nil && providersPresent(p.dataDir()) {
		return p, nil
	}
	if err := os.RemoveAll(p.dataDir()); err != nil {
		return nil, fmt.Errorf("cannot initialise Terraform's providers: %w", err)
	}
	for file, data := range map[string][]byte{p.cliConfig(): []byte(config), filepath.Join(p.dir, fileModule): mod} {
		if err := writeFile(file, data); err != nil {
			return nil, fmt.Errorf("cannot initialise Terraform's providers: %w", err)
		}
	}
	if err := d.init(ctx, tool, p); err != nil {
		return nil, err
	}
	return p, writeFile(done, nil)
}

func (d *Driver) init(ctx context.Context, tool *Tool, p *prepared) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool.Path, "init", "-input=false", "-no-color", "-backend=false")
	cmd.Dir = p.dir
	cmd.Env = append(hostEnv(), p.environ()...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		lines := lastLines(out.String(), 12)
		return &driver.Error{Op: tool.Product + " init", Stderr: lines, ExitCode: cmd.ProcessState.ExitCode(), Err: fmt.Errorf("cannot install the Terraform providers: %w", err),
			Hint: "check that the registry can be reached, or put the providers into the mirror (orch doctor says where)"}
	}
	return nil
}

// cliConfig makes providers that the mirror holds come from there, others from their registry.
func cliConfig(mirror string, tool *Tool, plugins []*plugin.Plugin) string {
	var held []string
	for _, p := range plugins {
		for _, pr := range p.Providers {
			if mirror != "" && mirrored(mirror, tool, pr.Source) {
				held = append(held, fmt.Sprintf("%q", pr.Source))
			}
		}
	}
	if len(held) == 0 {
		return "disable_checkpoint = true\n"
	}
	list := "[" + strings.Join(held, ", ") + "]"
	path, _ := json.Marshal(mirror)
	return fmt.Sprintf("disable_checkpoint = true\nprovider_installation {\n  filesystem_mirror {\n    path    = %s\n    include = %s\n  }\n"+
		"  direct {\n    exclude = %s\n  }\n}\n", path, list, list)
}

func registryPath(tool *Tool, source string) string {
	if strings.Count(source, "/") == 2 {
		return source
	}
	host := toolcache.Registries[0]
	if tool.Product == "tofu" {
		host = toolcache.Registries[1]
	}
	return host + "/" + source
}

func mirrored(mirror string, tool *Tool, source string) bool {
	entries, err := os.ReadDir(filepath.Join(mirror, filepath.FromSlash(registryPath(tool, source))))
	return err == nil && len(entries) > 0
}

// mirrorStamp changes when the mirror's providers do.
func mirrorStamp(mirror string, plugins []*plugin.Plugin) string {
	var b strings.Builder
	for _, p := range plugins {
		for _, pr := range p.Providers {
			files, _ := filepath.Glob(filepath.Join(mirror, "*", filepath.FromSlash(pr.Source), "*", "*", "*"))
			for _, f := range files {
				if info, err := os.Stat(f); err == nil {
					fmt.Fprintf(&b, "%s %d %d\n", f, info.Size(), info.ModTime().UnixNano())
				}
			}
		}
	}
	return b.String()
}

// providersPresent reports whether the initialised providers still lie where init found them (they are links into the mirror).
func providersPresent(data string) bool {
	files, _ := filepath.Glob(filepath.Join(data, "providers", "*", "*", "*", "*", "*"))
	if len(files) == 0 {
		return false
	}
	for _, f := range files {
		if _, err := os.Stat(f); err != nil {
			return false
		}
	}
	return true
}

func lastLines(s string, n int) []string {
	var lines []string
	for l := range strings.Lines(s) {
		if l = strings.TrimRight(l, " \r\n"); strings.Trim(l, "╷│╵ ") != "" {
			lines = append(lines, strings.TrimLeft(l, "╷│╵ "))
		}
	}
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return lines
}

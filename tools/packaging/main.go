// Command packaging makes what a release consists of: for each architecture a static executable, an archive and a Debian package, and the
// checksums of all. Equal sources give equal files: all times in them are that of the commit.
//
//	go run ./tools/packaging -out dist -version v1.2.3 -commit abc… -date 2026-11-29T12:00:00Z
//
// Go is all it needs. goreleaser.yaml beside it makes the same with goreleaser.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

type release struct {
	root, out             string
	version, commit, date string
	when                  time.Time
	archs                 []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var r release
	var archs string
	flag.StringVar(&r.root, "C", ".", "root of the checkout")
	flag.StringVar(&r.out, "out", "dist", "directory to write to")
	flag.StringVar(&r.version, "version", "v0.0.0", "version, as of git describe")
	flag.StringVar(&r.commit, "commit", "unknown", "commit")
	flag.StringVar(&r.date, "date", "", "time of the commit, RFC 3339")
	flag.StringVar(&archs, "arch", "amd64,arm64", "architectures")
	flag.Parse()
	r.archs = strings.Split(archs, ",")
	if err := r.make(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "packaging:", err)
		os.Exit(1)
	}
}

func (r *release) make(ctx context.Context) error {
	r.when = time.Unix(0, 0).UTC()
	if r.date != "" {
		t, err := time.Parse(time.RFC3339, r.date)
		if err != nil {
			return fmt.Errorf("cannot read the date: %w", err)
		}
		r.when = t.UTC()
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	var made []string
	for _, arch := range r.archs {
		files, err := r.arch(ctx, arch)
		if err != nil {
			return fmt.Errorf("%s: %w", arch, err)
		}
		made = append(made, files...)
	}
	return r.checksums(made)
}

// arch makes everything for one architecture.
func (r *release) arch(ctx context.Context, arch string) ([]string, error) {
	exe := filepath.Join(r.out, "orch_linux_"+arch)
	if err := r.build(ctx, arch, exe); err != nil {
		return nil, err
	}
	number := debianVersion(r.version)
	archive := filepath.Join(r.out, fmt.Sprintf("orch_%s_linux_%s.tar.gz", number, arch))
	files, err := r.files(exe)
	if err != nil {
		return nil, err
	}
	if err := r.archive(archive, fmt.Sprintf("orch_%s_linux_%s/", number, arch), files); err != nil {
		return nil, err
	}
	deb := filepath.Join(r.out, fmt.Sprintf("orch_%s_%s.deb", number, arch))
	return []string{exe, archive, deb}, r.deb(deb, arch, number, files)
}

func (r *release) build(ctx context.Context, arch, exe string) error {
	const version = "github.com/orch-project/orch/internal/version"
	flags := fmt.Sprintf("-s -w -X %[1]s.version=%s -X %[1]s.commit=%s -X %[1]s.date=%s", version, r.version, r.commit, r.date)
	abs, err := filepath.Abs(exe)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", abs, "./cmd/orch")
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cannot build: %w", err)
	}
	return nil
}

// file of a release: its content, and where it lies in the archive and in a system ("" for nowhere).
type file struct {
	content           []byte
	mode              int64
	archived, located string
}

func (r *release) files(exe string) ([]file, error) {
	var out []file
	for _, f := range []struct {
		from              string
		mode              int64
		archived, located string
	}{
		{exe, 0o755, "orch", "usr/bin/orch"},
		{filepath.Join(r.root, "LICENSE"), 0o644, "LICENSE", "usr/share/doc/orch/copyright"},
		{filepath.Join(r.root, "README.md"), 0o644, "README.md", "usr/share/doc/orch/README.md"},
		{filepath.Join(r.root, "CHANGELOG.md"), 0o644, "CHANGELOG.md", "usr/share/doc/orch/CHANGELOG.md"},
		{filepath.Join(r.root, "docs", "operations.md"), 0o644, "", "usr/share/doc/orch/operations.md"},
		{filepath.Join(r.root, "tools", "packaging", "orch.service"), 0o644, "orch.service", "usr/lib/systemd/system/orch.service"},
		{filepath.Join(r.root, "tools", "packaging", "config.yaml"), 0o644, "config.yaml", "etc/orch/config.yaml"},
	} {
		content, err := os.ReadFile(f.from)
		if err != nil {
			return nil, err
		}
		out = append(out, file{content, f.mode, f.archived, f.located})
	}
	return out, nil
}

func (r *release) checksums(files []string) error {
	slices.Sort(files)
	var b strings.Builder
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		fmt.Fprintf(&b, "%s  %s\n", hex.EncodeToString(sum[:]), filepath.Base(f))
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(b.String()), 0o644)
}

var described = regexp.MustCompile(`^v?([0-9][0-9A-Za-z.+~]*)(?:-([0-9]+)-g([0-9a-f]+))?(-dirty)?$`)

// debianVersion turns what git describe says into a version that dpkg orders rightly: v1.2.3-4-gabc comes after v1.2.3, 1.2.3-rc1 before.
func debianVersion(v string) string {
	m := described.FindStringSubmatch(strings.Replace(v, "-rc", "~rc", 1))
	if m == nil {
		return "0.0.0+" + regexp.MustCompile(`[^0-9A-Za-z.]+`).ReplaceAllString(v, ".")
	}
	out := m[1]
	if m[2] != "" {
		out += "+" + m[2] + ".g" + m[3]
	}
	if m[4] != "" {
		out += "+dirty"
	}
	return out
}

var errTooLong = errors.New("the name is too long for the archive")

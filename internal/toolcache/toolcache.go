// Package toolcache knows where the programs that orch builds or downloads for itself lie on this machine: OpenTofu and the OpenStack
// provider for `orch deploy` on a machine without them, Consul for the tests. It finds; tools/build makes.
//
// The layout is a contract between that builder, the orch binary (which runs without the checkout) and the tests:
//
//	${ORCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/orch}/
//	  tools/NAME/VERSION/NAME        the executable, e.g. tools/tofu/1.10.10/tofu; put in place by rename, so never half-written
//	  tools/NAME/VERSION/build.json  what it was made from: another Go, platform or go.sum means it is built again
//	  tools/NAME/VERSION/build.log   output of the last build
//	  tools/NAME/lock                held (flock) while NAME is built
//	  mirror/HOST/NAMESPACE/TYPE/VERSION/OS_ARCH/terraform-provider-TYPE_vVERSION
//	                                 providers as a filesystem mirror, for registry.terraform.io and registry.opentofu.org alike;
//	                                 `terraform providers mirror DIR` may add to it
//	eager/mirror/…                 the same for tests, with a provider that waits less between its looks at the cloud
package toolcache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/hashicorp/go-version"
)

// Registries are the hosts below which a provider lies in the mirror: Terraform's and OpenTofu's defaults.
var Registries = []string{"registry.terraform.io", "registry.opentofu.org"}

// Dir is the root of the cache, which need not exist yet. It fails when neither ORCH_CACHE, XDG_CACHE_HOME nor HOME says where.
func Dir() (string, error) {
	if dir := os.Getenv("ORCH_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cannot find the cache directory; set ORCH_CACHE: %w", err)
	}
	return filepath.Join(base, "orch"), nil
}

// Executable is where the named version of a tool lies in the cache at root, whether it is there or not.
func Executable(root, name, version string) string {
	return filepath.Join(root, "tools", name, version, name)
}

// Mirror is the filesystem mirror of the cache at root, for provider_installation in a Terraform CLI configuration.
func Mirror(root string) string { return filepath.Join(root, "mirror") }

// Eager is the root of a cache that has nothing but a mirror: that of the provider for tests.
func Eager(root string) string { return filepath.Join(root, "eager") }

// Provider is where a provider's executable lies in the mirror. registry is one of Registries, source is "NAMESPACE/TYPE".
func Provider(root, registry, source, version string) string {
	return filepath.Join(Mirror(root), registry, filepath.FromSlash(source), version, runtime.GOOS+"_"+runtime.GOARCH,
		"terraform-provider-"+filepath.Base(source)+"_v"+version)
}

// Find returns the newest version of a tool in the cache. The error is fs.ErrNotExist when there is none.
func Find(name string) (path string, err error) {
	root, err := Dir()
	if err != nil {
		return "", err
	}
	return newest(name, filepath.Join(root, "tools", name), func(v string) string { return Executable(root, name, v) })
}

// FindProvider returns the newest version of a provider ("NAMESPACE/TYPE") that the mirror holds for this platform and registry.
// The error is fs.ErrNotExist when there is none.
func FindProvider(registry, source string) (path string, err error) {
	root, err := Dir()
	if err != nil {
		return "", err
	}
	return FindProviderIn(root, registry, source)
}

// FindProviderIn is FindProvider in the cache at root.
func FindProviderIn(root, registry, source string) (path string, err error) {
	return newest(source, filepath.Join(Mirror(root), registry, filepath.FromSlash(source)), func(v string) string {
		return Provider(root, registry, source, v)
	})
}

// newest looks at the version directories in dir; file says where the executable of a version would be.
func newest(name, dir string, file func(version string) string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("cannot look for %s: %w", name, err)
	}
	best, at := (*version.Version)(nil), ""
	for _, e := range entries {
		v, err := version.NewVersion(e.Name())
		if err != nil || (best != nil && v.LessThan(best)) {
			continue
		}
		if info, err := os.Stat(file(e.Name())); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			best, at = v, file(e.Name())
		}
	}
	if at == "" {
		return "", fmt.Errorf("%s is not in the tool cache %s: %w", name, dir, os.ErrNotExist)
	}
	return at, nil
}

// Package tools gives tests the real programs they need: Consul, Terraform, OpenTofu and the OpenStack provider.
//
// A test that needs one calls the function of its name. Where the program is absent the test skips, saying which command builds it;
// under ORCH_REQUIRE_TOOLS=1, which `./task test` sets after building them, the test fails instead, so that nothing goes untested unseen.
// Programs lie in the tool cache, see package toolcache. This package knows nothing of what the tests do with them.
package tools

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/orch-project/orch/internal/toolcache"
)

// ProviderSource is the OpenStack provider that ProviderMirror holds.
const ProviderSource = "terraform-provider-openstack/openstack"

// Consul returns the path of a real Consul: the pinned one from the cache, else the one on PATH.
func Consul(t testing.TB) string {
	t.Helper()
	return builtOrOnPath(t, "consul")
}

// Tofu returns the path of a real OpenTofu: the pinned one from the cache, else the one on PATH.
func Tofu(t testing.TB) string {
	t.Helper()
	return builtOrOnPath(t, "tofu")
}

// Terraform returns the path of the terraform on PATH. Nothing here builds it, so its absence is always a skip; what orch does with
// Terraform is tested with OpenTofu then.
func Terraform(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("terraform is not on PATH (the same is tested with OpenTofu)")
	}
	return path
}

// TerraformOrTofu returns what orch itself would take: terraform or tofu on PATH, else the OpenTofu of the cache. For tests that are not
// about the difference.
func TerraformOrTofu(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"terraform", "tofu"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return Tofu(t)
}

// ProviderMirror returns a directory for provider_installation's filesystem_mirror that holds the OpenStack provider, for terraform and
// tofu alike. The provider is the eager one: with short pauses between its looks at the cloud, in which tests would spend most of their time.
func ProviderMirror(t testing.TB) string {
	t.Helper()
	root, err := toolcache.Dir()
	if err != nil {
		t.Fatal(err)
	}
	root = toolcache.Eager(root)
	for _, registry := range toolcache.Registries {
		if _, err := toolcache.FindProviderIn(root, registry, ProviderSource); err != nil {
			missing(t, "terraform-provider-openstack-eager", err)
		}
	}
	return toolcache.Mirror(root)
}

func builtOrOnPath(t testing.TB, name string) string {
	t.Helper()
	path, err := toolcache.Find(name)
	if err == nil {
		return path
	}
	if path, lookErr := exec.LookPath(name); lookErr == nil {
		abs, absErr := filepath.Abs(path)
		if absErr != nil {
			t.Fatal(absErr)
		}
		return abs
	}
	missing(t, name, err)
	return ""
}

// missing ends the test.
func missing(t testing.TB, name string, err error) {
	t.Helper()
	if os.Getenv("ORCH_REQUIRE_TOOLS") == "1" {
		t.Fatalf("%s is required but missing (`go run ./tools/build %s` builds it): %v", name, name, err)
	}
	t.Skipf("%s is not built; `go run ./tools/build %s` builds it", name, name)
}

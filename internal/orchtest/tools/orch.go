package tools

import (
	"fmt"
	"os"
	"os/exec"
)

// BuildOrch builds the orch command into a file, as `./task build` and tools/digest.sh do: what they have compiled is not compiled again.
func BuildOrch(file string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", file, "github.com/orch-project/orch/cmd/orch")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build orch: %w\n%s", err, out)
	}
	return nil
}

package machine

import (
	"os"
	"path/filepath"

	"github.com/orch-project/orch/internal/sandbox/machine/guest"
)

// MaybeInit must be called first of all in main and TestMain. When this process was started as a server's init, or inside a
// server under the name of one of its commands, it does that work and never returns; otherwise it returns at once.
func MaybeInit() {
	name := filepath.Base(os.Args[0])
	switch {
	case name == guest.SetupName:
		guest.Setup()
	case runsAs(guest.Agent), runsAs(filepath.Join(filepath.Dir(guest.Agent), "sudo")):
		guest.Run(os.Args)
	}
}

// runsAs tells whether this is the copy of the program that lies at the path in a server's image.
func runsAs(path string) bool {
	exe, err := os.Readlink("/proc/self/exe")
	return err == nil && exe == path
}

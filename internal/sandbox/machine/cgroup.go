package machine

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Memory is limited by a cgroup directly below the hierarchy's root, in version 2 where the memory controller is there, else
// in version 1. A cgroup outlives its processes: what a killed Host left is removed by the next one in the same directory.
var cgroupRoots = []struct{ dir, mark, limit string }{
	{"/sys/fs/cgroup", "cgroup.controllers", "memory.max"},
	{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.limit_in_bytes"},
}

func (h *host) cgroupPrefix() string { return shortName("orch-", h.Dir) + "-" }

// limitMemory puts a new init under the server's limit. Where that is impossible the server runs without.
func (s *server) limitMemory(pid int) {
	if s.spec.MemoryMiB <= 0 {
		return
	}
	for _, r := range cgroupRoots {
		if _, err := os.Stat(filepath.Join(r.dir, r.mark)); err != nil {
			continue // another kind of directory, if it exists
		}
		dir := filepath.Join(r.dir, s.host.cgroupPrefix()+s.spec.ID)
		if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
			continue
		}
		limit := strconv.FormatInt(int64(s.spec.MemoryMiB)<<20, 10)
		if setCgroup(filepath.Join(dir, r.limit), limit) == nil && setCgroup(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(pid)) == nil {
			return
		}
		_ = os.Remove(dir)
	}
	s.host.log.Info("the server's memory is not limited: no writable memory cgroup", "server", s.spec.ID, "MiB", s.spec.MemoryMiB)
}

// setCgroup writes a file that the kernel provides; it never makes one.
func setCgroup(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

func (s *server) dropCgroup() {
	for _, r := range cgroupRoots {
		_ = os.Remove(filepath.Join(r.dir, s.host.cgroupPrefix()+s.spec.ID))
	}
}

func sweepCgroups(prefix string) {
	for _, r := range cgroupRoots {
		entries, _ := os.ReadDir(r.dir)
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), prefix) {
				_ = os.Remove(filepath.Join(r.dir, e.Name()))
			}
		}
	}
}

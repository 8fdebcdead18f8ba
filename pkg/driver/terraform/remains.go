package terraform

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// endRemains kills what is left of a run that has lost both its supervisor and Terraform: providers, which would go on changing the cloud unseen, and a
// Terraform that its supervisor could not note any more.
func endRemains(dir string) error {
	var p process
	if err := readJSON(filepath.Join(dir, fileSupervisor), &p); err != nil || p.PID <= 0 {
		return nil // it was not on this machine, or has never begun
	}
	var left []int
	for range 200 {
		if left = remains(dir, p.PID); len(left) == 0 {
			return nil
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(pollEvery)
	}
	return fmt.Errorf("cannot end what is left of a Terraform apply: processes %v in %s", left, dir)
}

// remains are the processes of a run: they work in its directory, in the session of its supervisor. The number of a session is not given to another
// while it has members.
func remains(dir string, session int) (pids []int) {
	here, err := os.Stat(dir)
	if err != nil {
		return nil
	}
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	for _, proc := range all {
		cwd, err := os.Stat(proc + "/cwd")
		if err != nil || !os.SameFile(here, cwd) {
			continue
		}
		pid, err := strconv.Atoi(strings.TrimPrefix(proc, "/proc/"))
		if f := statFields(pid); err == nil && len(f) > 3 && f[3] == strconv.Itoa(session) {
			pids = append(pids, pid)
		}
	}
	return pids
}

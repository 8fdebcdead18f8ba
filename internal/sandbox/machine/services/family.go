package services

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// descendants are the processes below one, from /proc.
func descendants(pid int) []int {
	if pid <= 1 {
		return nil
	}
	children := map[int][]int{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		p, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		// The command in parentheses may hold anything; the parent is the second field after it.
		rest := string(stat)[strings.LastIndexByte(string(stat), ')')+1:]
		if f := strings.Fields(rest); len(f) > 1 {
			if parent, err := strconv.Atoi(f[1]); err == nil {
				children[parent] = append(children[parent], p)
			}
		}
	}
	var out []int
	queue := []int{pid}
	for len(queue) > 0 {
		next := children[queue[0]]
		queue = append(queue[1:], next...)
		out = append(out, next...)
	}
	return out
}

func anyAlive(pids []int) bool {
	for _, p := range pids {
		if p > 1 && syscall.Kill(p, 0) == nil {
			return true
		}
	}
	return false
}

func signalByName(name string) syscall.Signal {
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if s := unix.SignalNum(name); s != 0 {
		return s
	}
	return syscall.SIGTERM
}

// duration reads systemd.time(7) spans: "5", "1min 30s", "500ms", "infinity".
func duration(s string, otherwise time.Duration) time.Duration {
	if s == "" {
		return otherwise
	}
	if s == "infinity" || s == "0" {
		return 24 * time.Hour
	}
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		return time.Duration(n * float64(time.Second))
	}
	s = strings.NewReplacer("minutes", "m", "minute", "m", "min", "m", "seconds", "s", "second", "s", "sec", "s", "hours", "h", "hour", "h", " ", "").Replace(s)
	if d, err := time.ParseDuration(s); err == nil {
		return d
	}
	return otherwise
}

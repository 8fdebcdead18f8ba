package main

import (
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orch-project/orch/pkg/orch"
)

// asleep is the error of asking a process that is stopped (Ctrl-Z, SIGSTOP) and would never answer: the kernel takes its connections. nil: it is not
// stopped, or that cannot be told.
func asleep(conn net.Conn) error {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	var peer *unix.Ucred
	if raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }) != nil || err != nil || peer.Pid <= 0 {
		return nil
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", peer.Pid))
	if err != nil {
		return nil
	}
	i := strings.LastIndex(string(stat), ") ") // https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
	if i < 0 || i+2 >= len(stat) || !strings.ContainsRune("Tt", rune(stat[i+2])) {
		return nil
	}
	return &orch.Error{Kind: orch.KindConflict, Msg: fmt.Sprintf("process %d has the store and is stopped, by Ctrl-Z or a signal: it answers nothing", peer.Pid),
		Hint: fmt.Sprintf("let it go on (fg in its terminal, or kill -CONT %d); or end it (kill -KILL %d), then orch resume goes on", peer.Pid, peer.Pid)}
}

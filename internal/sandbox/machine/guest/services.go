package guest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/orch-project/orch/internal/sandbox/machine/services"
	"github.com/orch-project/orch/internal/sandbox/machine/spec"
	"golang.org/x/sys/unix"
)

// callSocket is where the commands that stand in for systemd's reach process 1.
const (
	callDir    = "/run/orch-machine"
	callSocket = callDir + "/init.sock"
)

// stopGrace is what services together get at a shutdown.
const stopGrace = 10 * time.Second

// builtin are the units that this process itself is.
var builtin = []string{"ssh", "sshd", "cloud-init", "cloud-init-local", "cloud-config", "cloud-final", "networking", "systemd-networkd",
	"systemd-resolved", "systemd-journald", "systemd-logind"}

// serveCalls answers systemctl and its kin.
func (m *machine) serveCalls() error {
	if err := os.MkdirAll(callDir, 0o755); err != nil {
		return err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: callSocket, Net: "unix"})
	if err != nil {
		return err
	}
	if err := os.Chmod(callSocket, 0o666); err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			go m.call(c)
		}
	}()
	return nil
}

// call serves one command. A caller that goes away gives its work up.
func (m *machine) call(c *net.UnixConn) {
	defer c.Close()
	var req services.Request
	dec := json.NewDecoder(c)
	if dec.Decode(&req) != nil {
		return
	}
	req.Root = peerIsRoot(c)
	var resp services.Response
	switch req.Program {
	case "systemctl", "service":
		// Not tied to the caller's life: systemd finishes a job whose client was interrupted.
		resp = m.services.Handle(context.Background(), req)
	case "power":
		if !req.Root {
			resp = services.Response{Code: 1, Err: "must be superuser.\n"}
		} else if len(req.Args) == 1 {
			resp.Power = req.Args[0]
		}
	}
	_ = json.NewEncoder(c).Encode(resp)
	switch resp.Power {
	case "reboot":
		go m.end(spec.OpReboot)
	case "poweroff", "halt":
		go m.end(spec.OpPowerOff)
	}
}

func peerIsRoot(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	root := false
	_ = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		root = err == nil && cred.Uid == 0
	})
	return root
}

func (m *machine) startServices(ctx context.Context) {
	m.services.StartEnabled(ctx, func(s string) { fmt.Fprintln(m.console, s) })
}

func (m *machine) stopServices() {
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	m.services.StopAll(ctx)
}

// ask sends one request to process 1 and prints the answer.
func ask(req services.Request) int {
	c, err := net.Dial("unix", callSocket)
	if err != nil {
		fmt.Fprintln(os.Stderr, "Failed to connect to init:", err)
		return 1
	}
	defer c.Close()
	var resp services.Response
	if err = json.NewEncoder(c).Encode(req); err == nil {
		err = json.NewDecoder(c).Decode(&resp)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "Failed to talk to init:", err)
		return 1
	}
	_, _ = io.WriteString(os.Stdout, resp.Out)
	_, _ = io.WriteString(os.Stderr, resp.Err)
	return resp.Code
}

func askServices(name string, args []string) int {
	switch name {
	case "journalctl":
		return services.Journal(args, func(s string) { _, _ = io.WriteString(os.Stdout, s) })
	case "runlevel":
		fmt.Println("N 5")
		return 0
	case "init", "telinit":
		if len(args) == 1 && args[0] == "6" {
			return askPower("reboot", nil)
		}
		if len(args) == 1 && args[0] == "0" {
			return askPower("poweroff", nil)
		}
		return 0
	}
	return ask(services.Request{Program: name, Args: args, Package: os.Getenv("DPKG_MAINTSCRIPT_PACKAGE")})
}

// askPower is reboot, poweroff, halt and shutdown; a delay other than "now" is honoured by waiting in the background.
func askPower(name string, args []string) int {
	op := name
	delay := time.Duration(0)
	if name == "shutdown" {
		op, delay = "poweroff", time.Minute
	}
	for _, a := range args {
		switch {
		case a == "-r" || a == "--reboot":
			op = "reboot"
		case a == "-h" || a == "-P" || a == "-p" || a == "-H" || a == "--poweroff" || a == "--halt":
			op = "poweroff"
		case a == "-c":
			fmt.Fprintln(os.Stderr, "shutdown: a pending shutdown cannot be cancelled in the sandbox's servers")
			return 1
		case a == "now":
			delay = 0
		case strings.HasPrefix(a, "+"):
			var minutes int
			if _, err := fmt.Sscan(a[1:], &minutes); err == nil {
				delay = time.Duration(minutes) * time.Minute
			}
		}
	}
	req := services.Request{Program: "power", Args: []string{op}}
	if name != "shutdown" || delay == 0 {
		return ask(req)
	}
	fmt.Printf("Shutdown scheduled for %s\n", time.Now().Add(delay).Format(time.RFC1123))
	p, err := os.StartProcess("/bin/sh", []string{"sh", "-c", fmt.Sprintf("sleep %d; exec %s", int(delay.Seconds()), op)}, &os.ProcAttr{Env: os.Environ()})
	if err != nil {
		fmt.Fprintln(os.Stderr, "shutdown:", err)
		return 1
	}
	_ = p.Release()
	return 0
}

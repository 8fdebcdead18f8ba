package sshd

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/orch-project/orch/internal/sandbox/machine/child"
	"golang.org/x/crypto/ssh"
)

// session is one "session" channel (RFC 4254 section 6): set up by requests, it runs one process.
type session struct {
	*login
	channel ssh.Channel
	env     []string
	term    *terminal
	mu      sync.Mutex // guards proc, which the requests' loop and the process's goroutine share
	proc    *child.Process
}

func (l *login) session(ch ssh.NewChannel) {
	channel, requests, err := ch.Accept()
	if err != nil {
		return
	}
	s := &session{login: l, channel: channel}
	defer func() {
		_ = channel.Close()
		if s.term != nil {
			s.term.close()
		}
	}()
	started := false
	var running sync.WaitGroup
	defer running.Wait()
	for r := range requests {
		ok := false
		var run func()
		switch r.Type {
		case "shell", "exec", "subsystem":
			if !started {
				run = s.start(r)
				ok = run != nil
				started = ok
			}
		default:
			ok = s.request(r)
		}
		if r.WantReply {
			_ = r.Reply(ok, nil)
		}
		// Only now: a process that ends at once would close the channel before the reply, which the client takes for a lost connection.
		if run != nil {
			running.Go(run)
		}
	}
	// The client has closed the channel: a terminal's processes get SIGHUP by its end.
	if s.term != nil {
		s.term.close()
	}
}

// request handles what does not start the process.
func (s *session) request(r *ssh.Request) bool {
	switch r.Type {
	case "pty-req":
		return s.ptyRequest(r.Payload)
	case "window-change":
		var w struct{ Cols, Rows, X, Y uint32 }
		if s.term == nil || ssh.Unmarshal(r.Payload, &w) != nil {
			return false
		}
		return s.term.resize(w.Cols, w.Rows, w.X, w.Y) == nil
	case "env":
		var e struct{ Name, Value string }
		if ssh.Unmarshal(r.Payload, &e) != nil || !s.server.acceptEnv(e.Name) {
			return false
		}
		s.env = append(s.env, e.Name+"="+e.Value)
		return true
	case "signal":
		var g struct{ Name string }
		if ssh.Unmarshal(r.Payload, &g) != nil {
			return false
		}
		return s.signal(g.Name)
	case "auth-agent-req@openssh.com":
		return !s.limits.noAgent && s.forwardAgent() == nil
	}
	return false
}

// signals are those of RFC 4254 section 6.10, and back.
var signals = map[string]syscall.Signal{"ABRT": syscall.SIGABRT, "ALRM": syscall.SIGALRM, "FPE": syscall.SIGFPE,
	"HUP": syscall.SIGHUP, "ILL": syscall.SIGILL, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "PIPE": syscall.SIGPIPE,
	"QUIT": syscall.SIGQUIT, "SEGV": syscall.SIGSEGV, "TERM": syscall.SIGTERM, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2}

func (s *session) signal(name string) bool {
	sig, ok := signals[name]
	s.mu.Lock()
	defer s.mu.Unlock()
	return ok && s.proc != nil && s.proc.Signal(sig) == nil
}

// start starts what "shell", "exec" or "subsystem" asks for. What it returns serves the process until its end; nil refuses the request.
func (s *session) start(r *ssh.Request) func() {
	cmd, ok := s.command(r)
	if !ok {
		return nil
	}
	cmd.Env = append(s.environment(), s.env...)
	if s.login.agent != nil {
		cmd.Env = append(cmd.Env, "SSH_AUTH_SOCK="+s.login.agent.path)
	}
	cmd.Dir = s.home()
	cmd.Sys = &syscall.SysProcAttr{Setsid: true, Credential: s.credential()}
	var wait func()
	var err error
	if s.term != nil {
		wait, err = s.startTerminal(cmd)
	} else {
		wait, err = s.startPipes(cmd)
	}
	if err != nil {
		// As sshd does: the request succeeds, the shell's failure is told on stderr with status 127 or 126.
		code := uint32(126)
		if errors.Is(err, os.ErrNotExist) {
			code = 127
		}
		return func() {
			_, _ = io.WriteString(s.channel.Stderr(), err.Error()+"\r\n")
			s.exit(ssh.Marshal(struct{ Code uint32 }{code}), "exit-status")
		}
	}
	return wait
}

// command is the process for the request; a forced command wins (authorized_keys "command").
func (s *session) command(r *ssh.Request) (child.Command, bool) {
	shell := s.shell()
	base := filepath.Base(shell)
	var req struct{ Text string }
	if r.Type != "shell" {
		if ssh.Unmarshal(r.Payload, &req) != nil {
			return child.Command{}, false
		}
	}
	if s.limits.command != "" {
		if r.Type == "exec" {
			s.env = append(s.env, "SSH_ORIGINAL_COMMAND="+req.Text)
		}
		return child.Command{Path: shell, Args: []string{base, "-c", s.limits.command}}, true
	}
	switch r.Type {
	case "shell":
		return child.Command{Path: shell, Args: []string{"-" + base}}, true
	case "exec":
		return child.Command{Path: shell, Args: []string{base, "-c", req.Text}}, true
	case "subsystem":
		if req.Text != "sftp" || s.server.Agent == "" {
			return child.Command{}, false
		}
		return child.Command{Path: s.server.Agent, Args: []string{SFTPName}}, true
	}
	return child.Command{}, false
}

// startPipes connects the process with pipes.
func (s *session) startPipes(cmd child.Command) (func(), error) {
	var files [3][2]*os.File // read end, write end
	closeAll := func() {
		for _, p := range files {
			for _, f := range p {
				if f != nil {
					_ = f.Close()
				}
			}
		}
	}
	for i := range files {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll()
			return nil, err
		}
		files[i] = [2]*os.File{r, w}
	}
	cmd.Files = []*os.File{files[0][0], files[1][1], files[2][1]}
	p, err := child.Start(cmd)
	if err != nil {
		closeAll()
		return nil, err
	}
	s.setProcess(p)
	for _, f := range cmd.Files {
		_ = f.Close()
	}
	stdin, stdout, stderr := files[0][1], files[1][0], files[2][0]
	return func() {
		go func() {
			_, _ = io.Copy(stdin, s.channel)
			_ = stdin.Close()
		}()
		var out sync.WaitGroup
		out.Go(func() { drain(s.channel, stdout) })
		out.Go(func() { drain(s.channel.Stderr(), stderr) })
		status := p.Wait()
		_ = stdin.Close() // a reader that survives the process must not wait for input
		out.Wait()
		s.report(status)
	}, nil
}

// drain copies until the writers are gone. When the client is, the process finds a broken pipe.
func drain(w io.Writer, r *os.File) {
	_, _ = io.Copy(w, r)
	_ = r.Close()
}

func (s *session) setProcess(p *child.Process) {
	s.mu.Lock()
	s.proc = p
	s.mu.Unlock()
}

// report tells how the process ended and closes the channel.
func (s *session) report(ws syscall.WaitStatus) {
	if ws.Signaled() {
		name := "TERM"
		for n, sig := range signals {
			if sig == ws.Signal() {
				name = n
			}
		}
		s.exit(ssh.Marshal(struct {
			Signal     string
			CoreDumped bool
			Message    string
			Language   string
		}{name, ws.CoreDump(), "", ""}), "exit-signal")
		return
	}
	s.exit(ssh.Marshal(struct{ Code uint32 }{uint32(ws.ExitStatus())}), "exit-status")
}

func (s *session) exit(payload []byte, kind string) {
	_ = s.channel.CloseWrite()
	_, _ = s.channel.SendRequest(kind, false, payload)
	_ = s.channel.Close()
}

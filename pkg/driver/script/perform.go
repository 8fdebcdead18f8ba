package script

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
)

// Event is what every event of a request says.
func Event(req *driver.Request, t event.Type) event.Event {
	e := event.Event{Time: time.Now(), Type: t, Deployment: req.Deployment, Task: req.Task, Step: req.Step, Instance: req.Instance}
	if req.Node != nil {
		e.Node = req.Node.Name
	}
	if req.Relationship != nil {
		e.Relationship, e.Target = req.Relationship.Name, req.Relationship.Target
	}
	if req.Operation != nil {
		e.Interface, e.Operation = req.Operation.Interface, req.Operation.Name
	}
	return e
}

// EmitTo makes a sink that turns what a job says into events of the request.
func EmitTo(req *driver.Request, host string, redact Redactor, emit event.Emit) Sink {
	if emit == nil {
		return Sink{}
	}
	send := func(t event.Type, level event.Level, stream, text string) {
		e := Event(req, t)
		e.Host, e.Level, e.Stream, e.Message = host, level, stream, text
		emit(e)
	}
	going := func(text string) {
		e := Event(req, event.Waiting)
		e.Host, e.Status, e.Message = host, event.Over, text
		emit(e)
	}
	return Sink{
		Output: func(stream, line string) {
			if level, text, ok := logged(line); ok {
				send(event.Log, level, "", text)
				return
			}
			send(event.Log, event.Info, stream, line)
		},
		Note:    func(text string) { send(event.Log, event.Info, "", redact.String(text)) },
		Waiting: func(text string) { send(event.Waiting, "", "", redact.String(text)) },
		Going:   going,
	}
}

// OpName is how errors call a request's operation: "run scripts/create.sh".
func OpName(req *driver.Request) string {
	op := req.Operation
	switch {
	case op == nil:
		return "run"
	case op.Implementation != nil && op.Implementation.File != "":
		return "run " + path.Clean(op.Implementation.File)
	}
	return "run " + op.Interface + "." + op.Name
}

// Perform runs a request's operation and turns the outcome into what drivers return. Every error is a *driver.Error.
func Perform(ctx context.Context, req *driver.Request, r *Runner, o Options, emit event.Emit) (driver.Result, error) {
	redact := secretsOf(req.Variables)
	fail := func(err error) error { return asError(req, r.Machine.Address(), redact, err) }
	j, err := NewJob(req, o)
	if err != nil {
		return driver.Result{}, fail(err)
	}
	j.Ephemeral = req.Ephemeral
	if hasContext(req.Topology) {
		if err := j.giveContext(ctx, req); err != nil {
			return driver.Result{}, fail(err)
		}
	}
	out, err := r.Run(ctx, j, redact, EmitTo(req, r.Machine.Address(), redact, emit))
	if err != nil && (out == nil || out.ExitCode == 0) {
		return driver.Result{}, fail(err)
	}
	res := driver.Result{Outputs: out.Outputs, Changed: true}
	if j.context {
		// What was written counts on failure, too.
		if err := takeContext(req, r.Machine.Address(), out.Context, &res); err != nil {
			return res, err
		}
	}
	if out.ExitCode != 0 || out.Note != "ok" {
		res.Outputs = nil
		return res, exitError(req, r.Machine.Address(), j, out)
	}
	return res, nil
}

// exitError is a script that ended with an exit code other than 0, or whose outputs could not be kept.
func exitError(req *driver.Request, host string, j *Job, o *Outcome) *driver.Error {
	e := &driver.Error{Op: OpName(req), Host: host, ExitCode: o.ExitCode, Stderr: o.Stderr}
	if len(e.Stderr) == 0 {
		e.Stderr = o.Stdout // many scripts report their errors there
	}
	last := ""
	if n := len(e.Stderr); n > 0 {
		last = e.Stderr[n-1]
	}
	switch {
	case o.Note == "cancelled":
		e.Err = errors.New("the operation was cancelled")
	case o.Note == "exports":
		e.Err = errors.New("the script succeeded, but its outputs could not be recorded on the host")
		e.Hint = "free space on the host (df -h)"
	case o.Note == "setup":
		e.Err = errors.New("cannot lay out the operation's files on the host")
		e.Retryable = slices.ContainsFunc(e.Stderr, func(l string) bool { return strings.HasSuffix(l, " is gone") })
		e.Hint = "free space on the host, or check the artifact's deploy_path"
		return e
	case strings.Contains(last, "No space left on device"):
		e.Hint = "free space on the host (df -h), or give it a larger disk"
	case o.ExitCode > 128 && o.ExitCode < 160:
		e.Hint = fmt.Sprintf("the script was ended by signal %d", o.ExitCode-128)
		if o.ExitCode == 137 {
			e.Hint += " (KILL): the host may have run out of memory; see its kernel log"
		}
	case o.ExitCode == 127 && strings.Contains(last, "orch: none of these is installed"):
		e.Hint = "install the interpreter before this operation, for example by user data, or change the script's first line"
	case j.crlf:
		e.Hint = "the script has Windows line ends (CR LF), which shells do not understand; convert it with: sed -i 's/\\r$//' " + j.Script
	case o.ExitCode == 127:
		e.Hint = "127 means that a command was not found on the host"
	case o.ExitCode == 126:
		e.Hint = "126 means that a file could not be executed: permission, a noexec mount, or a program for another architecture"
	case strings.Contains(last, "ermission denied") || strings.Contains(last, "must be root") || strings.Contains(last, "are you root"):
		e.Hint = "the operation may need root rights: set sudo for it or for the host"
	}
	return e
}

// asError is a job that did not end by itself, or could not begin.
func asError(req *driver.Request, host string, redact Redactor, err error) error {
	var de *driver.Error
	if errors.As(err, &de) {
		return err
	}
	e := &driver.Error{Op: OpName(req), Host: host, ExitCode: -1, Err: err}
	if text := redact.String(err.Error()); text != err.Error() {
		e.Detail = text
	}
	var journal *journalError
	var shell *shellError
	switch {
	case errors.Is(err, driver.ErrDetach), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
	case errors.Is(err, ErrTimeout):
		e.Hint = "raise the operation's timeout, or see its output for what it waited for"
	case errors.Is(err, ErrInterrupted):
		// Its end is known: there is none. Under this id it is never run again, so only a new attempt, which the user or the operation's own
		// retries decide on, can help.
		e.Hint = "look for the cause on the host (`last reboot`, `dmesg` for a lack of memory) and for what the script had done; orch resume runs it anew"
	case errors.Is(err, ErrLost):
		e.Retryable = true
		e.Hint = "check that the host is running and reachable; the operation may still be running there, and a resume re-attaches to it"
	case errors.As(err, &journal) && journal.kind == "write":
		e.Hint = "free space on the host or correct the rights of the journal's directory"
	case errors.As(err, &shell):
		e.ExitCode, e.Stderr = shell.code, shell.stderr
		for i := range e.Stderr {
			e.Stderr[i] = redact.String(e.Stderr[i])
		}
		e.Hint, e.Err = explainShell(shell)
	case errors.Is(err, os.ErrNotExist):
		e.Hint = "add the file to the archive, or correct its path in the document"
	}
	return e
}

// explainShell says what sudo or the login shell meant.
func explainShell(s *shellError) (hint string, err error) {
	all := strings.ToLower(strings.Join(s.stderr, "\n"))
	switch {
	case strings.Contains(all, "sudo") && (strings.Contains(all, "not found") || strings.Contains(all, "no such file")):
		return "install sudo, log in as root, or set sudo to false for the operation", errors.New("root rights are asked for, but sudo is not installed on the host")
	case strings.Contains(all, "password is required"), strings.Contains(all, "terminal is required"), strings.Contains(all, "no tty present"):
		return "allow the user to use sudo without one (NOPASSWD), give the host's password reference, or log in as root", errors.New("sudo asks for a password")
	case strings.Contains(all, "incorrect password"), strings.Contains(all, "sorry, try again"):
		return "correct the secret that the host's password reference names", errors.New("sudo does not accept the password")
	case strings.Contains(all, "not in the sudoers"), strings.Contains(all, "not allowed to"), strings.Contains(all, "may not run sudo"):
		return "add the user to the sudoers, or log in as another", errors.New("the user may not use sudo")
	case strings.Contains(all, "must have a tty"):
		return "remove requiretty from the host's sudoers", errors.New("sudo insists on a terminal (requiretty)")
	case s.code == 127:
		return "orch needs sh, dd, cat and the other small tools that busybox has, too", errors.New("the host has no POSIX shell in the user's PATH")
	case strings.Contains(all, "not currently available") || strings.Contains(all, "nologin"):
		return "log in as a user with an ordinary shell", errors.New("the user's login shell does not run commands")
	}
	return "", s
}

// Explain shows what would run, without values of secrets.
func Explain(req *driver.Request, where string, o Options) string {
	j, err := NewJob(req, o)
	if err != nil {
		return "cannot run: " + err.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "on %s, in %s:\n", where, path.Join("$ORCH_WORK", path.Dir(j.Script)))
	for _, u := range j.units {
		fmt.Fprintf(&b, "  upload %s (%d bytes, %s)\n", u.path, u.size, u.digest[:12])
	}
	for _, s := range j.settings {
		v := s.value
		if s.path {
			v = "$ORCH_WORK/" + v
		}
		fmt.Fprintf(&b, "  %s=%s\n", VariableName(s.name), v)
	}
	for _, v := range j.vars {
		shown := Quote(v.Value)
		if v.Secret {
			shown = "****"
		}
		fmt.Fprintf(&b, "  %s=%s\n", VariableName(v.Name), shown)
	}
	name := j.interp.names
	if len(name) == 0 {
		name = []string{"exec"}
	}
	fmt.Fprintf(&b, "  %s %s\n", strings.Join(append([]string{name[0]}, j.interp.options...), " "), j.Script)
	return b.String()
}

// logged reads a line that ctx's logger has written: a mark, the level, the text.
func logged(line string) (level event.Level, text string, ok bool) {
	rest, ok := strings.CutPrefix(line, "\x1eorch ")
	if !ok {
		return "", line, false
	}
	word, text, _ := strings.Cut(rest, " ")
	switch word {
	case "debug":
		return event.Debug, text, true
	case "warning", "warn":
		return event.Warn, text, true
	case "error", "critical", "exception":
		return event.Error, text, true
	}
	return event.Info, text, true
}

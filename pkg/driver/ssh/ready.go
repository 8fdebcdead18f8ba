package ssh

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/script"
)

//go:embed ready.sh
var readyText string

// Locks tells an active package manager. The zero value knows those of Debian, Red Hat, SUSE and Alpine.
type Locks struct {
	// Files that package managers lock. Processes are their names; both nil: the usual ones.
	Files, Processes []string
	// Ignore turns the wait off.
	Ignore bool
}

// unattended-upgrades has an idle process all the time, so it counts by its locks only.
var usualLocks = Locks{
	Files:     []string{"/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock", "/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock"},
	Processes: []string{"apt-get", "apt", "aptitude", "dpkg", "dnf", "dnf5", "yum", "rpm", "zypper", "apk"},
}

// ready waits for cloud-init and the package manager. Its errors wrap script.ErrLost when the connection was lost.
func (p *Pool) ready(ctx context.Context, e *entry, c *conn, h driver.Host, start time.Time, report Report) error {
	if h.CloudInit {
		if err := p.cloudInit(ctx, c, h, start, report); err != nil {
			return err
		}
	}
	return p.packageLock(ctx, c, h, start, report)
}

// boot names the host's current boot: its id, and for what shares a kernel with others the start of its first process. "" if neither can
// be told, or not within the time that a connection has to answer.
func boot(ctx context.Context, c *conn) string {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	lines, _, err := look(ctx, c, "boot")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(strings.Join(lines, " "))
}

// look runs ready.sh and returns its lines.
func look(ctx context.Context, c *conn, args ...string) ([]string, []byte, error) {
	var out, errOut bytes.Buffer
	line := script.QuoteAll(append([]string{"sh", "-s", "--"}, args...))
	code, err := c.exec(ctx, line, script.Command{Stdin: strings.NewReader(readyText), Stdout: &out, Stderr: &errOut})
	if err != nil {
		return nil, nil, err
	}
	if script.Killed(code) {
		return nil, nil, fmt.Errorf("the host ended the command (exit code %d): %w", code, script.ErrLost)
	}
	if out.Len() == 0 {
		return nil, errOut.Bytes(), fmt.Errorf("the login shell of the host runs no commands (exit code %d): %s", code, strings.TrimSpace(errOut.String()))
	}
	return strings.Split(strings.TrimRight(out.String(), "\n"), "\n"), nil, nil
}

func (p *Pool) cloudInit(ctx context.Context, c *conn, h driver.Host, start time.Time, report Report) error {
	type answer struct {
		lines []string
		err   error
	}
	ch := make(chan answer, 1)
	lookCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		lines, _, err := look(lookCtx, c, "cloud-init")
		ch <- answer{lines, err}
	}()
	say := func() { report(c.address, "waiting for cloud-init to finish, "+elapsed(start)) }
	first := time.NewTimer(500 * time.Millisecond)
	defer first.Stop()
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-first.C:
			say()
		case <-tick.C:
			say()
		case a := <-ch:
			switch {
			case a.err != nil && ctx.Err() != nil:
				return ended(ctx, c, "cloud-init", "", start)
			case a.err != nil:
				return loginShell(c, a.err)
			}
			return cloudInitResult(c, h, a.lines, report)
		}
	}
}

// cloudInitResult reads what ready.sh says of cloud-init.
func cloudInitResult(c *conn, h driver.Host, lines []string, report Report) error {
	i := slices.IndexFunc(lines, func(l string) bool { return slices.Contains([]string{"none", "done", "degraded", "error"}, l) })
	if i < 0 {
		return nil
	}
	detail, log := "", []string{}
	for _, l := range lines[i+1:] {
		if s, ok := strings.CutPrefix(l, "log "); ok {
			log = append(log, s)
		}
		// The detail or the list of errors follows its heading.
		if s, ok := strings.CutPrefix(l, "status "); ok && (strings.HasPrefix(s, "- ") || strings.Contains(s, "rror") && !strings.HasSuffix(s, ":") && !strings.HasPrefix(s, "status:")) {
			detail = cmp.Or(detail, strings.TrimSpace(strings.Trim(s, "- ")))
		}
	}
	switch lines[i] {
	case "degraded":
		report(c.address, "cloud-init finished with warnings: "+cmp.Or(detail, "see cloud-init status --long"))
	case "error":
		err := errors.New("the host's first-boot configuration failed")
		if detail != "" {
			err = fmt.Errorf("%w: %s", err, detail)
		}
		return &driver.Error{Op: "cloud-init", Host: c.address, ExitCode: -1, Stderr: log, Err: err,
			Hint: "correct the server's user data; the whole log is /var/log/cloud-init-output.log on " + h.Instance.String()}
	}
	return nil
}

func (p *Pool) packageLock(ctx context.Context, c *conn, h driver.Host, start time.Time, report Report) error {
	k := p.o.Locks
	if k.Ignore {
		return nil
	}
	if k.Files == nil && k.Processes == nil {
		k = usualLocks
	}
	args := append(append(append([]string{"locks"}, k.Files...), "--"), k.Processes...)
	pause, said := 200*time.Millisecond, time.Time{}
	holder := ""
	for {
		lines, _, err := look(ctx, c, args...)
		switch {
		case err != nil && ctx.Err() != nil:
			return ended(ctx, c, "the package manager", holder, start)
		case err != nil:
			return loginShell(c, err)
		}
		holder = lines[len(lines)-1]
		if !strings.HasPrefix(holder, "held ") && !strings.HasPrefix(holder, "running ") {
			return nil
		}
		if time.Since(said) >= reportEvery {
			said = time.Now()
			report(c.address, fmt.Sprintf("waiting for the package manager (%s), %s", holder, elapsed(start)))
		}
		select {
		case <-ctx.Done():
			return ended(ctx, c, "the package manager", holder, start)
		case <-time.After(pause):
		}
		pause = min(pause*2, 2*time.Second)
	}
}

// ended is the end of the context while waiting: by the user, or by the time allowed.
func ended(ctx context.Context, c *conn, what, detail string, start time.Time) error {
	if context.Cause(ctx) != errNotReady {
		return context.Cause(ctx)
	}
	if detail != "" {
		what += " (" + detail + ")"
	}
	return &driver.Error{Op: "wait for the host", Host: c.address, ExitCode: -1, Retryable: true,
		Err: fmt.Errorf("gave up after %s of waiting for %s", elapsed(start), what), Hint: "log in and see what it is doing"}
}

func loginShell(c *conn, err error) error {
	if errors.Is(err, script.ErrLost) || errors.Is(err, context.Canceled) {
		return err
	}
	return &driver.Error{Op: "log in", Host: c.address, ExitCode: -1, Err: err, Hint: "log in as a user with an ordinary shell"}
}

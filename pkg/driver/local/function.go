package local

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/script"
	"github.com/orch-project/orch/pkg/topology"
)

const (
	functionTime = time.Minute // of a function that asks for no other timeout
	functionSize = 1 << 20     // of a result, in bytes
)

// RunFunction runs the implementation of a function that a document defines: the arguments, a JSON list, are on its standard input, the result, one
// JSON value, is on its standard output. Its working directory is the one that holds it; what else it gets is as for an operation's script. It may
// be run again, so there is no journal.
func (d *Driver) RunFunction(ctx context.Context, t *topology.Topology, f *topology.Function, s *topology.Signature, arguments []byte) ([]byte, error) {
	op := "the function " + f.Name
	job, err := script.NewJob(&driver.Request{Topology: t, Action: driver.Run,
		Operation: &topology.Operation{Interface: "functions", Name: f.Name, Implementation: s.Implementation, Dependencies: s.Dependencies}}, script.Options{})
	if err != nil {
		return nil, &driver.Error{Op: op, ExitCode: -1, Err: err, Final: true}
	}
	dir, err := os.MkdirTemp("", "orch-function-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	argv, err := job.Here(dir)
	if err != nil {
		return nil, &driver.Error{Op: op, Host: "orchestrator", ExitCode: -1, Err: err}
	}
	limit := cmp.Or(s.Timeout, functionTime)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it has not ended after %s", limit))
	defer cancel()
	m := &Machine{Env: append(Environ(d.o.Pass), "ORCH_WORK="+dir, "PYTHONUNBUFFERED=1")}
	out, said := &limited{limit: functionSize}, &limited{limit: functionSize}
	code, err := m.Exec(ctx, script.Command{Args: append([]string{"sh", "-c", `cd "$(dirname -- "$1")" && shift && exec "$@"`, "sh", argv[len(argv)-1]}, argv...),
		Stdin: bytes.NewReader(arguments), Stdout: out, Stderr: said})
	switch {
	case out.over:
		err = fmt.Errorf("its result is longer than %d bytes", functionSize)
	case err == nil && code != 0:
		err = errors.New("it failed")
	}
	if err != nil {
		return nil, &driver.Error{Op: op, Host: m.Address(), ExitCode: code, Stderr: last(string(said.kept), 20), Err: err}
	}
	return out.kept, nil
}

// limited keeps the first bytes of what is written to it, and remembers whether there were more.
type limited struct {
	kept  []byte
	limit int
	over  bool
}

func (l *limited) Write(p []byte) (int, error) {
	take := min(len(p), l.limit-len(l.kept))
	l.kept = append(l.kept, p[:take]...)
	l.over = l.over || take < len(p)
	return len(p), nil
}

// last lines of a text.
func last(text string, n int) []string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return lines[max(0, len(lines)-n):]
}

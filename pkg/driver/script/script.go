// Package script is what the drivers that run scripts share: an operation becomes a Job (files, environment, interpreter), and a Runner
// brings it to a Machine and runs it there in a journal, exactly once per operation id, whatever happens to the connection or to orch.
//
// It owns the host's side too (journal.sh, POSIX sh only), and knows neither SSH nor how hosts are reached: a Machine runs commands.
// Packages ssh and local provide Machines.
//
// # What a script sees
//
// Its working directory is the directory that holds it. The files it gets lie below $ORCH_WORK under their paths in the topology: the
// implementation, its dependencies and the artifacts of its node (for an operation of a relationship: of the relationship, and of the node
// it runs on). That directory is the operation's own; it is removed when the script has succeeded and kept for a while when it has failed.
//
// Environment, later ones winning:
//
//	ORCH_WORK ORCH_OUTPUTS ORCH_JOB ORCH_OP_ID   the directory of its files, its output file, its journal, its operation id
//	PYTHONUNBUFFERED                             1, so that output arrives as it is written
//	DEPLOYMENT_ID                                the deployment's name
//	<artifact>                                   path of the artifact on the host; URL of one that is not in the topology
//	Request.Variables                            inputs, NODE, INSTANCE, INSTANCES, HOST, SOURCE_*, TARGET_* …: the engine's
//
// Characters that a shell's variable cannot have become "_". Bash runs as a login shell on remote hosts.
//
// # What a script gives back
//
// Variables that a shell script exported or changed by its end, and those that the topology asks for by get_operation_output or an output
// mapping whether exported or not; for Python the changed environment variables and the globals asked for. Any language may write
// "name=value" lines, or one JSON object, to $ORCH_OUTPUTS; these win. A shell script that ends by exec gives no variables.
//
// # Secrets
//
// The environment travels over standard input and through a pipe on the host: never in arguments, never in a file. Output is redacted.
package script

import (
	"context"
	"errors"
	"io"
	"strings"
)

// Machine runs commands as one user on one host. It is safe for concurrent use.
type Machine interface {
	// Address for messages: "10.0.0.5", "orchestrator".
	Address() string
	// Exec runs a command and returns its exit code. An error means that the code is not known; it wraps ErrLost when the connection was
	// lost, so that trying again makes sense. Cancelling ctx gives up the command without waiting for its end.
	Exec(ctx context.Context, c Command) (int, error)
}

// Command for a Machine.
type Command struct {
	Args           []string // an argument vector; Machines quote it as needed
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Follow marks a command that lasts as long as a job: machines that limit commands keep room for others.
	Follow bool
}

// Uploader is a Machine with a better way for big files than a command's standard input.
type Uploader interface {
	// Upload brings the file to size bytes, going on from what is already there. It returns errors.ErrUnsupported if it cannot.
	Upload(ctx context.Context, path string, size int64, open func(offset int64) (io.ReadCloser, error)) error
}

// ErrLost is wrapped by errors of a Machine whose connection was lost or could not be made for now.
var ErrLost = errors.New("connection lost")

// Quote makes one word of POSIX shell text.
func Quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// QuoteAll makes a command line of an argument vector.
func QuoteAll(args []string) string {
	q := make([]string, len(args))
	for i, a := range args {
		q[i] = Quote(a)
	}
	return strings.Join(q, " ")
}

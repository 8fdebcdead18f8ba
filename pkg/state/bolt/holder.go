package bolt

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Process is what a process that has the file open tells others, in the file of the same name with ".holder" added.
type Process struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Command string    `json:"command,omitempty"`
	Address string    `json:"address,omitempty"` // where it can be reached, if it said
	Since   time.Time `json:"since"`
}

// LockedError means that another process has the file open. Holder is nil if it did not say who it is.
type LockedError struct {
	Path   string
	Holder *Process
}

func (e *LockedError) Error() string {
	who := "another process"
	if h := e.Holder; h != nil {
		who = fmt.Sprintf("process %d", h.PID)
		if h.Command != "" {
			who += " (" + h.Command + ")"
		}
		who += fmt.Sprintf(" on %s since %s", h.Host, h.Since.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("cannot open the store %s: it is in use by %s; wait for it, stop it, or talk to it with --server", e.Path, who)
}

func holderFile(path string) string { return path + ".holder" }

// markHolder says who has the file open. It is information only, the lock is what counts: failing to write it is no failure.
func markHolder(path string, opts Options) (unmark func()) {
	p := Process{PID: os.Getpid(), Command: opts.Command, Address: opts.Address, Since: time.Now()}
	p.Host, _ = os.Hostname()
	if p.Command == "" {
		p.Command = filepath.Base(os.Args[0])
	}
	data, err := json.Marshal(p)
	if err != nil {
		return func() {}
	}
	tmp := fmt.Sprintf("%s.%d", holderFile(path), p.PID)
	if os.WriteFile(tmp, data, 0o600) != nil || os.Rename(tmp, holderFile(path)) != nil {
		os.Remove(tmp)
		return func() {}
	}
	return func() { os.Remove(holderFile(path)) }
}

func lockedError(path string) error {
	e := &LockedError{Path: path}
	data, err := os.ReadFile(holderFile(path))
	var p Process
	if err == nil && json.Unmarshal(data, &p) == nil && p.PID > 0 {
		e.Holder = &p
	}
	return e
}

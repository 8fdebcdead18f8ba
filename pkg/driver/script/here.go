package script

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Here lays out the job's files below a directory of this machine and returns the command that runs its script there, as a plain program: no
// journal, no outputs. It is for what may be run again at will.
func (j *Job) Here(dir string) ([]string, error) {
	for i := range j.units {
		if err := j.units[i].write(dir); err != nil {
			return nil, err
		}
	}
	file := filepath.Join(dir, filepath.FromSlash(j.Script))
	if j.interp.family == binary {
		return []string{file}, nil
	}
	for _, name := range j.interp.names {
		if _, err := exec.LookPath(name); err == nil {
			return append(append([]string{name}, j.interp.options...), file), nil
		}
	}
	return nil, fmt.Errorf("cannot run %s: there is no %s on the orchestrator", j.Script, j.interp.names[0])
}

// write lays the unit out below a directory of this machine.
func (u *unit) write(dir string) error {
	if u.kind == "tree" {
		for i := range u.files {
			if err := u.files[i].write(dir); err != nil {
				return err
			}
		}
		return nil
	}
	to := filepath.Join(dir, filepath.FromSlash(u.path))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, u.mode&0o700)
	if err != nil {
		return err
	}
	if _, err := u.copyTo(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

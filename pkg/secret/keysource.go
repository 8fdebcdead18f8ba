package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// KeySource says where the master key comes from: the first of Key, Command and File that is set.
type KeySource struct {
	Key     Value    // the key itself, from ORCH_MASTER_KEY
	Command []string // prints the key: a KMS client, a password manager. It is run without a shell
	File    string   // mode 0600; made on first use if the caller allows it
}

// FromFile returns the file that Load reads; "" if the key comes from elsewhere.
func (s KeySource) FromFile() string {
	if !s.Key.IsZero() || len(s.Command) > 0 {
		return ""
	}
	return s.File
}

const commandTime = 30 * time.Second

// Load reads the keyring. With create it makes a File that does not exist; without, that is fs.ErrNotExist. Callers allow it only while
// nothing was encrypted yet: a new key would not open it.
func (s KeySource) Load(ctx context.Context, create bool) (*Keyring, error) {
	switch {
	case !s.Key.IsZero():
		k, err := ParseKeyring(s.Key)
		if err != nil {
			return nil, fmt.Errorf("cannot use ORCH_MASTER_KEY: %w", err)
		}
		return k, nil
	case len(s.Command) > 0:
		return s.run(ctx)
	case s.File == "":
		return nil, errors.New("no master key is configured: set ORCH_MASTER_KEY, or a file or command for it")
	}
	k, err := readKeyFile(s.File)
	if errors.Is(err, fs.ErrNotExist) && create {
		return createKeyFile(s.File)
	}
	return k, err
}

func (s KeySource) run(ctx context.Context) (*Keyring, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, s.Command[0], s.Command[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("it did not end within %s", commandTime)
		}
		if errors.Is(err, fs.ErrNotExist) { // which would be a key file that is lost
			err = errors.New("there is no such program")
		}
		if lines := strings.Split(strings.TrimSpace(errs.String()), "\n"); lines[len(lines)-1] != "" {
			err = fmt.Errorf("%w: %s", err, lines[len(lines)-1])
		}
		return nil, fmt.Errorf("cannot get the master key from %s: %w", s.Command[0], err)
	}
	k, err := ParseKeyring(New(out.String()))
	if err != nil {
		return nil, fmt.Errorf("cannot use what %s printed: %w", s.Command[0], err)
	}
	return k, nil
}

func readKeyFile(path string) (*Keyring, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the master key: %w", err)
	}
	if fi.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the master key %s can be read by others (mode %04o): run chmod 600 %s, and rotate the key if others use this machine", path, fi.Mode().Perm(), path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the master key: %w", err)
	}
	k, err := ParseKeyring(New(string(text)))
	if err != nil {
		return nil, fmt.Errorf("cannot use the master key %s: %w", path, err)
	}
	return k, nil
}

// createKeyFile makes a key. Of several processes that do so at once, one wins and the others use its key.
func createKeyFile(path string) (*Keyring, error) {
	k, err := GenerateKeyring()
	if err != nil {
		return nil, err
	}
	tmp, err := writeKeys(path, k)
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp)
	switch err := os.Link(tmp, path); {
	case errors.Is(err, fs.ErrExist):
		return readKeyFile(path)
	case err != nil:
		return nil, fmt.Errorf("cannot make the master key: %w", err)
	}
	return k, syncDir(path)
}

// WriteKeyFile replaces the key file, for rotation: at any moment it holds the old keys or the new ones.
func WriteKeyFile(path string, k *Keyring) error {
	tmp, err := writeKeys(path, k)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		os.Remove(tmp)
		return fmt.Errorf("cannot replace the master key: %w", err)
	}
	return syncDir(path)
}

func writeKeys(path string, k *Keyring) (tmp string, err error) {
	defer func() {
		if err != nil {
			if tmp != "" {
				os.Remove(tmp)
			}
			err = fmt.Errorf("cannot write the master key %s: %w", path, err)
		}
	}()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := f.WriteString(k.Text().Reveal()); err != nil {
		return f.Name(), err
	}
	return f.Name(), f.Sync()
}

func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

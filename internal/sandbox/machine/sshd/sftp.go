package sshd

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/pkg/sftp"
)

// SFTPName is the name (argument zero) under which this program serves the SFTP subsystem as the user it runs as.
const SFTPName = "sftp-server"

// ServeSFTP speaks SFTP on the standard streams until the end of input and returns the exit code.
func ServeSFTP() int {
	home, err := os.Getwd()
	if err != nil {
		home = "/"
	}
	s, err := sftp.NewServer(struct {
		io.Reader
		io.WriteCloser
	}{os.Stdin, os.Stdout}, sftp.WithServerWorkingDirectory(home))
	if err != nil {
		fmt.Fprintln(os.Stderr, "sftp-server:", err)
		return 1
	}
	defer s.Close()
	if err := s.Serve(); err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintln(os.Stderr, "sftp-server:", err)
		return 1
	}
	return 0
}

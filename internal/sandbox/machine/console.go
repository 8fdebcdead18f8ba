package machine

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

func (s *server) consolePath() string { return filepath.Join(s.dir, "console.log") }

// tailFile returns the last lines of a file, or all of it when lines is not positive. A missing file is empty.
func tailFile(path string, lines int) (string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot read a console log: %w", err)
	}
	if lines <= 0 {
		return string(data), nil
	}
	end := bytes.TrimSuffix(data, []byte("\n"))
	at := len(end)
	for range lines {
		if at = bytes.LastIndexByte(end[:at], '\n'); at < 0 {
			return string(data), nil
		}
	}
	return string(data[at+1:]), nil
}

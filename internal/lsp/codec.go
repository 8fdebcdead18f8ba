package lsp

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// codec frames messages as the protocol's base does (Content-Length), within limits: the library's own would read whatever length is said.
type codec struct{}

// Limits of one message, in bytes: a document may have MaxDocument, and JSON may need several bytes for one.
const (
	maxMessage = 128 << 20
	maxHeader  = 8 << 10
)

// WriteObject implements jsonrpc2.ObjectCodec.
func (codec) WriteObject(w io.Writer, obj any) error {
	data, err := json.Marshal(obj)
	if err != nil {
		return fmt.Errorf("cannot write a message: %w", err)
	}
	if _, err := fmt.Fprintf(w, "Content-Length: %d\r\n\r\n%s", len(data), data); err != nil {
		return fmt.Errorf("cannot write a message: %w", err)
	}
	return nil
}

// ReadObject implements jsonrpc2.ObjectCodec. An error ends the connection: there is no way to find the next message.
func (codec) ReadObject(r *bufio.Reader, v any) error {
	length, read := -1, 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			if errors.Is(err, io.EOF) && read+len(line) == 0 {
				return io.EOF
			}
			return fmt.Errorf("cannot read a message's header: %w", err)
		}
		if read += len(line); read > maxHeader {
			return errors.New("a message's header is too long")
		}
		text := strings.TrimRight(string(line), "\r\n")
		if text == "" {
			break
		}
		if name, value, ok := strings.Cut(text, ":"); ok && strings.EqualFold(strings.TrimSpace(name), "Content-Length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil || length < 0 {
				return fmt.Errorf("a message's length is wrong: %q", value)
			}
		}
	}
	if length < 0 || length > maxMessage {
		return fmt.Errorf("a message's length is missing or too large: %d", length)
	}
	data, err := io.ReadAll(io.LimitReader(r, int64(length)))
	if err != nil || len(data) < length {
		return fmt.Errorf("a message is cut off: %w", errors.Join(err, io.ErrUnexpectedEOF))
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("a message is no JSON: %w", err)
	}
	return nil
}

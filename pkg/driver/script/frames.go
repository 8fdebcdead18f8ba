package script

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// magic begins the journal's answer; login shells may print anything before it.
const magic = "orch-journal-1"

const (
	maxNoise = 1 << 20 // bytes before the magic
	maxFrame = 1 << 20 // bytes of a frame that has a body
	maxLine  = 16 << 10
)

// errFrames is a stream that does not follow the protocol.
var errFrames = errors.New("unexpected answer of the host")

// handler receives what the journal says.
type handler interface {
	// line is a frame without body.
	line(kind byte, text string)
	// data is a piece of the body of an O, E, V, P or C frame, as it arrives: a cut connection loses nothing that had come.
	data(kind byte, p []byte)
}

// readFrames reads until the stream ends. A stream that ends inside a frame gives io.ErrUnexpectedEOF.
func readFrames(r io.Reader, h handler) error {
	br := bufio.NewReaderSize(r, 32<<10)
	if err := skipNoise(br); err != nil {
		return err
	}
	for {
		text, err := readLine(br, maxLine)
		if err == io.EOF && text == "" {
			return nil
		}
		if err != nil {
			return unexpected(err)
		}
		if len(text) == 0 || len(text) > 1 && text[1] != ' ' {
			return fmt.Errorf("%w: %q", errFrames, clip(text, 80))
		}
		kind, rest := text[0], strings.TrimPrefix(text[1:], " ")
		switch kind {
		case 'O', 'E', 'V', 'P', 'C':
			n, err := strconv.ParseInt(rest, 10, 64)
			if err != nil || n < 0 || n > maxFrame {
				return fmt.Errorf("%w: a body of %q bytes", errFrames, clip(rest, 80))
			}
			if err := readBody(br, n, func(p []byte) { h.data(kind, p) }); err != nil {
				return unexpected(err)
			}
		case 'B', 'T', 'M', 'K', 'S', 'H', 'R', 'F', 'X':
			h.line(kind, rest)
		default:
			return fmt.Errorf("%w: %q", errFrames, clip(text, 80))
		}
	}
}

func skipNoise(br *bufio.Reader) error {
	for seen := 0; ; {
		line, err := br.ReadSlice('\n')
		seen += len(line)
		if strings.TrimRight(string(line), "\r\n") == magic && err == nil {
			return nil
		}
		switch {
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return unexpected(err)
		case seen > maxNoise:
			return fmt.Errorf("%w: the login shell prints too much", errFrames)
		}
	}
}

// readLine returns a line without its end.
func readLine(br *bufio.Reader, most int) (string, error) {
	var b []byte
	for {
		part, err := br.ReadSlice('\n')
		b = append(b, part...)
		switch {
		case len(b) > most:
			return "", fmt.Errorf("%w: a line of more than %d bytes", errFrames, most)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return string(b), err
		}
		return string(b[:len(b)-1]), nil
	}
}

func readBody(br *bufio.Reader, n int64, emit func([]byte)) error {
	for n > 0 {
		// What is there already, without waiting for more.
		if br.Buffered() == 0 {
			if _, err := br.Peek(1); err != nil {
				return err
			}
		}
		p, err := br.Peek(int(min(n, int64(br.Buffered()))))
		if err != nil {
			return err
		}
		emit(p)
		n -= int64(len(p))
		_, _ = br.Discard(len(p))
	}
	return nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

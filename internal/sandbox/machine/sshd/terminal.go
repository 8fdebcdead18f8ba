package sshd

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/orch-project/orch/internal/sandbox/machine/child"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal with its requested size and modes.
type terminal struct {
	master *os.File
	name   string // of the slave
	closed sync.Once
}

func openTerminal() (*terminal, error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open a terminal: %w", err)
	}
	t := &terminal{master: master}
	var n int
	err = t.control(func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	if err != nil {
		_ = master.Close()
		return nil, fmt.Errorf("cannot unlock a terminal: %w", err)
	}
	t.name = "/dev/pts/" + itoa(n)
	return t, nil
}

// control runs ioctls without turning the descriptor to blocking mode, which File.Fd would.
func (t *terminal) control(f func(fd int) error) error {
	raw, err := t.master.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

func (t *terminal) resize(cols, rows, x, y uint32) error {
	return t.control(func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(rows), Col: uint16(cols), Xpixel: uint16(x), Ypixel: uint16(y)})
	})
}

// close hangs the terminal up.
func (t *terminal) close() { t.closed.Do(func() { _ = t.master.Close() }) }

func (s *session) ptyRequest(payload []byte) bool {
	var p struct {
		Term             string
		Cols, Rows, X, Y uint32
		Modes            string
	}
	if s.term != nil || s.limits.noPTY || ssh.Unmarshal(payload, &p) != nil {
		return false
	}
	t, err := openTerminal()
	if err != nil {
		s.server.Logger.Error("no terminal", "error", err)
		return false
	}
	_ = t.resize(p.Cols, p.Rows, p.X, p.Y)
	_ = t.control(func(fd int) error { return setModes(fd, p.Modes) })
	if os.Geteuid() == 0 {
		_ = os.Chown(t.name, s.user.UID, -1)
	}
	s.term = t
	s.env = append(s.env, "TERM="+p.Term, "SSH_TTY="+t.name)
	return true
}

// startTerminal runs the process on the terminal as its session's controlling terminal.
func (s *session) startTerminal(cmd child.Command) (func(), error) {
	slave, err := os.OpenFile(s.term.name, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer slave.Close()
	cmd.Files = []*os.File{slave, slave, slave}
	cmd.Sys.Setctty = true
	p, err := child.Start(cmd)
	if err != nil {
		return nil, err
	}
	s.setProcess(p)
	term := s.term
	return func() {
		go func() {
			_, _ = io.Copy(term.master, s.channel)
			// The client's end of input is not the terminal's; only its farewell is.
		}()
		copied := make(chan struct{})
		go func() {
			_, _ = io.Copy(s.channel, term.master) // ends with EIO when the last process has left the terminal
			close(copied)
		}()
		status := p.Wait()
		<-copied
		s.report(status)
		term.close()
	}, nil
}

// Terminal modes of RFC 4254 section 8 that Linux has.
var (
	modeChars = map[byte]int{1: unix.VINTR, 2: unix.VQUIT, 3: unix.VERASE, 4: unix.VKILL, 5: unix.VEOF, 6: unix.VEOL, 7: unix.VEOL2,
		8: unix.VSTART, 9: unix.VSTOP, 10: unix.VSUSP, 12: unix.VREPRINT, 13: unix.VWERASE, 14: unix.VLNEXT, 18: unix.VDISCARD}
	modeInput = map[byte]uint32{30: unix.IGNPAR, 31: unix.PARMRK, 32: unix.INPCK, 33: unix.ISTRIP, 34: unix.INLCR, 35: unix.IGNCR,
		36: unix.ICRNL, 37: unix.IUCLC, 38: unix.IXON, 39: unix.IXANY, 40: unix.IXOFF, 41: unix.IMAXBEL, 42: unix.IUTF8}
	modeLocal = map[byte]uint32{50: unix.ISIG, 51: unix.ICANON, 52: unix.XCASE, 53: unix.ECHO, 54: unix.ECHOE, 55: unix.ECHOK,
		56: unix.ECHONL, 57: unix.NOFLSH, 58: unix.TOSTOP, 59: unix.IEXTEN, 60: unix.ECHOCTL, 61: unix.ECHOKE, 62: unix.PENDIN}
	modeOutput = map[byte]uint32{70: unix.OPOST, 71: unix.OLCUC, 72: unix.ONLCR, 73: unix.OCRNL, 74: unix.ONOCR, 75: unix.ONLRET}
)

// setModes applies the encoded modes: one byte of code and four of value each; 0 ends, codes from 160 on are undefined.
func setModes(fd int, modes string) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	flag := func(field *uint32, bit uint32, on bool) {
		if *field &^= bit; on {
			*field |= bit
		}
	}
	for len(modes) >= 5 && modes[0] != 0 && modes[0] < 160 {
		code := modes[0]
		value := uint32(modes[1])<<24 | uint32(modes[2])<<16 | uint32(modes[3])<<8 | uint32(modes[4])
		modes = modes[5:]
		if i, ok := modeChars[code]; ok {
			t.Cc[i] = byte(value) // 255 disables, which is 0 on Linux
			if value == 255 {
				t.Cc[i] = 0
			}
		}
		flag(&t.Iflag, modeInput[code], value != 0)
		flag(&t.Lflag, modeLocal[code], value != 0)
		flag(&t.Oflag, modeOutput[code], value != 0)
	}
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

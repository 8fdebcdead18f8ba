package script

import (
	"archive/tar"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed journal.sh
var journalText string

//go:embed main.sh
var mainShell string

//go:embed main.py
var mainPython string

// journalShell is journal.sh without comments: it travels with every command, so that nothing needs to be installed on the host.
var journalShell = sync.OnceValue(func() string {
	var b strings.Builder
	for line := range strings.Lines(journalText) {
		if t := strings.TrimSpace(line); t != "" && t[0] != '#' {
			b.WriteString(line)
		}
	}
	return b.String()
})

// begin ends what may stand before the journal's text on standard input (a password for sudo).
const begin = "orch-begin"

// bootstrap reads the journal's text from standard input and runs it. It must not read ahead, as the rest belongs to the verb: read takes
// byte by byte from a pipe, and so does dd with this block size. It is one line without anything that csh or fish would take for theirs.
func bootstrap() string {
	return fmt.Sprintf(`while IFS= read -r orch_l; do [ "$orch_l" = %s ] && break; done; orch_journal=$(dd bs=1 count=%d 2>/dev/null); echo %s; eval "$orch_journal"`,
		begin, len(journalShell()), magic)
}

// answer is what a verb said.
type answer struct {
	base    string
	uid     int
	tools   map[string]bool
	missing map[string]bool
	state   string
	elapsed time.Duration
	done    bool
	size    int64

	ended       bool
	rc          int
	interrupted bool
	note        string
	exports     []byte
	outputs     []byte
	context     []byte
	tooBig      string

	fail *journalError

	onState func(state string, elapsed time.Duration)
	onData  func(kind byte, p []byte)
	onBeat  func()
}

// journalError is a frame F: the host's side cannot go on.
type journalError struct{ kind, text string }

func (e *journalError) Error() string {
	if e.kind == "write" {
		return "cannot write on the host: " + e.text
	}
	return e.text
}

func (a *answer) line(kind byte, s string) {
	first, rest, _ := strings.Cut(s, " ")
	switch kind {
	case 'B':
		a.base = s
	case 'T':
		a.uid, _ = strconv.Atoi(first)
		a.tools = map[string]bool{}
		for _, t := range strings.Fields(rest) {
			a.tools[t] = true
		}
	case 'M':
		if a.missing == nil {
			a.missing = map[string]bool{}
		}
		a.missing[s] = true
	case 'K':
		a.done = true
		a.note = s
		a.size, _ = strconv.ParseInt(first, 10, 64)
	case 'S':
		seconds, _ := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
		a.state, a.elapsed = first, time.Duration(max(seconds, 0))*time.Second
		if a.onState != nil {
			a.onState(a.state, a.elapsed)
		}
	case 'R':
		a.ended, a.note = true, rest
		if first == "interrupted" {
			a.interrupted = true
			break
		}
		rc, err := strconv.Atoi(first)
		if err != nil {
			rc, a.note = -1, "unreadable"
		}
		a.rc = rc
	case 'X':
		a.tooBig = s
	case 'F':
		a.fail = &journalError{first, rest}
	}
	if a.onBeat != nil {
		a.onBeat()
	}
}

func (a *answer) data(kind byte, p []byte) {
	switch kind {
	case 'V':
		a.exports = append(a.exports, p...)
	case 'P':
		a.outputs = append(a.outputs, p...)
	case 'C':
		a.context = append(a.context, p...)
	default:
		if a.onData != nil {
			a.onData(kind, p)
		}
	}
}

// call runs a verb of the journal. The answer is nil only with an error.
func (r *Runner) call(ctx context.Context, a *answer, verb, op string, input io.Reader, args ...string) error {
	base := r.Dir
	if r.base != "" {
		base = r.base
	}
	argv := append([]string{"sh", "-c", bootstrap(), "orch", verb, base, op}, args...)
	stdin := io.Reader(strings.NewReader(begin + "\n" + journalShell()))
	if input != nil {
		stdin = io.MultiReader(stdin, input)
	}
	pr, pw := io.Pipe()
	read := make(chan error, 1)
	go func() {
		err := readFrames(pr, a)
		// Whatever is wrong with the stream, the command must not hang on a full pipe.
		_, _ = io.Copy(io.Discard, pr)
		read <- err
	}()
	var stderr limitedBuffer
	code, err := r.Machine.Exec(ctx, Command{Args: argv, Stdin: stdin, Stdout: pw, Stderr: &stderr, Follow: verb == "launch" || verb == "follow"})
	pw.Close()
	frames := <-read
	switch {
	case a.fail != nil:
		return a.fail
	case a.ended, a.done, verb == "prepare" && a.state != "" && err == nil && frames == nil:
		return nil
	case err != nil:
		return err
	case Killed(code):
		return fmt.Errorf("the host ended the command (exit code %d), as it does when it goes down: %w", code, ErrLost)
	case code != 0:
		return &shellError{code: code, stderr: stderr.lines()}
	case frames != nil && !errors.Is(frames, io.ErrUnexpectedEOF):
		return frames
	}
	return fmt.Errorf("the host's answer ended early: %w", ErrLost)
}

// Killed tells whether the exit code is that of a command that a signal ended from outside: HUP, KILL, TERM, or one without a number.
func Killed(code int) bool { return code == 128 || code == 128+1 || code == 128+9 || code == 128+15 }

// shellError is a command that did not get as far as the journal: no sudo rights, no shell, no login.
type shellError struct {
	code   int
	stderr []string
}

func (e *shellError) Error() string {
	if n := len(e.stderr); n > 0 {
		return e.stderr[n-1]
	}
	return fmt.Sprintf("the host's shell ended with exit code %d", e.code)
}

// limitedBuffer keeps the end of a small text.
type limitedBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (l *limitedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	if len(l.b) > 16<<10 {
		l.b = append([]byte(nil), l.b[len(l.b)-8<<10:]...)
	}
	return len(p), nil
}

func (l *limitedBuffer) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for s := range strings.Lines(string(l.b)) {
		if s = strings.TrimRight(s, "\r\n"); strings.TrimSpace(s) != "" {
			out = append(out, strings.ToValidUTF8(s, "\uFFFD"))
		}
	}
	return out[max(0, len(out)-tailLines):]
}

// upload brings the missing units to the host: small ones in one tar, big ones each by itself, so that they can be resumed.
func (r *Runner) upload(ctx context.Context, j *Job, missing map[string]bool, tar bool) error {
	var small []unit
	for _, u := range j.units {
		if !missing[u.digest] {
			continue
		}
		delete(missing, u.digest)
		if tar && u.size < bigFile {
			small = append(small, u)
			continue
		}
		if err := r.uploadOne(ctx, j, &u); err != nil {
			return fmt.Errorf("cannot upload %s: %w", u.path, err)
		}
	}
	if len(small) == 0 {
		return nil
	}
	pack := packUnits(small)
	defer pack.Close()
	if err := again(r.call(ctx, &answer{}, "unpack", j.ID, pack)); err != nil {
		if name := changed(small); name != "" {
			return fmt.Errorf("cannot upload the files of the operation: %s has changed since the operation began", name)
		}
		return fmt.Errorf("cannot upload the files of the operation: %w", err)
	}
	return nil
}

// changed is the first file that is not any more what was measured, or "". Sending it again would be in vain.
func changed(units []unit) string {
	for _, u := range units {
		if u.kind == "tree" {
			if name := changed(u.files); name != "" {
				return name
			}
			continue
		}
		now := u
		if u.digest != "" && (now.measure() != nil || now.digest != u.digest) {
			return u.path
		}
	}
	return ""
}

// uploadOne brings one big unit. Two operations may want the same file on the same host at once: the second waits and finds it there.
func (r *Runner) uploadOne(ctx context.Context, j *Job, u *unit) error {
	defer uploads.lock(r.Machine.Address() + r.base + u.digest)()
	var have answer
	if err := r.call(ctx, &have, "part", j.ID, nil, u.digest); err != nil {
		return err
	}
	if have.size < 0 {
		return nil
	}
	size := strconv.FormatInt(u.size, 10)
	if up, ok := r.Machine.(Uploader); ok {
		err := up.Upload(ctx, r.base+"/incoming."+u.digest, u.size, u.openAt)
		if err == nil {
			return again(r.call(ctx, &answer{}, "commit", j.ID, nil, u.digest, size))
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	if have.size > u.size {
		have.size = 0
	}
	body, err := u.openAt(have.size)
	if err != nil {
		return err
	}
	defer body.Close()
	return again(r.call(ctx, &answer{}, "append", j.ID, body, u.digest, size, strconv.FormatInt(have.size, 10)))
}

// again makes an upload that did not arrive whole one to be repeated.
func again(err error) error {
	var f *journalError
	if errors.As(err, &f) && (f.kind == "short" || f.kind == "corrupt") {
		return fmt.Errorf("%w: %w", err, ErrLost)
	}
	return err
}

// keyed is a mutex per key.
type keyed struct {
	mu   sync.Mutex
	held map[string]*holder
}

type holder struct {
	sync.Mutex
	users int
}

var uploads keyed

func (k *keyed) lock(key string) (unlock func()) {
	k.mu.Lock()
	if k.held == nil {
		k.held = map[string]*holder{}
	}
	h := k.held[key]
	if h == nil {
		h = &holder{}
		k.held[key] = h
	}
	h.users++
	k.mu.Unlock()
	h.Lock()
	return func() {
		h.Unlock()
		k.mu.Lock()
		defer k.mu.Unlock()
		if h.users--; h.users == 0 {
			delete(k.held, key)
		}
	}
}

// packUnits streams units as a tar of blobs.
func packUnits(units []unit) io.ReadCloser {
	pr, pw := io.Pipe()
	go func() {
		tw := tar.NewWriter(pw)
		pw.CloseWithError(func() error {
			for _, u := range units {
				u.mode = 0o600
				if err := addFile(tw, u.digest, &u); err != nil {
					return err
				}
			}
			return tw.Close()
		}())
	}()
	return pr
}

// digestList is what prepare reads.
func digestList(j *Job) io.Reader {
	var b bytes.Buffer
	for _, u := range j.units {
		b.WriteString(u.digest + "\n")
	}
	b.WriteString(".\n")
	return &b
}

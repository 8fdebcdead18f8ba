// Package userns lets an ordinary user start a process that is root of a user namespace of its own, with as many ids as a Linux system
// has, from the user's subordinate ids (subuid(5), newuidmap(1)).
//
// It knows of no sandbox: what the process does there is its caller's affair.
package userns

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The process is this same binary, told by its environment: where to hear that its ids are mapped, and what to remove, if that is all.
const (
	readyEnv  = "ORCH_USERNS_READY"
	removeEnv = "ORCH_USERNS_REMOVE"
)

// ids is how many a system needs besides root: 1 to 65535, nobody's 65534 among them.
const ids = 65535

// Enter must be the first call of main, and of TestMain in packages that use Start: in a process that Start has made it waits for its ids
// and begins the program anew, as root of its namespace. Everywhere else it returns at once.
func Enter() {
	fd := os.Getenv(readyEnv)
	if fd == "" {
		if path := os.Getenv(removeEnv); path != "" {
			exit(os.RemoveAll(path))
		}
		return
	}
	n, err := strconv.Atoi(fd)
	if err != nil {
		exit(fmt.Errorf("cannot read %s: %w", readyEnv, err))
	}
	ready := os.NewFile(uintptr(n), "ready")
	if n, _ := ready.Read(make([]byte, 1)); n != 1 {
		os.Exit(1) // Start has given up, and says why
	}
	_ = ready.Close()
	if err := os.Unsetenv(readyEnv); err != nil {
		exit(err)
	}
	// Only a program that begins while its user is root has root's capabilities.
	exit(syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Start starts the command, which must be this same binary, as root of a new user namespace: its id 0 is the caller's, the ones from 1 to
// 65535 are the caller's subordinate ones. Its descriptors beyond ExtraFiles are used.
func Start(cmd *exec.Cmd) error {
	uids, gids, err := maps()
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close()
	defer r.Close()
	cmd.ExtraFiles = append(cmd.ExtraFiles, r)
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", readyEnv, 2+len(cmd.ExtraFiles)))
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("the kernel refuses a user namespace to an ordinary user%s: %w", refusal(), err)
	}
	err = errors.Join(setMap("newuidmap", cmd.Process.Pid, uids), setMap("newgidmap", cmd.Process.Pid, gids))
	if err == nil {
		_, err = w.Write([]byte{1})
	}
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	return err
}

// Remove removes a directory whose files belong to the caller's subordinate ids, which the caller itself may not touch.
func Remove(path string) error {
	var out bytes.Buffer
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), removeEnv+"="+path)
	cmd.Stderr = &out
	if err := Start(cmd); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("cannot remove %s: %s", path, strings.TrimSpace(out.String()))
	}
	return nil
}

// span is a line of an id map: so many ids from inside on are those from outside on.
type span struct{ inside, outside, count int }

// maps are those of a whole system, or an error that says what an administrator must do.
func maps() (uids, gids []span, err error) {
	me, err := user.Current()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot find out who runs this: %w", err)
	}
	var todo []string
	for _, name := range []string{"newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(name); err != nil {
			todo = append(todo, "install newuidmap and newgidmap (Debian, Ubuntu: apt-get install uidmap; Fedora: shadow-utils; Arch: shadow)")
			break
		}
	}
	lacks := ""
	for _, m := range []struct {
		file string
		id   int
		to   *[]span
	}{{"/etc/subuid", os.Getuid(), &uids}, {"/etc/subgid", os.Getgid(), &gids}} {
		data, err := os.ReadFile(m.file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, nil, err
		}
		list, ok := subordinate(string(data), me.Username, me.Uid)
		if !ok {
			lacks = fmt.Sprintf("give %s %d subordinate ids: add the line \"%s:100000:65536\", or another range that nobody has, to /etc/subuid and /etc/subgid",
				me.Username, ids, me.Username)
		}
		*m.to = append([]span{{0, m.id, 1}}, list...)
	}
	if lacks != "" {
		todo = append(todo, lacks)
	}
	if len(todo) > 0 {
		return nil, nil, errors.New("an administrator must " + strings.Join(todo, ", and "))
	}
	return uids, gids, nil
}

// subordinate finds the user's ranges in the text of subuid(5) or subgid(5), and whether they are enough.
func subordinate(text, name, id string) (list []span, ok bool) {
	next := 1
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 3 || f[0] != name && f[0] != id {
			continue
		}
		start, err1 := strconv.Atoi(f[1])
		count, err2 := strconv.Atoi(f[2])
		if err1 != nil || err2 != nil || count <= 0 || next > ids {
			continue
		}
		count = min(count, ids+1-next)
		list = append(list, span{next, start, count})
		next += count
	}
	return list, next > ids
}

func setMap(program string, pid int, spans []span) error {
	args := []string{strconv.Itoa(pid)}
	for _, s := range spans {
		args = append(args, strconv.Itoa(s.inside), strconv.Itoa(s.outside), strconv.Itoa(s.count))
	}
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// refusal says what is likely to be the reason, for an administrator.
func refusal() string {
	for _, s := range []struct{ file, value, text string }{
		{"/proc/sys/user/max_user_namespaces", "0", " (an administrator may set user.max_user_namespaces=15000 with sysctl)"},
		{"/proc/sys/kernel/unprivileged_userns_clone", "0", " (an administrator may set kernel.unprivileged_userns_clone=1 with sysctl)"},
	} {
		if data, err := os.ReadFile(s.file); err == nil && strings.TrimSpace(string(data)) == s.value {
			return s.text
		}
	}
	return " (in a container its seccomp profile may be the reason)"
}

// Restricted tells why a namespace that could be made lets its root do nothing, in words for an administrator; empty if nothing is known.
func Restricted() string {
	data, err := os.ReadFile("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
	if err == nil && strings.TrimSpace(string(data)) == "1" {
		return "AppArmor takes their rights from the user namespaces of ordinary users: an administrator may set kernel.apparmor_restrict_unprivileged_userns=0 " +
			"with sysctl, or allow \"userns\" to this program in a profile"
	}
	return ""
}

// Package applet holds small programs that stand in, inside a sandbox's server, for ones its image lacks.
//
// They run as ordinary processes of the server and must not know of the sandbox.
package applet

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/orch-project/orch/internal/sandbox/machine/account"
)

const rootPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// sudo is a parsed command line of sudo(8).
type sudo struct {
	user, group, dir         string
	login, shell, keep, list bool
	background, validate     bool
	env                      []string
	args                     []string
}

// Sudo runs a command as another user for whom sudoers allows it without a password. The program must be set-uid root. It
// replaces this process; only on failure it returns an exit code.
func Sudo(args []string) int {
	s, err := parseSudo(args)
	if err == nil {
		err = s.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sudo:", err)
	}
	return 1
}

func parseSudo(args []string) (*sudo, error) {
	s := &sudo{user: "root"}
	for len(args) > 0 {
		a := args[0]
		if a == "--" {
			args = args[1:]
			break
		}
		if !strings.HasPrefix(a, "-") || a == "-" {
			if name, _, ok := strings.Cut(a, "="); ok && name != "" && !strings.Contains(name, "/") {
				s.env = append(s.env, a)
				args = args[1:]
				continue
			}
			break
		}
		rest, err := s.option(a, args[1:])
		if err != nil {
			return nil, err
		}
		args = rest
	}
	s.args = args
	return s, nil
}

// option handles one word of options, clustered letters included, and returns what follows.
func (s *sudo) option(word string, rest []string) ([]string, error) {
	if long, ok := strings.CutPrefix(word, "--"); ok {
		name, value, given := strings.Cut(long, "=")
		letters := map[string]byte{"user": 'u', "group": 'g', "login": 'i', "shell": 's', "preserve-env": 'E', "set-home": 'H', "non-interactive": 'n',
			"stdin": 'S', "list": 'l', "validate": 'v', "reset-timestamp": 'k', "remove-timestamp": 'K', "background": 'b', "chdir": 'D', "prompt": 'p', "preserve-groups": 'P'}
		l, known := letters[name]
		if !known {
			return nil, fmt.Errorf("unrecognized option '--%s'", name)
		}
		if given && l != 'E' {
			rest = append([]string{value}, rest...)
		}
		return s.letter(l, "", rest)
	}
	for i := 1; i < len(word); i++ {
		if strings.IndexByte("ugpDCTrth", word[i]) >= 0 {
			return s.letter(word[i], word[i+1:], rest)
		}
		var err error
		if rest, err = s.letter(word[i], "", rest); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

func (s *sudo) letter(l byte, attached string, rest []string) ([]string, error) {
	value := func() (string, error) {
		if attached != "" {
			return attached, nil
		}
		if len(rest) == 0 {
			return "", fmt.Errorf("option requires an argument -- '%c'", l)
		}
		v := rest[0]
		rest = rest[1:]
		return v, nil
	}
	var err error
	switch l {
	case 'u':
		s.user, err = value()
	case 'g':
		s.group, err = value()
	case 'D':
		s.dir, err = value()
	case 'p', 'C', 'T', 'r', 't', 'h':
		_, err = value()
	case 'i':
		s.login = true
	case 's':
		s.shell = true
	case 'E':
		s.keep = true
	case 'l':
		s.list = true
	case 'v', 'k', 'K':
		s.validate = true
	case 'b':
		s.background = true
	case 'n', 'S', 'H', 'P', 'A', 'B', 'N':
	default:
		err = fmt.Errorf("invalid option -- '%c'", l)
	}
	return rest, err
}

func (s *sudo) run() error {
	db, err := account.Open("/")
	if err != nil {
		return err
	}
	caller, ok := db.UserByID(os.Getuid())
	if !ok {
		return fmt.Errorf("you do not exist in the passwd database")
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("effective uid is not 0: the program must be set-uid root")
	}
	if caller.UID != 0 && !allowed(db, caller) {
		return fmt.Errorf("a password is required")
	}
	if s.list {
		fmt.Printf("User %s may run the following commands:\n    (ALL) NOPASSWD: ALL\n", caller.Name)
		os.Exit(0)
	}
	target, err := lookupUser(db, s.user)
	if err != nil {
		return err
	}
	if len(s.args) == 0 && !s.login && !s.shell {
		if s.validate {
			os.Exit(0)
		}
		return fmt.Errorf("usage: sudo [-EHins] [-u user] [-g group] [VAR=value] [command]")
	}
	return s.exec(db, caller, target)
}

func lookupUser(db *account.DB, name string) (account.User, error) {
	if id, ok := strings.CutPrefix(name, "#"); ok {
		if uid, err := strconv.Atoi(id); err == nil {
			if u, ok := db.UserByID(uid); ok {
				return u, nil
			}
			return account.User{Name: name, UID: uid, GID: uid, Home: "/", Shell: "/bin/sh"}, nil
		}
	}
	if u, ok := db.User(name); ok {
		return u, nil
	}
	return account.User{}, fmt.Errorf("unknown user %s", name)
}

// allowed reads sudoers and its drop-ins for rules that let the caller run everything without a password, which is what
// cloud images have. Narrower rules are not understood and give nothing.
func allowed(db *account.DB, caller account.User) bool {
	files, _ := filepath.Glob("/etc/sudoers.d/*")
	for _, f := range append([]string{"/etc/sudoers"}, files...) {
		data, err := os.ReadFile(f)
		if err != nil || strings.Contains(filepath.Base(f), ".") || strings.HasSuffix(f, "~") {
			continue
		}
		for line := range strings.Lines(string(data)) {
			who, rule, _ := strings.Cut(strings.TrimSpace(line), " ")
			matches := who == caller.Name || who == "ALL"
			if g, ok := strings.CutPrefix(who, "%"); ok {
				if grp, found := db.Group(g); found {
					matches = slices.Contains(db.GroupIDs(caller), grp.GID)
				}
			}
			if compact := strings.ReplaceAll(rule, " ", ""); matches && strings.HasSuffix(compact, "NOPASSWD:ALL") {
				return true
			}
		}
	}
	return false
}

// exec becomes the target user and runs the command.
func (s *sudo) exec(db *account.DB, caller, target account.User) error {
	gid, groups := target.GID, db.GroupIDs(target)
	if s.group != "" {
		_, id, err := db.Lookup("", s.group)
		if err != nil {
			return err
		}
		gid, groups = id, append([]int{id}, groups...)
	}
	shell := target.Shell
	if shell == "" {
		shell = "/bin/sh"
	}
	env := s.environment(caller, target, shell)
	argv := s.args
	path := ""
	if s.login || s.shell {
		if s.shell && !s.login {
			if sh := os.Getenv("SHELL"); sh != "" {
				shell = sh
			}
		}
		path, argv = shell, []string{filepath.Base(shell)}
		if s.login {
			argv[0] = "-" + argv[0]
		}
		if len(s.args) > 0 {
			argv = append(argv, "-c", quoteArgs(s.args))
		}
	} else {
		os.Setenv("PATH", rootPath)
		found, err := exec.LookPath(argv[0])
		if err != nil {
			return fmt.Errorf("%s: command not found", argv[0])
		}
		path = found
	}
	if s.login && s.dir == "" {
		s.dir = target.Home
	}
	if err := syscall.Setgroups(groups); err != nil {
		return err
	}
	if err := syscall.Setresgid(gid, gid, gid); err != nil {
		return err
	}
	if err := syscall.Setresuid(target.UID, target.UID, target.UID); err != nil {
		return err
	}
	if s.dir != "" {
		if err := os.Chdir(s.dir); err != nil {
			return fmt.Errorf("unable to change directory to %s: %w", s.dir, err)
		}
	}
	if s.background {
		_, err := os.StartProcess(path, argv, &os.ProcAttr{Env: env, Files: []*os.File{nil, os.Stdout, os.Stderr}})
		if err == nil {
			os.Exit(0)
		}
		return err
	}
	return syscall.Exec(path, argv, env)
}

// quoteArgs joins words for a shell as sudo does: everything but letters, digits, "_", "-" and "$" is escaped.
func quoteArgs(args []string) string {
	var b strings.Builder
	for i, a := range args {
		if i > 0 {
			b.WriteByte(' ')
		}
		for _, r := range a {
			if !strings.ContainsRune("_-$", r) && !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		}
	}
	return b.String()
}

// environment is sudoers' env_reset with Debian's secure_path.
func (s *sudo) environment(caller, target account.User, shell string) []string {
	env := map[string]string{}
	keep := []string{"TERM", "DISPLAY", "COLORTERM", "LANG", "LANGUAGE", "LS_COLORS", "TZ", "XAUTHORITY"}
	for _, e := range os.Environ() {
		name, value, _ := strings.Cut(e, "=")
		if s.keep || slices.Contains(keep, name) || strings.HasPrefix(name, "LC_") {
			env[name] = value
		}
	}
	env["PATH"], env["HOME"], env["SHELL"] = rootPath, target.Home, shell
	env["USER"], env["LOGNAME"] = target.Name, target.Name
	env["MAIL"] = "/var/mail/" + target.Name
	env["SUDO_USER"], env["SUDO_UID"], env["SUDO_GID"] = caller.Name, strconv.Itoa(caller.UID), strconv.Itoa(caller.GID)
	env["SUDO_COMMAND"] = strings.Join(s.args, " ")
	for _, e := range s.env {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	var out []string
	for k, v := range env {
		out = append(out, k+"="+v)
	}
	return out
}

package machine

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// This machine's package database becomes that of a fresh cloud image: packages outside the base and its dependencies are
// taken out, with their files, so that a server's "apt-get install nginx" installs, configures and starts nginx whether or not
// this machine has it.

// basePackages are kept with all they depend on, besides those that are essential, required or important; about what Debian's and
// Ubuntu's cloud images bring.
var basePackages = []string{"apt-utils", "apt-transport-https", "bash-completion", "bind9-host", "bzip2", "ca-certificates", "cloud-guest-utils", "curl",
	"debian-archive-keyring", "debconf-utils", "dnsutils", "e2fsprogs", "ethtool", "fdisk", "file", "gdisk", "gnupg", "gpg", "gpgv", "iproute2",
	"iputils-ping", "iputils-tracepath", "jq", "less", "locales", "lsb-release", "lsof", "man-db", "nano", "net-tools", "netbase", "netcat-openbsd",
	"openssh-client", "openssl", "parted", "patch", "perl-base", "procps", "psmisc", "python3", "python3-apt", "python3-minimal", "rsync",
	"screen", "socat", "software-properties-common", "sudo", "tar", "traceroute", "tzdata", "ubuntu-keyring", "unzip", "util-linux", "uuid-runtime", "vim-tiny",
	"wget", "xfsprogs", "xz-utils", "zip", "zstd"}

// dpkgPackage is a stanza of the status file.
type dpkgPackage struct {
	name, arch string
	stanza     string
	installed  bool
	base       bool
	depends    [][]string // and of or
	provides   []string
}

func readStatus(path string) ([]*dpkgPackage, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []*dpkgPackage
	for stanza := range strings.SplitSeq(string(data), "\n\n") {
		if strings.TrimSpace(stanza) == "" {
			continue
		}
		p := &dpkgPackage{stanza: strings.Trim(stanza, "\n")}
		for line := range strings.Lines(p.stanza) {
			key, value, ok := strings.Cut(strings.TrimRight(line, "\n"), ": ")
			if !ok || strings.HasPrefix(line, " ") {
				continue
			}
			p.field(key, value)
		}
		out = append(out, p)
	}
	return out, nil
}

func (p *dpkgPackage) field(key, value string) {
	switch key {
	case "Package":
		p.name = value
	case "Architecture":
		p.arch = value
	case "Status":
		p.installed = strings.HasSuffix(value, " installed")
	case "Essential", "Protected":
		p.base = p.base || value == "yes"
	case "Priority":
		p.base = p.base || value == "required" || value == "important"
	case "Provides":
		for v := range strings.SplitSeq(value, ",") {
			p.provides = append(p.provides, packageName(v))
		}
	case "Depends", "Pre-Depends":
		for group := range strings.SplitSeq(value, ",") {
			var or []string
			for alt := range strings.SplitSeq(group, "|") {
				or = append(or, packageName(alt))
			}
			p.depends = append(p.depends, or)
		}
	}
}

// packageName strips version and architecture from a relation ("libc6:any (>= 2.36)").
func packageName(relation string) string {
	name, _, _ := strings.Cut(strings.TrimSpace(relation), " ")
	name, _, _ = strings.Cut(name, ":")
	return name
}

// closure marks what is kept: the base with its dependencies. Of alternatives, the first installed one.
func closure(all []*dpkgPackage) map[*dpkgPackage]bool {
	byName := map[string][]*dpkgPackage{}
	for _, p := range all {
		if !p.installed {
			continue
		}
		byName[p.name] = append(byName[p.name], p)
	}
	for _, p := range all {
		if p.installed {
			for _, v := range p.provides {
				byName[v] = append(byName[v], p) // after the real ones
			}
		}
	}
	keep := map[*dpkgPackage]bool{}
	var queue []*dpkgPackage
	add := func(p *dpkgPackage) {
		if !keep[p] {
			keep[p] = true
			queue = append(queue, p)
		}
	}
	for _, p := range all {
		if p.installed && (p.base || slices.Contains(basePackages, p.name)) {
			add(p)
		}
	}
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		for _, or := range p.depends {
			for _, name := range or {
				found := byName[name]
				if len(found) == 0 {
					continue
				}
				add(found[0])
				// Several architectures of one package go together.
				for _, more := range found[1:] {
					if more.name == found[0].name {
						add(more)
					}
				}
				break
			}
		}
	}
	return keep
}

// reduction is what is to be done to a package database, which takes a second to find out and does not change between the
// Hosts of one process.
type reduction struct {
	of      string // identifies the database
	status  string
	hide    []string // resolved paths, no one below another
	dropped map[string]bool
}

var (
	lastReductionMu sync.Mutex
	lastReduction   *reduction
)

// reducePackages takes everything but the base out of the image.
func reducePackages(l *layer) error {
	file := l.base + "/var/lib/dpkg/status"
	fi, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // another family of systems
	}
	if err != nil {
		return err
	}
	of := fmt.Sprint(file, fi.ModTime().UnixNano(), fi.Size())
	lastReductionMu.Lock()
	r := lastReduction
	if r == nil || r.of != of {
		if r, err = reduce(l, file); err != nil {
			lastReductionMu.Unlock()
			return err
		}
		r.of = of
		lastReduction = r
	}
	lastReductionMu.Unlock()
	if err := l.write("/var/lib/dpkg/status", []byte(r.status), 0o644); err != nil {
		return err
	}
	for _, path := range r.hide {
		if err := l.hideTree(path); err != nil {
			return err
		}
	}
	return dropDiversions(l, r.dropped)
}

// reduce finds out what goes. Directories of dropped packages alone go as a whole, with what programs have added to them.
func reduce(l *layer, file string) (*reduction, error) {
	all, err := readStatus(file)
	if err != nil {
		return nil, err
	}
	keep := closure(all)
	r := &reduction{dropped: map[string]bool{}}
	var status strings.Builder
	kept := map[string]bool{} // paths
	var dropped []*dpkgPackage
	for _, p := range all {
		if !keep[p] {
			dropped = append(dropped, p)
			r.dropped[p.name] = true
			continue
		}
		delete(r.dropped, p.name) // another architecture of it
		status.WriteString(p.stanza + "\n\n")
		for path := range listFiles(l, p) {
			kept[l.real(path)] = true
		}
	}
	r.status = status.String()
	gone := map[string]bool{}
	for _, p := range dropped {
		for path := range listFiles(l, p) {
			path = l.real(path)
			if kept[path] || protected(path) || goneAbove(gone, path) {
				continue
			}
			if _, err := os.Lstat(l.base + path); err != nil {
				continue
			}
			gone[path] = true
			r.hide = append(r.hide, path)
		}
		for _, f := range infoFiles(l, p) {
			r.hide = append(r.hide, "/var/lib/dpkg/info/"+f)
		}
	}
	r.hide = append(r.hide, "/var/lib/dpkg/status-old")
	return r, nil
}

// pretendPackages enters into the database what every cloud image has and this program embodies. The versions are above all others,
// so that "apt-get install openssh-server" finds it installed and does not bring a second server to port 22.
func pretendPackages(l *layer) error {
	const file = "/var/lib/dpkg/status"
	data, err := os.ReadFile(l.dir + file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	all, err := readStatus(l.dir + file)
	if err != nil {
		return err
	}
	arch := "all"
	for _, p := range all {
		if p.name == "dpkg" {
			arch = p.arch
		}
	}
	text := string(data)
	for _, name := range []string{"openssh-server", "openssh-sftp-server", "cloud-init"} {
		text += "Package: " + name + "\nStatus: install ok installed\nPriority: optional\nSection: net\nMaintainer: orch sandbox <nobody@localhost>\n" +
			"Architecture: " + arch + "\nMulti-Arch: foreign\nVersion: 1:99+orch\nDescription: " + name + " as embodied by the orch sandbox\n\n"
		if err := l.write("/var/lib/dpkg/info/"+name+".list", []byte("/.\n"), 0o644); err != nil {
			return err
		}
	}
	return l.write(file, []byte(text), 0o644)
}

// protected are directories that every system has, whichever package lists them.
func protected(path string) bool {
	return path == "/" || path == "/." || slices.Contains(topLevel, strings.Trim(path, "/")) ||
		slices.Contains([]string{"/usr/local", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/share", "/var/lib", "/var/log", "/var/cache", "/var/spool",
			"/var/tmp", "/var/mail", "/var/opt", "/var/local", "/etc/init.d", "/etc/default", "/etc/ssl", "/etc/ssl/certs", "/etc/ssl/private"}, path)
}

func goneAbove(gone map[string]bool, path string) bool {
	for dir := path; dir != "/" && dir != "."; dir = filepath.Dir(dir) {
		if gone[dir] {
			return true
		}
	}
	return false
}

// hideTree hides a path of a dropped package, as far as the preparation has not put something of its own there.
func (l *layer) hideTree(path string) error {
	if l.whiteout != "" && os.Link(l.whiteout, l.dir+path) == nil {
		return nil // the common case, in one system call
	}
	if fi, err := os.Lstat(l.dir + path); err == nil && fi.IsDir() {
		if entries, err := os.ReadDir(l.dir + path); err != nil || len(entries) > 0 {
			return err
		}
		if err := os.Remove(l.dir + path); err != nil {
			return err
		}
	}
	return l.hide(path)
}

// infoFiles are a package's files in dpkg's info directory.
func infoFiles(l *layer, p *dpkgPackage) []string {
	var out []string
	for _, stem := range []string{p.name + ":" + p.arch, p.name} {
		for _, suffix := range []string{"list", "md5sums", "preinst", "postinst", "prerm", "postrm", "conffiles", "triggers", "config", "templates", "shlibs", "symbols"} {
			if _, err := os.Lstat(l.base + "/var/lib/dpkg/info/" + stem + "." + suffix); err == nil {
				out = append(out, stem+"."+suffix)
			}
		}
	}
	return out
}

// listFiles yields the paths of a package, in dpkg's order: directories first.
func listFiles(l *layer, p *dpkgPackage) func(func(string) bool) {
	return func(yield func(string) bool) {
		f, err := os.Open(l.base + "/var/lib/dpkg/info/" + p.name + ":" + p.arch + ".list")
		if err != nil {
			f, err = os.Open(l.base + "/var/lib/dpkg/info/" + p.name + ".list")
		}
		if err != nil {
			return
		}
		defer f.Close()
		for sc := bufio.NewScanner(f); sc.Scan(); {
			if path := sc.Text(); path != "/." && path != "" && !yield(path) {
				return
			}
		}
	}
}

// dropDiversions removes the diversions of packages that are gone (three lines each: file, diverted to, package).
func dropDiversions(l *layer, gone map[string]bool) error {
	lines := diversionLines(l)
	var out []string
	for i := 0; i+2 < len(lines); i += 3 {
		if !gone[lines[i+2]] {
			out = append(out, lines[i:i+3]...)
		}
	}
	return l.write(diversionsFile, []byte(strings.Join(append(out, ""), "\n")), 0o644)
}

const diversionsFile = "/var/lib/dpkg/diversions"

func diversionLines(l *layer) []string {
	data, err := os.ReadFile(l.dir + diversionsFile)
	if err != nil {
		data, _ = os.ReadFile(l.base + diversionsFile)
	}
	return strings.Split(strings.TrimRight(string(data), "\n"), "\n")
}

// divert makes dpkg put its own version of a file aside, so that an upgrade in the server does not undo the stand-in.
func divert(l *layer, path string) error {
	if _, err := os.Stat(l.base + "/var/lib/dpkg"); err != nil {
		return nil
	}
	lines := diversionLines(l)
	if len(lines) == 1 && lines[0] == "" {
		lines = nil
	}
	// The same file may be packaged under its old place as well ("/bin/systemctl" before the merge).
	for _, p := range []string{path, strings.TrimPrefix(path, "/usr")} {
		suffix := ".distrib"
		if p != path {
			suffix = ".distrib-root"
		}
		if !slices.Contains(lines, p) {
			lines = append(lines, p, p+suffix, ":")
		}
	}
	return l.write(diversionsFile, []byte(strings.Join(append(lines, ""), "\n")), 0o644)
}

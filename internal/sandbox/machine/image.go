package machine

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/machine/account"
	"github.com/orch-project/orch/internal/sandbox/machine/guest"
	"github.com/orch-project/orch/internal/sandbox/machine/spec"
	"golang.org/x/sys/unix"
)

// image is what all servers start from: the base root file system, read-only, and a layer over it that hides what is this
// machine's own and adds the sandbox's programs. Servers add a layer of their own.
type image struct {
	dir       string // the layer
	base      string
	mounts    []string // separate file systems of the base that belong to the image (/usr, /var …)
	userXattr bool
}

// layers are the overlays of a server whose files lie in dir.
func (i *image) layers(dir string) []spec.Layer {
	out := []spec.Layer{{At: "/", Lower: []string{i.dir, i.base}, Upper: filepath.Join(dir, "files"), Work: filepath.Join(dir, "work")}}
	for n, m := range i.mounts {
		own := filepath.Join(dir, fmt.Sprintf("mount%d", n))
		lower := []string{filepath.Join(i.base, m)}
		if fi, err := os.Stat(i.dir + m); err == nil && fi.IsDir() {
			lower = []string{i.dir + m, lower[0]}
		}
		out = append(out, spec.Layer{At: m, Lower: lower, Upper: filepath.Join(own, "files"), Work: filepath.Join(own, "work")})
	}
	return out
}

// topLevel are the directories of the Filesystem Hierarchy Standard that belong to the system. Everything else at the top of
// this machine's root is somebody's data and not shown.
var topLevel = []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "var", "opt", "boot", "srv", "media", "mnt",
	"home", "root", "tmp", "run", "proc", "sys", "dev"}

// emptied are directories whose content is this machine's: people's files, secrets, other services' state, caches.
var emptied = []string{"/boot", "/home", "/media", "/mnt", "/opt", "/root", "/run", "/srv", "/tmp", "/var/tmp", "/var/backups", "/var/crash",
	"/var/lib/orch", "/var/lib/docker", "/var/lib/containerd", "/var/lib/containers", "/var/lib/kubelet", "/var/lib/libvirt", "/var/lib/lxc", "/var/lib/lxd",
	"/var/lib/incus", "/var/lib/machines", "/var/lib/portables", "/var/lib/private", "/var/lib/NetworkManager", "/var/lib/cloud", "/var/lib/consul", "/var/lib/etcd",
	"/var/lib/rancher", "/var/lib/snapd", "/var/lib/vault", "/var/lib/AccountsService", "/var/lib/bluetooth", "/var/lib/systemd",
	"/var/mail", "/var/spool/mail", "/var/spool/cron", "/var/www", "/var/cache/apt/archives", "/var/cache/private",
	"/var/log/private", "/var/log/journal", "/var/log/audit", "/etc/NetworkManager/system-connections", "/etc/wireguard", "/etc/openvpn", "/etc/ipsec.d", "/etc/kubernetes",
	"/etc/letsencrypt", "/etc/sudoers.d", "/etc/netplan", "/etc/cloud/cloud.cfg.d", "/etc/consul.d", "/etc/vault.d", "/etc/nomad.d",
	"/etc/ssh/sshd_config.d", "/etc/ssh/ssh_config.d", "/etc/cron.d", "/etc/docker", "/snap"}

// hidden are single files of the same kind. policy-rc.d keeps containers from starting services; servers do start them.
var hidden = []string{"/.dockerenv", "/etc/machine-id", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/etc/fstab", "/etc/crypttab",
	"/etc/krb5.keytab", "/etc/ipsec.secrets", "/etc/ppp/chap-secrets", "/etc/ppp/pap-secrets", "/etc/environment", "/etc/shadow-", "/etc/gshadow-", "/etc/passwd-",
	"/etc/group-", "/etc/subuid-", "/etc/subgid-", "/etc/subuid", "/etc/subgid", "/usr/sbin/policy-rc.d", "/var/lib/dbus/machine-id",
	"/var/lib/dpkg/lock", "/var/lib/dpkg/lock-frontend", "/var/lib/apt/lists/lock", "/etc/motd", "/etc/nologin", "/etc/ssh/sshd_config"}

// prepareImage builds the layer, on the spawner's thread. It lies in memory, in a mount of that thread alone: overlayfs wants no
// lower layer inside another, and so it also goes with the process.
func (h *host) prepareImage(ctx context.Context) (*image, error) {
	img := &image{base: "/", dir: filepath.Join(h.Dir, "image"), userXattr: inUserNamespace()}
	if h.Image != "" {
		base, err := filepath.Abs(h.Image)
		if err != nil {
			return nil, err
		}
		img.base = base
	} else if h.base != nil {
		img.base = h.base.root()
	} else {
		img.mounts = separateMounts()
	}
	if err := os.MkdirAll(img.dir, 0o700); err != nil {
		return nil, err
	}
	if err := unix.Mount("tmpfs", img.dir, "tmpfs", 0, "mode=755"); err != nil {
		return nil, fmt.Errorf("cannot mount the servers' image: %w", err)
	}
	l := &layer{base: strings.TrimSuffix(img.base, "/"), dir: img.dir, userXattr: img.userXattr}
	if err := h.fill(ctx, l); err != nil {
		return nil, fmt.Errorf("cannot prepare the servers' image: %w", err)
	}
	return img, nil
}

// fill makes the layer's content.
func (h *host) fill(ctx context.Context, l *layer) error {
	steps := []func(*layer) error{hideTop, hideData, hideServices, anonymize, reducePackages, pretendPackages, repairAlternatives, aptSources, renewKeys, addPrograms, h.hideOwn}
	if h.Image != "" {
		steps = []func(*layer) error{anonymizeImage, addPrograms}
	}
	if h.base != nil && h.Image == "" {
		steps = append([]func(*layer) error{h.base.apply}, steps...)
	}
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := step(l); err != nil {
			return err
		}
	}
	return nil
}

func hideTop(l *layer) error {
	entries, err := os.ReadDir(l.base + "/")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !slices.Contains(topLevel, e.Name()) {
			if err := l.hide("/" + e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

func hideData(l *layer) error {
	for _, d := range emptied {
		if !l.exists(d) {
			continue
		}
		mode := os.FileMode(0)
		if d == "/tmp" || d == "/var/tmp" {
			mode = 0o777 | os.ModeSticky
		}
		if err := l.empty(d, mode); err != nil {
			return err
		}
	}
	for _, f := range hidden {
		if err := l.hide(f); err != nil {
			return err
		}
	}
	keys, _ := filepath.Glob(l.base + "/etc/ssh/ssh_host_*")
	for _, k := range keys {
		if err := l.hide(strings.TrimPrefix(k, l.base)); err != nil {
			return err
		}
	}
	if err := hideLogs(l); err != nil {
		return err
	}
	return hideLocal(l)
}

// hideLogs keeps the directories below /var/log, which services expect with their owners, but no file.
func hideLogs(l *layer) error {
	return filepath.WalkDir(l.base+"/var/log", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		return l.hide(strings.TrimPrefix(path, l.base))
	})
}

// hideLocal shows an empty /usr/local but for the certificates that this machine's administrator trusts.
func hideLocal(l *layer) error {
	for _, d := range []string{"bin", "sbin", "lib", "etc", "include", "src", "games", "libexec"} {
		if l.exists("/usr/local/" + d) {
			if err := l.empty("/usr/local/"+d, 0); err != nil {
				return err
			}
		}
	}
	entries, _ := os.ReadDir(l.base + "/usr/local")
	for _, e := range entries {
		if !slices.Contains([]string{"bin", "sbin", "lib", "etc", "include", "src", "games", "libexec", "man", "share"}, e.Name()) {
			if err := l.hide("/usr/local/" + e.Name()); err != nil {
				return err
			}
		}
	}
	entries, _ = os.ReadDir(l.base + "/usr/local/share")
	for _, e := range entries {
		if e.Name() != "ca-certificates" {
			if err := l.hide("/usr/local/share/" + e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// hideServices forgets which services this machine starts.
func hideServices(l *layer) error {
	for _, pattern := range []string{"/etc/rc?.d/[SK]*", "/etc/systemd/system/*.wants", "/etc/systemd/system/*.requires", "/etc/systemd/user/*.wants", "/etc/init/*.override"} {
		found, _ := filepath.Glob(l.base + pattern)
		for _, p := range found {
			if err := l.hide(strings.TrimPrefix(p, l.base)); err != nil {
				return err
			}
		}
	}
	units, _ := filepath.Glob(l.base + "/etc/systemd/system/*")
	for _, u := range units {
		// Local units and masks are this machine's; packages bring theirs in /lib.
		if fi, err := os.Lstat(u); err == nil && !fi.IsDir() {
			if err := l.hide(strings.TrimPrefix(u, l.base)); err != nil {
				return err
			}
		}
	}
	return nil
}

// anonymize removes people's accounts and all passwords.
func anonymize(l *layer) error {
	db, err := account.Open(l.base + "/")
	if err != nil {
		return err
	}
	db.Anonymize()
	if err := l.parents("/etc/passwd"); err != nil {
		return err
	}
	return db.SaveTo(l.dir)
}

func anonymizeImage(l *layer) error {
	for _, f := range []string{"/etc/resolv.conf", "/etc/hostname", "/etc/hosts", "/usr/sbin/policy-rc.d", "/.dockerenv"} {
		if err := l.hide(f); err != nil {
			return err
		}
	}
	return nil
}

// hideOwn hides where the sandbox works and the project it is run from.
func (h *host) hideOwn(l *layer) error {
	own := []string{h.Dir}
	if wd, err := os.Getwd(); err == nil {
		own = append(own, wd)
	}
	for _, d := range own {
		for top := range strings.SplitSeq(strings.Trim(d, "/"), "/") {
			// What lies below a directory of somebody's data is gone already; only system directories need care.
			if d != "" && (top == "usr" || top == "var" || top == "etc") {
				if err := l.hide(d); err != nil {
					return err
				}
			}
			break
		}
	}
	return nil
}

// addPrograms installs this binary as the servers' init and under the names of the commands it stands in for.
func addPrograms(l *layer) error {
	if err := l.copy("/proc/self/exe", guest.Agent, 0o755); err != nil {
		return err
	}
	for _, name := range guest.Applets {
		path := "/usr/bin/" + name
		if strings.HasPrefix(name, "/") {
			path = name
		}
		if err := divert(l, path); err != nil {
			return err
		}
		if err := l.symlink(guest.Agent, path); err != nil {
			return err
		}
	}
	if !l.exists("/usr/bin/sudo") {
		agent := filepath.Join(filepath.Dir(guest.Agent), "sudo")
		if err := l.copy("/proc/self/exe", agent, 0o755|os.ModeSetuid); err != nil {
			return err
		}
		if err := l.symlink(agent, "/usr/bin/sudo"); err != nil {
			return err
		}
	}
	return l.write("/etc/environment", []byte("PATH=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games:/usr/local/games\"\n"), 0o644)
}

// separateMounts are the mount points of this machine whose content is part of the operating system.
func separateMounts() []string {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer f.Close()
	var out []string
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) > 4 && slices.Contains([]string{"/usr", "/var", "/etc", "/opt", "/var/lib", "/var/cache", "/var/log"}, fields[4]) && !slices.Contains(out, fields[4]) {
			out = append(out, fields[4])
		}
	}
	slices.Sort(out)
	return out
}

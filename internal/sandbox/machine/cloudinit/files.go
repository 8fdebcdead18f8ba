package cloudinit

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/machine/account"
)

// knownKeys are the cloud-config keys that are applied, or that have no meaning here and may be ignored silently.
var knownKeys = []string{"bootcmd", "runcmd", "write_files", "hostname", "fqdn", "prefer_fqdn_over_hostname", "preserve_hostname", "create_hostname_file",
	"manage_etc_hosts", "users", "user", "groups", "ssh_authorized_keys", "ssh_keys", "ssh_deletekeys", "ssh_genkeytypes", "ssh_pwauth", "ssh", "disable_root",
	"disable_root_opts", "no_ssh_fingerprints", "ssh_publish_hostkeys", "chpasswd", "password", "packages", "package_update", "package_upgrade",
	"package_reboot_if_required", "apt_update", "apt_upgrade", "final_message", "timezone", "locale", "output", "power_state", "merge_how", "merge_type",
	"system_info", "datasource", "growpart", "resize_rootfs", "apt_preserve_sources_list", "ssh_quiet_keygen", "allow_public_ssh_keys", "datasource_list",
	"cloud_init_modules", "cloud_config_modules", "cloud_final_modules", "ssh_fp_console_blacklist", "ssh_key_console_blacklist", "warnings", "debug", "reporting"}

// writeFiles is the write_files module; deferred entries wait until packages are installed.
func (r *Run) writeFiles(deferred bool) error {
	var errs []error
	for i, e := range list(r.cfg["write_files"]) {
		f := table(e)
		if truth(f["defer"], false) != deferred {
			continue
		}
		if err := r.writeFile(f); err != nil {
			errs = append(errs, fmt.Errorf("entry %d: %w", i+1, err))
		}
	}
	return errors.Join(errs...)
}

func (r *Run) writeFile(f config) error {
	path := text(f["path"])
	if path == "" {
		return errors.New("no path given")
	}
	content, err := decodeContent(text(f["content"]), text(f["encoding"]))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	perm, err := mode(f["permissions"], 0o644)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	target := r.path(path)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if truth(f["append"], false) {
		flags = os.O_WRONLY | os.O_CREATE | os.O_APPEND
	}
	out, err := os.OpenFile(target, flags, 0o600) // nobody may read it before its owner and mode are set
	if err != nil {
		return err
	}
	_, err = out.Write(content)
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	if owner := text(f["owner"]); owner != "" {
		if err := r.chown(target, owner); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return os.Chmod(target, os.FileMode(perm&0o777)|special(perm)) // after chown, which clears set-id bits
}

func special(perm uint64) os.FileMode {
	var m os.FileMode
	for bit, mode := range map[uint64]os.FileMode{0o4000: os.ModeSetuid, 0o2000: os.ModeSetgid, 0o1000: os.ModeSticky} {
		if perm&bit != 0 {
			m |= mode
		}
	}
	return m
}

func (r *Run) chown(path, owner string) error {
	db, err := account.Open(r.Root)
	if err != nil {
		return err
	}
	user, group, _ := strings.Cut(owner, ":")
	uid, gid, err := db.Lookup(strings.TrimSpace(user), strings.TrimSpace(group))
	if err != nil {
		return err
	}
	return os.Chown(path, uid, gid)
}

// decodeContent undoes the named encodings: gzip, base64, or gzip inside base64.
func decodeContent(content, encoding string) ([]byte, error) {
	data := []byte(content)
	e := strings.ToLower(strings.TrimSpace(encoding))
	switch e {
	case "", "text/plain":
		return data, nil
	case "b64", "base64", "gz+b64", "gz+base64", "gzip+b64", "gzip+base64":
		plain, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, &noSpace{strings.NewReader(content)}))
		if err != nil {
			return nil, fmt.Errorf("the content is not base64: %w", err)
		}
		data = plain
	}
	switch e {
	case "gz", "gzip", "gz+b64", "gz+base64", "gzip+b64", "gzip+base64":
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("the content is not gzip: %w", err)
		}
		if data, err = io.ReadAll(io.LimitReader(z, maxUserData)); err != nil {
			return nil, fmt.Errorf("the content is not gzip: %w", err)
		}
	case "b64", "base64":
	default:
		return nil, fmt.Errorf("unknown encoding %q", encoding)
	}
	return data, nil
}

// names are the host name and the fully qualified one (cc_set_hostname's rules).
func (r *Run) names() (hostname, fqdn string) {
	hostname, fqdn = text(r.cfg["hostname"]), text(r.cfg["fqdn"])
	if fqdn == "" && strings.Contains(hostname, ".") {
		fqdn = hostname
	}
	if hostname == "" {
		hostname = fqdn
	}
	if hostname == "" {
		hostname = r.Hostname
		if strings.Contains(hostname, ".") {
			fqdn = hostname
		}
	}
	if hostname == "" {
		hostname = "localhost"
	}
	hostname, _, _ = strings.Cut(hostname, ".")
	if fqdn == "" {
		fqdn = hostname
	}
	return hostname, fqdn
}

func (r *Run) setHostname(context.Context) error {
	name, fqdn := r.names()
	if truth(r.cfg["prefer_fqdn_over_hostname"], false) {
		name = fqdn
	}
	if !r.firstRun {
		// Somebody may have changed it since: the file wins.
		if data, err := os.ReadFile(r.path("/etc/hostname")); err == nil && len(bytes.TrimSpace(data)) > 0 {
			name = strings.TrimSpace(string(data))
		}
	} else if !truth(r.cfg["preserve_hostname"], false) {
		if err := os.WriteFile(r.path("/etc/hostname"), []byte(name+"\n"), 0o644); err != nil {
			return err
		}
	}
	if r.SetHostname != nil {
		return r.SetHostname(name)
	}
	return nil
}

// updateHosts writes /etc/hosts as the Debian image's default (manage_etc_hosts: true) does.
func (r *Run) updateHosts(context.Context) error {
	manage := text(r.cfg["manage_etc_hosts"])
	if manage == "" {
		manage = "true"
	}
	name, fqdn := r.names()
	own := "127.0.1.1 " + fqdn
	if name != fqdn {
		own += " " + name
	}
	path := r.path("/etc/hosts")
	old, err := os.ReadFile(path)
	switch {
	case manage == "false" && err == nil, err == nil && !r.firstRun && manage != "localhost" && strings.Contains(string(old), own+"\n"):
		return nil
	case manage == "localhost" && err == nil:
		var out []string
		for line := range strings.SplitSeq(strings.TrimRight(string(old), "\n"), "\n") {
			if !strings.HasPrefix(line, "127.0.1.1") {
				out = append(out, line)
			}
		}
		return os.WriteFile(path, []byte(strings.Join(append(out, own, ""), "\n")), 0o644)
	}
	return os.WriteFile(path, []byte("# Your system has configured 'manage_etc_hosts' as "+manage+".\n"+own+"\n127.0.0.1 localhost\n\n"+
		"# The following lines are desirable for IPv6 capable hosts\n::1 localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n"), 0o644)
}

func (r *Run) timezone(context.Context) error {
	tz := text(r.cfg["timezone"])
	if tz == "" {
		return nil
	}
	zone := filepath.Join("/usr/share/zoneinfo", filepath.Clean("/"+tz))
	if _, err := os.Stat(r.path(zone)); err != nil {
		return fmt.Errorf("unknown time zone %q", tz)
	}
	link := r.path("/etc/localtime")
	_ = os.Remove(link)
	if err := os.Symlink(zone, link); err != nil {
		return err
	}
	return os.WriteFile(r.path("/etc/timezone"), []byte(tz+"\n"), 0o644)
}

package cloudinit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/machine/account"
)

// defaultGroups are those of Debian's and Ubuntu's cloud images for the default user.
var defaultGroups = []string{"adm", "audio", "cdrom", "dialout", "dip", "floppy", "plugdev", "netdev", "sudo", "video"}

// users is the users-groups module.
func (r *Run) users(context.Context) error {
	db, err := account.Open(r.Root)
	if err != nil {
		return err
	}
	var errs []error
	for _, g := range groupList(r.cfg["groups"]) {
		db.AddGroup(g.name, -1, false)
		for _, m := range g.members {
			db.AddMember(m, g.name)
		}
	}
	entries, given := r.userEntries()
	if !given {
		entries = []any{"default"}
	}
	var sudo, later []func() error
	for _, e := range entries {
		u := underscored(table(e))
		if name, ok := e.(string); ok {
			u = config{"name": name}
		}
		if text(u["name"]) == "default" || u["name"] == nil && truth(u["default"], false) {
			if r.User == "" {
				continue
			}
			u = r.defaultUser()
		}
		name := text(u["name"])
		if name == "" {
			errs = append(errs, errors.New("a user without name"))
			continue
		}
		if err := r.addUser(db, u, &sudo, &later); err != nil {
			errs = append(errs, fmt.Errorf("user %s: %w", name, err))
		}
	}
	if err := db.Save(); err != nil {
		return err
	}
	for _, f := range append(later, sudo...) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// hasDefault tells whether the image's default user is made; the Nova key goes to it alone.
func (r *Run) hasDefault() bool {
	entries, given := r.userEntries()
	if !given {
		return r.User != ""
	}
	for _, e := range entries {
		if text(e) == "default" || text(table(e)["name"]) == "default" || text(table(e)["name"]) == r.User && r.User != "" {
			return r.User != ""
		}
	}
	return false
}

func (r *Run) defaultUser() config {
	groups := make([]any, len(defaultGroups))
	for i, g := range defaultGroups {
		groups[i] = g
	}
	u := config{"name": r.User, "gecos": "Cloud", "groups": groups, "shell": "/bin/bash", "sudo": "ALL=(ALL) NOPASSWD:ALL", "lock_passwd": true}
	for k, v := range underscored(table(r.cfg["user"])) {
		u[k] = v
	}
	return u
}

// userEntries are those of "users" (cloud-init's distros/ug_util.py): a list of names and tables, names in one string, or tables by name.
func (r *Run) userEntries() (entries []any, given bool) {
	v, given := r.cfg["users"]
	if s, ok := v.(string); ok {
		for _, name := range words(s) {
			entries = append(entries, name)
		}
		return entries, given
	}
	byName := table(v)
	if byName == nil {
		return list(v), given
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		u := config{"name": name}
		for k, v := range table(byName[name]) {
			u[k] = v
		}
		entries = append(entries, u)
	}
	return entries, given
}

// underscored is a user's table with its keys as they are called today: cloud-init takes "ssh-authorized-keys" and the like, too.
func underscored(u config) config {
	if u == nil {
		return nil
	}
	out := config{}
	for k, v := range u {
		out[strings.ReplaceAll(k, "-", "_")] = v
	}
	return out
}

type groupEntry struct {
	name    string
	members []string
}

// groupList reads "groups": a string, a list of names, or of name: members.
func groupList(v any) []groupEntry {
	var out []groupEntry
	if m := table(v); m != nil {
		v = []any{map[string]any(m)}
	}
	if s, ok := v.(string); ok {
		for _, w := range words(s) {
			out = append(out, groupEntry{name: w})
		}
		return out
	}
	for _, e := range list(v) {
		if m := table(e); m != nil {
			for name, members := range m {
				out = append(out, groupEntry{name, words(members)})
			}
			continue
		}
		out = append(out, groupEntry{name: text(e)})
	}
	return out
}

// addUser makes one account. What needs the saved database (files owned by the user, sudo rules) is done later.
func (r *Run) addUser(db *account.DB, u config, sudo, later *[]func() error) error {
	name := text(u["name"])
	system := truth(u["system"], false)
	a := account.User{Name: name, UID: -1, GID: -1, Gecos: text(u["gecos"]), Home: text(u["homedir"]), Shell: text(u["shell"])}
	if a.Home == "" {
		a.Home = "/home/" + name
	}
	if a.Shell == "" {
		a.Shell = "/bin/bash"
		if system {
			a.Shell = "/bin/sh"
		}
	}
	if v, ok := u["uid"]; ok {
		uid, _, err := (&account.DB{}).Lookup(text(v), "")
		if err != nil {
			return fmt.Errorf("bad uid %q", text(v))
		}
		a.UID = uid
	}
	if g := text(u["primary_group"]); g != "" {
		a.GID = db.AddGroup(g, -1, false).GID
	} else if truth(u["no_user_group"], false) {
		a.GID = db.AddGroup("users", -1, false).GID
	}
	a, fresh := db.AddUser(a, system)
	if g, ok := u["groups"]; ok {
		if m := table(g); m != nil {
			for group := range m {
				db.AddMember(name, group)
			}
		} else {
			for _, group := range words(g) {
				db.AddMember(name, group)
			}
		}
	}
	if err := setPassword(db, name, u, fresh); err != nil {
		return err
	}
	if fresh && !truth(u["no_create_home"], false) && (!system || u["homedir"] != nil) {
		*later = append(*later, func() error { return r.makeHome(a) })
	}
	if keys := list(u["ssh_authorized_keys"]); len(keys) > 0 {
		*later = append(*later, func() error { return r.authorize(name, keyLines(keys), "") })
	}
	if u["ssh_import_id"] != nil {
		r.warn("users-groups", errors.New("ssh_import_id is not supported in the sandbox"))
	}
	if rules := sudoRules(u["sudo"]); len(rules) > 0 {
		*sudo = append(*sudo, func() error { return r.allowSudo(name, rules) })
	}
	return nil
}

// setPassword follows the keys' precedence; an existing user keeps the password unless hashed_passwd or plain_text_passwd is given.
func setPassword(db *account.DB, name string, u config, fresh bool) error {
	hash := ""
	switch {
	case u["plain_text_passwd"] != nil:
		hash = account.HashPassword(text(u["plain_text_passwd"]))
	case u["hashed_passwd"] != nil:
		hash = text(u["hashed_passwd"])
	case u["passwd"] != nil && fresh:
		hash = text(u["passwd"])
	}
	locked := truth(u["lock_passwd"], true)
	if hash == "" {
		if fresh && !locked {
			return db.SetHash(name, "")
		}
		return nil
	}
	if locked {
		hash = "!" + hash
	}
	return db.SetHash(name, hash)
}

func sudoRules(v any) []string {
	if b, ok := v.(bool); ok && !b || v == nil {
		return nil
	}
	var out []string
	for _, e := range list(v) {
		if s := text(e); s != "" && s != "False" {
			out = append(out, s)
		}
	}
	return out
}

func (r *Run) allowSudo(user string, rules []string) error {
	path := r.path("/etc/sudoers.d/90-cloud-init-users")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o440)
	if err != nil {
		return err
	}
	fmt.Fprintf(f, "# User rules for %s\n", user)
	for _, rule := range rules {
		fmt.Fprintf(f, "%s %s\n", user, rule)
	}
	return f.Close()
}

// makeHome makes the home directory from /etc/skel.
func (r *Run) makeHome(u account.User) error {
	home := r.path(u.Home)
	if _, err := os.Stat(home); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(home), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(home, 0o755); err != nil {
		return err
	}
	skel := r.path("/etc/skel")
	err := filepath.WalkDir(skel, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return nil // no skeleton: an empty home
		}
		to := filepath.Join(home, strings.TrimPrefix(path, skel))
		switch {
		case d.IsDir():
			err = os.MkdirAll(to, 0o755)
		case d.Type().IsRegular():
			var data []byte
			if data, err = os.ReadFile(path); err == nil {
				err = os.WriteFile(to, data, 0o644)
			}
		default:
			return nil
		}
		if err != nil {
			return err
		}
		return os.Lchown(to, u.UID, u.GID)
	})
	return errors.Join(err, os.Chown(home, u.UID, u.GID), os.Chmod(home, 0o755))
}

func keyLines(v []any) []string {
	var out []string
	for _, k := range v {
		if s := strings.TrimSpace(text(k)); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// authorize adds keys to a user's authorized_keys, once each; prefix is put before them.
func (r *Run) authorize(name string, keys []string, prefix string) error {
	db, err := account.Open(r.Root)
	if err != nil {
		return err
	}
	u, ok := db.User(name)
	if !ok {
		return fmt.Errorf("user %q: %w", name, account.ErrUnknown)
	}
	dir := filepath.Join(r.path(u.Home), ".ssh")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, "authorized_keys")
	old, _ := os.ReadFile(path)
	body := string(old)
	if body != "" && !strings.HasSuffix(body, "\n") {
		body += "\n"
	}
	for _, k := range keys {
		k = strings.TrimSpace(k)
		if k == "" || strings.Contains("\n"+body, "\n"+prefix+k+"\n") {
			continue
		}
		body += prefix + k + "\n"
	}
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		return err
	}
	return errors.Join(os.Chown(dir, u.UID, u.GID), os.Chown(path, u.UID, u.GID), os.Chmod(dir, 0o700))
}

// passwords is the set-passwords module: password, chpasswd, ssh_pwauth, and Nova's administrator password for root.
func (r *Run) passwords(context.Context) error {
	db, err := account.Open(r.Root)
	if err != nil {
		return err
	}
	var errs []error
	changed := map[string]bool{}
	set := func(name, password, kind string) {
		switch {
		case strings.EqualFold(kind, "RANDOM") || kind == "" && (password == "R" || password == "RANDOM"):
			password = rand.Text()[:20]
			fmt.Fprintf(r.Console, "Set the following 'random' passwords\n%s:%s\n", name, password)
			password = account.HashPassword(password)
		case kind == "hash" || kind == "" && strings.HasPrefix(password, "$") && strings.Count(password, "$") >= 3:
		default:
			password = account.HashPassword(password)
		}
		changed[name] = true
		errs = append(errs, db.SetHash(name, password))
	}
	if r.AdminPass != "" {
		errs = append(errs, db.SetHash("root", account.HashPassword(r.AdminPass)))
	}
	if p := text(r.cfg["password"]); p != "" && r.hasDefault() {
		set(r.User, p, "")
	}
	ch := table(r.cfg["chpasswd"])
	lines := list(ch["list"])
	if s, ok := ch["list"].(string); ok {
		lines = nil
		for l := range strings.Lines(s) {
			lines = append(lines, strings.TrimSpace(l))
		}
	}
	for _, l := range lines {
		if name, p, ok := strings.Cut(text(l), ":"); ok {
			set(name, p, "")
		}
	}
	for _, e := range list(ch["users"]) {
		u := table(e)
		kind := text(u["type"])
		if kind == "" {
			kind = "hash"
		}
		set(text(u["name"]), text(u["password"]), kind)
	}
	if truth(ch["expire"], true) {
		for name := range changed {
			db.Expire(name)
		}
	}
	if err := db.Save(); err != nil {
		return err
	}
	return errors.Join(append(errs, r.passwordAuth())...)
}

func (r *Run) passwordAuth() error {
	v, given := r.cfg["ssh_pwauth"]
	if !given || text(v) == "unchanged" {
		return nil
	}
	word := "no"
	if truth(v, false) {
		word = "yes"
	}
	dir := r.path("/etc/ssh/sshd_config.d")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "50-cloud-init.conf"), []byte("PasswordAuthentication "+word+"\n"), 0o600)
}

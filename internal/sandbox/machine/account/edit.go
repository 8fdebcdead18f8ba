package account

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The range of login(1) accounts on Debian and most others (login.defs UID_MIN, UID_MAX) and of system accounts.
const (
	firstHuman, lastHuman   = 1000, 59999
	firstSystem, lastSystem = 100, 999
)

// AddGroup adds a group with the next free number if it is missing and returns it. A gid below 0 means "choose".
func (db *DB) AddGroup(name string, gid int, system bool) Group {
	if g, ok := db.Group(name); ok {
		return g
	}
	if gid < 0 {
		gid = db.free(system)
	}
	g := Group{Name: name, Password: "x", GID: gid}
	db.Groups = append(db.Groups, g)
	db.gshadow = append(db.gshadow, []string{name, "!", "", ""})
	return g
}

// free is the lowest number above all used ones that neither a user nor a group has.
func (db *DB) free(system bool) int {
	used := map[int]bool{}
	for _, u := range db.Users {
		used[u.UID] = true
	}
	for _, g := range db.Groups {
		used[g.GID] = true
	}
	if system {
		for id := lastSystem; id >= firstSystem; id-- {
			if !used[id] {
				return id
			}
		}
	}
	for id := firstHuman; ; id++ {
		if !used[id] {
			return id
		}
	}
}

// AddUser adds the user with a locked password; a UID or GID below 0 is chosen, the group having the user's name.
// A user that exists is returned unchanged with false.
func (db *DB) AddUser(u User, system bool) (User, bool) {
	if old, ok := db.User(u.Name); ok {
		return old, false
	}
	if u.UID < 0 {
		u.UID = db.free(system)
	}
	if u.GID < 0 {
		gid := u.UID
		if slices.ContainsFunc(db.Groups, func(g Group) bool { return g.GID == gid }) {
			gid = -1
		}
		u.GID = db.AddGroup(u.Name, gid, system).GID
	}
	u.Password = "x"
	db.Users = append(db.Users, u)
	days := strconv.Itoa(int(time.Now().Unix() / 86400))
	db.shadow = append(db.shadow, []string{u.Name, "!", days, "0", "99999", "7", "", "", ""})
	return u, true
}

// AddMember puts the user into the group; unknown groups are made.
func (db *DB) AddMember(user, group string) {
	db.AddGroup(group, -1, false)
	for i := range db.Groups {
		if g := &db.Groups[i]; g.Name == group && !slices.Contains(g.Members, user) {
			g.Members = append(g.Members, user)
		}
	}
	for _, f := range db.gshadow {
		if f[0] == group {
			m := strings.FieldsFunc(f[3], func(r rune) bool { return r == ',' })
			if !slices.Contains(m, user) {
				f[3] = strings.Join(append(m, user), ",")
			}
		}
	}
}

// SetHash stores a crypt(5) hash, or "!" or "*" to lock.
func (db *DB) SetHash(name, hash string) error {
	if _, ok := db.User(name); !ok {
		return fmt.Errorf("user %q: %w", name, ErrUnknown)
	}
	for _, f := range db.shadow {
		if f[0] == name {
			f[1] = hash
			return nil
		}
	}
	days := strconv.Itoa(int(time.Now().Unix() / 86400))
	db.shadow = append(db.shadow, []string{name, hash, days, "0", "99999", "7", "", "", ""})
	for i := range db.Users {
		if db.Users[i].Name == name {
			db.Users[i].Password = "x"
		}
	}
	return nil
}

// Expire makes the password one that must be changed at the next login.
func (db *DB) Expire(name string) {
	for _, f := range db.shadow {
		if f[0] == name {
			f[2] = "0"
		}
	}
}

// SetShell changes a user's login shell.
func (db *DB) SetShell(name, shell string) {
	for i := range db.Users {
		if db.Users[i].Name == name {
			db.Users[i].Shell = shell
		}
	}
}

// Anonymize removes human accounts and every password, so that an image made of a machine does not carry its users.
func (db *DB) Anonymize() {
	gone := map[string]bool{}
	db.Users = slices.DeleteFunc(db.Users, func(u User) bool {
		human := u.UID >= firstHuman && u.UID <= lastHuman
		gone[u.Name] = human
		return human
	})
	db.shadow = slices.DeleteFunc(db.shadow, func(f []string) bool { return gone[f[0]] })
	for _, f := range db.shadow {
		f[1] = "*"
	}
	removed := map[string]bool{}
	db.Groups = slices.DeleteFunc(db.Groups, func(g Group) bool {
		removed[g.Name] = g.GID >= firstHuman && g.GID <= lastHuman
		return removed[g.Name]
	})
	for i := range db.Groups {
		db.Groups[i].Members = slices.DeleteFunc(db.Groups[i].Members, func(m string) bool { return gone[m] })
	}
	db.gshadow = slices.DeleteFunc(db.gshadow, func(f []string) bool { return removed[f[0]] })
	for _, f := range db.gshadow {
		if f[1] != "" && f[1] != "*" {
			f[1] = "!"
		}
		for _, i := range []int{2, 3} {
			m := strings.Split(f[i], ",")
			f[i] = strings.Join(slices.DeleteFunc(m, func(s string) bool { return gone[s] }), ",")
		}
	}
}

// Save writes the four files below the root, each replaced as a whole. Shadow files belong to group shadow where it exists.
func (db *DB) Save() error { return db.SaveTo(db.root) }

// SaveTo writes the database below another root.
func (db *DB) SaveTo(root string) error {
	var passwd, group strings.Builder
	for _, u := range db.Users {
		fmt.Fprintf(&passwd, "%s:%s:%d:%d:%s:%s:%s\n", u.Name, u.Password, u.UID, u.GID, u.Gecos, u.Home, u.Shell)
	}
	for _, g := range db.Groups {
		fmt.Fprintf(&group, "%s:%s:%d:%s\n", g.Name, g.Password, g.GID, strings.Join(g.Members, ","))
	}
	gid := 0
	if g, ok := db.Group("shadow"); ok {
		gid = g.GID
	}
	for _, f := range []struct {
		name, text string
		mode       os.FileMode
		gid        int
	}{
		{"passwd", passwd.String(), 0o644, 0}, {"group", group.String(), 0o644, 0},
		{"shadow", join(db.shadow), 0o640, gid}, {"gshadow", join(db.gshadow), 0o640, gid},
	} {
		if err := replace(filepath.Join(root, "etc", f.name), f.text, f.mode, f.gid); err != nil {
			return fmt.Errorf("cannot write the user database: %w", err)
		}
	}
	return nil
}

func join(lines [][]string) string {
	var b strings.Builder
	for _, f := range lines {
		b.WriteString(strings.Join(f, ":") + "\n")
	}
	return b.String()
}

func replace(path, text string, mode os.FileMode, gid int) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := path + ".orch-new"
	if err := os.WriteFile(tmp, []byte(text), mode); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(tmp, 0, gid); err != nil {
			return err
		}
	}
	if err := os.Chmod(tmp, mode); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

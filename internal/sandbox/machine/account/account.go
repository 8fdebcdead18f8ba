// Package account reads and edits a Linux user database (passwd, group, shadow, gshadow) as files below a root
// directory, without the shadow tools, which an image may lack and which know no other root reliably.
//
// It owns the formats of passwd(5), group(5), shadow(5) and gshadow(5). It must not know who wants the users or why.
package account

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// User is a line of passwd(5).
type User struct {
	Name, Password string
	UID, GID       int
	Gecos          string
	Home, Shell    string
}

// Group is a line of group(5).
type Group struct {
	Name, Password string
	GID            int
	Members        []string
}

// DB is the database below one root. It is not safe for concurrent use.
type DB struct {
	root    string
	Users   []User
	Groups  []Group
	shadow  [][]string // shadow(5), fields
	gshadow [][]string
}

// ErrUnknown is wrapped by errors about users and groups that do not exist.
var ErrUnknown = errors.New("unknown user or group")

// Open reads the database below root. Missing files are empty.
func Open(root string) (*DB, error) {
	db := &DB{root: root}
	passwd, err := db.read("passwd", 7)
	if err != nil {
		return nil, err
	}
	for _, f := range passwd {
		uid, err1 := strconv.Atoi(f[2])
		gid, err2 := strconv.Atoi(f[3])
		if err1 != nil || err2 != nil {
			continue // NIS compatibility lines ("+::::::") and damage
		}
		db.Users = append(db.Users, User{f[0], f[1], uid, gid, f[4], f[5], f[6]})
	}
	groups, err := db.read("group", 4)
	if err != nil {
		return nil, err
	}
	for _, f := range groups {
		gid, err := strconv.Atoi(f[2])
		if err != nil {
			continue
		}
		g := Group{Name: f[0], Password: f[1], GID: gid}
		if f[3] != "" {
			g.Members = strings.Split(f[3], ",")
		}
		db.Groups = append(db.Groups, g)
	}
	if db.shadow, err = db.read("shadow", 9); err != nil {
		return nil, err
	}
	db.gshadow, err = db.read("gshadow", 4)
	return db, err
}

// read splits the lines of a file into exactly n fields.
func (db *DB) read(name string, n int) ([][]string, error) {
	data, err := os.ReadFile(filepath.Join(db.root, "etc", name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the user database: %w", err)
	}
	var out [][]string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		f := strings.Split(line, ":")
		for len(f) < n {
			f = append(f, "")
		}
		out = append(out, f[:n])
	}
	return out, nil
}

// User returns the user of that name.
func (db *DB) User(name string) (User, bool) {
	i := slices.IndexFunc(db.Users, func(u User) bool { return u.Name == name })
	if i < 0 {
		return User{}, false
	}
	return db.Users[i], true
}

// UserByID returns the user with that number.
func (db *DB) UserByID(uid int) (User, bool) {
	i := slices.IndexFunc(db.Users, func(u User) bool { return u.UID == uid })
	if i < 0 {
		return User{}, false
	}
	return db.Users[i], true
}

// Group returns the group of that name.
func (db *DB) Group(name string) (Group, bool) {
	i := slices.IndexFunc(db.Groups, func(g Group) bool { return g.Name == name })
	if i < 0 {
		return Group{}, false
	}
	return db.Groups[i], true
}

// Lookup finds a user or group number by name or decimal number, as chown(1) does.
func (db *DB) Lookup(user, group string) (uid, gid int, err error) {
	uid, gid = -1, -1
	if user != "" {
		if u, ok := db.User(user); ok {
			uid = u.UID
		} else if uid, err = strconv.Atoi(user); err != nil {
			return -1, -1, fmt.Errorf("user %q: %w", user, ErrUnknown)
		}
	}
	if group != "" {
		if g, ok := db.Group(group); ok {
			gid = g.GID
		} else if gid, err = strconv.Atoi(group); err != nil {
			return -1, -1, fmt.Errorf("group %q: %w", group, ErrUnknown)
		}
	}
	return uid, gid, nil
}

// GroupIDs are the user's primary and supplementary groups.
func (db *DB) GroupIDs(u User) []int {
	ids := []int{u.GID}
	for _, g := range db.Groups {
		if slices.Contains(g.Members, u.Name) && !slices.Contains(ids, g.GID) {
			ids = append(ids, g.GID)
		}
	}
	return ids
}

// PasswordHash is the hash in shadow(5), or in passwd(5) where shadow is not used. Locked accounts have "!" or "*".
func (db *DB) PasswordHash(name string) string {
	for _, f := range db.shadow {
		if f[0] == name {
			return f[1]
		}
	}
	u, ok := db.User(name)
	if !ok || u.Password == "x" {
		return "*"
	}
	return u.Password
}

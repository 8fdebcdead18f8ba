package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/orchtest/tools"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/bolt"
	"github.com/orch-project/orch/pkg/state/open"
)

// leaks are the secrets of testdata/leak, by the name in which they are found.
var leaks = map[string]string{
	"password": `Passw0rd/"of the shop"&<with> $all 'kinds' of %41 + =chars`,
	"key":      "-----BEGIN PRIVATE KEY-----\nTGVha2VkS2V5TGluZU9uZUFhYUJiYkNjYw\nTGVha2VkS2V5TGluZVR3b0RkZEVlZUZmZg\n-----END PRIVATE KEY-----\n",
	"given":    "Input-Value-äöü-of-the-deployment-7319",
	"account":  "Account-Field-Value-2468-xyz",
	"userdata": "UserData-Token-Value-97531-abc",
}

// needle is a form of a secret.
type needle struct{ name, form, text string }

// needles are the secrets in all forms: as they are, escaped, and encoded at any alignment.
func needles() (all []needle) {
	for name, v := range leaks {
		parts := []string{v}
		if strings.Contains(v, "\n") {
			parts = nil
			for _, line := range strings.Split(v, "\n") {
				if len(line) > 8 && !strings.HasPrefix(line, "-----") {
					parts = append(parts, line)
				}
			}
		}
		for _, p := range parts {
			add := func(form, text string) {
				if len(text) >= 8 {
					all = append(all, needle{name, form, text})
				}
			}
			js, _ := json.Marshal(p)
			inner := string(js[1 : len(js)-1])
			again, _ := json.Marshal(inner)
			var plain bytes.Buffer
			e := json.NewEncoder(&plain)
			e.SetEscapeHTML(false)
			_ = e.Encode(p)
			add("text", p)
			add("JSON", inner)
			add("JSON without HTML", strings.TrimSpace(plain.String())[1:plain.Len()-2])
			add("JSON in JSON", string(again[1:len(again)-1]))
			add("Go", strconv.Quote(p)[1:len(strconv.Quote(p))-1])
			add("query", url.QueryEscape(p))
			add("path", url.PathEscape(p))
			add("hexadecimal", hex.EncodeToString([]byte(p)))
			for offset := range 3 {
				b := append(make([]byte, offset), p...)
				first, end := (offset*8+5)/6, len(b)*8/6
				add("base64", base64.RawStdEncoding.EncodeToString(b)[first:end])
				add("base64url", base64.RawURLEncoding.EncodeToString(b)[first:end])
			}
		}
	}
	return all
}

// finder collects where secrets were found.
type finder struct {
	needles []needle
	mu      sync.Mutex
	found   map[string]bool
}

func newFinder() *finder { return &finder{needles: needles(), found: map[string]bool{}} }

func (f *finder) add(where, what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.found[where+": "+what] = true
}

// look searches content, and what is compressed in it.
func (f *finder) look(where string, content []byte) {
	for _, n := range f.needles {
		if bytes.Contains(content, []byte(n.text)) {
			f.add(where, n.name+" as "+n.form)
		}
	}
	for at := 0; ; {
		i := bytes.Index(content[at:], []byte{0x1f, 0x8b, 8})
		if i < 0 {
			return
		}
		at += i
		if z, err := gzip.NewReader(bytes.NewReader(content[at:])); err == nil {
			inner, _ := io.ReadAll(io.LimitReader(z, 64<<20)) // as much as there is of it
			if len(inner) > 0 {
				f.look(where+" (gzip)", inner)
			}
		}
		at += 3
	}
}

func (f *finder) report(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(f.found)) {
		t.Errorf("found in %s", k)
	}
}

// A deployment uses secrets as properties, inputs, user data and attributes; its scripts print them in every form and fail. Nowhere is
// one of them afterwards: not in the store, the logs, the events, the files; and meanwhile not in the arguments or the environment of a
// process that it was not meant for, nor in the files that Terraform is given.
func TestNoSecretIsLeftAnywhere(t *testing.T) {
	for name, address := range map[string]func(u *user) string{
		"bolt":   func(u *user) string { return "bolt:" + filepath.Join(u.home, "orch.db") },
		"consul": func(u *user) string { return "consul://" + tools.StartConsul(u.t, 1).Addr() + "/leak" },
	} {
		t.Run(name, func(t *testing.T) {
			// Its name decides which range its network has: two of one name would disturb each other on this machine.
			deployment := "leak-" + name
			u := newUser(t).sandboxed()
			store := address(u)
			u.env = append(u.env, "ORCH_STORE="+store)
			leakySecrets(u)
			f := newFinder()
			watch := watchProcesses(f, u.home)
			r := u.run(nil, "deploy", "internal/e2e/testdata/leak", "--name", deployment, "--log-level", "debug")
			if meant := watch(); meant == 0 {
				t.Error("no process had the secret that was meant for it: what was looked at?")
			}
			if r.code != 3 {
				t.Fatal(r)
			}
			f.look("output of deploy", []byte(r.all()))
			if !strings.Contains(r.all(), "cannot log in with ****") {
				t.Errorf("the failure does not show the masked message: %s", r)
			}
			f.shown(u, deployment)
			f.files(u.home)
			f.stored(t, store)
			if r := u.run(nil, "undeploy", deployment, "--force"); r.code != 0 {
				t.Fatal(r)
			} else {
				f.look("output of undeploy", []byte(r.all()))
			}
			f.files(u.home)
			f.stored(t, store)
			f.report(t)
		})
	}
}

func leakySecrets(u *user) {
	account, _ := json.Marshal(map[string]any{"db": map[string]string{"password": leaks["account"]}})
	for name, v := range map[string]string{"leak_password": leaks["password"], "leak_key": leaks["key"], "leak_userdata": leaks["userdata"], "leak_given": leaks["given"], "leak_account": string(account)} {
		u.secret(name, v)
	}
}

// shown is what commands print afterwards.
func (f *finder) shown(u *user, name string) {
	for _, args := range [][]string{{"status", name}, {"status", name, "-o", "json"}, {"logs", name}, {"logs", name, "-o", "json"}, {"events", name, "-o", "json"},
		{"report", name}, {"why", name}, {"outputs", name}, {"outputs", name, "-o", "json"}, {"secrets", "list", "-o", "json"}, {"secrets", "reads", "-o", "json"}} {
		r := u.run(nil, args...)
		f.look("output of "+strings.Join(args, " "), []byte(r.all()))
	}
}

// files of a home directory, without those of the cloud and its servers: these got the secrets on purpose.
func (f *finder) files(home string) {
	_ = filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if d.IsDir() && path == filepath.Join(home, "sandbox") {
			return fs.SkipDir
		}
		if b, err := os.ReadFile(path); err == nil && d.Type().IsRegular() {
			rel, _ := filepath.Rel(home, path)
			f.look("file "+rel, b)
		}
		return nil
	})
}

// stored is every key and value of the store, and every blob as it was before it was compressed and cut.
func (f *finder) stored(t *testing.T, address string) {
	t.Helper()
	s, err := open.Store(t.Context(), address, bolt.Options{Wait: 10 * time.Second, Command: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n := 0
	if err := s.View(t.Context(), func(tx state.Tx) error {
		for e, err := range tx.List("") {
			if err != nil {
				return err
			}
			n++
			f.look("record "+e.Key, append([]byte(e.Key+"\n"), e.Value...))
		}
		return nil
	}); err != nil || n < 20 {
		t.Errorf("%d records, %v", n, err)
	}
	blobs := state.NewBlobs(s)
	infos, err := blobs.List(t.Context(), "")
	if err != nil {
		t.Error(err)
	}
	for _, b := range infos {
		if content, _, err := blobs.ReadAll(t.Context(), b.Key, 64<<20); err == nil {
			f.look("blob "+b.Key, content)
		}
	}
}

// watchProcesses looks at all processes and at Terraform's files until the returned function is called, which tells how many processes had a
// secret in their environment that was meant for them.
func watchProcesses(f *finder, home string) (stop func() int) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	meant := map[string]bool{}
	own, _ := os.Readlink("/proc/self/ns/pid")
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			procs, _ := filepath.Glob("/proc/[0-9]*")
			for _, p := range procs {
				if f.process(p, own) {
					meant[p] = true
				}
			}
			f.terraform(home)
			time.Sleep(20 * time.Millisecond)
		}
	}()
	return func() int { cancel(); <-ended; return len(meant) }
}

// process reports whether its environment holds a secret that is meant for it: that of Terraform and its provider gets what goes into
// resources, and scripts on the servers, which have their own process numbers, get their inputs.
func (f *finder) process(dir, own string) bool {
	args, _ := os.ReadFile(dir + "/cmdline")
	name := filepath.Base(string(bytes.SplitN(args, []byte{0}, 2)[0]))
	if bytes.Contains(args, []byte("e2e.test")) {
		return false
	}
	f.look(fmt.Sprintf("arguments of a process %s", name), args)
	// Where it runs is asked first: a process that has ended meanwhile has no environment either.
	if space, _ := os.Readlink(dir + "/ns/pid"); space != own {
		return false
	}
	env, _ := os.ReadFile(dir + "/environ")
	if len(env) == 0 {
		return false
	}
	if terraform := strings.Contains(name, "terraform") || name == "tofu"; terraform || bytes.Contains(env, []byte("TF_VAR_")) {
		for _, n := range f.needles {
			if n.name == "userdata" && bytes.Contains(env, []byte(n.text)) {
				return true
			}
		}
		for _, n := range f.needles { // what Terraform does not need it does not get
			if n.name != "userdata" && bytes.Contains(env, []byte(n.text)) {
				f.add("environment of "+name, n.name+" as "+n.form)
			}
		}
		return false
	}
	f.look(fmt.Sprintf("environment of a process %s", name), env)
	return false
}

// terraform looks at the files of applies that run. Terraform's state holds what a provider keeps, so it is left out while it exists.
func (f *finder) terraform(home string) {
	_ = filepath.WalkDir(filepath.Join(home, "terraform"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !d.Type().IsRegular() || strings.Contains(d.Name(), "tfstate") {
			return nil
		}
		info, err := d.Info()
		if err != nil || info.Size() > 4<<20 {
			return nil // a provider's binary
		}
		if b, err := os.ReadFile(path); err == nil {
			f.look("Terraform's file "+d.Name(), b)
		}
		return nil
	})
}

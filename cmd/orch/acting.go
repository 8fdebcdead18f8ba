package main

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/pkg/openstack"
	"github.com/orch-project/orch/pkg/orch"
)

// acting is what a process's configuration makes of an act, by the words in which a user is told that it differs: settings, locations, and
// the logins that these come to. Values hold secrets; they leave the process as digests only, with a salt of each request.
type acting map[string]string

// actingHeader of a request over the socket that is to be carried out with the sender's configuration.
const actingHeader = "X-Orch-Acting"

// actingOf reads what matters of a configuration and of the environment.
func actingOf(ctx context.Context, c *config.Config) acting {
	a := acting{}
	where := &locations{cfg: c}
	a.put("the login to OpenStack (OS_* variables, clouds.yaml)", login(where.credentials(ctx, "")))
	for _, l := range where.Configured() {
		a.put("location "+l.Name, l)
		if name := where.cloudName(l.Name); name != "" {
			a.put("the login to location "+l.Name, login(openstack.Source{Cloud: name}))
		}
	}
	a.put("the default location", c.Location)
	a.put("parallel", c.Parallel)
	a.put("plugin_path", c.PluginPath)
	a.put("terraform", c.Terraform)
	a.put("master_key", c.MasterKey)
	a.put("secrets", c.Secrets)
	a.put("vault", c.Vault)
	a.put("ssh", c.SSH)
	return a
}

func (a acting) put(name string, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		text = fmt.Appendf(nil, "%v", value)
	}
	a[name] = string(text)
}

// login is everything that a source of credentials comes to, or why it comes to nothing.
func login(src openstack.Source) any {
	c, err := openstack.LoadConfig(src)
	if errors.Is(err, openstack.ErrNoConfig) {
		return "none"
	}
	if err != nil {
		return err.Error()
	}
	return []any{c.Cloud, c.AuthURL, c.Username, c.UserID, c.Password.Reveal(), c.UserDomainName, c.UserDomainID, c.ProjectName, c.ProjectID, c.ProjectDomainName,
		c.ProjectDomainID, c.Token.Reveal(), c.ApplicationCredentialID, c.ApplicationCredentialName, c.ApplicationCredentialSecret.Reveal(), c.Region, c.Interface,
		c.CACert, c.Cert, c.Key, c.Insecure}
}

// aspect of a configuration that matters for an act: the settings whose names begin so; none: all of them.
type aspect []string

// What is written into the store is encrypted with the master key; hosts of a pool are logged in to before; what is stored as a location is read
// by its plugin, under a name that the configuration must not have.
var (
	whole    aspect
	sealing  = aspect{"master_key"}
	pooling  = aspect{"master_key", "ssh"}
	locating = aspect{"master_key", "plugin_path", "location "}
)

func (of aspect) has(name string) bool {
	return len(of) == 0 || slices.ContainsFunc(of, func(p string) bool { return strings.HasPrefix(name, p) })
}

// header of a request about an aspect: SALT DIGESTS ASPECT, the last two in hexadecimal.
func (a acting) header(of aspect) string {
	salt := rand.Text()
	digests := map[string]string{}
	for name, value := range a {
		if of.has(name) {
			digests[name] = digest(salt, value)
		}
	}
	text, _ := json.Marshal(digests) // a map of strings
	return salt + " " + hex.EncodeToString(text) + " " + hex.EncodeToString([]byte(strings.Join(of, "\n")))
}

func digest(salt, value string) string {
	h := hmac.New(sha256.New, []byte(salt))
	h.Write([]byte(value))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// differs names what is not the same for the sender of a header.
func (a acting) differs(header string) ([]string, error) {
	salt, rest, _ := strings.Cut(header, " ")
	text, about, _ := strings.Cut(rest, " ")
	raw, err := hex.DecodeString(text)
	var theirs map[string]string
	if err == nil {
		err = json.Unmarshal(raw, &theirs)
	}
	var of aspect
	if names, aerr := hex.DecodeString(about); aerr != nil {
		err = errors.Join(err, aerr)
	} else if len(names) > 0 {
		of = strings.Split(string(names), "\n")
	}
	if err != nil {
		return nil, &orch.Error{Kind: orch.KindUser, Msg: "the header " + actingHeader + " cannot be read", Err: err}
	}
	ours := map[string]string{}
	for name, value := range a {
		if of.has(name) {
			ours[name] = digest(salt, value)
		}
	}
	names := map[string]bool{}
	for _, m := range []map[string]string{ours, theirs} {
		for name := range m {
			if ours[name] != theirs[name] {
				names[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// holder is the process that has a home, as others are told of it.
type holder struct {
	cfg    *config.Config
	since  time.Time
	acting acting
}

// admit refuses what another process wants to be done with a configuration that is not this one's.
func (h *holder) admit(r *http.Request) error {
	header := r.Header.Get(actingHeader)
	if header == "" {
		return nil
	}
	names, err := h.acting.differs(header)
	if err != nil || len(names) == 0 {
		return err
	}
	return &orch.Error{Kind: orch.KindConflict,
		Msg: fmt.Sprintf("process %d (%s, since %s) has %s and acts with another configuration than this command; they differ in %s", os.Getpid(), cmp.Or(h.cfg.Command, "orch"), h.since.Format(time.TimeOnly),
			h.cfg.Home, strings.Join(names, ", ")),
		Hint: "wait until it has ended, use another home with --home, or a store that several processes can share (--store consul://…)"}
}

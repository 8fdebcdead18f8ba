package keystone

import (
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"slices"
	"time"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// refused is the one answer to every wrong name, password or scope, so that nothing can be guessed from it.
var refused = rest.Fail(http.StatusUnauthorized, "The request you have made requires authentication.")

type domainRef struct{ ID, Name string }

func (d *domainRef) ok() bool {
	return d != nil && (d.ID == cloud.DomainID || d.ID == "" && d.Name == "Default")
}

type userRef struct {
	ID, Name, Password string
	Domain             *domainRef
}

type authRequest struct {
	Auth struct {
		Identity *struct {
			Methods  []string
			Password *struct{ User userRef }
			Token    *struct{ ID string }
			AppCred  *struct {
				ID, Name, Secret string
				User             *userRef
			} `json:"application_credential"`
		}
		Scope any // "unscoped" or an object
	}
}

// login is what the methods proved.
type login struct {
	user    *cloud.User
	cred    *cloud.AppCredential
	methods []string
	expires time.Time // not later than this when not zero
	audit   string
	project string // of a rescoped token
}

func (s *Service) issue(c *rest.Call) (rest.Reply, error) {
	var req authRequest
	if err := c.Decode(&req); err != nil {
		return rest.Reply{}, err
	}
	if req.Auth.Identity == nil {
		return rest.Reply{}, rest.Bad("'identity' is a required property")
	}
	who, err := s.authenticate(&req)
	if err != nil {
		return rest.Reply{}, err
	}
	t := &cloud.Token{
		ID: "gAAAAA" + base64.RawURLEncoding.EncodeToString([]byte(cloud.Hex(66))), User: who.user, Methods: who.methods,
		AuditID: base64.RawURLEncoding.EncodeToString([]byte(cloud.Hex(8))), Issued: s.Cloud.Now(),
	}
	if err := s.scope(t, who, req.Auth.Scope); err != nil {
		return rest.Reply{}, err
	}
	ttl := time.Duration(s.options.TokenSeconds) * time.Second
	if ttl == 0 {
		ttl = time.Hour
	}
	t.Expires = t.Issued.Add(ttl)
	if !who.expires.IsZero() && who.expires.Before(t.Expires) {
		t.Expires = who.expires
	}
	s.forgetExpired()
	s.Cloud.Tokens.Put(t.ID, t)
	_, noCatalog := c.Query["nocatalog"]
	reply := rest.Reply{Status: http.StatusCreated, Body: map[string]any{"token": s.tokenDoc(t, !noCatalog)}}
	return reply.With("X-Subject-Token", t.ID).With("Vary", "X-Auth-Token"), nil
}

// forgetExpired keeps the table from growing in a sandbox that runs for long.
func (s *Service) forgetExpired() {
	for t := range s.Cloud.Tokens.All() {
		if s.Cloud.Now().After(t.Expires.Add(time.Hour)) {
			s.Cloud.Tokens.Delete(t.ID)
		}
	}
}

func (s *Service) authenticate(req *authRequest) (*login, error) {
	id := req.Auth.Identity
	who := &login{methods: id.Methods}
	if len(id.Methods) == 0 {
		return nil, refused
	}
	for _, method := range id.Methods {
		var err error
		switch {
		case method == "password" && id.Password != nil:
			err = s.byPassword(who, id.Password.User)
		case method == "token" && id.Token != nil:
			err = s.byToken(who, id.Token.ID)
		case method == "application_credential" && id.AppCred != nil:
			err = s.byCredential(who, id.AppCred.ID, id.AppCred.Name, id.AppCred.Secret, id.AppCred.User)
		case method == "password" || method == "token" || method == "application_credential":
			err = rest.Bad("Expecting to find %s in identity. The server could not comply with the request since it is either malformed or otherwise incorrect. The client is assumed to be in error.", method)
		default:
			err = rest.Fail(http.StatusUnauthorized, "Attempted to authenticate with an unsupported method.")
		}
		if err != nil {
			return nil, err
		}
	}
	return who, nil
}

func (s *Service) findUser(ref userRef) *cloud.User {
	return s.Cloud.Users.First(func(u *cloud.User) bool {
		if u.Disabled {
			return false
		}
		return ref.ID != "" && u.ID == ref.ID || ref.ID == "" && u.Name == ref.Name && ref.Domain.ok()
	})
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func (s *Service) byPassword(who *login, ref userRef) error {
	who.user = s.findUser(ref)
	if who.user == nil || !same(who.user.Password, ref.Password) {
		return refused
	}
	return nil
}

func (s *Service) byToken(who *login, id string) error {
	t := s.Cloud.Tokens.Get(id)
	if t == nil || !s.Cloud.Now().Before(t.Expires) || t.User.Disabled {
		return refused
	}
	if t.AppCredential != "" {
		return rest.Forbidden("Could not use the token of an application credential to get another one.")
	}
	who.user, who.expires, who.audit, who.project = t.User, t.Expires, t.AuditID, t.ProjectID
	for _, m := range t.Methods {
		if !slices.Contains(who.methods, m) {
			who.methods = append(who.methods, m)
		}
	}
	return nil
}

func (s *Service) byCredential(who *login, id, name, secret string, ref *userRef) error {
	cred := s.Cloud.AppCredentials.Get(id)
	if id == "" && name != "" && ref != nil {
		if u := s.findUser(*ref); u != nil {
			cred = s.Cloud.AppCredentials.First(func(a *cloud.AppCredential) bool { return a.UserID == u.ID && a.Name == name })
		}
	}
	if cred == nil || !same(cred.Secret, secret) || !cred.Expires.IsZero() && s.Cloud.Now().After(cred.Expires) {
		return refused
	}
	who.user, who.cred, who.expires = s.Cloud.Users.Get(cred.UserID), cred, cred.Expires
	if who.user == nil || who.user.Disabled {
		return refused
	}
	return nil
}

// scope decides what the token is for; the roles on it must not be empty.
func (s *Service) scope(t *cloud.Token, who *login, want any) error {
	if who.cred != nil {
		if want != nil {
			return rest.Fail(http.StatusUnauthorized, "Application credentials cannot request a scope.")
		}
		t.AppCredential, t.Restricted = who.cred.ID, !who.cred.Unrestricted
		return s.onProject(t, s.Cloud.Projects.Get(who.cred.ProjectID), who.cred.Roles)
	}
	switch want := want.(type) {
	case nil:
		// Without a scope the user's default project is taken, if any.
		if p := s.Cloud.Projects.Get(who.user.DefaultProject); p != nil && len(who.user.Roles[p.ID]) > 0 && !slices.Contains(t.Methods, "token") {
			return s.onProject(t, p, nil)
		}
		return nil
	case string:
		if want == "unscoped" {
			return nil
		}
	case map[string]any:
		return s.scopeObject(t, want)
	}
	return rest.Bad("scope is not of type 'object'")
}

func (s *Service) scopeObject(t *cloud.Token, want map[string]any) error {
	if p, ok := want["project"].(map[string]any); ok {
		return s.onProject(t, s.findProject(p), nil)
	}
	if d, ok := want["domain"].(map[string]any); ok {
		if !domainOf(d).ok() || !adminSomewhere(t.User) {
			return refused
		}
		t.Domain, t.Roles = true, imply([]string{"admin"})
		return nil
	}
	if _, ok := want["system"].(map[string]any); ok {
		if !adminSomewhere(t.User) {
			return refused
		}
		t.System, t.Roles = true, imply([]string{"admin"})
		return nil
	}
	if _, ok := want["unscoped"]; ok {
		return nil
	}
	return rest.Bad("scope is not valid: project, domain or system is needed")
}

func adminSomewhere(u *cloud.User) bool {
	for _, roles := range u.Roles {
		if slices.Contains(roles, "admin") {
			return true
		}
	}
	return false
}

func domainOf(m map[string]any) *domainRef {
	id, _ := m["id"].(string)
	name, _ := m["name"].(string)
	return &domainRef{ID: id, Name: name}
}

func (s *Service) findProject(ref map[string]any) *cloud.Project {
	if id, ok := ref["id"].(string); ok {
		return s.Cloud.Projects.Get(id)
	}
	name, _ := ref["name"].(string)
	d, _ := ref["domain"].(map[string]any)
	if d == nil || !domainOf(d).ok() {
		return nil
	}
	return s.Cloud.Projects.First(func(p *cloud.Project) bool { return p.Name == name })
}

// onProject scopes the token; only limits the user's roles when not nil.
func (s *Service) onProject(t *cloud.Token, p *cloud.Project, only []string) error {
	if p == nil || p.Disabled {
		return refused
	}
	t.ProjectID = p.ID
	for _, role := range imply(t.User.Roles[p.ID]) {
		if only == nil || slices.Contains(imply(only), role) {
			t.Roles = append(t.Roles, role)
		}
	}
	if len(t.Roles) == 0 {
		return refused
	}
	return nil
}

// imply adds the roles that Keystone's bootstrap implies: admin > member > reader.
func imply(roles []string) []string {
	out := slices.Clone(roles)
	for _, pair := range [][2]string{{"admin", "member"}, {"member", "reader"}} {
		if slices.Contains(out, pair[0]) && !slices.Contains(out, pair[1]) {
			out = append(out, pair[1])
		}
	}
	return out
}

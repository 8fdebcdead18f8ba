package keystone

import (
	"slices"
	"time"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func userDoc(c *rest.Call, u *cloud.User) map[string]any {
	doc := map[string]any{
		"id": u.ID, "name": u.Name, "domain_id": cloud.DomainID, "enabled": !u.Disabled, "password_expires_at": nil, "options": map[string]any{},
		"links": map[string]any{"self": c.Base + "/v3/users/" + u.ID},
	}
	if u.DefaultProject != "" {
		doc["default_project_id"] = u.DefaultProject
	}
	if u.Email != "" {
		doc["email"] = u.Email
	}
	if u.Description != "" {
		doc["description"] = u.Description
	}
	return doc
}

func (s *Service) listUsers(c *rest.Call) (rest.Reply, error) {
	var docs []any
	for u := range s.Cloud.Users.All() {
		if wanted(c, "name", u.Name) && wanted(c, "domain_id", cloud.DomainID) {
			docs = append(docs, userDoc(c, u))
		}
	}
	return list(c, "users", docs)
}

// user is the one of the path: oneself, or anyone for an administrator.
func (s *Service) user(c *rest.Call, policy string) (*cloud.User, error) {
	id := c.PathValue("id")
	if id != c.Token.User.ID && !c.Admin() {
		return nil, forbidden(policy)
	}
	u := s.Cloud.Users.Get(id)
	if u == nil {
		return nil, missing("user", id)
	}
	return u, nil
}

func (s *Service) showUser(c *rest.Call) (rest.Reply, error) {
	u, err := s.user(c, "get_user")
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"user": userDoc(c, u)})
}

type userBody struct {
	User struct {
		Name, Password, Email, Description *string
		DefaultProject                     *string `json:"default_project_id"`
		Enabled                            *bool
	}
}

func (b *userBody) apply(u *cloud.User) {
	for to, from := range map[*string]*string{
		&u.Name: b.User.Name, &u.Password: b.User.Password, &u.Email: b.User.Email,
		&u.Description: b.User.Description, &u.DefaultProject: b.User.DefaultProject,
	} {
		if from != nil {
			*to = *from
		}
	}
	if b.User.Enabled != nil {
		u.Disabled = !*b.User.Enabled
	}
}

func (s *Service) createUser(c *rest.Call) (rest.Reply, error) {
	var b userBody
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	if b.User.Name == nil || *b.User.Name == "" {
		return rest.Reply{}, rest.Bad("'name' is a required property")
	}
	if s.Cloud.Users.First(func(u *cloud.User) bool { return u.Name == *b.User.Name }) != nil {
		return rest.Reply{}, rest.Conflict("Conflict occurred attempting to store user - Duplicate entry found with name %s at domain ID default.", *b.User.Name)
	}
	// Without a password nobody can log in as the user: an unguessable one stands for none.
	u := &cloud.User{ID: cloud.Hex(16), Password: cloud.Hex(32), Roles: map[string][]string{}}
	b.apply(u)
	s.Cloud.Users.Put(u.ID, u)
	return rest.Created(map[string]any{"user": userDoc(c, u)})
}

func (s *Service) updateUser(c *rest.Call) (rest.Reply, error) {
	u, err := s.user(c, "update_user")
	if err != nil {
		return rest.Reply{}, err
	}
	var b userBody
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	b.apply(u)
	if b.User.Password != nil || u.Disabled {
		s.logOut(u.ID)
	}
	return rest.OK(map[string]any{"user": userDoc(c, u)})
}

func (s *Service) deleteUser(c *rest.Call) (rest.Reply, error) {
	u, err := s.user(c, "delete_user")
	if err != nil {
		return rest.Reply{}, err
	}
	s.Cloud.Users.Delete(u.ID)
	s.logOut(u.ID)
	for a := range s.Cloud.AppCredentials.Where(func(a *cloud.AppCredential) bool { return a.UserID == u.ID }) {
		s.Cloud.AppCredentials.Delete(a.ID)
	}
	return rest.Empty()
}

// logOut revokes all tokens of a user.
func (s *Service) logOut(user string) {
	for t := range s.Cloud.Tokens.Where(func(t *cloud.Token) bool { return t.User.ID == user }) {
		s.Cloud.Tokens.Delete(t.ID)
	}
}

func (s *Service) changePassword(c *rest.Call) (rest.Reply, error) {
	var b struct {
		User struct {
			Password string
			Original string `json:"original_password"`
		}
	}
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	u := s.Cloud.Users.Get(c.PathValue("id"))
	if u == nil || !same(u.Password, b.User.Original) || b.User.Password == "" {
		return rest.Reply{}, refused
	}
	u.Password = b.User.Password
	s.logOut(u.ID)
	return rest.Empty()
}

func (s *Service) userProjects(c *rest.Call) (rest.Reply, error) {
	u, err := s.user(c, "list_user_projects")
	if err != nil {
		return rest.Reply{}, err
	}
	return list(c, "projects", s.projectsOf(c, u))
}

func (s *Service) userGroups(c *rest.Call) (rest.Reply, error) {
	if _, err := s.user(c, "list_groups_for_user"); err != nil {
		return rest.Reply{}, err
	}
	return list(c, "groups", nil)
}

func (s *Service) credDoc(c *rest.Call, a *cloud.AppCredential, secret bool) map[string]any {
	doc := map[string]any{
		"id": a.ID, "name": a.Name, "description": a.Description, "project_id": a.ProjectID, "user_id": a.UserID, "unrestricted": a.Unrestricted,
		"roles": s.roleDocs(a.Roles), "expires_at": nil, "system": nil,
		"links": map[string]any{"self": c.Base + "/v3/users/" + a.UserID + "/application_credentials/" + a.ID},
	}
	if a.Description == "" {
		doc["description"] = nil
	}
	if !a.Expires.IsZero() {
		doc["expires_at"] = cloud.Micro(a.Expires)
	}
	if secret {
		doc["secret"] = a.Secret
	}
	return doc
}

func (s *Service) listCredentials(c *rest.Call) (rest.Reply, error) {
	u, err := s.user(c, "list_application_credentials")
	if err != nil {
		return rest.Reply{}, err
	}
	var docs []any
	for a := range s.Cloud.AppCredentials.All() {
		if a.UserID == u.ID && wanted(c, "name", a.Name) {
			docs = append(docs, s.credDoc(c, a, false))
		}
	}
	return list(c, "application_credentials", docs)
}

func (s *Service) createCredential(c *rest.Call) (rest.Reply, error) {
	// Only the owner: not even an administrator makes credentials for others.
	if c.PathValue("id") != c.Token.User.ID || c.Project() == "" || c.Token.Restricted {
		return rest.Reply{}, forbidden("create_application_credential")
	}
	var b struct {
		Cred struct {
			Name, Description, Secret string
			Expires                   *string `json:"expires_at"`
			Unrestricted              bool
			Roles                     []struct{ ID, Name string }
		} `json:"application_credential"`
	}
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	if b.Cred.Name == "" {
		return rest.Reply{}, rest.Bad("'name' is a required property")
	}
	a := &cloud.AppCredential{
		ID: cloud.Hex(16), Name: b.Cred.Name, Description: b.Cred.Description, Secret: b.Cred.Secret,
		UserID: c.Token.User.ID, ProjectID: c.Project(), Unrestricted: b.Cred.Unrestricted, Roles: c.Token.Roles,
	}
	if s.Cloud.AppCredentials.First(func(o *cloud.AppCredential) bool { return o.UserID == a.UserID && o.Name == a.Name }) != nil {
		return rest.Reply{}, rest.Conflict("Conflict occurred attempting to store application_credential - Duplicate entry found with name %s.", a.Name)
	}
	if b.Cred.Expires != nil {
		t, err := parseExpiry(*b.Cred.Expires)
		if err != nil {
			return rest.Reply{}, rest.Bad("Invalid input for field 'expires_at': '%s' is not a 'date-time'", *b.Cred.Expires)
		}
		a.Expires = t
	}
	if a.Secret == "" {
		a.Secret = cloud.Hex(32)
	}
	if len(b.Cred.Roles) > 0 {
		a.Roles = nil
		for _, want := range b.Cred.Roles {
			r := s.Cloud.Roles.First(func(r *cloud.Role) bool { return r.ID == want.ID || want.ID == "" && r.Name == want.Name })
			if r == nil || !slices.Contains(c.Token.Roles, r.Name) {
				return rest.Reply{}, rest.Bad("Invalid application credential: Could not find role assignment with role: %s, user or group: %s, project, domain, or system: %s..", want.ID+want.Name, a.UserID, a.ProjectID)
			}
			a.Roles = append(a.Roles, r.Name)
		}
	}
	s.Cloud.AppCredentials.Put(a.ID, a)
	return rest.Created(map[string]any{"application_credential": s.credDoc(c, a, true)})
}

// parseExpiry reads the forms that Keystone takes.
func parseExpiry(text string) (time.Time, error) {
	var err error
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999", "2006-01-02T15:04:05"} {
		var t time.Time
		if t, err = time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, err
}

func (s *Service) credential(c *rest.Call, policy string) (*cloud.AppCredential, error) {
	u, err := s.user(c, policy)
	if err != nil {
		return nil, err
	}
	a := s.Cloud.AppCredentials.Get(c.PathValue("cred"))
	if a == nil || a.UserID != u.ID {
		return nil, missing("Application Credential", c.PathValue("cred"))
	}
	return a, nil
}

func (s *Service) showCredential(c *rest.Call) (rest.Reply, error) {
	a, err := s.credential(c, "get_application_credential")
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"application_credential": s.credDoc(c, a, false)})
}

func (s *Service) deleteCredential(c *rest.Call) (rest.Reply, error) {
	if c.Token.Restricted {
		return rest.Reply{}, forbidden("delete_application_credential")
	}
	a, err := s.credential(c, "delete_application_credential")
	if err != nil {
		return rest.Reply{}, err
	}
	s.Cloud.AppCredentials.Delete(a.ID)
	for t := range s.Cloud.Tokens.Where(func(t *cloud.Token) bool { return t.AppCredential == a.ID }) {
		s.Cloud.Tokens.Delete(t.ID)
	}
	return rest.Empty()
}

package cloud

import "time"

// DomainID is the one domain of the sandbox.
const DomainID = "default"

// Project is a tenant.
type Project struct {
	ID, Name, Description string
	Disabled              bool
	Tags                  []string
}

// User can log in; Roles are by project id.
type User struct {
	ID, Name, Password, DefaultProject string
	Email, Description                 string
	Disabled                           bool
	Roles                              map[string][]string // project id -> role names
}

// Role is a Keystone role.
type Role struct{ ID, Name string }

// AppCredential is an application credential of a user on a project.
type AppCredential struct {
	ID, Name, Description, Secret string
	UserID, ProjectID             string
	Roles                         []string
	Expires                       time.Time // zero: never
	Unrestricted                  bool
}

// Token is an issued token. ProjectID is empty when unscoped.
type Token struct {
	ID, AuditID     string
	User            *User
	ProjectID       string
	System          bool
	Domain          bool
	Roles           []string
	Methods         []string
	AppCredential   string // id, when it made this token
	Restricted      bool   // made by a restricted application credential
	Issued, Expires time.Time
}

// Admin reports whether policy's context_is_admin holds.
func (t *Token) Admin() bool { return t.Has("admin") }

// Has reports whether the token carries the role.
func (t *Token) Has(role string) bool {
	for _, r := range t.Roles {
		if r == role {
			return true
		}
	}
	return false
}

package orch

import "context"

// noAccounts is what a Service without accounts answers.
type noAccounts struct{}

var errNoAccounts = &Error{Kind: KindUser, Msg: "this service keeps no accounts"}

func (noAccounts) Tenants(context.Context) ([]Tenant, error) { return nil, errNoAccounts }
func (noAccounts) CreateTenant(context.Context, Tenant) (Tenant, error) {
	return Tenant{}, errNoAccounts
}
func (noAccounts) RemoveTenant(context.Context, string) error { return errNoAccounts }
func (noAccounts) Users(context.Context) ([]User, error)      { return nil, errNoAccounts }
func (noAccounts) User(context.Context, string) (User, error) { return User{}, errNoAccounts }
func (noAccounts) CreateUser(context.Context, NewUser) (User, error) {
	return User{}, errNoAccounts
}
func (noAccounts) UpdateUser(context.Context, string, UserChange) (User, error) {
	return User{}, errNoAccounts
}
func (noAccounts) RemoveUser(context.Context, string) error { return errNoAccounts }
func (noAccounts) Grant(context.Context, string, string, Role) (User, error) {
	return User{}, errNoAccounts
}
func (noAccounts) Members(context.Context, string) ([]Member, error) {
	return nil, errNoAccounts
}
func (noAccounts) Tokens(context.Context, string) ([]Token, error) { return nil, errNoAccounts }
func (noAccounts) CreateToken(context.Context, NewToken) (IssuedToken, error) {
	return IssuedToken{}, errNoAccounts
}
func (noAccounts) RevokeToken(context.Context, string) error { return errNoAccounts }
func (noAccounts) Bootstrap(context.Context, string) (IssuedToken, error) {
	return IssuedToken{}, errNoAccounts
}
func (noAccounts) Audit(context.Context, AuditFilter) ([]AuditEntry, error) {
	return nil, errNoAccounts
}
func (noAccounts) Record(context.Context, AuditEntry) error { return errNoAccounts }

package config

// Auth says whom a server lets in besides the users of its store.
type Auth struct {
	// CertificateRole in the default tenant of clients whose certificate is valid and names no user; "" refuses them.
	CertificateRole string `yaml:"certificate_role" env:"ORCH_CERTIFICATE_ROLE" doc:"role of clients whose valid certificate names no user; default: they are refused"`
	// Admin is the first admin, made when a server starts whose store has none; afterwards these settings change nothing.
	Admin             string `yaml:"admin" env:"ORCH_ADMIN" doc:"first admin, made when a server starts whose store has none"`
	AdminPasswordFile string `yaml:"admin_password_file" env:"ORCH_ADMIN_PASSWORD_FILE" doc:"file with the first admin's password"`
	AdminPasswordHash string `yaml:"admin_password_hash" env:"ORCH_ADMIN_PASSWORD_HASH" doc:"argon2id hash of the first admin's password, as a PHC string"`
	// Rate is how many requests a second an address may send, Burst how many at once; a rate of 0 does not limit.
	Rate  int `yaml:"rate" env:"ORCH_RATE" doc:"requests a second of one address; 0 does not limit"`
	Burst int `yaml:"burst" env:"ORCH_BURST" doc:"requests at once of one address"`

	OIDC OIDC `yaml:"oidc"`
}

// OIDC says which tokens of an OpenID Connect provider are accepted. Without an issuer there are none.
type OIDC struct {
	Issuer     string `yaml:"issuer" env:"ORCH_OIDC_ISSUER" doc:"URL of the OpenID Connect provider"`
	Audience   string `yaml:"audience" env:"ORCH_OIDC_AUDIENCE" doc:"client id that its tokens must be for"`
	UserClaim  string `yaml:"user_claim" env:"ORCH_OIDC_USER_CLAIM" doc:"claim that names the user, where the provider gives each name to one person for good"`
	RolesClaim string `yaml:"roles_claim" env:"ORCH_OIDC_ROLES_CLAIM" doc:"claim with groups or roles; default: groups"`
	// Grants give whoever's roles claim has a value a role.
	Grants []Grant `yaml:"grants" doc:"which value of the roles claim gives which role"`
}

// Grant of a role by a value of the roles claim.
type Grant struct {
	Value  string `yaml:"value"`
	Tenant string `yaml:"tenant"`
	Role   string `yaml:"role"`
	Admin  bool   `yaml:"admin"` // of the server
}

package openstack

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/source"
)

// Config says which cloud to enter and how. It comes from clouds.yaml or OS_* variables, as the openstack command reads them.
type Config struct {
	// Cloud is the name in clouds.yaml, "" if the configuration came from variables.
	Cloud   string
	AuthURL string

	Username, UserID             string
	Password                     secret.Value
	UserDomainName, UserDomainID string

	ProjectName, ProjectID             string
	ProjectDomainName, ProjectDomainID string

	Token secret.Value

	ApplicationCredentialID, ApplicationCredentialName string
	ApplicationCredentialSecret                        secret.Value

	Region string
	// Interface of the endpoints: public, internal or admin; "" is public.
	Interface string
	// CACert, Cert and Key are files; Insecure skips the check of the server's certificate.
	CACert, Cert, Key string
	Insecure          bool
}

// Source of a configuration. The zero value reads the process's environment.
type Source struct {
	// Cloud overrides OS_CLOUD.
	Cloud string
	// Getenv is os.Getenv unless given.
	Getenv func(string) string
	// Dir is searched first for clouds.yaml; "" is the current directory.
	Dir string
}

// ErrNoConfig: neither a cloud of clouds.yaml nor OS_AUTH_URL is given.
var ErrNoConfig = errors.New("no cloud is configured: set OS_CLOUD to the name of a cloud in clouds.yaml, or OS_AUTH_URL and the other OS_* variables")

// LoadConfig reads the configuration: the named cloud of clouds.yaml if there is a name, else the OS_* variables, else the only cloud of a
// clouds.yaml. Variables of the region, interface and certificates override the file's.
func LoadConfig(src Source) (*Config, error) {
	if src.Getenv == nil {
		src.Getenv = os.Getenv
	}
	name := src.Cloud
	if name == "" {
		name = src.Getenv("OS_CLOUD")
	}
	var c *Config
	var err error
	switch {
	case name != "":
		c, err = fromFile(src, name)
	case src.Getenv("OS_AUTH_URL") != "":
		c = fromEnv(src.Getenv)
	default:
		c, err = fromFile(src, "")
	}
	if err != nil {
		return nil, err
	}
	for v, field := range map[string]*string{"OS_REGION_NAME": &c.Region, "OS_CACERT": &c.CACert, "OS_CERT": &c.Cert, "OS_KEY": &c.Key} {
		if s := src.Getenv(v); s != "" {
			*field = s
		}
	}
	for _, v := range []string{"OS_ENDPOINT_TYPE", "OS_INTERFACE"} {
		if s := src.Getenv(v); s != "" {
			c.Interface = s
		}
	}
	c.Interface = strings.TrimSuffix(c.Interface, "URL")
	if b, err := strconv.ParseBool(src.Getenv("OS_INSECURE")); err == nil {
		c.Insecure = b
	}
	return c, c.check()
}

// check names what is missing before anything is asked of the cloud.
func (c *Config) check() error {
	from := "the OS_* variables"
	if c.Cloud != "" {
		from = fmt.Sprintf("the cloud %q of clouds.yaml", c.Cloud)
	}
	missing := ""
	switch {
	case c.AuthURL == "":
		missing = "an auth_url (OS_AUTH_URL)"
	case !c.Token.IsZero():
	case c.ApplicationCredentialID != "" || c.ApplicationCredentialName != "":
		if c.ApplicationCredentialSecret.IsZero() {
			missing = "an application_credential_secret (OS_APPLICATION_CREDENTIAL_SECRET)"
		}
		if c.ApplicationCredentialID == "" && c.Username == "" && c.UserID == "" {
			missing = "a username (OS_USERNAME) beside the name of the application credential"
		}
	case c.Username == "" && c.UserID == "":
		missing = "a username (OS_USERNAME) or application credential"
	case c.Password.IsZero():
		missing = "a password (OS_PASSWORD)"
	case c.ProjectName == "" && c.ProjectID == "":
		missing = "a project_name (OS_PROJECT_NAME)"
	}
	if missing != "" {
		return fmt.Errorf("cannot log in to OpenStack: %s lack %s", from, missing)
	}
	return nil
}

func fromEnv(get func(string) string) *Config {
	first := func(names ...string) string {
		for _, n := range names {
			if v := get(n); v != "" {
				return v
			}
		}
		return ""
	}
	return &Config{
		AuthURL: get("OS_AUTH_URL"), Username: first("OS_USERNAME"), UserID: first("OS_USER_ID", "OS_USERID"), Password: secret.New(get("OS_PASSWORD")),
		UserDomainName: first("OS_USER_DOMAIN_NAME", "OS_DOMAIN_NAME"), UserDomainID: first("OS_USER_DOMAIN_ID", "OS_DOMAIN_ID", "OS_DEFAULT_DOMAIN"),
		ProjectName: first("OS_PROJECT_NAME", "OS_TENANT_NAME"), ProjectID: first("OS_PROJECT_ID", "OS_TENANT_ID"),
		ProjectDomainName:           first("OS_PROJECT_DOMAIN_NAME", "OS_DOMAIN_NAME", "OS_USER_DOMAIN_NAME"),
		ProjectDomainID:             first("OS_PROJECT_DOMAIN_ID", "OS_DOMAIN_ID", "OS_DEFAULT_DOMAIN", "OS_USER_DOMAIN_ID"),
		Token:                       secret.New(first("OS_TOKEN", "OS_AUTH_TOKEN")),
		ApplicationCredentialID:     get("OS_APPLICATION_CREDENTIAL_ID"),
		ApplicationCredentialName:   get("OS_APPLICATION_CREDENTIAL_NAME"),
		ApplicationCredentialSecret: secret.New(get("OS_APPLICATION_CREDENTIAL_SECRET")),
	}
}

// fromFile reads a cloud of clouds.yaml, with secure.yaml beside it over it.
func fromFile(src Source, name string) (*Config, error) {
	file, err := findClouds(src)
	if err != nil {
		if name == "" && errors.Is(err, fs.ErrNotExist) {
			return nil, ErrNoConfig
		}
		return nil, err
	}
	clouds, err := readClouds(file)
	if err != nil {
		return nil, err
	}
	var names []string
	for k := range clouds.Get("clouds").All() {
		names = append(names, k.Text)
	}
	slices.Sort(names)
	if name == "" {
		if len(names) != 1 {
			return nil, fmt.Errorf("%w; %s has the clouds %s", ErrNoConfig, file, strings.Join(names, ", "))
		}
		name = names[0]
	}
	cloud := clouds.Get("clouds").Get(name)
	if cloud == nil {
		hint := diag.Suggest(name, names)
		if hint == "" {
			hint = "it has " + strings.Join(names, ", ")
		}
		return nil, fmt.Errorf("cannot find the cloud %q in %s: %s", name, file, hint)
	}
	layers := []*source.Node{cloud}
	if sec, err := readClouds(filepath.Join(filepath.Dir(file), "secure.yaml")); err == nil {
		if n := sec.Get("clouds").Get(name); n != nil {
			layers = append([]*source.Node{n}, layers...)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return fromNodes(name, layers), nil
}

func fromNodes(name string, layers []*source.Node) *Config {
	get := func(keys ...string) string {
		for _, k := range keys {
			for _, n := range layers {
				for _, at := range []*source.Node{n.Get("auth"), n} {
					if s := at.Get(k).Str(); s != "" {
						return s
					}
				}
			}
		}
		return ""
	}
	c := &Config{
		Cloud: name, AuthURL: get("auth_url"), Username: get("username", "user_name"), UserID: get("user_id"), Password: secret.New(get("password")),
		UserDomainName: get("user_domain_name", "domain_name"), UserDomainID: get("user_domain_id", "domain_id", "default_domain"),
		ProjectName: get("project_name", "tenant_name"), ProjectID: get("project_id", "tenant_id"),
		ProjectDomainName: get("project_domain_name", "domain_name", "user_domain_name"),
		ProjectDomainID:   get("project_domain_id", "domain_id", "default_domain", "user_domain_id"),
		Token:             secret.New(get("token")), ApplicationCredentialID: get("application_credential_id"),
		ApplicationCredentialName:   get("application_credential_name"),
		ApplicationCredentialSecret: secret.New(get("application_credential_secret")),
		Region:                      get("region_name"), Interface: get("interface", "endpoint_type"), CACert: get("cacert"), Cert: get("cert"), Key: get("key"),
	}
	for _, n := range layers {
		if v, ok := n.Get("verify").Bool(); ok && !v {
			c.Insecure = true
		}
	}
	return c
}

// findClouds looks where the openstack command does: https://docs.openstack.org/openstacksdk/latest/user/config/configuration.html
func findClouds(src Source) (string, error) {
	if f := src.Getenv("OS_CLIENT_CONFIG_FILE"); f != "" {
		if _, err := os.Stat(f); err != nil {
			return "", fmt.Errorf("cannot read OS_CLIENT_CONFIG_FILE: %w", err)
		}
		return f, nil
	}
	dirs := []string{src.Dir}
	if src.Dir == "" {
		dirs[0] = "."
	}
	conf := src.Getenv("XDG_CONFIG_HOME")
	if conf == "" && src.Getenv("HOME") != "" {
		conf = filepath.Join(src.Getenv("HOME"), ".config")
	}
	if conf != "" {
		dirs = append(dirs, filepath.Join(conf, "openstack"))
	}
	dirs = append(dirs, "/etc/openstack")
	for _, d := range dirs {
		for _, f := range []string{"clouds.yaml", "clouds.yml"} {
			if _, err := os.Stat(filepath.Join(d, f)); err == nil {
				return filepath.Join(d, f), nil
			}
		}
	}
	return "", fmt.Errorf("cannot find clouds.yaml in %s: %w", strings.Join(dirs, ", "), fs.ErrNotExist)
}

func readClouds(file string) (*source.Node, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the clouds: %w", err)
	}
	n, list := source.Parse(file, data)
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("cannot read the clouds: %w", err)
	}
	return n, nil
}

// Environ are the variables by which Terraform's provider (1.15 and 3.x) enters the same cloud. Those that are empty are left out.
func (c *Config) Environ() map[string]secret.Value {
	env := map[string]secret.Value{"OS_PASSWORD": c.Password, "OS_TOKEN": c.Token, "OS_APPLICATION_CREDENTIAL_SECRET": c.ApplicationCredentialSecret}
	plain := map[string]string{
		"OS_AUTH_URL": c.AuthURL, "OS_USERNAME": c.Username, "OS_USER_ID": c.UserID, "OS_USER_DOMAIN_NAME": c.UserDomainName,
		"OS_USER_DOMAIN_ID": c.UserDomainID, "OS_APPLICATION_CREDENTIAL_ID": c.ApplicationCredentialID,
		"OS_APPLICATION_CREDENTIAL_NAME": c.ApplicationCredentialName, "OS_REGION_NAME": c.Region, "OS_ENDPOINT_TYPE": c.Interface,
		"OS_CACERT": c.CACert, "OS_CERT": c.Cert, "OS_KEY": c.Key,
	}
	if !c.appCredential() {
		// An application credential has its project in itself, and the provider refuses a second.
		maps.Copy(plain, map[string]string{"OS_PROJECT_NAME": c.ProjectName, "OS_PROJECT_ID": c.ProjectID,
			"OS_PROJECT_DOMAIN_NAME": c.ProjectDomainName, "OS_PROJECT_DOMAIN_ID": c.ProjectDomainID})
	}
	if c.Insecure {
		plain["OS_INSECURE"] = "true"
	}
	for k, v := range plain {
		env[k] = secret.New(v)
	}
	maps.DeleteFunc(env, func(_ string, v secret.Value) bool { return v.IsZero() })
	return env
}

func (c *Config) appCredential() bool {
	return c.ApplicationCredentialID != "" || c.ApplicationCredentialName != ""
}

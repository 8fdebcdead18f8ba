package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Environment returns the OS_* variables of a user (Demo, DemoSmall or Admin).
func (s *Sandbox) Environment(user string) map[string]string {
	return map[string]string{
		"OS_AUTH_URL": s.AuthURL(), "OS_IDENTITY_API_VERSION": "3", "OS_USERNAME": user, "OS_PASSWORD": s.Password, "OS_PROJECT_NAME": user,
		"OS_USER_DOMAIN_NAME": "Default", "OS_PROJECT_DOMAIN_NAME": "Default", "OS_REGION_NAME": s.region,
	}
}

var environmentOrder = []string{
	"OS_AUTH_URL", "OS_IDENTITY_API_VERSION", "OS_USERNAME", "OS_PASSWORD", "OS_PROJECT_NAME", "OS_USER_DOMAIN_NAME", "OS_PROJECT_DOMAIN_NAME", "OS_REGION_NAME",
}

// writeCredentials writes clouds.yaml, with a cloud per user, and openrc for the demo user, readable by the owner only.
func (s *Sandbox) writeCredentials() error {
	var yaml strings.Builder
	yaml.WriteString("clouds:\n")
	for _, user := range []string{Demo, DemoSmall, Admin} {
		e := s.Environment(user)
		fmt.Fprintf(&yaml, "  %s:\n    auth:\n      auth_url: %q\n      username: %q\n      password: %q\n      project_name: %q\n      user_domain_name: Default\n      project_domain_name: Default\n    region_name: %q\n    identity_api_version: 3\n",
			user, e["OS_AUTH_URL"], user, s.Password, user, s.region)
		var rc strings.Builder
		for _, name := range environmentOrder {
			fmt.Fprintf(&rc, "export %s='%s'\n", name, strings.ReplaceAll(e[name], "'", `'\''`))
		}
		file := "openrc"
		if user != Demo {
			file += "." + user
		}
		if err := writePrivate(filepath.Join(s.Dir, file), rc.String()); err != nil {
			return err
		}
	}
	return writePrivate(filepath.Join(s.Dir, "clouds.yaml"), yaml.String())
}

// writePrivate replaces a file whole, readable by its owner only.
func writePrivate(path, text string) error {
	temp := path + ".new"
	if err := os.WriteFile(temp, []byte(text), 0o600); err != nil {
		return fmt.Errorf("cannot write %s: %w", filepath.Base(path), err)
	}
	if err := os.Chmod(temp, 0o600); err != nil {
		return fmt.Errorf("cannot write %s: %w", filepath.Base(path), err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("cannot write %s: %w", filepath.Base(path), err)
	}
	return nil
}

// CloudsFile is the path of clouds.yaml, for OS_CLIENT_CONFIG_FILE.
func (s *Sandbox) CloudsFile() string { return filepath.Join(s.Dir, "clouds.yaml") }

// Package config is the configuration: one struct, read from strict YAML, then ORCH_* variables, then flags, in that order.
//
// It knows where things lie on this machine; it opens nothing but the configuration file.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
)

// Config of one process.
type Config struct {
	// Home holds state and caches of this machine. Default: $XDG_DATA_HOME/orch, else ~/.local/share/orch.
	Home string `yaml:"home" env:"ORCH_HOME" doc:"directory for state of this machine"`
	// Store URL: bolt:PATH or consul://[TOKEN@]HOST:PORT/PREFIX. Default: bolt in Home.
	Store string `yaml:"store" env:"ORCH_STORE" doc:"state store"`
	// Tenant that commands work in. Default: the one that is always there.
	Tenant string `yaml:"tenant" env:"ORCH_TENANT" doc:"tenant to work in"`
	// Location is the name of the default location.
	Location string `yaml:"location" env:"ORCH_LOCATION" doc:"default location"`
	// Locations are the clouds one can deploy to, by name; see docs/configuration.md for their keys. Decoded by the plugins.
	Locations map[string]*source.Node `yaml:"locations" doc:"clouds to deploy to"`
	// Parallel bounds the steps of one deployment that run at once.
	Parallel int `yaml:"parallel" env:"ORCH_PARALLEL" doc:"concurrent steps of one deployment"`
	// Revisions is how many revisions of a deployment are kept.
	Revisions int `yaml:"revisions" env:"ORCH_REVISIONS" doc:"revisions to keep of a deployment"`
	// ImportPath are directories of archives that documents import by name:version.
	ImportPath []string `yaml:"import_path" env:"ORCH_IMPORT_PATH" doc:"directories of importable archives"`
	// AllowNetwork lets documents import from http and https addresses.
	AllowNetwork bool `yaml:"allow_network" env:"ORCH_ALLOW_NETWORK" doc:"read imports from the network"`
	// NetworkHosts are names and networks that a server may read from although they are not public.
	NetworkHosts []string `yaml:"network_hosts" env:"ORCH_NETWORK_HOSTS" doc:"names and networks of its own side that a server may read from with allow_network"`
	// PluginPath are directories of further plugins.
	PluginPath []string `yaml:"plugin_path" env:"ORCH_PLUGIN_PATH" doc:"directories of further plugins"`

	Terraform Terraform `yaml:"terraform"`
	MasterKey MasterKey `yaml:"master_key"`
	Secrets   Secrets   `yaml:"secrets"`
	Vault     Vault     `yaml:"vault"`
	Consul    Consul    `yaml:"consul"`
	SSH       SSH       `yaml:"ssh"`
	Server    Server    `yaml:"server"`
	Auth      Auth      `yaml:"auth"`
	Log       Log       `yaml:"log"`
	Retention Retention `yaml:"retention"`

	// Shared is set in a server: its users are not who has started it.
	Shared bool `yaml:"-"`
	// Command that this process is: "orch deploy".
	Command string `yaml:"-"`
	// File that was read, "" for none.
	File string `yaml:"-"`

	origins map[string]string
	places  map[string]diag.Pos // of the keys of the file
}

// Terraform says which binary and providers to use.
type Terraform struct {
	Binary string `yaml:"binary" env:"ORCH_TERRAFORM" doc:"path or name of terraform or tofu; default: found on PATH, else installed"`
	Mirror string `yaml:"mirror" env:"ORCH_TERRAFORM_MIRROR" doc:"directory with providers (a filesystem mirror); default: the registry"`
}

// MasterKey encrypts secrets and Terraform states at rest.
type MasterKey struct {
	File    string `yaml:"file" env:"ORCH_MASTER_KEY_FILE" doc:"file with the age identity; made on first use; default: master.key in home"`
	Command string `yaml:"command" env:"ORCH_MASTER_KEY_COMMAND" doc:"command that prints the age identity (a KMS)"`
}

// SSH bounds what orch waits for on servers.
type SSH struct {
	ReadyTimeout time.Duration `yaml:"ready_timeout" env:"ORCH_SSH_READY_TIMEOUT" doc:"how long a new server may take until one can log in and its first boot is done"`
	// OperationTimeout of scripts that give none themselves.
	OperationTimeout time.Duration `yaml:"operation_timeout" env:"ORCH_OPERATION_TIMEOUT" doc:"time limit of an operation that names none"`
}

// SandboxDir is where the embedded OpenStack keeps its state.
func (c *Config) SandboxDir() string { return filepath.Join(c.Home, "sandbox") }

// Options of Load.
type Options struct {
	// Path of the file; "" looks at ORCH_CONFIG, then at the default place, where it may be absent.
	Path string
	// Overrides from flags, by yaml name.
	Overrides map[string]string
	// Getenv is os.Getenv unless given.
	Getenv func(string) string
}

// Load reads the configuration. Mistakes come back as a diag.ListError with places.
func Load(o Options) (*Config, error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	c := initial()
	if err := c.readFile(o); err != nil {
		return nil, err
	}
	if err := eachField("", reflect.ValueOf(c).Elem(), func(f field) error {
		text, from := o.Getenv(f.env), f.env
		if flag, ok := o.Overrides[f.name]; ok {
			text, from = flag, "--"+strings.NewReplacer(".", "-", "_", "-").Replace(f.name)
		}
		if text == "" {
			return nil
		}
		if err := f.set(text); err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
		c.origins[f.name] = from
		delete(c.places, f.name)
		return nil
	}); err != nil {
		return nil, err
	}
	return c, c.defaults(o.Getenv)
}

func (c *Config) readFile(o Options) error {
	path, must := o.Path, true
	if path == "" {
		path = o.Getenv("ORCH_CONFIG")
	}
	if path == "" {
		dir, err := os.UserConfigDir()
		if err != nil {
			return nil // no home directory: nothing to read
		}
		path, must = filepath.Join(dir, "orch", "config.yaml"), false
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the configuration: %w", err)
	}
	node, list := source.Parse(path, data)
	if !list.HasErrors() {
		list.Add(source.Decode(node, c)...)
		c.recordOrigins("", node)
	}
	c.File = path
	return list.Err()
}

func (c *Config) defaults(getenv func(string) string) error {
	if c.Home == "" {
		base := getenv("XDG_DATA_HOME")
		if base == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return fmt.Errorf("cannot find a home directory; set ORCH_HOME: %w", err)
			}
			base = filepath.Join(home, ".local", "share")
		}
		c.Home = filepath.Join(base, "orch")
	}
	abs, err := filepath.Abs(c.Home)
	if err != nil {
		return fmt.Errorf("cannot resolve the home directory: %w", err)
	}
	c.Home = abs
	if c.Store == "" {
		c.Store = "bolt:" + filepath.Join(c.Home, "orch.db")
	}
	c.Store = c.Consul.complete(c.Store)
	if c.MasterKey.File == "" {
		c.MasterKey.File = filepath.Join(c.Home, "master.key")
	}
	if list := c.check(); len(list) > 0 {
		return list.Err()
	}
	if _, ok := c.Locations[c.Location]; c.Location != "" && !ok && len(c.Locations) > 0 {
		list := diag.List{{Code: "unknown-location", Pos: diag.Pos{File: c.File}, Message: fmt.Sprintf("the default location %q is not among the locations", c.Location)}}
		return list.Err()
	}
	return nil
}

// field is a leaf of the configuration that has an environment variable.
type field struct {
	name     string // dotted yaml name: terraform.binary
	env, doc string
	sep      string // of lists in variables and flags
	value    reflect.Value
}

// eachField visits the leaves that have an environment variable.
func eachField(prefix string, v reflect.Value, visit func(field) error) error {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		name := prefix + f.Tag.Get("yaml")
		if env := f.Tag.Get("env"); env != "" {
			if err := visit(field{name, env, f.Tag.Get("doc"), separator(f.Tag.Get("sep")), v.Field(i)}); err != nil {
				return err
			}
		} else if f.Type.Kind() == reflect.Struct {
			if err := eachField(name+".", v.Field(i), visit); err != nil {
				return err
			}
		}
	}
	return nil
}

// separator of lists in variables: that of PATH, where the elements are no addresses or patterns.
func separator(tag string) string {
	if tag == "" {
		return string(os.PathListSeparator)
	}
	return tag
}

func (f field) set(text string) error {
	switch f.value.Interface().(type) {
	case string:
		f.value.SetString(text)
	case time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is not a duration such as 90s or 10m", text)
		}
		f.value.SetInt(int64(d))
	case int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		f.value.SetInt(int64(n))
	case bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is not true or false", text)
		}
		f.value.SetBool(b)
	case []string:
		f.value.Set(reflect.ValueOf(strings.Split(text, f.sep)))
	default:
		return fmt.Errorf("cannot set a %s", f.value.Type())
	}
	return nil
}

package secret

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ErrNotFound means that a reference leads to nothing.
var ErrNotFound = errors.New("no such secret")

// Ref names a secret. Its text is [scheme:]name[@version][#field]:
//
//	db/password               in orch's store
//	db/account@2#password     version 2, field of the JSON object stored there
//	env:DB_PASSWORD           variable of orch's environment
//	file:/run/secrets/db      content of a file, without a last line end
//	vault:secret/shop/db#password  HashiCorp Vault, KV version 2: mount "secret", path "shop/db"
type Ref struct {
	Scheme  string // "" is orch's store
	Name    string
	Version int    // 0 is the newest
	Field   string // of a JSON object; dots go deeper
}

var schemes = []string{"env", "file", "vault"}

// ParseRef reads a reference. A prefix that is not a known scheme is part of the name.
func ParseRef(s string) (Ref, error) {
	var r Ref
	rest := s
	if scheme, after, ok := strings.Cut(s, ":"); ok && slices.Contains(schemes, scheme) {
		r.Scheme, rest = scheme, after
	}
	if i := strings.LastIndexByte(rest, '#'); i >= 0 {
		r.Field, rest = rest[i+1:], rest[:i]
		if r.Field == "" {
			return Ref{}, fmt.Errorf("the reference %q ends with #: want the name of a field after it", s)
		}
	}
	if r.Scheme == "" || r.Scheme == "vault" {
		if i := strings.LastIndexByte(rest, '@'); i >= 0 {
			n, err := strconv.Atoi(rest[i+1:])
			if err == nil && n > 0 {
				r.Version, rest = n, rest[:i]
			}
		}
	}
	if r.Name = rest; r.Name == "" {
		return Ref{}, fmt.Errorf("the reference %q names no secret", s)
	}
	return r, nil
}

// RefOf reads the arguments of get_secret: a reference, and where in a JSON secret the wanted part is — the keys on the way to it, as
// Cloudify and TOSCA write them, or "data=field", as Yorc's Vault client takes it. "version=N" chooses a version.
func RefOf(args []string) (Ref, error) {
	if len(args) == 0 {
		return Ref{}, errors.New("get_secret wants the name of a secret")
	}
	r, err := ParseRef(args[0])
	if err != nil {
		return r, err
	}
	for _, a := range args[1:] {
		key, value, ok := strings.Cut(a, "=")
		switch {
		case a == "":
			return r, errors.New("get_secret: the name of a field is empty")
		case !ok:
			r.Field = strings.TrimPrefix(r.Field+"."+a, ".")
		case key == "data" && value != "":
			r.Field = value
		case key == "version":
			if r.Version, err = strconv.Atoi(value); err != nil || r.Version < 1 {
				return r, fmt.Errorf("get_secret: %q is no version", value)
			}
		default:
			return r, fmt.Errorf("get_secret does not know the option %q (want data=FIELD or version=N)", a)
		}
	}
	return r, nil
}

func (r Ref) String() string {
	s := r.Name
	if r.Scheme != "" {
		s = r.Scheme + ":" + s
	}
	if r.Version > 0 {
		s += "@" + strconv.Itoa(r.Version)
	}
	if r.Field != "" {
		s += "#" + r.Field
	}
	return s
}

// Resolver finds secrets. ErrNotFound says that there is none; no error shows a value.
type Resolver interface {
	Resolve(ctx context.Context, ref Ref) (Value, error)
}

// Resolvers finds a secret by the scheme of its reference.
type Resolvers map[string]Resolver

// External returns the resolvers of the schemes env, file and vault. The caller adds its store under "".
func External() Resolvers { return Resolvers{"env": Env{}, "file": File{}, "vault": &Vault{}} }

// Resolve implements Resolver.
func (rs Resolvers) Resolve(ctx context.Context, ref Ref) (Value, error) {
	r := rs[ref.Scheme]
	if r == nil {
		return Value{}, fmt.Errorf("cannot resolve the secret %s: references of this kind are not enabled", ref)
	}
	v, err := r.Resolve(ctx, ref)
	if err != nil {
		return Value{}, fmt.Errorf("cannot resolve the secret %s: %w", ref, err)
	}
	return v, nil
}

// Field takes a part out of a secret that is JSON; dots lead into inner objects, numbers into lists. An empty field is the whole.
func Field(v Value, field string) (Value, error) {
	if field == "" {
		return v, nil
	}
	var at any
	d := json.NewDecoder(strings.NewReader(v.Reveal()))
	d.UseNumber()
	if d.Decode(&at) != nil { // its error would show the value
		return Value{}, fmt.Errorf("%w: it is not JSON, so it has no field %q", ErrNotFound, field)
	}
	return descend(at, field)
}

func descend(at any, field string) (Value, error) {
	found, ok := lookUp(at, field)
	if !ok {
		return Value{}, fmt.Errorf("%w: no field %q", ErrNotFound, field)
	}
	return textOf(found)
}

// lookUp follows a dotted path. Keys may have dots themselves: the longest that exists is tried first.
func lookUp(at any, path string) (any, bool) {
	if path == "" {
		return at, true
	}
	for head, rest, more := path, "", true; more; head, rest, more = shorter(path, head) {
		if inner, ok := child(at, head); ok {
			if found, ok := lookUp(inner, rest); ok {
				return found, true
			}
		}
	}
	return nil, false
}

// shorter cuts the path at the dot before the one it was cut at.
func shorter(path, head string) (string, string, bool) {
	i := strings.LastIndexByte(head, '.')
	if i <= 0 || i+1 == len(path) {
		return "", "", false
	}
	return path[:i], path[i+1:], true
}

func child(at any, key string) (any, bool) {
	switch t := at.(type) {
	case map[string]any:
		v, ok := t[key]
		return v, ok
	case []any:
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 || i >= len(t) {
			return nil, false
		}
		return t[i], true
	}
	return nil, false
}

func textOf(v any) (Value, error) {
	if s, ok := v.(string); ok {
		return New(s), nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return Value{}, errors.New("the field cannot be encoded")
	}
	return New(string(b)), nil
}

// Env resolves env:NAME.
type Env struct {
	Lookup func(string) (string, bool) // default os.LookupEnv
	// Allow lists patterns (path.Match) of names that may be read; nil allows all. Orch's own credentials never may.
	Allow []string
}

// ErrForbidden means that the configuration does not allow a reference.
var ErrForbidden = errors.New("the configuration of orch does not allow it")

// ownVariables hold what opens everything else.
var ownVariables = []string{"ORCH_MASTER_KEY", "VAULT_TOKEN", "CONSUL_HTTP_TOKEN", "ORCH_STORE", "ORCH_CONSUL_TOKEN", "ORCH_TOKEN"}

// Resolve implements Resolver.
func (e Env) Resolve(_ context.Context, ref Ref) (Value, error) {
	matches := func(pattern string) bool { ok, err := path.Match(pattern, ref.Name); return ok && err == nil }
	if slices.Contains(ownVariables, ref.Name) || e.Allow != nil && !slices.ContainsFunc(e.Allow, matches) {
		return Value{}, fmt.Errorf("%w: the variable %s", ErrForbidden, ref.Name)
	}
	lookup := e.Lookup
	if lookup == nil {
		lookup = os.LookupEnv
	}
	s, ok := lookup(ref.Name)
	if !ok {
		return Value{}, fmt.Errorf("%w: the variable %s is not set in the environment of orch", ErrNotFound, ref.Name)
	}
	return Field(New(s), ref.Field)
}

// File resolves file:PATH.
type File struct {
	// Dir confines paths: relative ones are inside, and none may lead out. Empty allows every file that orch can read, but those Denied.
	Dir string
	// Deny lists files that hold what opens everything else: the master key.
	Deny []string
	// Off refuses every file.
	Off bool
}

// MaxSize of a secret in bytes.
const MaxSize = 1 << 20

// Resolve implements Resolver.
func (f File) Resolve(_ context.Context, ref Ref) (Value, error) {
	if f.Off || f.denied(ref.Name) {
		return Value{}, fmt.Errorf("%w: the file %s", ErrForbidden, ref.Name)
	}
	b, err := f.read(ref.Name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return Value{}, fmt.Errorf("%w: %w", ErrNotFound, err)
	case err != nil:
		return Value{}, err
	case len(b) > MaxSize:
		return Value{}, fmt.Errorf("the file has more than %d bytes", MaxSize)
	}
	s := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	return Field(New(s), ref.Field)
}

// denied compares the files themselves: there are many ways to write a path.
func (f File) denied(name string) bool {
	if f.Dir != "" && !filepath.IsAbs(name) {
		name = filepath.Join(f.Dir, name)
	}
	asked, err := os.Stat(name)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(f.Deny, func(path string) bool {
		own, err := os.Stat(path)
		return err == nil && os.SameFile(own, asked)
	})
}

func (f File) read(name string) ([]byte, error) {
	var file *os.File
	var err error
	if f.Dir == "" {
		file, err = os.Open(name)
	} else {
		root, rootErr := os.OpenRoot(f.Dir)
		if rootErr != nil {
			return nil, rootErr
		}
		defer root.Close()
		if filepath.IsAbs(name) {
			if name, err = filepath.Rel(f.Dir, name); err != nil {
				return nil, err
			}
		}
		file, err = root.Open(name)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, MaxSize+1))
}

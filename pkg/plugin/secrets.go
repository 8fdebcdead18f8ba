package plugin

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/secret"
	"golang.org/x/crypto/ssh"
)

func splitDots(s string) []string { return strings.Split(s, ".") }

// diagnostic of an error, at the place in the topology that is to blame.
func (r *Renderer) diagnostic(in *inst, err error) diag.Diagnostic {
	d := diag.Diagnostic{Severity: diag.Error, Code: CodePreflight, Pos: in.node.Pos, Path: "node " + in.node.Name,
		Message: in.node.Name + ": " + err.Error()}
	var x *ExprError
	if errors.As(err, &x) {
		d.Hint = x.Hint
		if x.Node != "" {
			d.Path, d.Message = "node "+x.Node, x.Node+": "+err.Error()
		}
		if !x.At.IsZero() {
			d.Pos = x.At
		}
		if !x.Pos.IsZero() && d.Hint == "" {
			d.Related = []diag.Related{{Pos: x.Pos, Message: "asked for here"}}
		}
	}
	return d
}

// SecretRef is the reference of a secret that is generated for a deployment's node and instance; node and index may be empty.
func SecretRef(deployment, node, index, name string) string {
	return join("/", "deployments", deployment, node, index, name)
}

// evalGenerate makes a secret on first use.
func evalGenerate(f *frame, e *Expr) (any, error) {
	lit := func(k string) string {
		if x := e.Named.Get(k); x != nil {
			s, _ := x.Lit.(string)
			return s
		}
		return ""
	}
	node, index := f.in.node.Name, f.in.index
	switch Scope(lit("scope")) {
	case PerDeployment:
		node, index = "", ""
	case PerNode:
		index = ""
	}
	ref := SecretRef(f.r.Deployment, node, index, lit("secret"))
	var make func() ([]byte, error)
	switch kind := lit("kind"); kind {
	case "ed25519":
		make = func() ([]byte, error) { return NewEd25519(ref) }
	case "password":
		make = newPassword
	default:
		return nil, fmt.Errorf("$generate cannot make a %q: kinds are ed25519 and password", kind)
	}
	if f.r.Secrets == nil {
		return Generated{Ref: ref}, nil
	}
	v, err := f.r.Secrets.Generate(f.ctx, ref, make)
	if err != nil {
		return nil, fmt.Errorf("cannot make the secret %s: %w", ref, err)
	}
	return Generated{Ref: ref, Value: v}, nil
}

// NewEd25519 makes a private key in OpenSSH's format.
func NewEd25519(comment string) ([]byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(key, comment)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(block), nil
}

func newPassword() ([]byte, error) {
	b := make([]byte, 18)
	if _, err := rand.Read(b); err != nil {
		return nil, err
	}
	return []byte(base64.RawURLEncoding.EncodeToString(b)), nil
}

// publicKey is the public half in authorized_keys form.
func publicKey(private secret.Value) (any, error) {
	if private.IsZero() {
		return nil, nil
	}
	s, err := ssh.ParsePrivateKey([]byte(private.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("cannot read the private key: %w", err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.PublicKey()))), nil
}

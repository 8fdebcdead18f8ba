package cloudinit

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

const hostKeyDir = "/etc/ssh"

// ssh is the module of host keys and of the keys that may log in.
func (r *Run) ssh(context.Context) error {
	var errs []error
	given := table(r.cfg["ssh_keys"])
	if truth(r.cfg["ssh_deletekeys"], true) || len(given) > 0 {
		old, _ := filepath.Glob(r.path(hostKeyDir + "/ssh_host_*key*"))
		for _, f := range old {
			errs = append(errs, os.Remove(f))
		}
	}
	if err := os.MkdirAll(r.path(hostKeyDir), 0o755); err != nil {
		return err
	}
	if len(given) > 0 {
		errs = append(errs, r.installHostKeys(given))
	}
	if keys, _ := filepath.Glob(r.path(hostKeyDir + "/ssh_host_*_key")); len(keys) == 0 {
		errs = append(errs, r.generateHostKeys())
	}
	keys := append(slices.Clone(r.PublicKeys), keyLines(list(r.cfg["ssh_authorized_keys"]))...)
	if len(keys) == 0 {
		return errors.Join(errs...)
	}
	user := "NONE"
	if r.hasDefault() {
		user = r.User
		errs = append(errs, r.authorize(user, keys, ""))
	}
	prefix := ""
	if truth(r.cfg["disable_root"], true) {
		prefix = `no-port-forwarding,no-agent-forwarding,no-X11-forwarding,command="echo 'Please login as the user \"` + user +
			`\" rather than the user \"root\".';echo;sleep 10;exit 142" `
		if o := text(r.cfg["disable_root_opts"]); o != "" {
			prefix = strings.NewReplacer("$USER", user, "$DISABLE_USER", "root").Replace(o) + " "
		}
	}
	errs = append(errs, r.authorize("root", keys, prefix))
	return errors.Join(errs...)
}

// installHostKeys writes the keys of "ssh_keys"; a public half that is missing is derived.
func (r *Run) installHostKeys(given config) error {
	var errs []error
	for _, kind := range []string{"rsa", "ecdsa", "ed25519", "dsa"} {
		private := text(given[kind+"_private"])
		if private == "" {
			continue
		}
		public := strings.TrimSpace(text(given[kind+"_public"]))
		signer, err := ssh.ParsePrivateKey([]byte(private))
		if err != nil {
			errs = append(errs, fmt.Errorf("ssh_keys: %s_private: %w", kind, err))
			continue
		}
		if public == "" {
			public = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
		}
		if !strings.HasSuffix(private, "\n") {
			private += "\n"
		}
		errs = append(errs, r.writeHostKey(kind, []byte(private), public))
		if cert := text(given[kind+"_certificate"]); cert != "" {
			errs = append(errs, os.WriteFile(r.path(hostKeyDir+"/ssh_host_"+kind+"_key-cert.pub"), []byte(cert+"\n"), 0o644))
		}
	}
	return errors.Join(errs...)
}

func (r *Run) writeHostKey(kind string, private []byte, public string) error {
	path := r.path(hostKeyDir + "/ssh_host_" + kind + "_key")
	return errors.Join(os.WriteFile(path, private, 0o600), os.WriteFile(path+".pub", []byte(public+"\n"), 0o644))
}

// generateHostKeys makes the kinds of ssh_genkeytypes. RSA is left to those who ask for it: it takes long, and every client knows
// the others.
func (r *Run) generateHostKeys() error {
	kinds := []string{"ecdsa", "ed25519"}
	if v, ok := r.cfg["ssh_genkeytypes"]; ok {
		kinds = words(v)
	}
	name, _ := r.names()
	comment := "root@" + name
	var errs []error
	for _, kind := range kinds {
		var key crypto.PrivateKey
		var err error
		switch kind {
		case "ed25519":
			_, key, err = ed25519.GenerateKey(rand.Reader)
		case "ecdsa":
			key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		case "rsa":
			key, err = rsa.GenerateKey(rand.Reader, 3072)
		default:
			err = fmt.Errorf("unknown key type %q", kind)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		block, err := ssh.MarshalPrivateKey(key, comment)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		signer, err := ssh.NewSignerFromKey(key)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		public := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))) + " " + comment
		errs = append(errs, r.writeHostKey(kind, pem.EncodeToMemory(block), public))
		fmt.Fprintf(r.Console, "Generating public/private %s key pair.\nYour identification has been saved in /etc/ssh/ssh_host_%s_key\n"+
			"Your public key has been saved in /etc/ssh/ssh_host_%s_key.pub\nThe key fingerprint is:\n%s %s\n",
			kind, kind, kind, ssh.FingerprintSHA256(signer.PublicKey()), comment)
	}
	return errors.Join(errs...)
}

// HostKeys loads the host keys below the root, as sshd does at its start.
func HostKeys(root string) ([]ssh.Signer, error) {
	paths, _ := filepath.Glob(filepath.Join(root, hostKeyDir, "ssh_host_*_key"))
	var out []ssh.Signer
	var errs []error
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err == nil {
			var s ssh.Signer
			if s, err = ssh.ParsePrivateKey(data); err == nil {
				out = append(out, s)
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("host key %s: %w", p, err))
		}
	}
	if len(out) == 0 {
		return nil, errors.Join(append(errs, errors.New("no host key"))...)
	}
	return out, nil
}

// keysToConsole prints fingerprints and public keys as cloud-init's helper write-ssh-key-fingerprints does.
func (r *Run) keysToConsole(context.Context) error {
	if !truth(table(r.cfg["ssh"])["emit_keys_to_console"], true) {
		return nil
	}
	name, _ := r.names()
	paths, _ := filepath.Glob(r.path(hostKeyDir + "/ssh_host_*_key.pub"))
	var prints, keys strings.Builder
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			continue
		}
		key, comment, _, _, err := ssh.ParseAuthorizedKey(data)
		if err != nil {
			continue
		}
		if comment == "" {
			comment = "root@" + name
		}
		fmt.Fprintf(&prints, "%d %s %s (%s)\n", keyBits(key), ssh.FingerprintSHA256(key), comment, keyName(key))
		keys.WriteString(strings.TrimSpace(string(data)) + "\n")
	}
	tag := "<14>" + time.Now().UTC().Format(time.Stamp) + " cloud-init: "
	rule := strings.Repeat("#", 61)
	lines := []string{rule, "-----BEGIN SSH HOST KEY FINGERPRINTS-----"}
	lines = append(lines, strings.Split(strings.TrimSpace(prints.String()), "\n")...)
	lines = append(lines, "-----END SSH HOST KEY FINGERPRINTS-----", rule)
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(tag + l + "\n")
	}
	b.WriteString("-----BEGIN SSH HOST KEY KEYS-----\n" + keys.String() + "-----END SSH HOST KEY KEYS-----\n")
	_, err := r.Console.Write([]byte(b.String()))
	return err
}

func keyName(k ssh.PublicKey) string {
	switch {
	case strings.HasPrefix(k.Type(), "ecdsa"):
		return "ECDSA"
	case k.Type() == ssh.KeyAlgoRSA:
		return "RSA"
	case k.Type() == ssh.KeyAlgoED25519:
		return "ED25519"
	}
	return strings.ToUpper(k.Type())
}

func keyBits(k ssh.PublicKey) int {
	if c, ok := k.(ssh.CryptoPublicKey); ok {
		switch p := c.CryptoPublicKey().(type) {
		case *rsa.PublicKey:
			return p.N.BitLen()
		case *ecdsa.PublicKey:
			return p.Curve.Params().BitSize
		}
	}
	return 256
}

// keyFingerprints prints who may log in, as a table.
func (r *Run) keyFingerprints(context.Context) error {
	if truth(r.cfg["no_ssh_fingerprints"], false) || !r.hasDefault() {
		return nil
	}
	home := "/home/" + r.User
	data, _ := os.ReadFile(r.path(home + "/.ssh/authorized_keys"))
	fmt.Fprintf(r.Console, "ci-info: ++++Authorized keys from %s/.ssh/authorized_keys for user %s++++\n", home, r.User)
	fmt.Fprintln(r.Console, "ci-info: | Keytype | Fingerprint (sha256) | Options | Comment |")
	for len(data) > 0 {
		key, comment, _, rest, err := ssh.ParseAuthorizedKey(data)
		if err != nil {
			break
		}
		fmt.Fprintf(r.Console, "ci-info: | %s | %s | - | %s |\n", key.Type(), fingerprintHex(key), comment)
		data = rest
	}
	return nil
}

func fingerprintHex(k ssh.PublicKey) string {
	sum := md5.Sum(k.Marshal())
	var parts []string
	for _, b := range sum {
		parts = append(parts, fmt.Sprintf("%02x", b))
	}
	return strings.Join(parts, ":")
}

package plugin

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime/multipart"
	"net/textproto"
	"strings"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// Modes of putting a host key into a server.
const (
	ModeCloudConfig = "cloud-config"
	ModeScript      = "script"
	ModeNone        = "none"
)

// evalCloudInit makes the server's user data: the user's own with the host key added.
//
//	cloud-config  a #cloud-config with ssh_keys; with user data of the user, a MIME multipart of both
//	script        a #!/bin/sh script that installs the key and restarts sshd, then does the user's script
//	none          the user's own
func evalCloudInit(f *frame, e *Expr) (any, error) {
	args, err := f.named(e.Named)
	if err != nil {
		return nil, err
	}
	user := args["user_data"]
	key := secret.Value{}
	if g, ok := args["host_key"].(Generated); ok {
		key = g.Value
	} else if s, ok := args["host_key"].(secret.Value); ok {
		key = s
	}
	mode := str(args["mode"])
	if mode == ModeNone || key.IsZero() {
		return user, nil
	}
	switch t := user.(type) {
	case topology.Unknown:
		return t, nil
	case Ref, template:
		return nil, fmt.Errorf("the user data refers to a resource, which cannot be joined with the host key; use host_keys: console or first-use")
	}
	own := ""
	if s, ok := user.(secret.Value); ok {
		own = s.Reveal()
	} else {
		own = str(user)
	}
	pub, err := publicKey(key)
	if err != nil {
		return nil, err
	}
	var out string
	if mode == ModeScript {
		out, err = keyScript(own, key.Reveal(), pub.(string))
	} else {
		out, err = keyConfig(own, key.Reveal(), pub.(string))
	}
	return secret.New(out), err
}

// keyConfig: see cloud-init's module cc_ssh. Other generated host keys are kept from the server, as it has just the one that is pinned.
func keyConfig(own, private, public string) (string, error) {
	var b strings.Builder
	b.WriteString("#cloud-config\nssh_deletekeys: true\nssh_genkeytypes: []\nssh_keys:\n  ed25519_private: |\n")
	for line := range strings.Lines(private) {
		b.WriteString("    " + line)
	}
	b.WriteString("  ed25519_public: " + public + "\n")
	if strings.TrimSpace(own) == "" {
		return b.String(), nil
	}
	return multipartOf(b.String(), own)
}

// userDataTypes are the beginnings by which cloud-init knows a document.
var userDataTypes = []struct{ begins, mime string }{
	{"#cloud-config", "text/cloud-config"}, {"#!", "text/x-shellscript"}, {"#include", "text/x-include-url"},
	{"#cloud-boothook", "text/cloud-boothook"}, {"## template: jinja", "text/jinja2"}, {"#part-handler", "text/part-handler"},
	{"#upstart-job", "text/upstart-job"},
}

// multipartOf joins two documents. The user's part comes last and is merged over ours key by key, lists appended.
func multipartOf(ours, own string) (string, error) {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	// The boundary depends on the content only: the same user data must not replace the server.
	if err := w.SetBoundary("orch-" + hash(ours+own, 32)); err != nil {
		return "", err
	}
	part := func(mime, text string) error {
		h := textproto.MIMEHeader{"Content-Type": {mime + `; charset="utf-8"`}, "MIME-Version": {"1.0"}, "Content-Transfer-Encoding": {"base64"}}
		if mime == "text/cloud-config" {
			h.Set("Merge-Type", "dict(no_replace,recurse_list)+list(append)")
		}
		p, err := w.CreatePart(h)
		if err != nil {
			return err
		}
		_, err = p.Write([]byte(wrapped(text)))
		return err
	}
	trimmed := strings.TrimLeft(own, "\ufeff \t\r\n")
	if strings.HasPrefix(trimmed, "Content-Type:") || strings.HasPrefix(trimmed, "MIME-Version:") {
		return nested(ours, trimmed)
	}
	mime := ""
	for _, t := range userDataTypes {
		if strings.HasPrefix(trimmed, t.begins) {
			mime = t.mime
			break
		}
	}
	if mime == "" {
		return "", fmt.Errorf("the user data begins with none of #cloud-config, #!, #include, Content-Type:, so it cannot be joined with the host key; use host_keys: console or first-use")
	}
	for _, p := range [][2]string{{"text/cloud-config", ours}, {mime, trimmed}} {
		if err := part(p[0], p[1]); err != nil {
			return "", err
		}
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return "Content-Type: multipart/mixed; boundary=\"" + w.Boundary() + "\"\nMIME-Version: 1.0\n\n" + body.String(), nil
}

// nested keeps a MIME document of the user whole, beside ours; cloud-init walks into parts of parts.
func nested(ours, own string) (string, error) {
	boundary := "orch-" + hash(ours+own, 32)
	var b strings.Builder
	b.WriteString("Content-Type: multipart/mixed; boundary=\"" + boundary + "\"\nMIME-Version: 1.0\n\n")
	b.WriteString("--" + boundary + "\nContent-Type: text/cloud-config; charset=\"utf-8\"\nMIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\n")
	b.WriteString(wrapped(ours))
	b.WriteString("--" + boundary + "\n" + own)
	if !strings.HasSuffix(own, "\n") {
		b.WriteString("\n")
	}
	b.WriteString("--" + boundary + "--\n")
	return b.String(), nil
}

// wrapped is base64 in lines of 76.
func wrapped(s string) string {
	enc := base64.StdEncoding.EncodeToString([]byte(s))
	var b strings.Builder
	for len(enc) > 76 {
		b.WriteString(enc[:76] + "\n")
		enc = enc[76:]
	}
	b.WriteString(enc + "\n")
	return b.String()
}

// keyScript installs the key on servers without cloud-config. The user's script follows in the same file.
func keyScript(own, private, public string) (string, error) {
	trimmed := strings.TrimLeft(own, "\ufeff \t\r\n")
	if trimmed != "" && !strings.HasPrefix(trimmed, "#!") {
		return "", fmt.Errorf("with host_keys: script the user data must be a script whose first line begins with #! and the interpreter")
	}
	var b strings.Builder
	b.WriteString("#!/bin/sh\numask 077\nmkdir -p /etc/ssh\n" +
		"for k in rsa dsa ecdsa; do rm -f /etc/ssh/ssh_host_${k}_key /etc/ssh/ssh_host_${k}_key.pub; done\n" +
		"cat > /etc/ssh/ssh_host_ed25519_key <<'ORCH_HOST_KEY'\n" + private)
	if !strings.HasSuffix(private, "\n") {
		b.WriteString("\n")
	}
	b.WriteString("ORCH_HOST_KEY\nprintf '%s\\n' '" + public + "' > /etc/ssh/ssh_host_ed25519_key.pub\n" +
		"chmod 600 /etc/ssh/ssh_host_ed25519_key\nchmod 644 /etc/ssh/ssh_host_ed25519_key.pub\n" +
		"if command -v systemctl >/dev/null 2>&1 && systemctl list-units >/dev/null 2>&1; then\n" +
		"  systemctl try-restart ssh sshd >/dev/null 2>&1 || true\n" +
		"elif command -v service >/dev/null 2>&1 && service ssh status >/dev/null 2>&1; then service ssh restart >/dev/null 2>&1 || true\n" +
		"elif command -v service >/dev/null 2>&1 && service sshd status >/dev/null 2>&1; then service sshd restart >/dev/null 2>&1 || true\n" +
		"else for p in /run/sshd.pid /var/run/sshd.pid; do [ -f $p ] && kill -HUP \"$(cat $p)\" && break; done; fi\numask 022\n")
	if trimmed != "" {
		// The user's script runs as itself, with its own interpreter.
		b.WriteString("ORCH_USER=$(mktemp) && base64 -d > \"$ORCH_USER\" <<'ORCH_USER_DATA'\n" + wrapped(trimmed) +
			"ORCH_USER_DATA\nchmod 700 \"$ORCH_USER\"\n\"$ORCH_USER\"\nrc=$?\nrm -f \"$ORCH_USER\"\nexit $rc\n")
	}
	return b.String(), nil
}

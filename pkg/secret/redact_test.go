package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/orch-project/orch/internal/orchtest/bounded"
)

func TestRedactsForms(t *testing.T) {
	const s = `p@ss "w'rd$1/+é\${x}<&`
	js, _ := json.Marshal(s)
	js2, _ := json.Marshal(string(js))
	forms := map[string]string{
		"plain":         s,
		"json":          string(js),
		"json twice":    string(js2),
		"base64":        base64.StdEncoding.EncodeToString([]byte(s)),
		"base64 raw":    base64.RawStdEncoding.EncodeToString([]byte(s)),
		"base64url":     base64.URLEncoding.EncodeToString([]byte(s)),
		"base64url raw": base64.RawURLEncoding.EncodeToString([]byte(s)),
		"query":         url.QueryEscape(s),
		"path":          url.PathEscape(s),
		"query lower":   strings.NewReplacer("%2F", "%2f", "%2B", "%2b", "%C3%A9", "%c3%a9", "%3C", "%3c", "%5C", "%5c", "%7B", "%7b", "%7D", "%7d").Replace(url.QueryEscape(s)),
		"single quotes": `'` + strings.ReplaceAll(s, `'`, `'\''`) + `'`,
		"html":          html.EscapeString(s),
		"go":            fmt.Sprintf("%q", s),
		"hex":           hex.EncodeToString([]byte(s)),
		"HEX":           strings.ToUpper(hex.EncodeToString([]byte(s))),
	}
	r := NewRedactor(New(s))
	for name, f := range forms {
		got := r.String("a " + f + " z")
		if got = strings.Trim(got[2:len(got)-2], `"'\`); got != Mask {
			t.Errorf("%s: %s became %s", name, f, got)
		}
	}
}

func TestRedactsShellForms(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("needs bash")
	}
	const s = `a b'c"d$e\f;g&h`
	out, err := exec.Command("bash", "-c", `printf '%q\n' "$1"; x=$1; set -x; : "$x"`, "bash", s).CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	got := NewRedactor(New(s)).String(string(out))
	if strings.Contains(got, "c\"d") || strings.Contains(got, `c\"d`) {
		t.Errorf("%s became %s", out, got)
	}
}

// Dumps of a secret show it as numbers, and again as text.
func TestRedactsDumps(t *testing.T) {
	const s = "correct horse battery staple, of which nobody has heard before, and then some"
	r := NewRedactor(New(s))
	for _, dump := range []string{"xxd -p", "xxd", "hexdump -C", "od -An -tx1"} {
		tool := strings.Fields(dump)
		if _, err := exec.LookPath(tool[0]); err != nil {
			continue
		}
		cmd := exec.Command(tool[0], tool[1:]...)
		cmd.Stdin = strings.NewReader(s)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		got := r.String(string(out))
		for _, part := range []string{"636f", "63 6f", "62 61 74", "6261", "7474", "74 74", "correct", "horse", "battery", "nobody", "heard", "before"} {
			if strings.Contains(got, part) {
				t.Errorf("%s: %q is still in\n%s", dump, part, got)
				break
			}
		}
	}
}

// Basic authentication puts a secret into the middle of what is encoded.
func TestRedactsInsideBase64(t *testing.T) {
	const s = "correct horse battery"
	r := NewRedactor(New(s))
	for n := range 6 {
		for m := range 4 {
			text := strings.Repeat("u", n) + s + strings.Repeat("v", m)
			for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
				enc := e.EncodeToString([]byte(text))
				got := r.String(enc)
				rest := strings.ReplaceAll(got, Mask, "")
				if !strings.Contains(got, Mask) || len(rest) > (n*8+5)/6+(m*8+5)/6+6 {
					t.Errorf("%d %d: %s became %s", n, m, enc, got)
				}
			}
		}
	}
}

func TestRedactsLines(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	der := make([]byte, 600)
	for i := range der {
		der[i] = byte(r.Uint32())
	}
	body := base64.StdEncoding.EncodeToString(der)
	var pem strings.Builder
	pem.WriteString("-----BEGIN PRIVATE KEY-----\n")
	for rest := body; rest != ""; rest = rest[min(64, len(rest)):] {
		pem.WriteString(rest[:min(64, len(rest))] + "\n")
	}
	pem.WriteString("-----END PRIVATE KEY-----\n")
	red := NewRedactor(New(pem.String()))
	for name, shown := range map[string]string{
		"whole":    pem.String(),
		"crlf":     strings.ReplaceAll(pem.String(), "\n", "\r\n"),
		"indented": strings.ReplaceAll(pem.String(), "\n", "\n      "),
		"prefixed": strings.ReplaceAll(pem.String(), "\n", "\n[app 0] "),
		"json":     func() string { b, _ := json.Marshal(pem.String()); return string(b) }(),
		"base64":   base64.StdEncoding.EncodeToString([]byte(pem.String())),
		"wrapped":  wrap(base64.StdEncoding.EncodeToString([]byte(pem.String())), 76),
	} {
		got := red.String(shown)
		for at := 0; at+8 < len(body); at++ {
			if strings.Contains(got, body[at:at+8]) {
				t.Errorf("%s: %q is seen in %s", name, body[at:at+8], got)
				break
			}
		}
		if enc := base64.StdEncoding.EncodeToString([]byte(pem.String())); strings.Contains(got, enc[40:60]) {
			t.Errorf("%s: the encoded key is seen", name)
		}
	}
}

func wrap(s string, width int) string {
	var b strings.Builder
	for ; len(s) > width; s = s[width:] {
		b.WriteString(s[:width] + "\n")
	}
	return b.String() + s
}

func TestShortSecretsAreNotRedacted(t *testing.T) {
	r := &Redactor{}
	if r.Add(New("abc")) || !r.Add(New("abcd"), New("")) {
		t.Error("Add must report what is too short")
	}
	if got := r.String("abc abcd ab"); got != "abc **** ab" {
		t.Error(got)
	}
}

func TestWriterFindsSecretsAcrossWrites(t *testing.T) {
	r := NewRedactor(New("hunter2"), New("hunter2-and-more"))
	const text = "password hunter2, hunter2-and-more, hunter2-and-mo, hunhunter2hunter2! hunter"
	const want = "password ****, ****, ****-and-mo, hun****! hunter"
	for step := 1; step < 20; step++ {
		var out bytes.Buffer
		w := r.Writer(&out)
		for rest := text; rest != ""; rest = rest[min(step, len(rest)):] {
			if _, err := w.Write([]byte(rest[:min(step, len(rest))])); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("step %d: %s", step, out.String())
		}
	}
}

func TestWriterHoldsBackOnlyWhatItMust(t *testing.T) {
	var out bytes.Buffer
	r := NewRedactor(New("hunter2"))
	w := r.Writer(&out)
	fmt.Fprint(w, "progress 10%\nhun")
	if out.String() != "progress 10%\n" {
		t.Errorf("%q", out.String())
	}
	r.Add(New("later-secret")) // while text is held back
	fmt.Fprint(w, "gry later-sec")
	if out.String() != "progress 10%\nhungry " {
		t.Errorf("%q", out.String())
	}
	fmt.Fprint(w, "ret.")
	if out.String() != "progress 10%\nhungry ****." {
		t.Errorf("%q", out.String())
	}
}

// A stream that is nothing but secrets must not be kept in memory.
func TestWriterIsBounded(t *testing.T) {
	var out bytes.Buffer
	w := NewRedactor(New("aaaa")).Writer(&out)
	for range 1000 {
		fmt.Fprint(w, strings.Repeat("a", 1000))
		if len(w.held) > 8 {
			t.Fatalf("%d bytes held", len(w.held))
		}
	}
	w.Close()
	if out.String() != Mask {
		t.Errorf("%q", out.String())
	}
}

// FuzzRedact: how text is divided into writes changes nothing, and no secret is left.
func FuzzRedact(f *testing.F) {
	f.Add("secret", "other value", "a secret and an other value", []byte{3, 1, 7})
	f.Add("aaaa", "aaab", "aaaaaaaabaaa", []byte{1})
	f.Fuzz(func(t *testing.T, a, b, text string, cuts []byte) {
		defer bounded.Input(t)()
		if len(a)+len(b)+len(text) > 10000 {
			return
		}
		r := NewRedactor(New(a), New(b))
		text += a + text + b
		whole := r.String(text)
		var out bytes.Buffer
		w := r.Writer(&out)
		rest := text
		for _, c := range cuts {
			n := min(int(c), len(rest))
			_, _ = w.Write([]byte(rest[:n]))
			rest = rest[n:]
		}
		_, _ = w.Write([]byte(rest))
		_ = w.Close()
		if out.String() != whole {
			t.Errorf("in parts %q, whole %q", out.String(), whole)
		}
		for _, s := range []string{a, b} {
			if len(s) >= MinLength && strings.Contains(strings.ReplaceAll(whole, Mask, "\x00"), s) {
				t.Errorf("%q is left in %q", s, whole)
			}
		}
	})
}

func BenchmarkRedact(b *testing.B) {
	r := &Redactor{}
	for i := range 50 {
		r.Add(New(fmt.Sprintf("secret-number-%d-%x", i, i*7919)))
	}
	line := []byte(strings.Repeat("2026-01-02T03:04:05Z Setting up postgresql-15 (15.3-0+deb12u1) ... secretary\n", 100))
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		r.Bytes(line)
	}
}

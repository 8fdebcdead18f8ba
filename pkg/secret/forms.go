package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"strconv"
	"strings"
)

// MinLength is the least number of bytes of a secret that is redacted: masking shorter ones would make output unreadable, and tell
// what they are. Derived forms, and single lines of a secret of several lines, need minDerived.
const (
	MinLength  = 4
	minDerived = 8
)

const (
	maxPattern = 1024      // bytes of a pattern: longer forms are looked for in pieces
	allForms   = 16 * 1024 // bytes of a secret above which only the likely forms are looked for
	dumpForms  = 4 * 1024  // bytes of a secret above which dumps of it are not looked for
)

// forms returns every text by which the secret is recognized: itself, the way other programs quote and encode it, and its lines.
func forms(secret string) []string {
	if len(secret) < MinLength {
		return nil
	}
	f := formSet{seen: make(map[string]bool)}
	f.add(secret, MinLength)
	f.escaped(secret)
	if trimmed := strings.TrimSpace(secret); trimmed != secret {
		f.add(trimmed, minDerived)
		f.encoded(trimmed)
	}
	f.encoded(secret)
	if lines := strings.Split(strings.TrimSpace(secret), "\n"); len(lines) > 1 {
		for _, line := range lines {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "-----") {
				continue // the frame of a PEM block is no secret
			}
			f.add(line, minDerived)
			if len(secret) <= allForms {
				f.escaped(line)
			}
		}
	}
	return f.list
}

type formSet struct {
	seen map[string]bool
	list []string
}

// add takes a form, in pieces if it is long. The last piece is not made shorter than the others, which it could be by chance.
func (f *formSet) add(s string, least int) {
	for len(s) >= 2*maxPattern {
		f.one(s[:maxPattern])
		s = s[maxPattern:]
	}
	if len(s) >= least {
		f.one(s)
	}
}

func (f *formSet) one(s string) {
	if !f.seen[s] {
		f.seen[s] = true
		f.list = append(f.list, s)
	}
}

// escaped adds what JSON, HCL, URLs, shells, HTML and Go or Python make of it. They leave most secrets as they are.
func (f *formSet) escaped(s string) {
	js := jsonInner(s, false)
	f.add(js, MinLength)
	jsHTML := jsonInner(s, true)
	f.add(jsHTML, MinLength)
	f.add(jsonInner(js, false), MinLength) // JSON in JSON
	f.add(jsonInner(jsHTML, false), MinLength)
	if len(s) > allForms {
		return
	}
	f.add(strings.NewReplacer("${", "$${", "%{", "%%{").Replace(js), MinLength)
	f.add(url.QueryEscape(s), MinLength)
	f.add(lowerEscapes(url.QueryEscape(s)), MinLength)
	f.add(url.PathEscape(s), MinLength)
	f.add(strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), MinLength)
	f.add(strings.ReplaceAll(s, "'", `'\''`), MinLength)
	f.add(strings.ReplaceAll(s, "'", `'"'"'`), MinLength)
	f.add(strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(s), MinLength)              // in double quotes
	f.add(strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(s), MinLength) // $'…', Python
	f.add(backslashed(s), MinLength)
	f.add(html.EscapeString(s), MinLength)
	q := strconv.Quote(s)
	f.add(q[1:len(q)-1], MinLength)
}

func jsonInner(s string, escapeHTML bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(escapeHTML)
	if e.Encode(s) != nil || b.Len() < 3 {
		return s
	}
	return b.String()[1 : b.Len()-2] // without the quotes and the line end
}

// lowerEscapes turns %2F into %2f.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i:], bytes.ToLower(b[i:i+3]))
		}
	}
	return string(b)
}

// backslashed is the form of the shell's printf %q.
func backslashed(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < 128 && !strings.ContainsRune("_-./:@%+,=", r) && !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9') {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// encoded adds base64 and hexadecimal: of the secret alone, and of it inside a longer text, where it begins at any of three positions
// ("user:secret" of basic authentication) and its first and last character mix with its neighbours.
func (f *formSet) encoded(s string) {
	std := base64.StdEncoding.EncodeToString([]byte(s))
	f.add(std, minDerived)
	f.folded(std, 64) // as PEM, and MIME and the base64 command, break lines
	f.folded(std, 76)
	if len(s) > allForms {
		return
	}
	f.add(strings.TrimRight(std, "="), minDerived)
	f.add(base64.URLEncoding.EncodeToString([]byte(s)), minDerived)
	f.add(base64.RawURLEncoding.EncodeToString([]byte(s)), minDerived)
	f.add(url.QueryEscape(std), minDerived)
	for offset := range 3 {
		padded := append(make([]byte, offset), s...)
		first, end := (offset*8+5)/6, len(padded)*8/6
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			if inner := enc.EncodeToString(padded)[first:end]; len(inner) >= minDerived {
				f.add(inner, minDerived)
			}
		}
	}
	h := hex.EncodeToString([]byte(s))
	f.add(h, minDerived)
	f.add(strings.ToUpper(h), minDerived)
	f.folded(h, 60) // xxd -p
	f.dumped(s)
}

// folded adds the lines into which a long form is broken.
func (f *formSet) folded(s string, width int) {
	for rest := s; len(s) > width && rest != ""; rest = rest[min(width, len(rest)):] {
		f.add(rest[:min(width, len(rest))], minDerived)
	}
}

// dumped adds what xxd, hexdump -C and od -t x1 show of the secret: lines of 16 bytes as numbers, and beside them as text.
func (f *formSet) dumped(s string) {
	if len(s) > dumpForms {
		return
	}
	for begin := 0; begin < len(s); begin += 16 {
		line := s[begin:min(begin+16, len(s))]
		if len(line) < minDerived {
			return
		}
		var bytewise, halves, pairs strings.Builder
		for i := range len(line) {
			two := hex.EncodeToString([]byte{line[i]})
			if i > 0 {
				bytewise.WriteByte(' ')
				halves.WriteString(strings.Repeat(" ", 1+(8/i)*(i/8))) // two after the eighth
				pairs.WriteString(strings.Repeat(" ", 1-i%2))
			}
			bytewise.WriteString(two)
			halves.WriteString(two)
			pairs.WriteString(two)
		}
		f.one(bytewise.String())
		f.one(halves.String())
		f.one(pairs.String())
		if !strings.Contains(line, "-----") { // the frame of a PEM block is no secret
			f.one(strings.Map(printable, line))
		}
	}
}

// printable is what dumps show of a byte.
func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return '.'
	}
	return r
}

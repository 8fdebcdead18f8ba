package cloudinit

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"
)

// part is one piece of user data.
type part struct {
	kind     string // "config", "script", "boothook", "unknown"
	name     string
	body     []byte
	typeName string // as declared, for messages
}

// Limits against decompression bombs and endless nesting.
const (
	maxUserData = 16 << 20
	maxNesting  = 5
)

// parse takes user data apart: gzip, MIME multipart, then by the first line (cloud-init's "User-data formats").
func parse(data []byte) ([]part, error) { return parseNested(data, "part-001", 0) }

func parseNested(data []byte, name string, depth int) ([]part, error) {
	if depth > maxNesting {
		return nil, errors.New("user data is nested too deeply")
	}
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		plain, err := gunzip(data)
		if err != nil {
			return nil, err
		}
		return parseNested(plain, name, depth+1)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	if m, err := mail.ReadMessage(bytes.NewReader(data)); err == nil && m.Header.Get("Content-Type") != "" {
		return parseMail(m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body, name, depth)
	}
	return []part{{kind: kindOf(data), name: name, body: data}}, nil
}

func gunzip(data []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("cannot decompress user data: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(z, maxUserData+1))
	if err != nil {
		return nil, fmt.Errorf("cannot decompress user data: %w", err)
	}
	if len(plain) > maxUserData {
		return nil, errors.New("user data is larger than 16 MiB when decompressed")
	}
	return plain, nil
}

// parseMail handles one MIME entity.
func parseMail(contentType, encoding string, body io.Reader, name string, depth int) ([]part, error) {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, fmt.Errorf("cannot read the MIME type of user data: %w", err)
	}
	if strings.HasPrefix(media, "multipart/") {
		if depth > maxNesting {
			return nil, errors.New("user data is nested too deeply")
		}
		var out []part
		r := multipart.NewReader(body, params["boundary"])
		for i := 1; ; i++ {
			p, err := r.NextRawPart()
			if errors.Is(err, io.EOF) {
				return out, nil
			}
			if err != nil {
				return out, fmt.Errorf("cannot read multipart user data: %w", err)
			}
			sub := p.FileName()
			if sub == "" {
				sub = fmt.Sprintf("part-%03d", i)
			}
			kind := p.Header.Get("Content-Type")
			if kind == "" {
				kind = "text/plain"
			}
			more, err := parseMail(kind, p.Header.Get("Content-Transfer-Encoding"), p, sub, depth+1)
			out = append(out, more...)
			if err != nil {
				return out, err
			}
		}
	}
	switch strings.ToLower(encoding) {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, &noSpace{body})
	case "quoted-printable":
		body = newQuotedPrintable(body)
	}
	data, err := io.ReadAll(io.LimitReader(body, maxUserData))
	if err != nil {
		return nil, fmt.Errorf("cannot decode user data: %w", err)
	}
	switch media {
	case "text/cloud-config":
		return []part{{kind: "config", name: name, body: data}}, nil
	case "text/x-shellscript":
		return []part{{kind: "script", name: name, body: data}}, nil
	case "text/x-shellscript-per-boot", "text/x-shellscript-per-instance", "text/x-shellscript-per-once":
		return []part{{kind: strings.TrimPrefix(media, "text/x-shell"), name: name, body: data}}, nil
	case "text/cloud-boothook":
		return []part{{kind: "boothook", name: name, body: data}}, nil
	case "text/plain", "text/x-not-multipart", "application/octet-stream", "application/x-gzip", "application/gzip":
		return parseNested(data, name, depth+1)
	}
	return []part{{kind: "unknown", name: name, body: data, typeName: media}}, nil
}

// noSpace drops the line ends that base64 bodies have.
type noSpace struct{ r io.Reader }

func (n *noSpace) Read(p []byte) (int, error) {
	k, err := n.r.Read(p)
	out := p[:0]
	for _, c := range p[:k] {
		if c != '\n' && c != '\r' && c != ' ' {
			out = append(out, c)
		}
	}
	return len(out), err
}

// kindOf goes by the first line.
func kindOf(data []byte) string {
	text := string(bytes.TrimPrefix(data[:min(len(data), 4096)], []byte("\xef\xbb\xbf")))
	text = strings.TrimLeft(text, " \t\r\n")
	first, _, _ := strings.Cut(text, "\n")
	first = strings.TrimSpace(first)
	switch {
	case strings.HasPrefix(first, "#!"):
		return "script"
	case strings.HasPrefix(first, "#cloud-config-archive"):
		return "archive"
	case strings.HasPrefix(first, "#cloud-config"):
		return "config"
	case strings.HasPrefix(first, "#cloud-boothook"):
		return "boothook"
	case strings.HasPrefix(first, "#include"):
		return "include"
	case strings.HasPrefix(first, "#part-handler"):
		return "part-handler"
	case strings.HasPrefix(first, "## template: jinja"):
		return "jinja"
	}
	return "unknown"
}

// config is a merged #cloud-config.
type config map[string]any

// decodeConfig reads one #cloud-config document.
func decodeConfig(data []byte) (config, error) {
	v, err := decodeYAML(data)
	if err != nil {
		return nil, fmt.Errorf("cannot parse the cloud-config: %w", err)
	}
	c, ok := v.(map[string]any)
	if !ok && v != nil {
		return nil, fmt.Errorf("cannot use the cloud-config: it must be a mapping")
	}
	return c, nil
}

// decodeArchive reads a #cloud-config-archive: a list of documents, or of {type, content, filename}.
func decodeArchive(data []byte) ([]part, error) {
	v, err := decodeYAML(data)
	if err != nil {
		return nil, fmt.Errorf("cannot parse the cloud-config-archive: %w", err)
	}
	var out []part
	for i, e := range list(v) {
		name := fmt.Sprintf("part-%03d", i+1)
		text, ok := e.(string)
		kind := ""
		if m, isMap := e.(map[string]any); isMap {
			text, ok = m["content"].(string)
			kind, _ = m["type"].(string)
			if f, _ := m["filename"].(string); f != "" {
				name = f
			}
		}
		if !ok {
			continue
		}
		p := part{kind: kindOf([]byte(text)), name: name, body: []byte(text)}
		switch kind {
		case "text/cloud-config":
			p.kind = "config"
		case "text/x-shellscript":
			p.kind = "script"
		case "text/cloud-boothook":
			p.kind = "boothook"
		}
		out = append(out, p)
	}
	return out, nil
}

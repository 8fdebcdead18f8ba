package script

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// parseExports reads what main.sh and main.py write: NUL-terminated name=value records up to the record "=".
func parseExports(b []byte, into map[string]string) error {
	for len(b) > 0 {
		rec, rest, ok := bytes.Cut(b, []byte{0})
		if !ok {
			return fmt.Errorf("the record of the exported variables is cut off")
		}
		b = rest
		name, value, ok := strings.Cut(string(rec), "=")
		if !ok || VariableName(name) != name && name != "" {
			return fmt.Errorf("the record of the exported variables holds %q", clip(string(rec), 60))
		}
		if name == "" {
			continue
		}
		into[name] = value
	}
	return nil
}

// parseOutputs reads the output file: one JSON object, or lines: name=value, name<<WORD … WORD for several lines, blank ones and # comments.
// JSON values other than strings become their JSON text, null the empty string.
func parseOutputs(b []byte, into map[string]string) error {
	if !utf8.Valid(b) {
		return fmt.Errorf("$ORCH_OUTPUTS is not UTF-8 text")
	}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	if t := bytes.TrimSpace(b); len(t) > 0 && t[0] == '{' {
		return parseJSONOutputs(t, into)
	}
	lines := strings.Split(string(b), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSuffix(lines[i], "\r")
		if s := strings.TrimSpace(line); s == "" || s[0] == '#' {
			continue
		}
		eq, at := strings.IndexByte(line, '='), strings.Index(line, "<<")
		if at > 0 && (eq < 0 || at < eq) {
			word, first, text := strings.TrimSpace(line[at+2:]), i+1, []string{}
			for i++; i < len(lines) && strings.TrimSuffix(lines[i], "\r") != word; i++ {
				text = append(text, lines[i])
			}
			if i == len(lines) || word == "" {
				return fmt.Errorf("$ORCH_OUTPUTS line %d: %q is not closed by a line %q", first, line, word)
			}
			if err := setOutput(into, line[:at], strings.Join(text, "\n"), first); err != nil {
				return err
			}
			continue
		}
		if eq < 0 {
			return fmt.Errorf("$ORCH_OUTPUTS line %d: %q is not name=value", i+1, clip(line, 60))
		}
		if err := setOutput(into, line[:eq], line[eq+1:], i+1); err != nil {
			return err
		}
	}
	return nil
}

func setOutput(into map[string]string, name, value string, line int) error {
	name = strings.TrimSpace(name)
	if name == "" || strings.ContainsAny(name, " \t\x00\"'") {
		return fmt.Errorf("$ORCH_OUTPUTS line %d: %q is not a name", line, clip(name, 60))
	}
	into[name] = value
	return nil
}

func parseJSONOutputs(b []byte, into map[string]string) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		return fmt.Errorf("$ORCH_OUTPUTS is not one JSON object: %w", err)
	}
	for name, raw := range m {
		if strings.TrimSpace(name) == "" {
			return fmt.Errorf("$ORCH_OUTPUTS holds a value without a name")
		}
		var s string
		switch {
		case string(raw) == "null":
		case json.Unmarshal(raw, &s) == nil:
		default:
			var c bytes.Buffer
			if err := json.Compact(&c, raw); err != nil {
				return fmt.Errorf("$ORCH_OUTPUTS: %s: %w", name, err)
			}
			s = c.String()
		}
		into[name] = s
	}
	return nil
}

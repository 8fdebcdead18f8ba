package cloudinit

import (
	"fmt"
	"io"
	"mime/quotedprintable"
	"strconv"
	"strings"
)

// cloud-config is loosely typed: these read what is there in the ways cloud-init accepts.

func newQuotedPrintable(r io.Reader) io.Reader { return quotedprintable.NewReader(r) }

// text is a scalar as a string; nil is empty.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	default:
		return fmt.Sprint(v)
	}
}

// truth is cloud-init's is_true.
func truth(v any, otherwise bool) bool {
	switch v := v.(type) {
	case nil:
		return otherwise
	case bool:
		return v
	default:
		switch strings.ToLower(strings.TrimSpace(text(v))) {
		case "true", "1", "on", "yes":
			return true
		}
		return false
	}
}

// list is a list, or a single value as a list of one.
func list(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	default:
		return []any{v}
	}
}

// words is a list of strings, or one string separated by commas.
func words(v any) []string {
	var out []string
	if s, ok := v.(string); ok {
		for w := range strings.SplitSeq(s, ",") {
			if w = strings.TrimSpace(w); w != "" {
				out = append(out, w)
			}
		}
		return out
	}
	for _, e := range list(v) {
		out = append(out, text(e))
	}
	return out
}

func table(v any) config {
	switch v := v.(type) {
	case map[string]any:
		return v
	case config:
		return v
	}
	return nil
}

// mode reads file permissions: "0644", 0o644, 644 as text.
func mode(v any, otherwise uint64) (uint64, error) {
	switch v := v.(type) {
	case nil:
		return otherwise, nil
	case int64:
		return uint64(v), nil
	default:
		m, err := strconv.ParseUint(strings.TrimPrefix(text(v), "0o"), 8, 32)
		if err != nil {
			return 0, fmt.Errorf("bad permissions %q: octal digits are needed", text(v))
		}
		return m, nil
	}
}

// shellCommand turns a runcmd or bootcmd item into a line of sh: lists are quoted word by word.
func shellCommand(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case []any:
		quoted := make([]string, len(v))
		for i, w := range v {
			quoted[i] = "'" + strings.ReplaceAll(text(w), "'", `'\''`) + "'"
		}
		return strings.Join(quoted, " "), nil
	case nil:
		return "", nil
	}
	return "", fmt.Errorf("a command must be a string or a list, not %T", v)
}

package state

import (
	"fmt"
	"strings"
)

// Join makes a key of path segments, which may be any text. Letters, digits, '_', '-' and single dots inside a segment stand for
// themselves; every other byte becomes ',' and two hexadecimal digits, and an empty segment ','. What results is accepted by every
// implementation: it has no empty, "." or ".." segments and nothing outside of Consul's [a-zA-Z0-9,_./-].
func Join(segments ...string) string {
	var b strings.Builder
	for i, s := range segments {
		if i > 0 {
			b.WriteByte('/')
		}
		escape(&b, s)
	}
	return b.String()
}

// Prefix is Join with a slash at the end: the prefix of every key below the segments, and of nothing else.
func Prefix(segments ...string) string { return Join(segments...) + "/" }

// Num is a segment for a number such that the order of keys is the order of numbers.
func Num(n uint64) string { return fmt.Sprintf("%020d", n) }

// Split returns the segments that Join was given. It fails on what Join cannot have made.
func Split(key string) ([]string, error) {
	parts := strings.Split(key, "/")
	for i, p := range parts {
		s, err := unescape(p)
		if err != nil {
			return nil, fmt.Errorf("cannot read the key %.80q: %w", key, err)
		}
		parts[i] = s
	}
	return parts, nil
}

// Last returns the last segment of a key, unescaped; "" if the key is not one of Join's.
func Last(key string) string {
	s, err := unescape(key[strings.LastIndexByte(key, '/')+1:])
	if err != nil {
		return ""
	}
	return s
}

const hexDigits = "0123456789ABCDEF"

func plain(s string, i int) bool {
	switch c := s[i]; {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		return true
	case c == '.':
		return i > 0 && s[i-1] != '.'
	}
	return false
}

func escape(b *strings.Builder, s string) {
	if s == "" {
		b.WriteByte(',')
	}
	for i := range len(s) {
		if plain(s, i) {
			b.WriteByte(s[i])
			continue
		}
		b.WriteByte(',')
		b.WriteByte(hexDigits[s[i]>>4])
		b.WriteByte(hexDigits[s[i]&15])
	}
}

func unescape(p string) (string, error) {
	if p == "," {
		return "", nil
	}
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		if p[i] != ',' {
			b.WriteByte(p[i])
			continue
		}
		if i+2 >= len(p) {
			return "", fmt.Errorf("cut escape in %.80q", p)
		}
		hi, lo := strings.IndexByte(hexDigits, p[i+1]), strings.IndexByte(hexDigits, p[i+2])
		if hi < 0 || lo < 0 {
			return "", fmt.Errorf("wrong escape in %.80q", p)
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	// One spelling for each segment, so that two keys never mean the same.
	var again strings.Builder
	if escape(&again, b.String()); again.String() != p {
		return "", fmt.Errorf("%.80q is not an escaped segment", p)
	}
	return b.String(), nil
}

// CheckKey reports a key that no store accepts. Implementations call it for every write.
func CheckKey(key string) error {
	if len(key) > MaxKey {
		return &TooLargeError{What: "key", Key: key, Size: len(key), Limit: MaxKey}
	}
	if _, err := Split(key); err != nil {
		return err
	}
	return nil
}

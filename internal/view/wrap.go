package view

import (
	"strings"
	"unicode/utf8"
)

// Wrap breaks the lines of a text at blanks so that none is wider than width runes. Indented lines (examples) stay as they are.
func Wrap(text string, width int) string {
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
			out = append(out, line)
			continue
		}
		out = append(out, wrapLine(line, width)...)
	}
	return strings.Join(out, "\n")
}

func wrapLine(line string, width int) []string {
	var out []string
	var b strings.Builder
	n := 0
	for word := range strings.FieldsSeq(line) {
		w := utf8.RuneCountInString(word)
		if n > 0 && n+1+w > width {
			out = append(out, b.String())
			b.Reset()
			n = 0
		}
		if n > 0 {
			b.WriteByte(' ')
			n++
		}
		b.WriteString(word)
		n += w
	}
	return append(out, b.String())
}

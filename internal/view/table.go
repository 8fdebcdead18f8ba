package view

import (
	"strings"
	"unicode/utf8"
)

// Table prints rows under headers in aligned columns, as kubectl does. Cells may be painted: widths count visible runes.
func (p *Printer) Table(headers []string, rows [][]string) {
	widths := make([]int, len(headers))
	for _, row := range append([][]string{headers}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], visible(cell))
		}
	}
	p.row(headers, widths, Dim)
	for _, row := range rows {
		p.row(row, widths, "")
	}
}

func (p *Printer) row(cells []string, widths []int, style Style) {
	var b strings.Builder
	for i, cell := range cells {
		text := cell
		if style != "" {
			text = p.Paint(style, cell)
		}
		b.WriteString(text)
		if i < len(cells)-1 {
			b.WriteString(strings.Repeat(" ", widths[i]-visible(cell)+2))
		}
	}
	p.Println(strings.TrimRight(b.String(), " "))
}

// visible counts runes outside of SGR sequences.
func visible(s string) int {
	n := 0
	for {
		i := strings.Index(s, "\x1b[")
		if i < 0 {
			return n + utf8.RuneCountInString(s)
		}
		n += utf8.RuneCountInString(s[:i])
		j := strings.IndexByte(s[i:], 'm')
		if j < 0 {
			return n
		}
		s = s[i+j+1:]
	}
}

// Package view shows events, plans, failures and diagnostics to people and programs: a live tree on a terminal, plain lines elsewhere,
// JSON and YAML on request.
//
// It holds no logic of deployments: it renders what the Service says. Nothing here reads flags or decides exit codes (package cli does).
package view

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// Printer writes to a stream with or without colours.
type Printer struct {
	W     io.Writer
	Color bool
	// Width of the terminal in columns; 0 when W is none.
	Width int
}

// NewPrinter looks at the stream: colours only on a terminal that wants them (NO_COLOR, TERM=dumb).
func NewPrinter(w io.Writer) *Printer {
	p := &Printer{W: w}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return p
	}
	if cols, _, err := term.GetSize(int(f.Fd())); err == nil {
		p.Width = cols
	}
	p.Color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return p
}

// Terminal reports whether the printer draws on a terminal.
func (p *Printer) Terminal() bool { return p.Width > 0 }

// Printf writes formatted text. Errors of the stream are not reported: there is nowhere to report them to.
func (p *Printer) Printf(format string, args ...any) { _, _ = fmt.Fprintf(p.W, format, args...) }

// Println writes a line.
func (p *Printer) Println(args ...any) { _, _ = fmt.Fprintln(p.W, args...) }

// Style of a piece of text.
type Style string

// Styles by meaning, as SGR parameters.
const (
	Bold  Style = "1"
	Dim   Style = "2"
	Good  Style = "32"
	Bad   Style = "31;1"
	Warm  Style = "33"
	Quiet Style = "90"
	Link  Style = "36"
)

// Paint colours text when the printer may.
func (p *Printer) Paint(s Style, text string) string {
	if !p.Color || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// Duration is short and steady in width: 0.4s, 12s, 3m05s, 2h10m.
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
}

// Age of a moment, as kubectl shows it.
func Age(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case t.IsZero():
		return "-"
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// Plural writes a count with its noun.
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// clip shortens a line to the width, ending in an ellipsis.
func clip(s string, width int) string {
	r := []rune(s)
	if width <= 0 || len(r) <= width {
		return s
	}
	if width == 1 {
		return "…"
	}
	return string(r[:width-1]) + "…"
}

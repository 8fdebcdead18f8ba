package view

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/orch-project/orch/pkg/event"
)

// frames of the spinner; one step every refresh.
var frames = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

const refresh = 120 * time.Millisecond

// Tree is the live display on a terminal: a row per instance with its state, what it does, what it waits for and since when. It redraws
// itself in place and reads nothing: keys and signals stay with the caller.
type Tree struct {
	stop, ended chan struct{}
	once        sync.Once

	mu    sync.Mutex
	model *treeModel
	drawn int      // lines of the last frame, above the cursor
	notes []string // lines to be left above the frame
}

// NewTree starts the display of a task; total is how many steps it has, 0 if that is not known.
func NewTree(p *Printer, title string, total int) *Tree {
	t := &Tree{stop: make(chan struct{}), ended: make(chan struct{}), model: &treeModel{board: newBoard(), paint: p, title: title}}
	t.model.board.total = total
	go t.run()
	return t
}

func (t *Tree) run() {
	defer close(t.ended)
	ticker := time.NewTicker(refresh)
	defer ticker.Stop()
	for {
		t.draw(time.Now())
		select {
		case <-ticker.C:
		case <-t.stop:
			return
		}
	}
}

// Handle takes in the event; the next frame shows it.
func (t *Tree) Handle(e event.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.model.board.apply(e)
}

// Note leaves a line above the tree.
func (t *Tree) Note(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.notes = append(t.notes, text)
}

// Close draws the last state and ends.
func (t *Tree) Close() {
	t.once.Do(func() {
		close(t.stop)
		<-t.ended
		t.mu.Lock()
		t.model.closed = true
		t.mu.Unlock()
		t.draw(time.Now())
	})
}

// draw replaces the last frame by a new one.
func (t *Tree) draw(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.model
	m.now = now
	m.frame++
	m.resize()
	var b strings.Builder
	if t.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", t.drawn)
	}
	lines := strings.Split(strings.TrimSuffix(m.render(), "\n"), "\n")
	if m.height > 1 && !m.closed && len(lines) >= m.height {
		lines = lines[:m.height-1] // what has scrolled away could not be drawn again
	}
	b.WriteString("\r")
	for _, line := range append(t.notes, lines...) {
		b.WriteString(line + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	t.drawn, t.notes = len(lines), nil
	m.paint.Printf("%s", b.String())
}

// treeModel is what a frame is made of.
type treeModel struct {
	board  *board
	paint  *Printer
	title  string
	frame  int
	height int
	now    time.Time
	closed bool
}

// resize follows the terminal's size.
func (m *treeModel) resize() {
	if f, ok := m.paint.W.(*os.File); ok {
		if cols, rows, err := term.GetSize(int(f.Fd())); err == nil {
			m.paint.Width, m.height = cols, rows
		}
	}
}

func (m *treeModel) render() string {
	b, p := m.board, m.paint
	var out []string
	head := m.title
	if b.total > 0 {
		head += fmt.Sprintf("  %d/%d steps", b.done, b.total)
	}
	if !b.start.IsZero() {
		head += "  " + Duration(m.now.Sub(b.start))
	}
	out = append(out, p.Paint(Bold, clip(head, p.Width)))
	rows := b.sorted()
	if room := m.height - tailLines - 4; m.height > 0 && !m.closed && len(rows) > room && room > 0 {
		rows = busiest(rows, room)
	}
	width := keyWidth(rows, p.Width)
	for _, r := range rows {
		out = append(out, m.row(r, width))
	}
	if !m.closed {
		for _, l := range b.tail {
			out = append(out, p.Paint(Quiet, clip("  │ "+oneLine(l), p.Width)))
		}
	}
	return strings.Join(out, "\n") + "\n"
}

// keyWidth is the width of the column of instances: that of the widest, but at most half of the terminal.
func keyWidth(rows []*row, terminal int) int {
	width := 24
	for _, r := range rows {
		width = max(width, utf8.RuneCountInString(r.key))
	}
	if terminal > 0 {
		width = min(width, max(terminal/2, 1))
	}
	return width
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// oneLine keeps the first line of a text: a row has one.
func oneLine(s string) string {
	line, _, more := strings.Cut(strings.TrimSpace(s), "\n")
	if more {
		line += " …"
	}
	return strings.ReplaceAll(line, "\t", " ")
}

// busiest keeps the rows that a small terminal should show: those that fail or work first, idle ones last, in their order.
func busiest(rows []*row, n int) []*row {
	rank := func(r *row) int {
		switch {
		case r.failed:
			return 0
		case r.step != "" || r.waiting != "":
			return 1
		}
		return 2
	}
	var kept []*row
	for want := range 3 {
		for _, r := range rows {
			if rank(r) == want && len(kept) < n {
				kept = append(kept, r)
			}
		}
	}
	return kept
}

func (m *treeModel) row(r *row, width int) string {
	p := m.paint
	mark, style := "·", Quiet
	text := r.state
	switch {
	case r.failed:
		mark, style, text = "✗", Bad, r.waiting
	case r.step != "":
		mark, style = frames[m.frame%len(frames)], Link
		text = r.step + " " + Duration(m.now.Sub(r.since))
		if r.waiting != "" {
			text += "  " + r.waiting
		}
	case r.waiting != "":
		text = r.waiting
	case r.state == "started" || r.state == "deleted" || r.state == "created" || r.state == "stopped":
		mark, style = "✓", Good
	}
	line := clip(mark+" "+pad(clip(r.key, width), width)+" "+oneLine(text), p.Width)
	return p.Paint(style, line)
}

var (
	_ Progress = (*Tree)(nil)
	_ Progress = (*Lines)(nil)
)

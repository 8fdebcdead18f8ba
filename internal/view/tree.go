package view

import (
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"github.com/orch-project/orch/pkg/event"
)

// frames of the spinner; one step every refresh.
var frames = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

const refresh = 120 * time.Millisecond

// Tree is the live display on a terminal: a row per instance with its state, what it does, what it waits for and since when.
type Tree struct {
	program *tea.Program
	ended   chan struct{}
	once    sync.Once
}

// NewTree starts the display of a task; total is how many steps it has, 0 if that is not known. Signals stay with the caller: Ctrl-C means "cancel the task", not "close the display".
func NewTree(p *Printer, title string, total int) *Tree {
	t := &Tree{ended: make(chan struct{})}
	m := &treeModel{board: newBoard(), paint: p, title: title}
	m.board.total = total
	t.program = tea.NewProgram(m, tea.WithOutput(p.W), tea.WithInput(nil), tea.WithoutSignalHandler())
	go func() {
		defer close(t.ended)
		_, _ = t.program.Run()
	}()
	return t
}

// Handle passes the event to the display.
func (t *Tree) Handle(e event.Event) { t.program.Send(e) }

// Close draws the last state and ends.
func (t *Tree) Close() {
	t.once.Do(func() {
		t.program.Send(closeMsg{})
		<-t.ended
	})
}

type (
	tickMsg  time.Time
	closeMsg struct{}
)

type treeModel struct {
	board  *board
	paint  *Printer
	title  string
	frame  int
	height int
	now    time.Time
	closed bool
}

func tick() tea.Cmd { return tea.Tick(refresh, func(t time.Time) tea.Msg { return tickMsg(t) }) }

func (m *treeModel) Init() tea.Cmd { m.now = time.Now(); return tick() }

func (m *treeModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.paint.Width, m.height = msg.Width, msg.Height
	case tickMsg:
		m.now = time.Time(msg)
		m.frame++
		return m, tick()
	case event.Event:
		m.board.apply(msg)
	case closeMsg:
		m.closed = true
		return m, tea.Quit
	}
	return m, nil
}

func (m *treeModel) View() tea.View { return tea.NewView(m.render()) }

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

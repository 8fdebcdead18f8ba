package view

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
)

var start = time.Date(2026, 5, 4, 10, 0, 0, 0, time.Local)

func at(sec int, e event.Event) event.Event {
	e.Time = start.Add(time.Duration(sec) * time.Second)
	return e
}

func script() []event.Event {
	return []event.Event{
		at(0, event.Event{Type: event.StepStatus, Step: "db_server[0].create", Node: "db_server", Instance: "0", Status: "pending"}),
		at(0, event.Event{Type: event.StepStatus, Step: "db[0].create", Node: "db", Instance: "0", Status: "pending"}),
		at(0, event.Event{Type: event.StepStatus, Step: "db_server[0].create", Node: "db_server", Instance: "0", Status: "doing"}),
		at(1, event.Event{Type: event.Resource, Step: "db_server[0].create", Node: "db_server", Instance: "0", Status: "creating", Key: "compute_instance"}),
		at(6, event.Event{Type: event.StepStatus, Step: "db_server[0].create", Node: "db_server", Instance: "0", Status: "done"}),
		at(6, event.Event{Type: event.StepStatus, Step: "db[0].create", Node: "db", Instance: "0", Operation: "create", Status: "doing"}),
		at(7, event.Event{Type: event.Waiting, Step: "db[0].create", Node: "db", Instance: "0", Message: "waiting for SSH, 1 s"}),
		at(8, event.Event{Type: event.Waiting, Step: "db[0].create", Node: "db", Instance: "0", Message: "waiting for SSH, 2 s"}),
		at(9, event.Event{Type: event.Log, Step: "db[0].create", Node: "db", Instance: "0", Operation: "create", Stream: "stdout", Message: "Reading package lists..."}),
		at(12, event.Event{Type: event.StepStatus, Step: "db[0].create", Node: "db", Instance: "0", Operation: "create", Status: "failed", Message: "exit code 100"}),
	}
}

func TestLinesSayEachThingOnce(t *testing.T) {
	var b bytes.Buffer
	l := NewLines(&Printer{W: &b}, false)
	for _, e := range script() {
		l.Handle(e)
	}
	l.Close()
	want := `10:00:00 db_server[0] create …
10:00:01 db_server[0] creating compute_instance
10:00:06 db_server[0] create done (6.0s)
10:00:06 db[0] create …
10:00:07 db[0] waiting for SSH, 1 s
10:00:12 db[0] create FAILED (6.0s): exit code 100
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestVerboseLinesShowOutput(t *testing.T) {
	var b bytes.Buffer
	l := NewLines(&Printer{W: &b}, true)
	for _, e := range script() {
		l.Handle(e)
	}
	if !strings.Contains(b.String(), "Reading package lists...") {
		t.Errorf("output is missing:\n%s", b.String())
	}
}

func TestTreeShowsOneRowPerInstanceWithWhatItDoes(t *testing.T) {
	m := &treeModel{board: newBoard(), paint: &Printer{Width: 80}, title: "install web", now: start.Add(8 * time.Second)}
	for _, e := range script()[:9] {
		m.board.apply(e)
	}
	want := `install web  1/2 steps  8.0s
· db_server[0]             
⠋ db[0]                    create 1.0s  waiting for SSH, 2 s
  │ db[0] create Reading package lists...
`
	if diff := cmp.Diff(want, m.render()); diff != "" {
		t.Error(diff)
	}
}

func TestTreeFitsWideNamesAndLongCauses(t *testing.T) {
	m := &treeModel{board: newBoard(), paint: &Printer{Width: 60}, title: "t", now: start}
	m.board.total = 3
	name := "a_node_with_quite_a_long_name"
	m.board.apply(at(0, event.Event{Type: event.Resource, Node: name, Status: "creating", Key: "x.y"})) // of the node as a whole: no row
	m.board.apply(at(0, event.Event{Type: event.Resource, Node: name, Instance: "0", Status: "creating", Key: "kind_of_thing." + name}))
	m.board.apply(at(0, event.Event{Type: event.StepStatus, Node: "b", Instance: "0", Step: "b[0].start", Status: "failed", Message: "exit code 1\nand more"}))
	m.board.apply(at(0, event.Event{Type: event.StepStatus, Node: "b", Instance: "0", Step: "b[0].stop", Status: "skipped"})) // keeps the cause
	want := `t  0/3 steps  0.0s
· a_node_with_quite_a_long_name… creating kind_of_thing
✗ b[0]                           exit code 1 …
`
	if diff := cmp.Diff(want, m.render()); diff != "" {
		t.Error(diff)
	}
}

func TestTreeOnASmallTerminalKeepsWhatWorks(t *testing.T) {
	m := &treeModel{board: newBoard(), paint: &Printer{Width: 20}, title: "t", now: start, height: 8}
	for _, n := range []string{"a", "b", "c", "d"} {
		m.board.apply(at(0, event.Event{Type: event.InstanceState, Node: n, Status: "started"}))
	}
	m.board.apply(at(0, event.Event{Type: event.StepStatus, Node: "d", Step: "d[0].start", Status: "doing"}))
	got := m.render()
	if strings.Count(got, "\n") != 2 || !strings.Contains(got, "d ") {
		t.Errorf("want the title and the working row only:\n%s", got)
	}
	for line := range strings.SplitSeq(got, "\n") {
		if len([]rune(line)) > 20 {
			t.Errorf("line wider than the terminal: %q", line)
		}
	}
}

func TestFailureNamesCauseAndNextSteps(t *testing.T) {
	var b bytes.Buffer
	p := &Printer{W: &b}
	p.Outcome(orch.Task{Deployment: "web", Verb: orch.Deploy, Workflow: "install", Status: "failed", Failure: &orch.Failure{
		Step: "db[0].configure", Node: "db", Instance: "0", Operation: "Standard.configure", Host: "10.0.0.5", ExitCode: 3, Attempts: 2,
		Message: "run configure.sh on 10.0.0.5: exit code 3", Stderr: []string{"psql: error", "role missing"},
		Console: []string{"[  12.3] Kernel panic", "not syncing"}, Detail: "fault of Nova",
		Pos: diag.Pos{File: "topology.yaml", Line: 12, Col: 5}, Skipped: []string{"app[0].configure", "app[1].configure"},
	}})
	for _, want := range []string{"✗ install of web failed: run configure.sh on 10.0.0.5: exit code 3", "db[0]   topology.yaml:12:5", "exit code  3", "attempts   2",
		"psql: error", "  console    [  12.3] Kernel panic\n             not syncing\n", "detail     fault of Nova", "2 steps because of it: app[0].configure, app[1].configure", "orch logs web --node db", "orch ssh web db 0", "orch resume web", "orch undeploy web"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("missing %q in:\n%s", want, b.String())
		}
	}
}

// Of a task that its process has left it is said that nobody works on it; of one that somebody holds it is not.
func TestALeftTaskIsSaidToBeLeft(t *testing.T) {
	for owner, want := range map[string]bool{"": true, "process 7 on here": false} {
		report := StatusReport{Detail: &orch.Detail{Deployment: orch.Deployment{Name: "web", Status: "deploying", Owner: owner}},
			Task: &orch.Task{ID: "T1", Deployment: "web", Workflow: "install", Status: "running"}}
		for name, show := range map[string]func(p *Printer){
			"status": func(p *Printer) { p.StatusOf(report, false, time.Now()) },
			"why":    func(p *Printer) { p.Why(report, time.Now()) },
		} {
			var b bytes.Buffer
			show(&Printer{W: &b})
			said := strings.Contains(b.String(), "Nobody works on task T1") && strings.Contains(b.String(), "orch resume web")
			if said != want {
				t.Errorf("%s, held by %q:\n%s", name, owner, b.String())
			}
		}
	}
}

func TestUndeployProvesOrLists(t *testing.T) {
	tests := map[string]struct {
		task orch.Task
		want string
	}{
		"empty": {orch.Task{Deployment: "web", Verb: orch.Undeploy, Status: "done", Checked: []string{"nova", "neutron"}},
			"✓ web is undeployed\n✓ 0 resources left, checked in nova, neutron\n"},
		"kept": {orch.Task{Deployment: "web", Verb: orch.Undeploy, Status: "done", Checked: []string{"cinder"}, Kept: []string{"cinder volume data 7"}},
			"✓ web is undeployed\n✓ 0 resources left, checked in cinder\n" +
				"• 1 resource kept, because the topology says so (deletable: false); use it again by its id:\n  cinder volume data 7\n"},
		"left": {orch.Task{Deployment: "web", Verb: orch.Undeploy, Status: "done", Left: []string{"neutron port p1"}},
			"✗ web is undeployed, but 1 resource left in the cloud:\n  neutron port p1\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			(&Printer{W: &b}).Outcome(tt.task)
			if diff := cmp.Diff(tt.want, b.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTableAlignsPaintedCells(t *testing.T) {
	var b bytes.Buffer
	p := &Printer{W: &b, Color: true}
	p.Table([]string{"A", "B"}, [][]string{{p.Paint(Good, "é"), "1"}, {"long", "2"}})
	for i, line := range strings.Split(strings.TrimSpace(b.String()), "\n") {
		if i > 0 && visible(line) != len("long  1") {
			t.Errorf("line %d is not aligned: %q", i, line)
		}
	}
}

func TestDurationAndAge(t *testing.T) {
	for d, want := range map[time.Duration]string{400 * time.Millisecond: "0.4s", 12 * time.Second: "12s", 185 * time.Second: "3m05s", 130 * time.Minute: "2h10m"} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%v) = %s, want %s", d, got, want)
		}
	}
	if got := Age(start, start.Add(50*time.Hour)); got != "2d" {
		t.Errorf("Age = %s", got)
	}
}

func TestTreeRedrawsInPlaceAndLeavesNotes(t *testing.T) {
	var b bytes.Buffer
	tree := &Tree{model: &treeModel{board: newBoard(), paint: &Printer{W: &b}, title: "t"}}
	tree.draw(start)
	tree.Handle(at(0, event.Event{Type: event.InstanceState, Node: "a", Instance: "0", Status: "started"}))
	tree.Note("cancelling")
	tree.draw(start)
	tree.draw(start)
	want := "\rt\x1b[K\n\x1b[J" +
		"\x1b[1A\rcancelling\x1b[K\nt  0.0s\x1b[K\n✓ a[0]                     started\x1b[K\n\x1b[J" +
		"\x1b[2A\rt  0.0s\x1b[K\n✓ a[0]                     started\x1b[K\n\x1b[J"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestTreeEndsWithItsLastState(t *testing.T) {
	defer goleak.VerifyNone(t)
	var b bytes.Buffer
	tree := NewTree(&Printer{W: &b}, "t", 0)
	tree.Handle(at(0, event.Event{Type: event.InstanceState, Node: "a", Instance: "0", Status: "started"}))
	tree.Close()
	tree.Close()
	if !strings.HasSuffix(b.String(), "started\x1b[K\n\x1b[J") {
		t.Errorf("%q", b.String())
	}
}

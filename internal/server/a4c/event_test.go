package a4c

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/internal/orchtest/bounded"
	"github.com/orch-project/orch/pkg/event"
)

func TestTranslate(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 3, 22, 35, 586588783, time.UTC)
	base := event.Event{Time: at, Deployment: "app-Env", Task: "t1", Workflow: "install"}
	with := func(change func(*event.Event)) event.Event {
		e := base
		change(&e)
		return e
	}
	for _, c := range []struct {
		name  string
		event event.Event
		want  []string // type, status, step, node, target, operation
	}{
		{"first status", with(func(e *event.Event) {
			e.Type, e.Status, e.Key, e.Value = event.DeploymentStatus, "deploying", "deploy", "pending"
		}), []string{"Deployment initial"}},
		{"a workflow changes no deployment", with(func(e *event.Event) { e.Type, e.Status, e.Workflow = event.DeploymentStatus, "deployed", "check" }), nil},
		{"update fails", with(func(e *event.Event) { e.Type, e.Status, e.Key = event.DeploymentStatus, "failed", "update" }), []string{"Deployment update_failure"}},
		{"a cancellation begins", with(func(e *event.Event) { e.Type, e.Status = event.TaskStatus, "cancelling" }), nil},
		{"a command is cancelled", with(func(e *event.Event) { e.Type, e.Status, e.Workflow = event.TaskStatus, "cancelled", "operation" }), []string{"CustomCommand failed"}},
		{"a state step", with(func(e *event.Event) { e.Type, e.Status, e.WorkflowStep = event.StepStatus, "done", "Web_started" }), nil},
		{"delegate", with(func(e *event.Event) {
			e.Type, e.Status, e.Node, e.Operation, e.WorkflowStep = event.StepStatus, "doing", "Comp", "create", "Comp_install"
		}), []string{"WorkflowStep initial Comp_install delegate.install", "AlienTask initial Comp_install delegate.install",
			"WorkflowStep running Comp_install delegate.install", "AlienTask running Comp_install delegate.install"}},
		{"relationship of a generated workflow", with(func(e *event.Event) {
			e.Type, e.Status, e.Node, e.Interface, e.Operation, e.Relationship, e.Target = event.StepStatus, "failed", "Comp", "Configure", "pre_configure_source", "linkPeer", "Peer"
		}), []string{"WorkflowStep error Comp_linkPeer_pre_configure_source configure.pre_configure_source", "AlienTask error Comp_linkPeer_pre_configure_source configure.pre_configure_source"}},
		{"a new instance", with(func(e *event.Event) {
			e.Type, e.Status, e.Node, e.Instance = event.InstanceState, "initial", "Comp", "0"
		}),
			[]string{"Instance initial", "AttributeValue updated state=initial", "AttributeValue updated tosca_id=Comp-0", "AttributeValue updated tosca_name=Comp"}},
	} {
		var got []string
		for _, d := range translate(c.event) {
			s := d.Type + " " + d.Status
			if d.Step != "" {
				s += " " + d.Step + " " + d.Operation
			}
			if d.Attribute != "" {
				s += " " + d.Attribute + "=" + d.Value
			}
			got = append(got, s)
			if d.Timestamp != "2026-11-21T03:22:35.586588783Z" || d.Deployment != "app-Env" {
				t.Errorf("%s: %+v", c.name, d)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// The last event of an undeployment makes the line that the plugin waits for, as the last one.
func TestMagicLog(t *testing.T) {
	t.Parallel()
	lines := narrate(event.Event{Type: event.DeploymentStatus, Deployment: "app", Task: "t5", Workflow: "uninstall", Status: "undeployed", Key: "undeploy"})
	if n := len(lines); n == 0 || lines[n-1].Content != `Status for deployment "app" changed to "undeployed"` || lines[n-1].Workflow != "uninstall" ||
		lines[n-1].Execution != "t5" || lines[n-1].Level != "INFO" {
		t.Errorf("lines %+v", lines)
	}
}

// What is said about a step that was not done: an error only if it failed, and whose step it is where the words are about another.
func TestLogOfSteps(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]string{"failed": "ERROR boom", "cancelled": "WARN boom", "skipped": `INFO Workflow step "Web_create" is skipped: boom`} {
		lines := narrate(event.Event{Type: event.StepStatus, Deployment: "app", Task: "t1", Workflow: "install", Node: "Web", Instance: "0", Interface: "Standard", Operation: "create",
			WorkflowStep: "Web_create", Status: status, Message: "boom"})
		if n := len(lines); n == 0 || lines[n-1].Level+" "+lines[n-1].Content != want {
			t.Errorf("%s: %+v, want %s", status, lines, want)
		}
	}
}

// No stored event makes one that the plugin's consumers die of.
func FuzzTranslate(f *testing.F) {
	for _, s := range []string{`{"type":"step","status":"doing","operation":"create"}`, `{"type":"log","message":"x","stream":"stdout","node":"N"}`,
		`{"type":"deployment","status":"failed","key":"purge"}`, `{"type":"instance","status":"initial"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounded.Input(t)()
		var e event.Event
		if json.Unmarshal(data, &e) != nil {
			return
		}
		for _, d := range translate(e) {
			if d.Type == "" || d.Type == "Deployment" && machineInputs[d.Status] == "" {
				t.Errorf("%s becomes %+v", data, d)
			}
		}
		for _, l := range narrate(e) {
			if l.Level == "" || l.Timestamp == "" || len(l.Content) > maxContent {
				t.Errorf("%s becomes %+v", data, l)
			}
		}
	})
}

// FuzzArchive: whatever is uploaded is an archive with one document, or refused with a reason for the user.
func FuzzArchive(f *testing.F) {
	f.Add(archive(f, mongo(f)))
	f.Add([]byte("PK\x03\x04"))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounded.Input(t)()
		b, err := openArchive("app", bytes.NewReader(data), int64(len(data)))
		if err != nil {
			if p := problemOf(err); p.status != 400 || p.detail == "" {
				t.Errorf("%d %q", p.status, p.detail)
			}
			return
		}
		locationOf(b, []string{"openstack"})
		_ = b.Close()
	})
}

package script

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

// Job is one operation made ready for a machine.
type Job struct {
	// Ephemeral jobs leave nothing in the journal once their result has been read.
	Ephemeral bool
	// ID names the journal's directory on the host.
	ID string
	// Script is the implementation's path below the work directory.
	Script string
	// Timeout counts from the job's start on the host; 0 is none.
	Timeout time.Duration

	units    []unit
	deploy   [][2]string // path below the work directory, destination
	redeploy bool
	interp   interpreter
	login    bool
	settings []setting
	vars     []driver.Variable
	asked    []string
	crlf     bool
	// context: the job's scripts have Cloudify's ctx.
	context bool
	// extra shell text after the command is set: arguments, another directory.
	extra string
}

// Options of making jobs.
type Options struct {
	// Login runs bash as a login shell.
	Login bool
	// Timeout of a job that asks for none; 0 is an hour.
	Timeout time.Duration
}

// NewJob makes the job of a request. The operation must have an implementation. Errors are about the document, its files or the values of
// its variables, never about the host.
func NewJob(req *driver.Request, o Options) (*Job, error) {
	op := req.Operation
	if op == nil || op.Implementation == nil {
		return nil, errors.New("the operation has no implementation to run")
	}
	j := &Job{ID: directoryName(req.OpID), login: o.Login, vars: req.Variables, asked: asked(req.Topology, op)}
	j.Timeout = cmp.Or(req.Timeout, op.Timeout, o.Timeout, time.Hour)
	j.settings = []setting{{name: "PYTHONUNBUFFERED", value: "1"}, {name: "DEPLOYMENT_ID", value: req.Called()}}
	j.redeploy = op.Name == "create"
	k := knownOf(req.Topology)
	if err := j.artifacts(k, req); err != nil {
		return nil, err
	}
	for _, d := range op.Dependencies {
		if d.Repository != nil || d.File == "" {
			continue
		}
		if err := j.add(k, d); err != nil {
			return nil, err
		}
	}
	if err := j.implementation(k, req); err != nil {
		return nil, err
	}
	j.tidy()
	return j, nil
}

func (j *Job) implementation(k *known, req *driver.Request) error {
	op := req.Operation
	a := op.Implementation
	if a.File == "" && a.Source == "" {
		return fmt.Errorf("the implementation of %s.%s names no file and has no text", op.Interface, op.Name)
	}
	if a.Repository != nil {
		return fmt.Errorf("cannot run %s: it lies in the repository %s, not among the topology's files; add it to the archive", a.File, a.Repository.Name)
	}
	var u unit
	if a.File == "" {
		u = textUnit("inline/"+short(op.Interface)+"."+VariableName(op.Name), a.Source)
	} else {
		units, err := k.collect(a.File)
		if err != nil {
			return err
		}
		if len(units) != 1 || units[0].kind == "tree" {
			return fmt.Errorf("cannot run %s: it is a directory", a.File)
		}
		u = units[0]
		if err := verify(a, &u); err != nil {
			return err
		}
	}
	head, err := u.head(4096)
	if err != nil {
		return err
	}
	u.mode = 0o755
	if hasContext(req.Topology) && evaluated(op) {
		python := *a
		python.Type, a = topology.Type{"python"}, &python
	}
	j.interp, err = chooseInterpreter(a, head)
	if errors.Is(err, errUntold) && hasContext(req.Topology) {
		j.interp, err = extensions[".sh"], nil // Cloudify leaves it to the shell
	}
	if err != nil {
		return err
	}
	line, _, _ := strings.Cut(string(head), "\n")
	j.crlf = strings.HasSuffix(line, "\r")
	j.Script = u.path
	j.units = append(j.units, u)
	return nil
}

// artifacts of the node, or of the relationship over those of the node that the operation runs on.
func (j *Job) artifacts(k *known, req *driver.Request) error {
	var all []*topology.Artifact
	node := req.Node
	if req.Relationship != nil {
		if onTarget(req.Operation) {
			node = req.Topology.NodeNamed(req.Relationship.Target)
		}
		all = append(all, req.Relationship.Artifacts...)
	}
	if node != nil {
		all = append(all, node.Artifacts...)
	}
	seen := map[string]bool{}
	for _, a := range all {
		if a.Name == "" || seen[a.Name] || a.File == "" {
			continue
		}
		seen[a.Name] = true
		switch {
		case a.Repository != nil:
			url := a.File
			if !strings.Contains(url, "://") && a.Repository.URL != "" {
				url = strings.TrimSuffix(a.Repository.URL, "/") + "/" + strings.TrimPrefix(a.File, "/")
			}
			j.settings = append(j.settings, setting{name: a.Name, value: url})
			continue
		case strings.Contains(a.File, "://"):
			j.settings = append(j.settings, setting{name: a.Name, value: a.File})
			continue
		}
		if err := j.add(k, a); err != nil {
			return fmt.Errorf("artifact %s: %w", a.Name, err)
		}
		if a.DeployPath != "" {
			j.deploy = append(j.deploy, [2]string{path.Clean(a.File), a.DeployPath})
			j.settings = append(j.settings, setting{name: a.Name, value: a.DeployPath})
			continue
		}
		j.settings = append(j.settings, setting{name: a.Name, value: path.Clean(a.File), path: true})
	}
	return nil
}

// onTarget reports whether a relationship's operation runs at its target.
func onTarget(op *topology.Operation) bool {
	if op == nil {
		return false
	}
	switch op.Host {
	case "SOURCE":
		return false
	case "TARGET":
		return true
	}
	switch op.Name {
	case "pre_configure_target", "post_configure_target", "add_source", "remove_source", "source_changed":
		return true
	}
	return false
}

func (j *Job) add(k *known, a *topology.Artifact) error {
	units, err := k.collect(a.File)
	if err != nil {
		return err
	}
	for i := range units {
		if err := verify(a, &units[i]); err != nil {
			return err
		}
	}
	j.units = append(j.units, units...)
	return nil
}

// tidy puts trees first, so that files win over them, and drops repetitions (the last stays: the implementation is executable).
func (j *Job) tidy() {
	last := map[string]int{}
	for i, u := range j.units {
		last[u.kind+" "+u.path] = i
	}
	var trees, files []unit
	for i, u := range j.units {
		switch {
		case last[u.kind+" "+u.path] != i:
		case u.kind == "tree":
			trees = append(trees, u)
		default:
			files = append(files, u)
		}
	}
	j.units = append(trees, files...)
}

// withoutTar is the job for hosts that have no tar: every file by itself.
func (j *Job) withoutTar() *Job {
	c := *j
	c.units = nil
	for _, u := range j.units {
		if u.kind == "tree" {
			c.units = append(c.units, u.files...)
		} else {
			c.units = append(c.units, u)
		}
	}
	c.tidy()
	return &c
}

// spec is the shell text that tells the host's side about the job. It holds no value of a variable.
func (j *Job) spec() string {
	var units, deploy strings.Builder
	for _, u := range j.units {
		fmt.Fprintf(&units, "%s %s %o %s\n", u.kind, u.digest, u.mode.Perm(), u.path)
	}
	for _, d := range j.deploy {
		fmt.Fprintf(&deploy, "%s\t%s\n", d[0], d[1])
	}
	command, prelude := j.interp.command(j.Script, j.login)
	redeploy := "0"
	if j.redeploy {
		redeploy = "1"
	}
	var b strings.Builder
	for _, kv := range [][2]string{
		{"cwd", path.Dir(j.Script)}, {"units", units.String()}, {"deploy", deploy.String()}, {"redeploy", redeploy},
		{"command", command + j.extra}, {"main", j.mainProgram(prelude)},
	} {
		b.WriteString(kv[0] + "=" + Quote(kv[1]) + "\n")
	}
	return b.String()
}

func (j *Job) mainProgram(prelude string) string {
	switch j.interp.family {
	case shellFamily:
		return "__orch_asked=" + Quote(strings.Join(j.asked, " ")) + "\n" + strings.Replace(mainShell, "\n. \"$0\"\n", "\n"+prelude+"\n. \"$0\"\n", 1)
	case pythonFamily:
		return "_orch_asked = '" + strings.Join(j.asked, " ") + "'.split()\n" + mainPython
	}
	return ""
}

// directoryName makes a safe file name of an operation id; ids that are safe stay as they are.
func directoryName(id string) string {
	ok := id != "" && len(id) <= 120 && id[0] != '.' && id[0] != '-'
	safe := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		ok = false
		return '_'
	}, id)
	if ok {
		return safe
	}
	sum := sha256.Sum256([]byte(id))
	return "op-" + safe[:min(len(safe), 60)] + "-" + hex.EncodeToString(sum[:8])
}

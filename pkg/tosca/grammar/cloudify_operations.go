package grammar

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// ends reads the interfaces of both ends of a relationship.
func (b *blueprint) ends(n *source.Node, p string, def bool) []*document.Interface {
	out := b.interfaces(n.Get("source_interfaces"), p+".source_interfaces", "SOURCE", def)
	for _, i := range b.interfaces(n.Get("target_interfaces"), p+".target_interfaces", "TARGET", def) {
		i.Name.Text = topology.TargetEnd + i.Name.Text
		out = append(out, i)
	}
	return out
}

// interfaces reads a map of interfaces; host is where their operations run ("" for the node itself).
func (b *blueprint) interfaces(n *source.Node, p, host string, def bool) []*document.Interface {
	if n.IsNull() {
		return nil
	}
	var out []*document.Interface
	for _, e := range b.entries(n, p) {
		i := &document.Interface{Name: key(e.key), Path: e.path}
		for _, o := range b.entries(e.value, e.path) {
			op := b.operation(o, def)
			if host != "" {
				op.Host = host
			}
			i.Operations = append(i.Operations, op)
		}
		out = append(out, i)
	}
	return out
}

func (b *blueprint) operation(e entry, def bool) *document.Operation {
	o := &document.Operation{Name: key(e.key), Path: e.path}
	n := e.value
	switch {
	case n.IsNull():
		return o
	case n.Is(source.Scalar):
		b.implement(o, n, e.path)
		return o
	case !b.known(n, "operation", e.path):
		return o
	}
	ins := n.Get("inputs")
	for _, in := range b.entries(ins, e.path+".inputs") {
		v := &document.Input{Name: key(in.key), Value: in.value}
		if def {
			v = &document.Input{Name: key(in.key), Def: b.param(in, "param")}
		} else if v.Value == nil {
			v.Value = &source.Node{Pos: in.key.Pos}
		}
		o.Inputs = append(o.Inputs, v)
	}
	o.Retries, o.RetryInterval, o.Timeout = present(n, "max_retries"), present(n, "retry_interval"), present(n, "timeout")
	b.flag(n.Get("timeout_recoverable"), e.path+".timeout_recoverable")
	if o.Executor = b.executor(n.Get("executor"), e.path+".executor"); o.Executor == "central_deployment_agent" {
		o.Host = "ORCHESTRATOR"
	}
	if impl := n.Get("implementation"); !impl.IsNull() {
		b.implement(o, impl, e.path+".implementation")
	}
	return o
}

func present(n *source.Node, name string) *source.Node {
	if v := n.Get(name); !v.IsNull() {
		return v
	}
	return nil
}

// scriptTasks are plugin functions that run a file over SSH or beside the orchestrator, as our own scripts do.
var scriptTasks = []string{"script_runner.tasks.run", "fabric_plugin.tasks.run_script"}

// implement reads what an operation is mapped to: nothing, a script (file, URL, or text of several lines), or plugin.module.function.
func (b *blueprint) implement(o *document.Operation, n *source.Node, p string) {
	name := b.name(n, p)
	text := name.Text
	// Cloudify takes a text with a line break for a script, one at its end included: that is how a block scalar of one line ends.
	lines := strings.Contains(strings.TrimSpace(text), "\n") || strings.HasSuffix(text, "\n") && b.plugin(text) == ""
	script := func(file document.Name) { o.Implementation = &document.Artifact{File: file, Use: true, Path: p} }
	switch {
	case strings.TrimSpace(text) == "":
	case lines:
		o.Implementation = &document.Artifact{Source: text, File: name, Path: p}
	case strings.Contains(text, "://") || b.o.Exists != nil && b.o.Exists(text):
		for _, in := range o.Inputs {
			if in.Name.Text == "script_path" {
				b.diags.Errorf(CodeForm, in.Name.Pos, "the operation %s names a script both as its implementation and by the input script_path", o.Name.Text).Path = p
			}
		}
		script(name)
	case b.plugin(text) != "":
		_, task, _ := strings.Cut(text, b.plugin(text)+".")
		if file := inputFile(o); slices.Contains(scriptTasks, task) && !file.IsZero() {
			script(file)
			return
		}
		if text := inlineScript(o, task); text != "" {
			o.Implementation = &document.Artifact{Source: text, File: name, Path: p}
			return
		}
		o.Call = name
	case looksLikeScript(text):
		script(name)
	case b.o.Library || b.o.Incomplete:
		o.Call = name
	default:
		d := b.diags.Errorf("unknown-plugin", name.Pos, "%s is neither a file of the blueprint nor a function of a declared plugin", text)
		d.Path = p
		lead, _, _ := strings.Cut(text, ".")
		if d.Hint = diag.Suggest(lead, b.o.Plugins); d.Hint == "" {
			d.Hint = "plugins are " + strings.Join(b.o.Plugins, ", ")
		}
	}
}

// inputFile is the script that a script task names in its inputs.
func inputFile(o *document.Operation) document.Name {
	if v := literalInput(o, "script_path"); v.Is(source.Scalar) {
		return document.Name{Text: v.Text, Pos: v.Pos}
	}
	return document.Name{}
}

// inlineScript is the text that a script task runs: the input script_source, or the commands of fabric's run_commands, each of which must
// succeed before the next.
func inlineScript(o *document.Operation, task string) string {
	switch {
	case slices.Contains(scriptTasks, task):
		v := literalInput(o, "script_source")
		if !v.Is(source.Scalar) {
			return ""
		}
		if first := strings.TrimSpace(v.Text); !strings.HasPrefix(first, "#!") && pythonStart.MatchString(first) {
			return "#!/usr/bin/env python3\n" + v.Text
		}
		return v.Text
	case task == "fabric_plugin.tasks.run_commands":
		v := literalInput(o, "commands")
		if !v.Is(source.Sequence) || len(v.Items) == 0 {
			return ""
		}
		lines := []string{"#!/bin/bash -e"}
		for _, c := range v.Items {
			if !c.Is(source.Scalar) {
				return ""
			}
			lines = append(lines, c.Text)
		}
		return strings.Join(lines, "\n") + "\n"
	}
	return ""
}

var pythonStart = regexp.MustCompile(`^(import|from)\s+\w`)

// literalInput is an input's value or default as written.
func literalInput(o *document.Operation, name string) *source.Node {
	for _, in := range o.Inputs {
		if in.Name.Text == name {
			if in.Def != nil {
				return in.Def.Default
			}
			return in.Value
		}
	}
	return nil
}

// plugin is the declared plugin that a mapping begins with, the longest one; "" for none.
func (b *blueprint) plugin(mapping string) string {
	found := ""
	for _, p := range b.o.Plugins {
		if strings.HasPrefix(mapping, p+".") && len(p) > len(found) {
			found = p
		}
	}
	return found
}

var scriptExtensions = []string{".sh", ".bash", ".py", ".ps1", ".bat", ".cmd", ".rb", ".pl", ".js", ".yaml", ".yml", ".txt", ".cfg", ".conf", ".json", ".j2", ".tmpl", ".xml", ".exp"}

func looksLikeScript(s string) bool {
	return strings.Contains(s, "/") || slices.Contains(scriptExtensions, strings.ToLower(path.Ext(s)))
}

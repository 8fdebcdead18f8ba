package script

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/orch-project/orch/pkg/topology"
)

// family of languages by how outputs are read at the end of a script.
type family int

const (
	otherFamily family = iota // the output file only
	shellFamily
	pythonFamily
	binary // started directly
)

// interpreter of a script.
type interpreter struct {
	family family
	// names are tried in order on the host.
	names   []string
	options []string
}

var extensions = map[string]interpreter{
	".sh":   {shellFamily, []string{"bash", "sh"}, nil},
	".bash": {shellFamily, []string{"bash"}, nil},
	".py":   {pythonFamily, []string{"python3", "python"}, nil},
	".pl":   {otherFamily, []string{"perl"}, nil},
	".rb":   {otherFamily, []string{"ruby"}, nil},
	".js":   {otherFamily, []string{"node"}, nil},
	".php":  {otherFamily, []string{"php"}, nil},
}

// elsewhere are implementations that other drivers run.
var elsewhere = map[string]string{
	".yml": "an Ansible playbook", ".yaml": "an Ansible playbook", ".ansible": "an Ansible playbook", ".tf": "a Terraform module",
	".bat": "a Windows script", ".cmd": "a Windows script", ".ps1": "a PowerShell script",
}

// chooseInterpreter decides by the artifact's type, then the shebang, then the extension. Within the family that the type says, the
// shebang gives the options.
func chooseInterpreter(a *topology.Artifact, head []byte) (interpreter, error) {
	bang, hasBang := parseShebang(head)
	ext := strings.ToLower(path.Ext(a.File))
	byType := ""
	for _, t := range a.Type {
		name := strings.ToLower(t[strings.LastIndexByte(t, '.')+1:])
		switch name {
		case "bash", "shell", "python":
			byType = name
		}
		if byType != "" {
			break
		}
	}
	switch {
	case byType == "python":
		in := extensions[".py"]
		if hasBang && bang.family == pythonFamily {
			in = bang
		}
		return in, nil
	case byType != "":
		in := extensions[".sh"]
		if hasBang && bang.family == shellFamily {
			in.options = bang.options
		}
		return in, nil
	case hasBang:
		return bang, nil
	}
	if in, ok := extensions[ext]; ok {
		return in, nil
	}
	if bytes.HasPrefix(head, []byte("\x7fELF")) {
		return interpreter{family: binary}, nil
	}
	if what, ok := elsewhere[ext]; ok {
		return interpreter{}, fmt.Errorf("%s is %s, which scripts' drivers do not run", a.File, what)
	}
	if a.Source != "" {
		return extensions[".sh"], nil
	}
	return interpreter{}, fmt.Errorf("cannot tell how to run %s: it %w", a.File, errUntold)
}

// errUntold is chooseInterpreter's of a file that may be anything.
var errUntold = errors.New("has no #! line, and neither its type nor its extension says")

// parseShebang reads "#!/bin/bash -e", "#!/usr/bin/env python3", "#!/usr/bin/env -S perl -w".
func parseShebang(head []byte) (interpreter, bool) {
	head = bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	if !bytes.HasPrefix(head, []byte("#!")) {
		return interpreter{}, false
	}
	line, _, _ := bytes.Cut(head[2:], []byte("\n"))
	words := strings.Fields(string(line))
	if len(words) == 0 {
		return interpreter{}, false
	}
	name, rest := words[0], words[1:]
	if path.Base(name) == "env" {
		for len(rest) > 0 && (strings.HasPrefix(rest[0], "-") || strings.Contains(rest[0], "=")) {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			return interpreter{}, false
		}
		name, rest = rest[0], rest[1:]
	}
	in := interpreter{names: []string{name}, options: rest}
	base := path.Base(name)
	standard := name == base || strings.HasPrefix(name, "/bin/") || strings.HasPrefix(name, "/usr/bin/")
	switch {
	case base == "bash":
		in.family = shellFamily
		in.names = []string{"bash"}
	case base == "sh" || base == "dash" || base == "ash" || base == "ksh":
		in.family = shellFamily
		in.names = append(in.names, "sh")
	case strings.HasPrefix(base, "python"):
		in.family = pythonFamily
		if standard && (base == "python" || base == "python3") {
			in.names = []string{base, "python3", "python"}
		}
	case standard && name != base:
		in.names = []string{name, base}
	}
	return in, true
}

// command is the shell text that sets the positional parameters to the command that runs the script; `prelude` are the options that
// the main program must set itself.
func (in interpreter) command(script string, login bool) (text, prelude string) {
	file := `"$ORCH_WORK"/` + Quote(script)
	choose := "choose " + QuoteAll(in.names) + "; "
	switch in.family {
	case binary:
		return "set -- " + file, ""
	case shellFamily:
		var set, pass []string
		for i := 0; i < len(in.options); i++ {
			switch o := in.options[i]; {
			case o == "-l" || o == "--login" || o == "-" || o == "--":
			case (o == "-o" || o == "+o") && i+1 < len(in.options):
				set = append(set, o, in.options[i+1])
				i++
			case len(o) > 1 && o[0] == '-' && strings.Trim(o[1:], "abefhkmntuvxBCEHPT") == "":
				set = append(set, o)
			default:
				pass = append(pass, o)
			}
		}
		if len(set) > 0 {
			prelude = "set " + QuoteAll(set)
		}
		flags := ""
		if login {
			choose += `login=; case ${interp##*/} in bash) login=-l ;; esac; `
			flags = "$login "
		}
		if len(pass) > 0 {
			flags += QuoteAll(pass) + " "
		}
		return choose + `set -- "$interp" ` + flags + `-c '. "$ORCH_JOB/main"' ` + file, prelude
	case pythonFamily:
		return choose + `set -- "$interp" ` + options(in.options) + `"$ORCH_JOB/main" ` + file, ""
	default:
		return choose + `set -- "$interp" ` + options(in.options) + file, ""
	}
}

func options(o []string) string {
	if len(o) == 0 {
		return ""
	}
	return QuoteAll(o) + " "
}

package script

import (
	"fmt"
	"strings"

	"github.com/orch-project/orch/pkg/driver"
)

// maxVariable is Linux's limit of one environment string (MAX_ARG_STRLEN), name and "=" included.
const maxVariable = 128<<10 - 1

// setting of one variable: a value, or a path below the job's files.
type setting struct {
	name, value string
	path        bool
	// before puts the value in front of what the variable holds already, as in PATH.
	before bool
}

// VariableName makes a name that shells accept: other characters become "_".
func VariableName(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			b[i] = '_'
		}
	}
	if len(b) == 0 || b[0] >= '0' && b[0] <= '9' {
		return "_" + string(b)
	}
	return string(b)
}

// environment renders settings and variables as shell text that ends with the journal's end mark. It holds secrets.
func environment(settings []setting, vars []driver.Variable) (string, error) {
	var b strings.Builder
	for _, s := range settings {
		if s.before {
			name := VariableName(s.name)
			fmt.Fprintf(&b, "export %s=\"$ORCH_WORK\"%s\"${%s:+:$%s}\"\n", name, Quote("/"+s.value), name, name)
			continue
		}
		if s.path {
			fmt.Fprintf(&b, "export %s=\"$ORCH_WORK\"%s\n", VariableName(s.name), Quote("/"+s.value))
			continue
		}
		fmt.Fprintf(&b, "export %s=%s\n", VariableName(s.name), Quote(s.value))
	}
	for _, v := range vars {
		if strings.IndexByte(v.Value, 0) >= 0 {
			return "", fmt.Errorf("variable %s holds a NUL byte, which no environment variable can", v.Name)
		}
		if n := len(v.Name) + 1 + len(v.Value); n > maxVariable {
			return "", fmt.Errorf("variable %s has %d bytes, more than an environment variable can hold (%d): pass it as an artifact", v.Name, n, maxVariable)
		}
		// Readonly in bash or sh: exporting them would end the script.
		switch name := VariableName(v.Name); name {
		case "UID", "EUID", "PPID", "BASHOPTS", "SHELLOPTS", "BASH_VERSINFO":
			return "", fmt.Errorf("variable %s cannot be set: the shell keeps that name for itself; rename the input", v.Name)
		default:
			fmt.Fprintf(&b, "export %s=%s\n", name, Quote(v.Value))
		}
	}
	b.WriteString("#orch-end")
	return b.String(), nil
}

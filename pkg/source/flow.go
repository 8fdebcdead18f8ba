package source

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
)

// flowColon is a key in a flow collection whose value follows the colon without a space: {concat:[a, b]}. PyYAML and SnakeYAML, which the
// tools of TOSCA and Cloudify use, take the bracket for the value; the library here does not.
var flowColon = regexp.MustCompile(`([{,\[]\s*[A-Za-z_][\w.-]*:)([\[{])`)

// spaceColons returns the document with the missing space in the line of a syntax error (or the next, where the library counts from 0), or
// nil if there is nothing to mend.
func spaceColons(data []byte, err error) []byte {
	m := yamlLine.FindStringSubmatch(strings.TrimSpace(strings.SplitN(err.Error(), "\n", 2)[0]))
	line, _ := strconv.Atoi(m[1])
	if line == 0 {
		return nil
	}
	lines := bytes.Split(data, []byte("\n"))
	for i := line - 1; i <= line && i < len(lines); i++ {
		if fixed := flowColon.ReplaceAll(lines[i], []byte("$1 $2")); !bytes.Equal(fixed, lines[i]) {
			lines[i] = fixed
			return bytes.Join(lines, []byte("\n"))
		}
	}
	return nil
}

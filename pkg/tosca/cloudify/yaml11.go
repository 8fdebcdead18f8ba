package cloudify

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/source"
)

// Cloudify reads YAML 1.1: yes, no, on and off are booleans wherever they stand, and 1:30 is a number of base 60.
var (
	boolean     = map[string]string{"yes": "true", "on": "true", "no": "false", "off": "false"}
	sexagesimal = regexp.MustCompile(`^[-+]?[1-9][0-9_]*(:[0-5]?[0-9])+$`)
)

// YAML11 returns the node with the scalars of YAML 1.1 in the form of YAML 1.2. Nodes that need no change are shared.
func YAML11(n *source.Node) *source.Node {
	switch {
	case n.Is(source.Scalar) && !n.Quoted && n.Tag == "!!str":
		t := ""
		tag := "!!bool"
		switch n.Text {
		case strings.ToLower(n.Text), strings.ToUpper(n.Text), title(n.Text):
			t = boolean[strings.ToLower(n.Text)]
		}
		if t == "" && sexagesimal.MatchString(n.Text) {
			tag, t = "!!int", base60(n.Text)
		}
		if t == "" {
			return n
		}
		c := *n
		c.Tag, c.Text = tag, t
		return &c
	case n.Is(source.Sequence):
		var c *source.Node
		for i, it := range n.Items {
			if x := YAML11(it); x != it {
				if c == nil {
					copied := *n
					copied.Items = append([]*source.Node{}, n.Items...)
					c = &copied
				}
				c.Items[i] = x
			}
		}
		if c != nil {
			return c
		}
	case n.Is(source.Mapping):
		var c *source.Node
		for i, p := range n.Pairs {
			if x := YAML11(p.Value); x != p.Value {
				if c == nil {
					copied := *n
					copied.Pairs = append([]source.Pair{}, n.Pairs...)
					c = &copied
				}
				c.Pairs[i].Value = x
			}
		}
		if c != nil {
			return c
		}
	}
	return n
}

func title(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + strings.ToLower(s[1:])
}

func base60(s string) string {
	sign := ""
	if s[0] == '-' || s[0] == '+' {
		sign, s = strings.TrimPrefix(s[:1], "+"), s[1:]
	}
	total := 0
	for p := range strings.SplitSeq(strings.ReplaceAll(s, "_", ""), ":") {
		n, err := strconv.Atoi(p)
		if err != nil || total > 1<<40 {
			return ""
		}
		total = total*60 + n
	}
	return sign + strconv.Itoa(total)
}

package userns

import (
	"slices"
	"testing"
)

func TestSubordinateIDs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		want []span
		ok   bool
	}{
		"one range":            {"root:1:2\nann:100000:65536\n", []span{{1, 100000, 65535}}, true},
		"by number":            {"1000:200000:70000\n", []span{{1, 200000, 65535}}, true},
		"several ranges":       {"ann:100000:5\nbob:7:7\nann:300000:65530\nann:900000:9", []span{{1, 100000, 5}, {6, 300000, 65530}}, true},
		"too few":              {"ann:100000:1000\n", []span{{1, 100000, 1000}}, false},
		"none":                 {"bob:100000:65536\n", nil, false},
		"damaged":              {"ann:x:65536\nann:1\nann:100000:-1\n", nil, false},
		"the very last needed": {"ann:100000:65535", []span{{1, 100000, 65535}}, true},
	} {
		got, ok := subordinate(test.text, "ann", "1000")
		if !slices.Equal(got, test.want) || ok != test.ok {
			t.Errorf("%s: %v %v", name, got, ok)
		}
	}
}

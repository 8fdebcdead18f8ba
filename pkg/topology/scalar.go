package topology

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/source"
)

// Unit families of TOSCA's scalar-unit types: factors to the base unit (B, s, Hz, bps).
// Unit names are matched exactly first and then without regard to case (TOSCA 1.3 §3.3.6 says case-insensitive; kB and KB both appear).
var units = map[string]map[string]float64{
	"scalar-unit.size": {
		"B": 1, "kB": 1e3, "KiB": 1 << 10, "MB": 1e6, "MiB": 1 << 20, "GB": 1e9, "GiB": 1 << 30, "TB": 1e12, "TiB": 1 << 40,
	},
	"scalar-unit.time": {
		"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9,
	},
	"scalar-unit.frequency": {
		"Hz": 1, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9,
	},
	"scalar-unit.bitrate": {
		"bps": 1, "Kbps": 1e3, "Kibps": 1 << 10, "Mbps": 1e6, "Mibps": 1 << 20, "Gbps": 1e9, "Gibps": 1 << 30, "Tbps": 1e12, "Tibps": 1 << 40,
		"Bps": 8, "KBps": 8e3, "KiBps": 8 << 10, "MBps": 8e6, "MiBps": 8 << 20, "GBps": 8e9, "GiBps": 8 << 30, "TBps": 8e12, "TiBps": 8 << 40,
	},
}

// UnitNames of a scalar-unit type, for messages.
func UnitNames(typ string) string {
	switch typ {
	case "scalar-unit.size":
		return "B, kB, KiB, MB, MiB, GB, GiB, TB, TiB"
	case "scalar-unit.time":
		return "d, h, m, s, ms, us, ns"
	case "scalar-unit.frequency":
		return "Hz, kHz, MHz, GHz"
	case "scalar-unit.bitrate":
		return "bps, Kbps, Mbps, Gbps, Tbps, Bps, KBps, MBps … and Kibps, KiBps …"
	}
	return ""
}

var scalarUnit = regexp.MustCompile(`^\s*([-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)\s*([A-Za-z]+)\s*$`)

// ParseUnit reads a value such as "10 GB" of a scalar-unit type: the number in base units (bytes, seconds, hertz, bits per second) and the
// canonical text "10 GB".
func ParseUnit(typ, text string) (base float64, canonical string, err error) {
	table := units[typ]
	m := scalarUnit.FindStringSubmatch(text)
	if m == nil {
		if _, nerr := strconv.ParseFloat(strings.TrimSpace(text), 64); nerr == nil {
			return 0, "", fmt.Errorf("%q has no unit; write it with one of %s", text, UnitNames(typ))
		}
		return 0, "", fmt.Errorf("%q is not a number with a unit (%s)", text, UnitNames(typ))
	}
	f, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, "", fmt.Errorf("%q is not a number", m[1])
	}
	unit, factor := m[2], table[m[2]]
	if factor == 0 {
		for u, v := range table {
			// Bps and bps differ in case only: an exact match has been tried, so b means bits.
			if strings.EqualFold(u, m[2]) && (factor == 0 || v < factor) {
				unit, factor = u, v
			}
		}
	}
	if factor == 0 {
		return 0, "", fmt.Errorf("%q has the unknown unit %q; known are %s", text, m[2], UnitNames(typ))
	}
	return f * factor, m[1] + " " + unit, nil
}

// Version is a TOSCA version: major.minor[.fix[.qualifier[-build]]]; real documents also give one or two numbers and bare qualifiers.
type Version struct {
	Numbers   []int64
	Qualifier string
	Build     int64
}

var versionForm = regexp.MustCompile(`^(\d+(?:\.\d+)*)(?:[.-]([0-9A-Za-z_][0-9A-Za-z_.-]*))?$`)

// ParseVersion reads a version.
func ParseVersion(text string) (Version, error) {
	m := versionForm.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return Version{}, fmt.Errorf("%q is not a version (major.minor[.fix[.qualifier[-build]]])", text)
	}
	var v Version
	for p := range strings.SplitSeq(m[1], ".") {
		n, err := strconv.ParseInt(p, 10, 64)
		if err != nil {
			return Version{}, fmt.Errorf("%q is not a version: %s is too large", text, p)
		}
		v.Numbers = append(v.Numbers, n)
	}
	v.Qualifier = m[2]
	if i := strings.LastIndexByte(m[2], '-'); i >= 0 {
		if n, err := strconv.ParseInt(m[2][i+1:], 10, 64); err == nil {
			v.Qualifier, v.Build = m[2][:i], n
		}
	}
	return v, nil
}

// Compare orders versions by their parts; a qualified version comes before the same one without qualifier (1.0.0-SNAPSHOT < 1.0.0).
func (v Version) Compare(w Version) int {
	for i := range max(len(v.Numbers), len(w.Numbers)) {
		var a, b int64
		if i < len(v.Numbers) {
			a = v.Numbers[i]
		}
		if i < len(w.Numbers) {
			b = w.Numbers[i]
		}
		if a != b {
			return sign(a < b)
		}
	}
	switch {
	case v.Qualifier != w.Qualifier && v.Qualifier == "":
		return 1
	case v.Qualifier != w.Qualifier && w.Qualifier == "":
		return -1
	case v.Qualifier != w.Qualifier:
		return strings.Compare(v.Qualifier, w.Qualifier)
	case v.Build != w.Build:
		return sign(v.Build < w.Build)
	}
	return 0
}

func sign(less bool) int {
	if less {
		return -1
	}
	return 1
}

var timestampForms = []string{
	time.RFC3339Nano, "2006-01-02", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04:05.999999999",
	"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05.999999999 -07", "2006-01-02 15:04:05.999999999-07", "2006-01-02 15:04:05.999999999 -07:00", "2006-01-02 15:04:05.999999999 -7",
	"2006-01-02 15:04:05 Z", "2006-1-2", "2006-01-02T15:04:05.999999999Z0700", "2006-1-2 15:04:05", "2006-1-2T15:04:05Z07:00",
}

var leapSecond = regexp.MustCompile(`:60((?:\.\d+)?(?:\s*[-+Z].*)?)$`) // RFC 3339 has 23:59:60

var shortOffset = regexp.MustCompile(`^(.*\d\s*)([-+])(\d)$`) // +2 for +02

// ParseTimestamp reads a YAML timestamp (YAML 1.1 !!timestamp, ISO 8601).
func ParseTimestamp(text string) (time.Time, error) {
	s := strings.TrimSpace(strings.Replace(text, "t", "T", 1))
	if m := shortOffset.FindStringSubmatch(s); m != nil {
		s = m[1] + m[2] + "0" + m[3]
	}
	leap := leapSecond.MatchString(s)
	if leap {
		s = leapSecond.ReplaceAllString(s, ":59$1")
	}
	for _, f := range timestampForms {
		if t, err := time.Parse(f, s); err == nil {
			if leap {
				t = t.Add(time.Second)
			}
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a timestamp such as 2026-01-31T12:00:00Z", text)
}

// Unbounded is the open end of a range.
const Unbounded = "UNBOUNDED"

func isUnbounded(n *source.Node) bool { return strings.EqualFold(n.Str(), Unbounded) }

// Number reads a number from an integer, a float or a text; NaN is none.
func Number(v any) (float64, bool) {
	switch t := v.(type) {
	case int64:
		return float64(t), true
	case int:
		return float64(t), true
	case float64:
		return t, !math.IsNaN(t)
	case string:
		f, err := strconv.ParseFloat(strings.TrimSpace(t), 64)
		return f, err == nil && !math.IsNaN(f)
	}
	return 0, false
}

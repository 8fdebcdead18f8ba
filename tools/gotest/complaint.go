package main

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// limits of what stands at the end of the report, where a log is read first and where a service that cuts logs leaves something.
const (
	maxEnd     = 110 // lines of messages
	maxNames   = 50  // failed tests
	maxMessage = 12  // lines of one message
	maxSaid    = 30  // lines of one test
	maxLine    = 300 // bytes
)

var (
	place     = regexp.MustCompile(`^\s*[\w./-]+\.go:\d+: `)
	testEvent = regexp.MustCompile(`^\s*(=== |--- (FAIL|PASS|SKIP): )`)
)

// complaints are the messages of a failed test, each with its place in a file and its first and last lines: of many the first and the last
// ones, the first cause and what ended the test.
func (p *pkg) complaints(test string) []string {
	var messages [][]string
	for _, l := range whole(p.lines) {
		text := strings.TrimRight(l.text, "\n")
		if isCrash(text) {
			break // what follows are stacks, whoever's test runs
		}
		if l.test != test || testEvent.MatchString(text) {
			continue
		}
		if place.MatchString(text) || len(messages) == 0 {
			messages = append(messages, nil)
		}
		last := len(messages) - 1
		messages[last] = append(messages[last], strings.TrimPrefix(text, "    "))
	}
	// What was printed before the first message is chatter of the code under test, unless there is no message.
	if len(messages) > 1 && !place.MatchString(messages[0][0]) {
		messages = messages[1:]
	}
	if len(messages) > 5 {
		messages = append(append(messages[:3:3], []string{"…"}), messages[len(messages)-2:]...)
	}
	var said []string
	for _, m := range messages {
		said = append(said, brief(m, maxMessage)...)
	}
	return brief(said, maxSaid)
}

// whole lines: of a long one go test gives pieces.
func whole(pieces []line) []line {
	var out []line
	open := map[string]int{} // test → its line that has no end yet
	for _, l := range pieces {
		if i, ok := open[l.test]; ok {
			out[i].text += l.text
		} else {
			open[l.test] = len(out)
			out = append(out, l)
		}
		if strings.HasSuffix(l.text, "\n") {
			delete(open, l.test)
		}
	}
	return out
}

// brief keeps the first and the last of many lines, and of long lines their beginning. A message is indented below its place.
func brief(lines []string, most int) []string {
	out := slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.TrimSpace(l) == "" })
	for i, l := range out {
		out[i] = cut(strings.TrimRight(l, "\n"))
	}
	if i := slices.IndexFunc(out, func(l string) bool { return strings.HasPrefix(strings.TrimSpace(l), "FAIL: ") }); i > most/2 {
		// A script of testscript says at its end which line failed, and before it what the line printed.
		out = append(out[:1:1], out[max(1, i-most+2):]...)
	}
	if most < 3 {
		return out[:min(most, len(out))]
	}
	if len(out) > most {
		last := most / 3
		out = append(append(out[:most-last-1:most-last-1], "…"), out[len(out)-last:]...)
	}
	return out
}

func cut(l string) string {
	if len(l) <= maxLine {
		return l
	}
	at := maxLine
	for at > 0 && !utf8.RuneStart(l[at]) {
		at--
	}
	return l[:at] + " …"
}

package tools

import (
	"strings"
	"sync"
)

// logBuffer keeps the end of a server's log.
type logBuffer struct {
	mu   sync.Mutex
	data []byte
}

func (b *logBuffer) Write(p []byte) (int, error) {
	const keep = 16 << 10
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data = append(b.data, p...)
	b.data = b.data[max(0, len(b.data)-keep):]
	return len(p), nil
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.data)
}

// tail returns the last lines, without those that differ from one before only in their time.
func (b *logBuffer) tail(n int) string {
	seen := map[string]bool{}
	var kept []string
	for line := range strings.Lines(b.String()) {
		_, said, _ := strings.Cut(line, " ")
		if !seen[said] {
			seen[said] = true
			kept = append(kept, line)
		}
	}
	return strings.Join(kept[max(0, len(kept)-n):], "")
}

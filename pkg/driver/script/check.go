package script

import (
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
)

// Check finds what is wrong with the files and implementations of requests before any host is touched: each place once.
func Check(reqs []*driver.Request, o Options) diag.List {
	var l diag.List
	type place struct {
		pos  diag.Pos
		text string
	}
	seen := map[place]bool{}
	for _, r := range reqs {
		if r.Operation == nil || r.Operation.Implementation == nil {
			continue
		}
		_, err := NewJob(r, o)
		if err == nil {
			continue
		}
		pos := r.Operation.Implementation.Pos
		if pos.IsZero() {
			pos = r.Operation.Pos
		}
		if p := (place{pos, err.Error()}); !seen[p] {
			seen[p] = true
			name := "the function " + r.Operation.Name // of no node
			if r.Node != nil {
				name = r.Operation.Name + " of " + r.Node.Name
			}
			l.Errorf("bad-implementation", pos, "%s cannot run: %v", name, err).
				Hint = "correct the path in the document or add the file to the archive"
		}
	}
	return l
}

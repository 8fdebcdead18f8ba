package view

import (
	"strconv"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/orch"
)

// Revisions prints the history of a deployment, newest first.
func (p *Printer) Revisions(all []orch.Revision, now time.Time) {
	if len(all) == 0 {
		p.Println("No revisions.")
		return
	}
	var rows [][]string
	for _, r := range all {
		n := strconv.Itoa(r.N)
		if r.Current {
			n += " *"
		}
		rows = append(rows, []string{n, p.Status(r.Outcome), Age(r.Created, now) + " ago", r.User, short(r.Digest), r.Source, strings.Join(r.Changes, "; ")})
	}
	p.Table([]string{"REVISION", "OUTCOME", "WHEN", "BY", "DIGEST", "SOURCE", "CHANGES"}, rows)
}

func short(digest string) string {
	digest = strings.TrimPrefix(digest, "sha256:")
	return digest[:min(12, len(digest))]
}

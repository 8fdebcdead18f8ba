package bounded

import (
	"strings"
	"testing"
)

var kept []byte

func TestInputThatAllocatesTooMuchIsTold(t *testing.T) {
	exceeded := watch("FuzzX", 64<<20)
	kept = make([]byte, 1<<20)
	if s := exceeded(); s != "" {
		t.Fatalf("one MiB: %s", s)
	}
	for range 64 {
		kept = make([]byte, 1<<20) // freed in between: what counts is what was allocated
	}
	if s := exceeded(); !strings.Contains(s, "FuzzX: one input allocates more than 64 MiB") {
		t.Fatalf("65 MiB: %q", s)
	}
}

func TestInputThatCostsLittlePasses(t *testing.T) {
	done := Input(t)
	kept = make([]byte, 1<<20)
	done()
}

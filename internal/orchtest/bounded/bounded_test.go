package bounded

import (
	"strings"
	"testing"
)

var kept []byte

func TestInputThatAllocatesTooMuchIsTold(t *testing.T) {
	exceeded := watch("FuzzX")
	for range 10 {
		kept = make([]byte, 1<<20)
	}
	if s := exceeded(); s != "" {
		t.Fatalf("ten MiB: %s", s)
	}
	kept = make([]byte, memoryLimit+1)
	kept = nil
	if s := exceeded(); !strings.Contains(s, "FuzzX: one input allocates more than 1024 MiB") {
		t.Fatalf("a GiB: %q", s)
	}
}

func TestInputThatCostsLittlePasses(t *testing.T) {
	done := Input(t)
	kept = make([]byte, 1<<20)
	done()
}

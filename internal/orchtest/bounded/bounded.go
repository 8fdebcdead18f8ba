// Package bounded is the watchdog of fuzz targets: what one input may cost. It must not know what is tested.
//
//	f.Fuzz(func(t *testing.T, data []byte) {
//		defer bounded.Input(t)()
//		…
//	})
package bounded

import (
	"fmt"
	"runtime/metrics"
	"syscall"
	"testing"
	"time"
)

// What one input may cost. Processor time is what a hang costs and does not depend on what else the machine does; the wall-clock limit is
// there for inputs that wait for ever. Memory is all that was allocated on the way, which bounds what was in use at once.
const (
	cpuLimit    = 5 * time.Second
	wallLimit   = 2 * time.Minute
	memoryLimit = 1 << 30 // bytes
)

// Input starts the watchdog and returns what ends it. An input that costs too much while it runs ends the process with a panic, as nothing
// else ends a hang (the fuzzing engine then keeps the input); one that has cost too much when it ends fails the test.
func Input(t testing.TB) func() {
	exceeded := watch(t.Name(), memoryLimit)
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if s := exceeded(); s != "" {
					panic(s)
				}
			}
		}
	}()
	return func() {
		close(done)
		if s := exceeded(); s != "" {
			t.Error(s)
		}
	}
}

// watch returns what says which limit has been exceeded since now, empty while none is. most is how many bytes may be allocated.
func watch(name string, most uint64) func() string {
	begun, cpu, memory := time.Now(), processorTime(), allocated()
	return func() string {
		switch {
		case processorTime()-cpu > cpuLimit*slower:
			return fmt.Sprintf("%s: one input takes more than %s of processor time", name, cpuLimit*slower)
		case time.Since(begun) > wallLimit*slower:
			return fmt.Sprintf("%s: one input takes more than %s", name, wallLimit*slower)
		case allocated()-memory > most:
			return fmt.Sprintf("%s: one input allocates more than %d MiB", name, most>>20)
		}
		return ""
	}
}

// processorTime that this process has used, its garbage collector included.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// allocated is how many bytes this process has ever allocated on its heap.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

package tools

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// A child outlives the thread that asked for it: servers of tests once died because other tests had looked into namespaces.
func TestChildrenOutliveThreads(t *testing.T) {
	t.Parallel()
	for range 5 {
		cat := exec.Command("cat")
		in, err := cat.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cat.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		thread := make(chan int)
		var c *Child
		go func() {
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
			c, err = Start(cat)
			thread <- syscall.Gettid()
		}()
		id := <-thread
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(time.Minute); id != os.Getpid() && time.Now().Before(end); time.Sleep(time.Millisecond) {
			if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", id)); err != nil {
				break
			}
		}
		_, _ = io.WriteString(in, "x")
		if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
			t.Error("the child ended with the thread")
		}
		_ = c.Stop(syscall.SIGKILL)
	}
}

//go:build unix

package ssh

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

// windowSizes follows the size of a terminal until ctx ends.
func windowSizes(ctx context.Context, fd int) <-chan [2]int {
	out := make(chan [2]int)
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	go func() {
		defer close(out)
		defer signal.Stop(changed)
		for {
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
			if w, h, err := term.GetSize(fd); err == nil {
				select {
				case out <- [2]int{w, h}:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out
}

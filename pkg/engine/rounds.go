package engine

import (
	"math"
	"time"
)

// rounds bound how much one turn of the loop takes and starts. What ends at the same moment is stored in one transaction, and what follows
// starts when that is stored: the step on the critical path with the hundred beside it, though it came first and has the longest way to go.
// Where a transaction costs next to nothing, small ones let it start before the others are dealt with. Where it costs a disk's or a network's
// time, or so much waits that only throughput counts, everything goes into one.
type rounds struct {
	never bool // the plan has steps that drivers want together
	slow  bool // the store takes its time for a transaction, however small
}

const (
	roundSteps   = 12
	roundBacklog = 512
	roundCost    = time.Millisecond      // of a transaction
	stepCost     = 50 * time.Microsecond // of a step in it
)

// size of a round when so many steps wait.
func (o *rounds) size(backlog int) int {
	if o.never || o.slow || backlog > roundBacklog {
		return math.MaxInt
	}
	return roundSteps
}

// committed tells how long the store took for so many transitions.
func (o *rounds) committed(n int, took time.Duration) {
	if n > 0 {
		o.slow = took-time.Duration(n)*stepCost > roundCost
	}
}

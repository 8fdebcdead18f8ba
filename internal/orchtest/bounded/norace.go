//go:build !race

package bounded

// slower is how many times longer things may take.
const slower = 1

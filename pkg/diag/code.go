package diag

import (
	"fmt"
	"maps"
	"slices"
)

// Code documents a kind of diagnostic. Its ID is stable: scripts and editors refer to it.
type Code struct {
	ID string `json:"id"`
	// Title is one line; Text says what is meant, why it is a mistake and what to do, with an example where that helps.
	Title string `json:"title"`
	Text  string `json:"text"`
}

var codes = map[string]Code{}

// Register adds codes to the registry; packages call it from init. A code that is registered twice is a bug of the program.
func Register(list ...Code) {
	for _, c := range list {
		if _, ok := codes[c.ID]; ok {
			panic(fmt.Sprintf("the diagnostic code %q is registered twice", c.ID))
		}
		codes[c.ID] = c
	}
}

// Explain returns the documentation of a code.
func Explain(id string) (Code, bool) {
	c, ok := codes[id]
	return c, ok
}

// Codes lists every registered code by ID.
func Codes() []Code {
	out := make([]Code, 0, len(codes))
	for _, id := range slices.Sorted(maps.Keys(codes)) {
		out = append(out, codes[id])
	}
	return out
}

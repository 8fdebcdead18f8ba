// Package source reads documents: files, directories, zip/CSAR and tar archives, safely and with every position kept.
//
// It is the only package that knows the YAML library. What it returns is a tree of Nodes that carry file, line and column; it knows
// no dialect. Reading never leaves the given root, never follows a link out of it, and is bounded in size, depth and alias expansion.
package source

import (
	"iter"

	"github.com/orch-project/orch/pkg/diag"
)

// Kind of a Node.
type Kind int

const (
	Null Kind = iota
	Scalar
	Sequence
	Mapping
)

func (k Kind) String() string { return [...]string{"null", "scalar", "list", "map"}[k] }

// Node is a YAML value with its place. A nil *Node behaves as an absent value: all methods may be called on it.
type Node struct {
	Kind Kind
	// Tag is the resolved YAML core tag of a scalar: "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!binary",
	// or a custom tag.
	Tag string
	// Text is the scalar as written (block scalars folded); it is not converted, so that 0777, 1.10 and 2016-04-04 stay what they are
	// where a string is declared.
	Text string
	// Quoted scalars are strings whatever they look like.
	Quoted bool
	// Items of a sequence.
	Items []*Node
	// Pairs of a mapping in document order. Duplicate keys have been reported and dropped.
	Pairs []Pair
	// ListKeys are entries of a mapping whose keys are lists, which few places may have; each was reported as CodeKey at its key.
	ListKeys []ListPair
	Pos      diag.Pos
}

// ListPair is an entry of a mapping with a list as its key.
type ListPair struct {
	Key   *Node // sequence
	Value *Node
}

// Pair is an entry of a mapping.
type Pair struct {
	Key   *Node // scalar
	Value *Node
}

// Get returns the value under a key of a mapping, or nil.
func (n *Node) Get(key string) *Node {
	if n == nil || n.Kind != Mapping {
		return nil
	}
	for _, p := range n.Pairs {
		if p.Key.Text == key {
			return p.Value
		}
	}
	return nil
}

// Key returns the key node under that name, for its position, or nil.
func (n *Node) Key(key string) *Node {
	if n == nil || n.Kind != Mapping {
		return nil
	}
	for _, p := range n.Pairs {
		if p.Key.Text == key {
			return p.Key
		}
	}
	return nil
}

// All iterates over a mapping's entries in document order.
func (n *Node) All() iter.Seq2[*Node, *Node] {
	return func(yield func(*Node, *Node) bool) {
		if n == nil {
			return
		}
		for _, p := range n.Pairs {
			if !yield(p.Key, p.Value) {
				return
			}
		}
	}
}

// IsNull reports whether the node is absent or null.
func (n *Node) IsNull() bool { return n == nil || n.Kind == Null }

// Is reports whether the node is present and of the kind.
func (n *Node) Is(k Kind) bool { return n != nil && n.Kind == k }

// Str returns the text of a scalar, or "".
func (n *Node) Str() string {
	if n == nil || n.Kind != Scalar {
		return ""
	}
	return n.Text
}

// At returns the node's place, or the zero place.
func (n *Node) At() diag.Pos {
	if n == nil {
		return diag.Pos{}
	}
	return n.Pos
}

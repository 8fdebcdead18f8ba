package topology

import (
	"context"

	"github.com/orch-project/orch/pkg/secret"
)

// Instance addresses one instance of a node template: web[1].
type Instance struct {
	Node  string `json:"node"`
	Index string `json:"index"` // "0", "1" …
}

// String is the form users type: node[index].
func (i Instance) String() string { return i.Node + "[" + i.Index + "]" }

// Env answers what only the running deployment knows. A false result means "not known yet"; Eval turns it into Unknown.
type Env interface {
	// Input returns the deployment's value of a topology input (defaults are applied by Eval's caller).
	Input(name string) (any, bool)
	// Instances of a node that exist or are planned, in order.
	Instances(node string) []string
	// Attribute of an instance, or of its capability when capability is not "".
	Attribute(in Instance, capability, name string) (any, bool)
	// RelationshipAttribute of the relationship `rel` (Relationship.Name) of a source instance; target is the target's index.
	RelationshipAttribute(source Instance, rel, target, name string) (any, bool)
	// OperationOutput of an operation that ran on an instance, or on a relationship of it when rel is not "".
	OperationOutput(in Instance, rel, iface, op, name string) (any, bool)
	// Secret resolves get_secret's arguments (a path, or a provider-dependent list).
	Secret(ctx context.Context, args []string) (secret.Value, error)
}

// Wrapper is an Env that answers some questions itself and passes the others, and the optional interfaces, on.
type Wrapper interface {
	Env
	Unwrap() Env
}

// envAs finds an optional interface of an Env.
func envAs[T any](env Env) (T, bool) {
	for {
		if t, ok := env.(T); ok {
			return t, true
		}
		w, ok := env.(Wrapper)
		if !ok {
			var none T
			return none, false
		}
		env = w.Unwrap()
	}
}

// Deferred is a value of an Env that stands for a text which only the Env's owner can make, such as a reference between resources that do not
// exist yet. Join makes the text of parts of which at least one is Deferred.
type Deferred interface {
	Join(parts []any) (any, error)
}

// Scope says on whose behalf an expression is evaluated: SELF, SOURCE, TARGET, HOST.
type Scope struct {
	Topology *Topology
	// Node and Instance are SELF for a node's values; for a relationship's values they are the source.
	Node     *Node
	Instance string
	// Relationship and TargetInstance are set for a relationship's values.
	Relationship   *Relationship
	TargetInstance string
	// Inputs of the enclosing workflow or operation, which shadow the topology's.
	Inputs map[string]any
}

// Unknown is the value of an expression that depends on what does not exist yet ("known after create").
type Unknown struct {
	// Refs name what it waits for, e.g. "db.private_address".
	Refs []string
}

// String is how plans show it.
func (u Unknown) String() string { return "(known after create)" }

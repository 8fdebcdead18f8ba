package plugin

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// function of the expression language. Either positional (min, max, apply or lazy) or with named arguments.
type function struct {
	min, max int
	// single: a list is the one argument itself, not the list of arguments.
	single bool
	named  []string
	// required of the named ones; binds: the call defines an item name for its "do" and "key".
	required []string
	binds    bool
	usage    string
	// apply gets evaluated arguments; lazy evaluates them itself.
	apply func(args []any) (any, error)
	lazy  func(f *frame, e *Expr) (any, error)
}

func (f *function) arity() string {
	switch {
	case f.max < 0:
		return fmt.Sprintf("%d or more arguments", f.min)
	case f.min == f.max && f.min == 1:
		return "one argument"
	case f.min == f.max:
		return fmt.Sprintf("%d arguments", f.min)
	}
	return fmt.Sprintf("%d to %d arguments", f.min, f.max)
}

// functions by name without $; docs/plugins.md describes each, and a test compares the two.
var functions map[string]*function

func init() {
	functions = map[string]*function{
		"first":  {min: 1, max: -1, lazy: evalFirst, usage: "{$first: [a, b, …]}: the first that is neither null nor empty"},
		"if":     {min: 2, max: 3, lazy: evalIf, usage: "{$if: [condition, then, else]}"},
		"all":    {min: 1, max: -1, lazy: evalAll, usage: "{$all: [condition, …]}"},
		"any":    {min: 1, max: -1, lazy: evalAny, usage: "{$any: [condition, …]}"},
		"not":    {min: 1, max: 1, apply: func(a []any) (any, error) { return !truth(a[0]), nil }, usage: "{$not: condition}"},
		"given":  {min: 1, max: 1, apply: func(a []any) (any, error) { return !isNull(a[0]), nil }, usage: "{$given: value}: neither null nor empty"},
		"equals": {min: 2, max: 2, apply: func(a []any) (any, error) { return equal(a[0], a[1]), nil }, usage: "{$equals: [a, b]}"},
		"at_least": {min: 2, max: 2, apply: applyAtLeast,
			usage: "{$at_least: [a, b]}: a ≥ b as numbers; true when either is null"},
		"in":      {min: 2, max: 2, apply: applyIn, usage: "{$in: [value, list]}"},
		"concat":  {min: 1, max: -1, apply: concat, usage: "{$concat: [a, b, …]}: texts joined; null counts as empty"},
		"join":    {min: 2, max: 2, apply: applyJoin, usage: "{$join: [list, separator]}"},
		"split":   {min: 2, max: 2, apply: applySplit, usage: "{$split: [text or list, separator]}: trimmed, without empty parts"},
		"list":    {min: 1, max: 1, single: true, apply: applyList, usage: "{$list: value}: a value that is no list as a list of one; null as an empty list"},
		"flatten": {min: 1, max: -1, apply: applyFlatten, usage: "{$flatten: [a, b, …]}: lists and values joined to one list, without nulls and repetitions"},
		"merge":   {min: 1, max: -1, apply: applyMerge, usage: "{$merge: [map, …]}: later ones win"},
		"length":  {min: 1, max: 1, single: true, apply: applyLength, usage: "{$length: list}"},
		"lower":   {min: 1, max: 1, apply: func(a []any) (any, error) { return mapText(a[0], strings.ToLower) }, usage: "{$lower: text}"},
		"int":     {min: 1, max: 1, apply: applyInt, usage: "{$int: value}: a whole number"},
		"string":  {min: 1, max: 1, apply: applyString, usage: "{$string: value}"},
		"gib": {min: 1, max: 1, apply: func(a []any) (any, error) { return sized(a[0], "gib") },
			usage: "{$gib: size}: a TOSCA size in GiB, rounded up; a bare number is GiB; null stays null"},
		"mib": {min: 1, max: 1, apply: func(a []any) (any, error) { return sized(a[0], "mib") },
			usage: "{$mib: size}: a TOSCA size in MiB, rounded up; a bare number is MiB; null stays null"},
		"each": {named: []string{"in", "as", "do", "when"}, required: []string{"in", "do"}, binds: true, lazy: evalEach,
			usage: "{$each: {in: list, as: name, when: condition, do: expression}}"},
		"map": {named: []string{"in", "as", "key", "do", "when"}, required: []string{"in", "key", "do"}, binds: true, lazy: evalMap,
			usage: "{$map: {in: list, as: name, when: condition, key: expression, do: expression}}"},
		"first_given": {min: 1, max: -1, lazy: evalFirstGiven, usage: "{$first_given: [a, b, …]}: the first that is not null; false and empty texts count"},
		"get":         {min: 2, max: 2, lazy: evalGet, usage: "{$get: [value, name or index]}"},
		"unique":      {min: 1, max: 1, single: true, apply: applyUnique, usage: "{$unique: list}: without repetitions, also of maps"},
		"auto_cidr": {min: 2, max: 3, lazy: evalAutoCIDR,
			usage: "{$auto_cidr: [base, bits, seed]}: a subnet of that many bits inside the base, chosen by deployment and seed (the node without one)"},
		"digest": {min: 1, max: 1, single: true, apply: applyDigest, usage: "{$digest: value}: eight letters that depend on the value only"},
		"lookup": {min: 2, max: 3, apply: applyLookup, usage: "{$lookup: [map, key, default]}"},
		"select": {named: []string{"from", "where", "smallest", "newest", "what", "optional"}, required: []string{"from", "where"}, lazy: evalSelect,
			usage: "{$select: {from: catalogue, where: [{field: name, is: value}], smallest: [field], newest: field, what: word, optional: true}}"},
		"generate": {named: []string{"secret", "kind", "scope"}, required: []string{"secret", "kind"}, lazy: evalGenerate,
			usage: "{$generate: {secret: name, kind: ed25519 | password, scope: instance | node | deployment}}"},
		"public_key": {min: 1, max: 1, apply: applyPublicKey, usage: "{$public_key: private key}"},
		"secret_ref": {min: 1, max: 1, apply: applySecretRef, lazy: evalSecretRef, usage: "{$secret_ref: {$generate: …}}: the reference a secret is kept under"},
		"cloud_init": {named: []string{"user_data", "host_key", "mode"}, lazy: evalCloudInit,
			usage: "{$cloud_init: {user_data: text, host_key: private key, mode: cloud-config | script | none}}"},
	}
}

func applyAtLeast(a []any) (any, error) {
	if a[0] == nil || a[1] == nil {
		return true, nil
	}
	x, okx := topology.Number(a[0])
	y, oky := topology.Number(a[1])
	if !okx || !oky {
		return nil, fmt.Errorf("cannot compare %v with %v as numbers", a[0], a[1])
	}
	return x >= y, nil
}

func applyIn(a []any) (any, error) {
	l, _ := a[1].([]any)
	return slices.ContainsFunc(l, func(v any) bool { return equal(v, a[0]) }), nil
}

func applyJoin(a []any) (any, error) {
	l, ok := a[0].([]any)
	if !ok {
		return a[0], nil
	}
	var parts []any
	for i, v := range l {
		if i > 0 {
			parts = append(parts, a[1])
		}
		parts = append(parts, v)
	}
	return concat(parts)
}

func applySplit(a []any) (any, error) {
	if l, ok := a[0].([]any); ok {
		return l, nil
	}
	s, ok := text(a[0])
	sep, _ := text(a[1])
	if !ok || sep == "" {
		return []any{}, nil
	}
	out := []any{}
	for p := range strings.SplitSeq(s, sep) {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out, nil
}

func applyList(a []any) (any, error) {
	switch t := a[0].(type) {
	case nil:
		return []any{}, nil
	case []any:
		return t, nil
	}
	return []any{a[0]}, nil
}

func applyFlatten(a []any) (any, error) {
	out := []any{}
	for _, v := range a {
		l, ok := v.([]any)
		if !ok {
			l = []any{v}
		}
		for _, it := range l {
			if isNull(it) || slices.ContainsFunc(out, func(o any) bool { return same(o, it) }) {
				continue
			}
			out = append(out, it)
		}
	}
	return out, nil
}

func same(a, b any) bool {
	switch a.(type) {
	case []any, map[string]any, template:
		return false
	}
	switch b.(type) {
	case []any, map[string]any, template:
		return false
	}
	return a == b || equal(a, b)
}

func applyUnique(a []any) (any, error) {
	l, _ := applyList(a)
	out := []any{}
	for _, it := range l.([]any) {
		if !slices.ContainsFunc(out, func(o any) bool { return reflect.DeepEqual(o, it) }) {
			out = append(out, it)
		}
	}
	return out, nil
}

func applyMerge(a []any) (any, error) {
	out := map[string]any{}
	for _, v := range a {
		if v == nil {
			continue
		}
		m, ok := v.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("a %s is no map", kindOf(v))
		}
		for k, e := range m {
			out[k] = e
		}
	}
	return out, nil
}

func applyLength(a []any) (any, error) {
	switch t := a[0].(type) {
	case nil:
		return int64(0), nil
	case []any:
		return int64(len(t)), nil
	case map[string]any:
		return int64(len(t)), nil
	case string:
		return int64(len(t)), nil
	}
	return nil, fmt.Errorf("a %s has no length", kindOf(a[0]))
}

func mapText(v any, f func(string) string) (any, error) {
	if s, ok := text(v); ok {
		return f(s), nil
	}
	return v, nil
}

func applyInt(a []any) (any, error) {
	switch a[0].(type) {
	case nil, Ref, template, topology.Unknown:
		return a[0], nil
	}
	n, ok := topology.Number(a[0])
	if !ok {
		return nil, fmt.Errorf("%v is not a number", a[0])
	}
	return int64(n), nil
}

func applyString(a []any) (any, error) {
	if s, ok := text(a[0]); ok {
		return s, nil
	}
	return a[0], nil
}

func sized(v any, unit string) (any, error) {
	switch v.(type) {
	case nil, topology.Unknown:
		return v, nil
	}
	return inUnit(v, unit)
}

func applyLookup(a []any) (any, error) {
	k, _ := text(a[1])
	if m, ok := a[0].(map[string]any); ok && m[k] != nil {
		return m[k], nil
	}
	if len(a) > 2 {
		return a[2], nil
	}
	return nil, nil
}

// evalSecretRef is the reference of a secret: of a generated one, or of one that a property reads from the secrets store.
func evalSecretRef(f *frame, e *Expr) (any, error) {
	if arg := e.Args[0]; arg.Kind == PathExpr && arg.Path[0] == "property" && len(arg.Path) > 1 {
		if ref := readSecret(f.in.node.Properties.Get(arg.Path[1]), arg.Path[2:]); ref != "" {
			return ref, nil
		}
	}
	v, err := f.eval(e.Args[0])
	if err != nil {
		return nil, err
	}
	if _, hidden := v.(secret.Value); hidden {
		return nil, nil // computed: nobody keeps it
	}
	return applySecretRef([]any{v})
}

// readSecret is the name of the secret that a value is read from, at a path inside of it.
func readSecret(v *topology.Value, path []string) string {
	for len(path) > 0 && v != nil && v.Kind == topology.MapValue {
		v, path = v.Map.Get(path[0]), path[1:]
	}
	if v == nil || len(path) > 0 || v.Kind != topology.CallValue || v.Call.Fn != "get_secret" || len(v.Call.Args) != 1 {
		return ""
	}
	name, _ := v.Call.Args[0].Lit.(string)
	return name
}

func applySecretRef(a []any) (any, error) {
	switch t := a[0].(type) {
	case Generated:
		return t.Ref, nil
	case string, nil:
		return t, nil
	}
	return nil, fmt.Errorf("a %s has no reference", kindOf(a[0]))
}

func applyPublicKey(a []any) (any, error) {
	switch t := a[0].(type) {
	case nil:
		return nil, nil
	case Generated:
		return publicKey(t.Value)
	case secret.Value:
		return publicKey(t)
	case string:
		return publicKey(secret.New(t))
	}
	return nil, fmt.Errorf("a %s is no private key", kindOf(a[0]))
}

// Functions are the names of the expression language's functions, sorted.
func Functions() []string {
	return slices.Sorted(maps.Keys(functions))
}

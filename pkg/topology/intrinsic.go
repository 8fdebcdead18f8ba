package topology

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/orch-project/orch/pkg/secret"
)

// Surroundings is an optional interface of an Env: what the functions about other deployments ask (Cloudify). A false result means that it
// is not known yet.
//
//	get_capability             path: deployment, name, keys…
//	get_environment_capability path: name, keys…
//	get_group_capability       path: group, name or list of names, keys…
//	get_label                  path: key, index?
//	get_sys                    path: tenant|deployment, name|id|blueprint|owner
//	get_consumers              path: ids|names|count
type Surroundings interface {
	Surrounding(ctx context.Context, fn string, path []any) (any, bool, error)
}

// running are functions that ask the running deployment and its surroundings.
var running map[string]func(*evaluator, Scope, *Call) (any, error)

func init() {
	running = map[string]func(*evaluator, Scope, *Call) (any, error){
		"get_attributes_list": (*evaluator).attributesList,
		"get_attributes_dict": (*evaluator).attributesDict,
		"secret_field":        (*evaluator).secretField,
	}
	for _, fn := range []string{"get_capability", "get_environment_capability", "get_group_capability", "get_label", "get_sys", "get_consumers"} {
		running[fn] = (*evaluator).surrounding
	}
	pure["merge"] = mergeMaps
	pure["string_find"] = stringFunction(2, 2, func(a []string, _ []any) (any, error) { return int64(strings.Index(a[0], a[1])), nil })
	pure["string_lower"] = stringFunction(1, 1, func(a []string, _ []any) (any, error) { return strings.ToLower(a[0]), nil })
	pure["string_upper"] = stringFunction(1, 1, func(a []string, _ []any) (any, error) { return strings.ToUpper(a[0]), nil })
	pure["string_replace"] = stringFunction(3, 4, func(a []string, args []any) (any, error) {
		n := -1
		if len(args) == 4 {
			f, ok := Number(args[3])
			if !ok {
				return nil, &EvalError{Message: fmt.Sprintf("string_replace: %q is no number", a[3])}
			}
			n = int(f)
		}
		return strings.Replace(a[0], a[1], a[2], n), nil
	})
	pure["string_split"] = stringFunction(2, 3, splitString)
}

// stringFunction makes a function of texts. A secret argument makes a text result secret.
func stringFunction(least, most int, f func(texts []string, args []any) (any, error)) func([]any) (any, error) {
	return func(args []any) (any, error) {
		if len(args) < least || len(args) > most {
			return nil, &EvalError{Message: fmt.Sprintf("the function needs %d to %d arguments, not %d", least, most, len(args))}
		}
		texts, hidden := make([]string, len(args)), false
		for i, a := range args {
			t, s := Text(a)
			texts[i], hidden = t, hidden || s
		}
		r, err := f(texts, args)
		return hide(r, hidden), err
	}
}

func hide(r any, hidden bool) any {
	switch t := r.(type) {
	case string:
		return textOrSecret(t, hidden)
	case []any:
		for i := range t {
			t[i] = hide(t[i], hidden)
		}
	}
	return r
}

func splitString(a []string, args []any) (any, error) {
	if a[1] == "" {
		return nil, &EvalError{Message: "string_split needs a separator"}
	}
	parts := []any{}
	for _, p := range strings.Split(a[0], a[1]) {
		parts = append(parts, p)
	}
	if len(args) < 3 {
		return parts, nil
	}
	i, ok := Number(args[2])
	if !ok || int(i) < -len(parts) || int(i) >= len(parts) {
		return nil, &EvalError{Message: fmt.Sprintf("string_split: the text has %d parts; there is no part %s", len(parts), a[2])}
	}
	if i < 0 {
		i += float64(len(parts))
	}
	return parts[int(i)], nil
}

func mergeMaps(args []any) (any, error) {
	if l, ok := first(args).([]any); ok && len(args) == 1 {
		args = l
	}
	out := map[string]any{}
	for _, a := range args {
		m, ok := a.(map[string]any)
		if !ok {
			return nil, &EvalError{Message: fmt.Sprintf("merge takes maps, not %v", a)}
		}
		for k, v := range m {
			out[k] = v
		}
	}
	return out, nil
}

// surrounding asks the Env; without one that knows, the value is unknown.
func (e *evaluator) surrounding(sc Scope, c *Call) (any, error) {
	args, unknown, err := e.words(sc, c)
	if err != nil || unknown != nil {
		return deref(unknown), err
	}
	ref := c.Fn
	for _, a := range args {
		ref += " " + word(a)
	}
	s, ok := envAs[Surroundings](e.env)
	if !ok {
		return Unknown{Refs: []string{ref}}, nil
	}
	v, known, err := s.Surrounding(e.ctx, c.Fn, args)
	if err != nil {
		return nil, fmt.Errorf("cannot evaluate %s: %w", ref, err)
	}
	if !known {
		return Unknown{Refs: []string{ref}}, nil
	}
	return v, nil
}

// attributesList is an attribute of every instance of a node: [NODE, attribute, key…].
func (e *evaluator) attributesList(sc Scope, c *Call) (any, error) {
	args, unknown, err := e.words(sc, c)
	if err != nil || unknown != nil {
		return deref(unknown), err
	}
	if len(args) < 2 {
		return nil, &EvalError{Message: "get_attributes_list needs a node and the name of an attribute"}
	}
	sub, err := e.subject(sc, word(args[0]))
	if err != nil {
		return nil, err
	}
	if sub.instances == nil {
		return Unknown{Refs: []string{sub.String()}}, nil
	}
	out := []any{}
	for _, i := range sub.instances {
		one := &subject{topology: sub.topology, node: sub.node, instances: []string{i}}
		v, err := e.attribute(located{subject: one, name: word(args[1]), rest: args[2:]})
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// attributesDict maps the instances of a node to some of their attributes: [NODE, attribute | [attribute, key…], …].
func (e *evaluator) attributesDict(sc Scope, c *Call) (any, error) {
	if len(c.Args) < 2 {
		return nil, &EvalError{Message: "get_attributes_dict needs a node and names of attributes"}
	}
	entity, err := e.eval(sc, c.Args[0])
	if err != nil {
		return nil, err
	}
	sub, err := e.subject(sc, word(entity))
	if err != nil {
		return nil, err
	}
	if sub.instances == nil {
		return Unknown{Refs: []string{sub.String()}}, nil
	}
	out := map[string]any{}
	for _, i := range sub.instances {
		values := map[string]any{}
		for _, a := range c.Args[1:] {
			arg, err := e.eval(sc, a)
			if err != nil {
				return nil, err
			}
			path, names := listOf(arg), []string{}
			for _, p := range path {
				names = append(names, word(p))
			}
			one := located{subject: &subject{topology: sub.topology, node: sub.node, instances: []string{i}}, name: names[0], rest: path[1:]}
			v, err := e.attribute(one)
			if err != nil {
				return nil, err
			}
			values[strings.Join(names, ".")] = v
		}
		out[Instance{sub.node.Name, i}.String()] = values
	}
	return out, nil
}

// secretField reads a field of a secret whose text is JSON: the secret, keys and indexes. What comes out is as secret.
func (e *evaluator) secretField(sc Scope, c *Call) (any, error) {
	args, unknown, err := e.words(sc, c)
	if err != nil || unknown != nil {
		return deref(unknown), err
	}
	s, ok := first(args).(secret.Value)
	if !ok {
		return nil, &EvalError{Message: "a field is asked of something that is no secret"}
	}
	var doc any
	if err := json.Unmarshal([]byte(s.Reveal()), &doc); err != nil {
		return nil, &EvalError{Message: "the secret is not JSON, so it has no fields"} // the parser's message quotes the secret
	}
	v, err := descend(doc, args[1:], "the secret")
	if err != nil {
		return nil, &EvalError{Message: "the secret has no such field"}
	}
	text, _ := Text(v)
	return secret.New(text), nil
}

package topology

import (
	"reflect"
)

func (e *evaluator) getProperty(sc Scope, c *Call) (any, error) {
	args, unknown, err := e.words(sc, c)
	if err != nil || unknown != nil {
		return deref(unknown), err
	}
	return e.spread(sc, args, func(args []any) (any, error) { return e.propertyAt(sc, args) })
}

func (e *evaluator) propertyAt(sc Scope, args []any) (any, error) {
	l, err := e.locate(sc, args, hasProperty)
	if err != nil {
		return nil, err
	}
	v := l.properties().Get(l.name)
	if v == nil {
		if a := l.attributes().Get(l.name); a != nil {
			return e.attribute(l)
		}
		if declared(l) {
			return nil, nil
		}
		return e.nowhere(l, "property")
	}
	return e.property(l, v)
}

// declared reports a property that the type declares, whether it has a value or not.
func declared(l located) bool {
	var m map[string]*Schema
	switch {
	case l.rel != nil:
		m = l.rel.Declared
	case l.capability != "":
		if c := l.node.Capability(l.capability); c != nil {
			m = c.Declared
		}
	default:
		m = l.node.Declared
	}
	_, ok := m[l.name]
	return ok
}

// property evaluates a property for the instances meant. Most do not depend on the instance, and then there is one value.
func (e *evaluator) property(l located, v *Value) (any, error) {
	one := func(i string) (any, error) {
		r, err := e.eval(l.scope(i), v)
		if err != nil {
			return nil, err
		}
		return descend(r, l.rest, l.what())
	}
	if !hasCall(v) || len(l.instances) < 2 {
		i := ""
		if len(l.instances) == 1 {
			i = l.instances[0]
		}
		return one(i)
	}
	all, err := e.each(l.subject, one)
	if list, ok := all.([]any); ok && err == nil {
		same := true
		for _, x := range list[1:] {
			same = same && reflect.DeepEqual(x, list[0])
		}
		if same {
			return list[0], nil
		}
	}
	return all, err
}

func (e *evaluator) getAttribute(sc Scope, c *Call) (any, error) {
	args, unknown, err := e.words(sc, c)
	if err != nil || unknown != nil {
		return deref(unknown), err
	}
	return e.spread(sc, args, func(args []any) (any, error) { return e.attributeAt(sc, args) })
}

func (e *evaluator) attributeAt(sc Scope, args []any) (any, error) {
	l, err := e.locate(sc, args, func(s *subject, name string) bool {
		if hasProperty(s, name) {
			return true
		}
		if e.env == nil || s.rel != nil {
			return false
		}
		for _, i := range s.instances {
			if _, ok := e.env.Attribute(Instance{s.node.Name, i}, "", name); ok {
				return true
			}
		}
		return false
	})
	if err != nil {
		return nil, err
	}
	return e.attribute(l)
}

// attribute reads running values first, then the type's formula or default, then the property of the same name.
func (e *evaluator) attribute(l located) (any, error) {
	formula, prop := l.attributes().Get(l.name), l.properties().Get(l.name)
	open := l.topology != nil && l.topology.OpenAttributes && l.rel == nil
	if l.instances == nil && formula == nil && prop == nil && !declared(l) && !open {
		return e.nowhere(l, "attribute")
	}
	if l.instances == nil && prop != nil && (formula == nil || isNull(formula)) {
		return e.property(l, prop)
	}
	return e.each(l.subject, func(i string) (any, error) {
		v, ok := e.running(l, i)
		switch {
		case ok:
		case formula != nil && !isNull(formula):
			r, err := e.eval(l.scope(i), formula)
			if err != nil {
				return nil, err
			}
			v = r
		case prop != nil && !isNull(prop):
			r, err := e.eval(l.scope(i), prop)
			if err != nil {
				return nil, err
			}
			v = r
		case formula != nil || prop != nil || declared(l) || open:
			return Unknown{Refs: []string{l.what()}}, nil
		default:
			return e.nowhere(l, "attribute")
		}
		return descend(v, l.rest, l.what())
	})
}

func (e *evaluator) running(l located, i string) (any, bool) {
	if e.env == nil {
		return nil, false
	}
	if l.rel != nil {
		return e.env.RelationshipAttribute(Instance{l.node.Name, i}, l.rel.Name, l.target, l.name)
	}
	return e.env.Attribute(Instance{l.node.Name, i}, l.capability, l.name)
}

package plugin

import (
	"fmt"
)

// The functions that decide which of their arguments to evaluate.

func evalFirst(f *frame, e *Expr) (any, error) {
	for _, a := range e.Args {
		v, err := f.eval(a)
		if err != nil {
			return nil, err
		}
		if !isNull(v) {
			return v, nil
		}
	}
	return nil, nil
}

func evalFirstGiven(f *frame, e *Expr) (any, error) {
	for _, a := range e.Args {
		v, err := f.eval(a)
		if err != nil || v != nil {
			return v, err
		}
	}
	return nil, nil
}

func evalGet(f *frame, e *Expr) (any, error) {
	v, err := f.eval(e.Args[0])
	if err != nil {
		return nil, err
	}
	step, err := f.eval(e.Args[1])
	if err != nil {
		return nil, err
	}
	name, ok := text(step)
	if !ok {
		return nil, nil
	}
	if l, isList := v.([]any); isList {
		return walk(l, []string{name}), nil
	}
	return f.follow(v, []string{name})
}

func evalIf(f *frame, e *Expr) (any, error) {
	c, err := f.eval(e.Args[0])
	switch {
	case err != nil:
		return nil, err
	case truth(c):
		return f.eval(e.Args[1])
	case len(e.Args) > 2:
		return f.eval(e.Args[2])
	}
	return nil, nil
}

func evalAll(f *frame, e *Expr) (any, error) {
	for _, a := range e.Args {
		v, err := f.eval(a)
		if err != nil || !truth(v) {
			return false, err
		}
	}
	return true, nil
}

func evalAny(f *frame, e *Expr) (any, error) {
	for _, a := range e.Args {
		v, err := f.eval(a)
		if err != nil || truth(v) {
			return err == nil, err
		}
	}
	return false, nil
}

// repeat calls do for each item that the "when" lets through.
func repeat(f *frame, e *Expr, do func(g *frame) error) error {
	list, err := f.eval(e.Named.Get("in"))
	if err != nil {
		return err
	}
	items, err := applyList([]any{list})
	if err != nil {
		return err
	}
	as := "item"
	if x := e.Named.Get("as"); x != nil {
		as, _ = x.Lit.(string)
	}
	for _, it := range items.([]any) {
		g := f.with(as, it)
		if w := e.Named.Get("when"); w != nil {
			ok, err := g.eval(w)
			if err != nil {
				return err
			}
			if !truth(ok) {
				continue
			}
		}
		if err := do(g); err != nil {
			return err
		}
	}
	return nil
}

func evalEach(f *frame, e *Expr) (any, error) {
	out := []any{}
	err := repeat(f, e, func(g *frame) error {
		v, err := g.eval(e.Named.Get("do"))
		if v != nil {
			out = append(out, v)
		}
		return err
	})
	return out, err
}

func evalMap(f *frame, e *Expr) (any, error) {
	out := map[string]any{}
	err := repeat(f, e, func(g *frame) error {
		k, err := g.eval(e.Named.Get("key"))
		if err != nil {
			return err
		}
		name, ok := text(k)
		if !ok {
			return fmt.Errorf("a %s cannot be a key", kindOf(k))
		}
		v, err := g.eval(e.Named.Get("do"))
		if v != nil {
			out[name] = v
		}
		return err
	})
	return out, err
}

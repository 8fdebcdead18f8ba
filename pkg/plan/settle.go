package plan

// settle folds the states of a lane into its steps: the last step of the lane leads to the final state, passing those of operations that
// do not exist. Where no single step is the last, or nothing runs at all, the end becomes a step that only sets the state.
func (w *weft) settle(l *lane) {
	g := &w.b.g
	rec := w.b.in.Recorded[l.id()]
	final := w.life.phases[len(w.life.phases)-1].after
	if w.life.forget {
		w.states(l)
		g.verts[l.forget].step = w.b.forgetStep(l, final)
		return
	}
	last, own, tail := w.states(l)
	switch {
	case rec != nil && rec.State == final && !own, !w.b.limit.has(l.node.Name), w.b.updates.absent(l.id()):
		// It has arrived, or is not what the plan is about: operations of new relationships at its side do not change its state.
		for _, p := range l.phases {
			for _, v := range append(append([]int{}, p.pre...), p.post...) {
				g.verts[v].step.StateBefore, g.verts[v].step.StateAfter = "", ""
			}
		}
	case last >= 0 && !tail:
		g.verts[last].step.StateAfter = final
	default:
		g.verts[l.end].step = w.b.stateStep(w, l, final)
	}
}

// states sets the state that each phase ends with, where one step ends it. It returns the single last step of the whole lane (or -1),
// whether steps of the node itself run, and whether the lane waits for others after its last step.
func (w *weft) states(l *lane) (last int, own, tail bool) {
	g := &w.b.g
	running := func(vs []int) (out []int) {
		for _, v := range vs {
			if g.verts[v].real() {
				out = append(out, v)
			}
		}
		return out
	}
	last = -1
	for k, p := range l.phases {
		main, pre, post := running(p.main), running(p.pre), running(p.post)
		own = own || len(main) > 0
		ends := post
		if len(ends) == 0 && len(main) > 0 {
			ends = main[len(main)-1:]
		}
		if len(ends) == 0 {
			ends = pre
		}
		switch {
		case len(ends) == 1:
			g.verts[ends[0]].step.StateAfter = w.life.phases[k].after
			last, tail = ends[0], false
		case len(ends) > 1:
			last, tail = -1, false
		case p.waits:
			tail = true
		}
	}
	return last, own, tail
}

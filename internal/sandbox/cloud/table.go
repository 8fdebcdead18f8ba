package cloud

import "iter"

// Table keeps records by id in the order of their creation. The zero value is empty. It is guarded by the Cloud's lock.
type Table[T any] struct {
	rows  map[string]*T
	order []string
}

// Get returns the record or nil.
func (t *Table[T]) Get(id string) *T { return t.rows[id] }

// Put adds or replaces a record.
func (t *Table[T]) Put(id string, row *T) {
	if t.rows == nil {
		t.rows = map[string]*T{}
	}
	if _, old := t.rows[id]; !old {
		t.order = append(t.order, id)
	}
	t.rows[id] = row
}

// Delete removes a record; absent ids are ignored.
func (t *Table[T]) Delete(id string) {
	if _, ok := t.rows[id]; !ok {
		return
	}
	delete(t.rows, id)
	for i, o := range t.order {
		if o == id {
			// A copy: an iteration under way keeps its own order.
			t.order = append(append(make([]string, 0, len(t.order)-1), t.order[:i]...), t.order[i+1:]...)
			return
		}
	}
}

// Len is the number of records.
func (t *Table[T]) Len() int { return len(t.order) }

// All walks the records, oldest first. Records may be added or deleted meanwhile; deleted ones are left out.
func (t *Table[T]) All() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for _, id := range t.order {
			if row := t.rows[id]; row != nil && !yield(row) {
				return
			}
		}
	}
}

// Where walks the records that satisfy keep, oldest first.
func (t *Table[T]) Where(keep func(*T) bool) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for row := range t.All() {
			if keep(row) && !yield(row) {
				return
			}
		}
	}
}

// Count is the number of records that satisfy keep.
func (t *Table[T]) Count(keep func(*T) bool) int {
	n := 0
	for range t.Where(keep) {
		n++
	}
	return n
}

// First returns the oldest record that satisfies keep, or nil.
func (t *Table[T]) First(keep func(*T) bool) *T {
	for row := range t.Where(keep) {
		return row
	}
	return nil
}

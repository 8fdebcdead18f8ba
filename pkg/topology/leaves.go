package topology

// MapLeaves returns a value with f of each of its leaves, which are all that is neither []any nor map[string]any. The value stays as it is.
func MapLeaves(v any, f func(leaf any) any) any {
	switch t := v.(type) {
	case []any:
		out := make([]any, len(t))
		for i, x := range t {
			out[i] = MapLeaves(x, f)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(t))
		for k, x := range t {
			out[k] = MapLeaves(x, f)
		}
		return out
	}
	return f(v)
}

package glance

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

const (
	defaultLimit = 25
	maxLimit     = 1000
)

var sortable = []string{"name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at"}

func (s *Service) list(c *rest.Call) (rest.Reply, error) {
	docs := []rest.Doc{}
	for i := range s.Cloud.Images.All() {
		if !listed(c, i) {
			continue
		}
		d := doc(i)
		ok, err := chosen(d, c.Query)
		if err != nil {
			return rest.Reply{}, err
		}
		if ok {
			docs = append(docs, d)
		}
	}
	keys, err := order(c.Query)
	if err != nil {
		return rest.Reply{}, err
	}
	// Newest first unless told otherwise; the table is oldest first, and times have whole seconds only.
	slices.Reverse(docs)
	rest.Sort(docs, keys)
	q := c.Query
	if q.Get("limit") == "" {
		q.Set("limit", strconv.Itoa(defaultLimit))
	}
	page, known, err := rest.Paginate(docs, q, rest.PageOptions{Max: maxLimit, URL: "/v2/images"})
	if err != nil {
		return rest.Reply{}, err
	}
	if !known {
		return rest.Reply{}, rest.Bad("No image found with ID %s", q.Get("marker"))
	}
	first := "/v2/images"
	q.Del("marker")
	if c.URL.RawQuery != "" {
		first += "?" + q.Encode()
	}
	out := map[string]any{"images": page.Docs, "first": first, "schema": "/v2/schemas/images"}
	if page.Next != "" {
		out["next"] = page.Next
	}
	return rest.OK(out)
}

// listed leaves out what lists show only when asked: community, hidden and not accepted shared images.
func listed(c *rest.Call, i *cloud.Image) bool {
	hidden, _ := rest.ParseBool(c.Query.Get("os_hidden"))
	if i.Hidden != hidden || !visible(c, i) {
		return false
	}
	v, want := i.Visibility, c.Query.Get("visibility")
	if want != "" && want != "all" && want != v {
		return false
	}
	switch {
	case i.Owner == c.Project(), v == "public":
		return true
	case v == "community":
		return want == "community" || want == "all"
	case v == "shared" && !c.Admin():
		status := c.Query.Get("member_status")
		return i.Members[c.Project()] == "accepted" && status == "" || status == "all" || status != "" && i.Members[c.Project()] == status
	}
	return c.Admin()
}

// shaping parameters choose nothing by their own name.
var shaping = []string{"limit", "marker", "sort_key", "sort_dir", "sort", "visibility", "member_status", "os_hidden", "size_min", "size_max"}

func chosen(d rest.Doc, q url.Values) (bool, error) {
	for name, values := range q {
		value := values[0]
		switch {
		case name == "tag":
			for _, tag := range values {
				if !slices.Contains(d["tags"].([]string), tag) {
					return false, nil
				}
			}
		case name == "size_min" || name == "size_max":
			bound, err := strconv.ParseInt(value, 10, 64)
			if err != nil || bound < 0 {
				return false, rest.Bad("Cannot convert image %s %s to an integer.", name, value)
			}
			size, _ := d["size"].(int64)
			if name == "size_min" && size < bound || name == "size_max" && size > bound {
				return false, nil
			}
		case slices.Contains(shaping, name):
		case name == "created_at" || name == "updated_at":
			if !compareTime(d[name].(string), value) {
				return false, nil
			}
		default:
			if !equal(d[name], value) {
				return false, nil
			}
		}
	}
	return true, nil
}

// equal understands "in:a,b".
func equal(v any, want string) bool {
	if rest, ok := strings.CutPrefix(want, "in:"); ok {
		return slices.ContainsFunc(splitQuoted(rest), func(w string) bool { return equal(v, w) })
	}
	return rest.Equal(v, want)
}

// splitQuoted splits at commas that are not between double quotes.
func splitQuoted(text string) []string {
	var out []string
	quoted, start := false, 0
	for i, r := range text + "," {
		switch {
		case r == '"':
			quoted = !quoted
		case r == ',' && (!quoted || i == len(text)):
			out = append(out, strings.Trim(text[start:i], `"`))
			start = i + 1
		}
	}
	return out
}

func compareTime(have, want string) bool {
	op, value, ok := strings.Cut(want, ":")
	if !ok || strings.Trim(op, "abcdefghijklmnopqrstuvwxyz") != "" {
		return have == want
	}
	return map[string]bool{
		"gt": have > value, "gte": have >= value, "lt": have < value, "lte": have <= value, "eq": have == value, "neq": have != value,
	}[op]
}

func order(q url.Values) ([]rest.SortKey, error) {
	var keys []rest.SortKey
	if text := q.Get("sort"); text != "" {
		for part := range strings.SplitSeq(text, ",") {
			name, dir, _ := strings.Cut(strings.TrimSpace(part), ":")
			keys = append(keys, rest.SortKey{Name: name, Desc: dir != "asc"})
		}
	}
	for i, name := range q["sort_key"] {
		key := rest.SortKey{Name: name, Desc: true}
		if dirs := q["sort_dir"]; len(dirs) == 1 {
			key.Desc = dirs[0] != "asc"
		} else if i < len(dirs) {
			key.Desc = dirs[i] != "asc"
		}
		keys = append(keys, key)
	}
	for _, k := range keys {
		if !slices.Contains(sortable, k.Name) {
			return nil, rest.Bad("Invalid sort key: %s. It must be one of the following: %s.", k.Name, strings.Join(sortable, ", "))
		}
	}
	if dir := q.Get("sort_dir"); dir != "" && len(keys) == 0 {
		keys = []rest.SortKey{{Name: "created_at", Desc: dir != "asc"}}
	}
	return keys, nil
}

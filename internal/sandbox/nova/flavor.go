package nova

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func links(c *rest.Call, kind, id string) []rest.Link {
	return []rest.Link{{Rel: "self", Href: c.Base + "/v2.1/" + kind + "/" + id}, {Rel: "bookmark", Href: c.Base + "/" + kind + "/" + id}}
}

func (s *Service) flavorDoc(c *rest.Call, f *cloud.Flavor) rest.Doc {
	d := rest.Doc{
		"id": f.ID, "name": f.Name, "vcpus": f.VCPUs, "ram": f.RAM, "disk": f.Disk, "OS-FLV-EXT-DATA:ephemeral": f.Ephemeral,
		"swap": any(""), "rxtx_factor": 1.0, "os-flavor-access:is_public": !f.Private, "OS-FLV-DISABLED:disabled": f.Disabled, "links": links(c, "flavors", f.ID),
	}
	if f.Swap > 0 || c.Version.At(75) {
		d["swap"] = f.Swap
	}
	if c.Version.At(55) {
		d["description"] = orNil(f.Description)
	}
	if c.Version.At(61) {
		d["extra_specs"] = orEmpty(f.ExtraSpecs)
	}
	return d
}

func orNil(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func (s *Service) seesFlavor(c *rest.Call, f *cloud.Flavor) bool {
	return !f.Private || c.Admin() || slices.Contains(f.Access, c.Project())
}

func (s *Service) listFlavors(detail bool) rest.Handler {
	return func(c *rest.Call) (rest.Reply, error) {
		docs := []rest.Doc{}
		minRAM, err := number(c, "minRam")
		if err != nil {
			return rest.Reply{}, err
		}
		minDisk, err := number(c, "minDisk")
		if err != nil {
			return rest.Reply{}, err
		}
		for f := range s.Cloud.Flavors.All() {
			if !s.seesFlavor(c, f) || f.RAM < minRAM || f.Disk < minDisk || !publicFilter(c, f) {
				continue
			}
			docs = append(docs, s.flavorDoc(c, f))
		}
		rest.Sort(docs, sortKeys(c, "id", map[string]string{"flavorid": "id", "memory_mb": "ram", "root_gb": "disk"}))
		page, known, err := rest.Paginate(docs, c.Query, rest.PageOptions{Max: 1000, URL: c.Base + c.URL.Path})
		if err != nil {
			return rest.Reply{}, err
		}
		if !known {
			return rest.Reply{}, rest.Bad("marker [%s] not found", c.Query.Get("marker"))
		}
		if !detail {
			for i, d := range page.Docs {
				short := rest.Doc{"id": d["id"], "name": d["name"], "links": d["links"]}
				if c.Version.At(55) {
					short["description"] = d["description"]
				}
				page.Docs[i] = short
			}
		}
		return rest.OK(paged("flavors", page))
	}
}

// publicFilter is is_public: true by default, none for all; administrators only may ask.
func publicFilter(c *rest.Call, f *cloud.Flavor) bool {
	text := c.Query.Get("is_public")
	if !c.Admin() {
		return true
	}
	if text == "None" || text == "none" {
		return true
	}
	want := true
	if text != "" {
		want, _ = rest.ParseBool(text)
	}
	return want == !f.Private
}

// number reads an integer parameter, 0 when absent.
func number(c *rest.Call, name string) (int, error) {
	text := c.Query.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, rest.Bad("Invalid %s filter [%s]", name, text)
	}
	return n, nil
}

// sortKeys reads sort_key and sort_dir; names maps database columns to the document's fields.
func sortKeys(c *rest.Call, first string, names map[string]string) []rest.SortKey {
	var keys []rest.SortKey
	dirs := c.Query["sort_dir"]
	for i, name := range c.Query["sort_key"] {
		if field, ok := names[name]; ok {
			name = field
		}
		keys = append(keys, rest.SortKey{Name: name, Desc: i < len(dirs) && dirs[i] == "desc"})
	}
	if keys == nil && first != "" {
		keys = []rest.SortKey{{Name: first}}
	}
	return keys
}

func paged(many string, page rest.Page) map[string]any {
	out := map[string]any{many: page.Docs}
	if page.Docs == nil {
		out[many] = []rest.Doc{}
	}
	if page.Next != "" {
		out[many+"_links"] = []rest.Link{{Rel: "next", Href: page.Next}}
	}
	return out
}

func flavorMissing(id string) *rest.Error { return rest.Missing("Flavor %s could not be found.", id) }

func (s *Service) flavor(c *rest.Call) (*cloud.Flavor, error) {
	f := s.Cloud.Flavors.Get(c.PathValue("id"))
	if f == nil || !s.seesFlavor(c, f) {
		return nil, flavorMissing(c.PathValue("id"))
	}
	return f, nil
}

func (s *Service) showFlavor(c *rest.Call) (rest.Reply, error) {
	f, err := s.flavor(c)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"flavor": s.flavorDoc(c, f)})
}

func (s *Service) createFlavor(c *rest.Call) (rest.Reply, error) {
	var b struct {
		Flavor struct {
			Name, Description string
			ID                *string
			RAM, VCPUs, Disk  any
			Swap              any
			Ephemeral         any   `json:"OS-FLV-EXT-DATA:ephemeral"`
			Public            *bool `json:"os-flavor-access:is_public"`
			RxTx              any   `json:"rxtx_factor"`
		}
	}
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	in := b.Flavor
	f := &cloud.Flavor{ID: cloud.UUID(), Name: in.Name, Description: in.Description, Private: in.Public != nil && !*in.Public}
	if in.ID != nil && *in.ID != "" && *in.ID != "auto" {
		f.ID = *in.ID
	}
	for to, from := range map[*int]any{&f.RAM: in.RAM, &f.VCPUs: in.VCPUs, &f.Disk: in.Disk, &f.Swap: in.Swap, &f.Ephemeral: in.Ephemeral} {
		n, ok := toInt(from)
		if !ok {
			return rest.Reply{}, rest.Bad("Invalid input for field/attribute flavor. Value: %v. is not of type 'integer', 'string'", from)
		}
		*to = n
	}
	if f.Name == "" || f.RAM < 1 || f.VCPUs < 1 {
		return rest.Reply{}, rest.Bad("Invalid input for field/attribute flavor. Value: %s. name, ram and vcpus are required properties", f.Name)
	}
	for o := range s.Cloud.Flavors.All() {
		if o.Name == f.Name {
			return rest.Reply{}, rest.Conflict("Flavor with name %s already exists.", f.Name)
		}
		if o.ID == f.ID {
			return rest.Reply{}, rest.Conflict("Flavor with ID %s already exists.", f.ID)
		}
	}
	s.Cloud.Flavors.Put(f.ID, f)
	return rest.OK(map[string]any{"flavor": s.flavorDoc(c, f)})
}

// toInt accepts a number or its text; absent is 0.
func toInt(v any) (int, bool) {
	switch v := v.(type) {
	case nil:
		return 0, true
	case float64:
		return int(v), v == float64(int(v))
	case string:
		if v == "" {
			return 0, true
		}
		n, err := strconv.Atoi(v)
		return n, err == nil
	}
	return 0, false
}

func (s *Service) updateFlavor(c *rest.Call) (rest.Reply, error) {
	f, err := s.flavor(c)
	if err != nil {
		return rest.Reply{}, err
	}
	var b struct{ Flavor struct{ Description *string } }
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	if b.Flavor.Description != nil {
		f.Description = *b.Flavor.Description
	}
	return rest.OK(map[string]any{"flavor": s.flavorDoc(c, f)})
}

func (s *Service) deleteFlavor(c *rest.Call) (rest.Reply, error) {
	f, err := s.flavor(c)
	if err != nil {
		return rest.Reply{}, err
	}
	s.Cloud.Flavors.Delete(f.ID)
	return rest.Reply{Status: http.StatusAccepted}, nil
}

func (s *Service) extraSpecs(c *rest.Call) (rest.Reply, error) {
	f, err := s.flavor(c)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"extra_specs": orEmpty(f.ExtraSpecs)})
}

func (s *Service) addExtraSpecs(c *rest.Call) (rest.Reply, error) {
	f, err := s.flavor(c)
	if err != nil {
		return rest.Reply{}, err
	}
	var specs map[string]string
	if json.Unmarshal(c.Object("extra_specs"), &specs) != nil {
		return rest.Reply{}, rest.Bad("Invalid input for field/attribute extra_specs.")
	}
	next := maps.Clone(orEmpty(f.ExtraSpecs))
	maps.Copy(next, specs)
	f.ExtraSpecs = next
	return rest.OK(map[string]any{"extra_specs": specs})
}

func (s *Service) extraSpec(c *rest.Call) (rest.Reply, error) {
	f, err := s.flavor(c)
	if err != nil {
		return rest.Reply{}, err
	}
	key := c.PathValue("key")
	v, ok := f.ExtraSpecs[key]
	if !ok {
		return rest.Reply{}, rest.Missing("Flavor %s has no extra specs with key %s.", f.ID, key)
	}
	return rest.OK(map[string]string{key: v})
}

func (s *Service) setExtraSpec(c *rest.Call) (rest.Reply, error) {
	f, err := s.flavor(c)
	if err != nil {
		return rest.Reply{}, err
	}
	var b map[string]string
	key := c.PathValue("key")
	if json.Unmarshal(c.Body, &b) != nil || len(b) != 1 || b[key] == "" {
		return rest.Reply{}, rest.Bad("Request body and URI mismatch")
	}
	next := maps.Clone(orEmpty(f.ExtraSpecs))
	next[key] = b[key]
	f.ExtraSpecs = next
	return rest.OK(b)
}

func (s *Service) deleteExtraSpec(c *rest.Call) (rest.Reply, error) {
	f, err := s.flavor(c)
	if err != nil {
		return rest.Reply{}, err
	}
	key := c.PathValue("key")
	if _, ok := f.ExtraSpecs[key]; !ok {
		return rest.Reply{}, rest.Missing("Flavor %s has no extra specs with key %s.", f.ID, key)
	}
	next := maps.Clone(f.ExtraSpecs)
	delete(next, key)
	f.ExtraSpecs = next
	return rest.Reply{Status: http.StatusOK}, nil
}

func (s *Service) accessDoc(f *cloud.Flavor) map[string]any {
	docs := []any{}
	for _, p := range f.Access {
		docs = append(docs, map[string]any{"flavor_id": f.ID, "tenant_id": p})
	}
	return map[string]any{"flavor_access": docs}
}

func (s *Service) flavorAccess(c *rest.Call) (rest.Reply, error) {
	f, err := s.flavor(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if !f.Private {
		return rest.Reply{}, rest.Missing("Access list not available for public flavors.")
	}
	return rest.OK(s.accessDoc(f))
}

func (s *Service) flavorAction(c *rest.Call) (rest.Reply, error) {
	f, err := s.flavor(c)
	if err != nil {
		return rest.Reply{}, err
	}
	var b struct {
		Add, Remove *struct{ Tenant string }
	}
	var raw map[string]json.RawMessage
	_ = json.Unmarshal(c.Body, &raw) // valid JSON already
	_ = json.Unmarshal(raw["addTenantAccess"], &b.Add)
	_ = json.Unmarshal(raw["removeTenantAccess"], &b.Remove)
	switch {
	case b.Add != nil && slices.Contains(f.Access, b.Add.Tenant):
		return rest.Reply{}, rest.Conflict("Flavor access already exists for flavor %s and project %s combination.", f.ID, b.Add.Tenant)
	case b.Add != nil:
		f.Access = append(slices.Clone(f.Access), b.Add.Tenant)
	case b.Remove != nil && !slices.Contains(f.Access, b.Remove.Tenant):
		return rest.Reply{}, rest.Missing("Flavor access not found for %s / %s combination.", f.ID, b.Remove.Tenant)
	case b.Remove != nil:
		f.Access = slices.DeleteFunc(slices.Clone(f.Access), func(p string) bool { return p == b.Remove.Tenant })
	default:
		return rest.Reply{}, rest.Bad("There is no such action: %s", string(c.Body))
	}
	return rest.OK(s.accessDoc(f))
}

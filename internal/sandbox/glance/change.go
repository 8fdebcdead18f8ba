package glance

import (
	"crypto/md5"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// fixed are attributes that only Glance sets.
var fixed = []string{"status", "created_at", "updated_at", "checksum", "os_hash_algo", "os_hash_value", "size", "virtual_size", "self", "file", "schema", "direct_url", "locations", "deleted", "deleted_at"}

func (s *Service) create(c *rest.Call) (rest.Reply, error) {
	var b map[string]any
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	now := s.Cloud.Now()
	i := &cloud.Image{ID: cloud.UUID(), Owner: c.Project(), Status: "queued", Visibility: "shared", Properties: map[string]string{}, Created: now, Updated: now}
	if id, ok := b["id"].(string); ok {
		if s.Cloud.Images.Get(id) != nil {
			return rest.Reply{}, rest.Conflict("Image ID %s already exists!", id)
		}
		i.ID = id
		delete(b, "id")
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if slices.Contains(fixed, name) {
			return rest.Reply{}, rest.Forbidden("Attribute '%s' is read-only.", name)
		}
		if err := set(c, i, name, b[name]); err != nil {
			return rest.Reply{}, err
		}
	}
	s.Cloud.Images.Put(i.ID, i)
	reply, _ := rest.Created(doc(i))
	return reply.With("Location", c.Base+"/v2/images/"+i.ID), nil
}

// set changes one attribute or property.
func set(c *rest.Call, i *cloud.Image, name string, v any) error {
	text, isText := v.(string)
	number, isNumber := v.(float64)
	truth, isBool := v.(bool)
	wrong := func(typ string) error {
		return rest.Bad("Provided object does not match schema 'image': %v is not of type '%s'", v, typ)
	}
	switch name {
	case "name", "disk_format", "container_format", "visibility", "owner":
		if !isText && v != nil {
			return wrong("string")
		}
	case "min_disk", "min_ram":
		if !isNumber || number < 0 {
			return wrong("integer")
		}
	case "protected", "os_hidden":
		if !isBool {
			return wrong("boolean")
		}
	}
	switch name {
	case "name":
		i.Name = text
	case "disk_format":
		i.DiskFormat = text
	case "container_format":
		i.ContainerFormat = text
	case "visibility":
		if !slices.Contains([]string{"public", "private", "shared", "community"}, text) {
			return rest.Bad("Provided object does not match schema 'image': '%s' is not one of ['community', 'public', 'private', 'shared']", text)
		}
		if text == "public" && !c.Admin() {
			return rest.Forbidden("You are not authorized to complete publicize_image action.")
		}
		i.Visibility = text
	case "owner":
		if text != i.Owner && !c.Admin() {
			return rest.Forbidden("Owner can't be updated by non admin.")
		}
		i.Owner = text
	case "min_disk":
		i.MinDisk = int(number)
	case "min_ram":
		i.MinRAM = int(number)
	case "protected":
		i.Protected = truth
	case "os_hidden":
		i.Hidden = truth
	case "tags":
		i.Tags = nil
		list, _ := v.([]any)
		for _, tag := range list {
			i.Tags = append(i.Tags, rest.Text(tag))
		}
	default:
		if !isText {
			return wrong("string")
		}
		i.Properties[name] = text
	}
	return nil
}

// patch applies a JSON patch of Glance's dialect (whole attributes only).
func (s *Service) patch(c *rest.Call) (rest.Reply, error) {
	if !strings.HasPrefix(c.Header.Get("Content-Type"), "application/openstack-images-v2") {
		return rest.Reply{}, rest.Fail(http.StatusUnsupportedMediaType, "The server does not support the media type: use application/openstack-images-v2.1-json-patch")
	}
	i, err := s.own(c)
	if err != nil {
		return rest.Reply{}, err
	}
	var ops []struct {
		Op, Path string
		Value    any
	}
	if err := json.Unmarshal(c.Body, &ops); err != nil {
		return rest.Reply{}, rest.Bad("Request body must be a JSON array of operation objects.")
	}
	changed := *i
	changed.Properties = maps.Clone(i.Properties)
	for _, op := range ops {
		name := strings.NewReplacer("~1", "/", "~0", "~").Replace(strings.TrimPrefix(op.Path, "/"))
		if slices.Contains(fixed, name) || name == "id" {
			return rest.Reply{}, rest.Forbidden("Attribute '%s' is read-only.", name)
		}
		_, exists := doc(&changed)[name]
		switch {
		case op.Op != "add" && op.Op != "replace" && op.Op != "remove":
			return rest.Reply{}, rest.Bad("Operation \"%s\" is not supported.", op.Op)
		case op.Op != "add" && !exists:
			return rest.Reply{}, rest.Conflict("Property %s does not exist.", name)
		case op.Op == "remove":
			if _, own := changed.Properties[name]; !own {
				return rest.Reply{}, rest.Forbidden("Property %s may not be removed.", name)
			}
			delete(changed.Properties, name)
		default:
			if err := set(c, &changed, name, op.Value); err != nil {
				return rest.Reply{}, err
			}
		}
	}
	changed.Updated = s.Cloud.Now()
	*i = changed
	return rest.OK(doc(i))
}

func (s *Service) upload(c *rest.Call) (rest.Reply, error) {
	s.Cloud.Lock()
	i, err := s.own(c)
	if err == nil && i.Status != "queued" {
		err = rest.Conflict("Image status transition from %s to saving is not allowed", i.Status)
	}
	if err == nil && (i.DiskFormat == "" || i.ContainerFormat == "") {
		err = rest.Bad("Properties disk_format, container_format must be set prior to saving data.")
	}
	if err != nil {
		s.Cloud.Unlock()
		return rest.Reply{}, err
	}
	i.Status = "saving"
	s.Cloud.Unlock()
	sum, hash := md5.New(), sha512.New()
	n, err := io.Copy(io.MultiWriter(sum, hash), c.Request.Body)
	s.Cloud.Lock()
	defer s.Cloud.Unlock()
	if err != nil {
		i.Status = "queued"
		return rest.Reply{}, rest.Bad("Error in store configuration or connection lost while data was sent: %v", err)
	}
	i.Status, i.Size, i.Updated = "active", n, s.Cloud.Now()
	i.Checksum, i.HashValue = hex.EncodeToString(sum.Sum(nil)), hex.EncodeToString(hash.Sum(nil))
	return rest.Empty()
}

func (s *Service) download(c *rest.Call) (rest.Reply, error) {
	i, err := s.image(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if i.Status != "active" {
		return rest.Empty()
	}
	return rest.Reply{}, rest.Fail(http.StatusNotImplemented, "The sandbox does not keep the data of images.")
}

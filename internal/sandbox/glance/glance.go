// Package glance is the sandbox's Image API v2: images with their properties, tags, members, data and schemas. The data of an
// uploaded image is measured and thrown away: servers run on this machine's own root file system.
package glance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// Service answers below its prefix.
type Service struct{ *rest.Service }

// New returns the service and its handler.
func New(c *cloud.Cloud, prefix string) (*Service, http.Handler) {
	s := &Service{}
	s.Service = &rest.Service{Cloud: c, Name: "glance", Prefix: prefix, Errors: WriteError, Forbidden: func(*rest.Call, string) *rest.Error {
		return rest.Forbidden("You are not authorized to complete this action.")
	}}
	return s, s.Serve(s.routes())
}

func (s *Service) routes() []rest.Route {
	return []rest.Route{
		{Method: "GET", Path: "/{$}", Handler: s.versions, Public: true},
		{Method: "GET", Path: "/versions", Handler: s.versionsOK, Public: true},
		{Method: "GET", Path: "/v2/images", Handler: s.list},
		{Method: "POST", Path: "/v2/images", Handler: s.create},
		{Method: "GET", Path: "/v2/images/{id}", Handler: s.show},
		{Method: "PATCH", Path: "/v2/images/{id}", Handler: s.patch},
		{Method: "DELETE", Path: "/v2/images/{id}", Handler: s.remove},
		{Method: "PUT", Path: "/v2/images/{id}/file", Handler: s.upload, Stream: true, Unlocked: true},
		{Method: "GET", Path: "/v2/images/{id}/file", Handler: s.download},
		{Method: "PUT", Path: "/v2/images/{id}/tags/{tag}", Handler: s.addTag},
		{Method: "DELETE", Path: "/v2/images/{id}/tags/{tag}", Handler: s.removeTag},
		{Method: "POST", Path: "/v2/images/{id}/actions/{action}", Handler: s.action, Admin: "deactivate"},
		{Method: "GET", Path: "/v2/images/{id}/members", Handler: s.listMembers},
		{Method: "POST", Path: "/v2/images/{id}/members", Handler: s.addMember},
		{Method: "GET", Path: "/v2/images/{id}/members/{member}", Handler: s.showMember},
		{Method: "PUT", Path: "/v2/images/{id}/members/{member}", Handler: s.updateMember},
		{Method: "DELETE", Path: "/v2/images/{id}/members/{member}", Handler: s.removeMember},
		{Method: "GET", Path: "/v2/schemas/{name}", Handler: s.schema},
		{Method: "GET", Path: "/v2/schemas/{name}/{part}", Handler: s.schema},
		{Method: "GET", Path: "/v2/info/import", Handler: s.importInfo},
		{Method: "GET", Path: "/v2/info/stores", Handler: s.storesInfo},
	}
}

// WriteError is webob's format: JSON for those who accept it, HTML for the others.
func WriteError(w http.ResponseWriter, c *rest.Call, e *rest.Error) {
	title := http.StatusText(e.Status)
	if strings.Contains(c.Header.Get("Accept"), "application/json") {
		rest.WriteJSON(w, e.Status, map[string]any{"message": e.Message + "<br /><br />\n\n\n", "code": fmt.Sprintf("%d %s", e.Status, title), "title": title})
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.WriteHeader(e.Status)
	_, _ = fmt.Fprintf(w, "<html>\n <head>\n  <title>%d %s</title>\n </head>\n <body>\n  <h1>%d %s</h1>\n  %s<br /><br />\n\n\n\n </body>\n</html>", e.Status, title, e.Status, title, e.Message)
}

func (s *Service) versions(c *rest.Call) (rest.Reply, error) {
	r, err := s.versionsOK(c)
	r.Status = http.StatusMultipleChoices
	return r, err
}

func (s *Service) versionsOK(c *rest.Call) (rest.Reply, error) {
	docs := []any{}
	for minor := 9; minor >= 0; minor-- {
		status := "SUPPORTED"
		if minor == 9 {
			status = "CURRENT"
		}
		docs = append(docs, map[string]any{"id": fmt.Sprintf("v2.%d", minor), "status": status, "links": []rest.Link{{Rel: "self", Href: c.Base + "/v2/"}}})
	}
	return rest.OK(map[string]any{"versions": docs})
}

func missing(id string) *rest.Error { return rest.Missing("No image found with ID %s", id) }

// visible decides who sees an image.
func visible(c *rest.Call, i *cloud.Image) bool {
	switch {
	case c.Admin(), i.Owner == c.Project(), i.Visibility == "public", i.Visibility == "community":
		return true
	case i.Visibility == "shared":
		_, member := i.Members[c.Project()]
		return member
	}
	return false
}

func (s *Service) image(c *rest.Call) (*cloud.Image, error) {
	i := s.Cloud.Images.Get(c.PathValue("id"))
	if i == nil || !visible(c, i) {
		return nil, missing(c.PathValue("id"))
	}
	return i, nil
}

// own is an image that the caller may change.
func (s *Service) own(c *rest.Call) (*cloud.Image, error) {
	i, err := s.image(c)
	if err != nil {
		return nil, err
	}
	if i.Owner != c.Project() && !c.Admin() {
		return nil, rest.Forbidden("You do not own this image")
	}
	return i, nil
}

func doc(i *cloud.Image) rest.Doc {
	d := rest.Doc{}
	for k, v := range i.Properties {
		d[k] = v
	}
	tags := i.Tags
	if tags == nil {
		tags = []string{}
	}
	for k, v := range map[string]any{
		"id": i.ID, "name": i.Name, "status": i.Status, "visibility": i.Visibility, "owner": i.Owner, "disk_format": orNil(i.DiskFormat),
		"container_format": orNil(i.ContainerFormat), "min_disk": i.MinDisk, "min_ram": i.MinRAM, "protected": i.Protected, "os_hidden": i.Hidden,
		"tags": tags, "created_at": cloud.Zulu(i.Created), "updated_at": cloud.Zulu(i.Updated), "size": nil, "virtual_size": nil,
		"checksum": orNil(i.Checksum), "os_hash_algo": nil, "os_hash_value": orNil(i.HashValue),
		"self": "/v2/images/" + i.ID, "file": "/v2/images/" + i.ID + "/file", "schema": "/v2/schemas/image",
	} {
		d[k] = v
	}
	if i.Status == "active" {
		d["size"] = i.Size
		d["os_hash_algo"] = "sha512"
	}
	if i.VirtualSize > 0 {
		d["virtual_size"] = i.VirtualSize
	}
	return d
}

func orNil(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func (s *Service) show(c *rest.Call) (rest.Reply, error) {
	i, err := s.image(c)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(doc(i))
}

func (s *Service) remove(c *rest.Call) (rest.Reply, error) {
	i, err := s.own(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if i.Protected {
		return rest.Reply{}, rest.Forbidden("Image %s is protected and cannot be deleted.", i.ID)
	}
	s.Cloud.Images.Delete(i.ID)
	return rest.Empty()
}

func (s *Service) addTag(c *rest.Call) (rest.Reply, error) {
	i, err := s.own(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if tag := c.PathValue("tag"); !slices.Contains(i.Tags, tag) {
		i.Tags = append(slices.Clone(i.Tags), tag)
	}
	return rest.Empty()
}

func (s *Service) removeTag(c *rest.Call) (rest.Reply, error) {
	i, err := s.own(c)
	if err != nil {
		return rest.Reply{}, err
	}
	tag := c.PathValue("tag")
	if !slices.Contains(i.Tags, tag) {
		return rest.Reply{}, rest.Missing("Tag %s not found on image %s", tag, i.ID)
	}
	i.Tags = slices.DeleteFunc(slices.Clone(i.Tags), func(t string) bool { return t == tag })
	return rest.Empty()
}

func (s *Service) action(c *rest.Call) (rest.Reply, error) {
	i, err := s.image(c)
	if err != nil {
		return rest.Reply{}, err
	}
	switch c.PathValue("action") {
	case "deactivate":
		i.Status = "deactivated"
	case "reactivate":
		i.Status = "active"
	default:
		return rest.Reply{}, rest.Missing("The resource could not be found.")
	}
	return rest.Empty()
}

func (s *Service) importInfo(*rest.Call) (rest.Reply, error) {
	return rest.OK(map[string]any{"import-methods": map[string]any{"description": "Import methods available.", "type": "array", "value": []string{}}})
}

func (s *Service) storesInfo(*rest.Call) (rest.Reply, error) {
	return rest.Reply{}, rest.Missing("Multi backend is not supported at this site.")
}

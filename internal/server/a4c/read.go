package a4c

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/secret"
)

type deploymentDocument struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Links  []link `json:"links"`
}

// deployments lists all. Where there are none the answer has no body: the plugin cannot read an empty list.
func (s *Server) deployments(c echo.Context) error {
	all, err := s.opts.Service.Deployments(c.Request().Context())
	if err != nil {
		return err
	}
	docs := []deploymentDocument{}
	if ofJanus(c) {
		return janusDeployments(c, all)
	}
	for _, d := range all {
		docs = append(docs, deploymentDocument{d.Name, listedStatus(d), []link{to("deployment", deploymentPath(d.Name))}})
	}
	if len(docs) == 0 {
		return c.NoContent(http.StatusNoContent)
	}
	return answer(c, http.StatusOK, map[string]any{"deployments": docs})
}

// deployment links to everything that exists of it.
func (s *Server) deployment(c echo.Context) error {
	ctx, id := c.Request().Context(), param(c, "id")
	d, err := s.detail(ctx, id)
	if err != nil {
		return err
	}
	base := deploymentPath(id)
	doc := deploymentDocument{id, cmp.Or(statusOf(d.Status, d.Doing), "INITIAL"), []link{to("self", base)}}
	for _, n := range d.Nodes {
		if plain(n.Name) {
			doc.Links = append(doc.Links, to("node", base, "nodes", n.Name))
		}
	}
	tasks, err := s.opts.Service.Tasks(ctx, id)
	if err != nil {
		return err
	}
	// The plugin cancels the first task of the list: the newest comes first.
	for _, t := range tasks {
		doc.Links = append(doc.Links, to("task", base, "tasks", t.ID))
	}
	outs, err := s.opts.Service.Outputs(ctx, id, false)
	if err != nil {
		s.opts.Logger.Debug("outputs cannot be told", "deployment", id, "error", err)
	}
	for _, o := range outs {
		if plain(o.Name) {
			doc.Links = append(doc.Links, to("output", base, "outputs", o.Name))
		}
	}
	return answer(c, http.StatusOK, doc)
}

func (s *Server) findNode(c echo.Context) (*orch.NodeStatus, error) {
	d, err := s.detail(c.Request().Context(), param(c, "id"))
	if err != nil {
		return nil, err
	}
	name := param(c, "node")
	for i := range d.Nodes {
		if d.Nodes[i].Name == name {
			return &d.Nodes[i], nil
		}
	}
	return nil, notFound(fmt.Sprintf("deployment %s has no node %q", d.Name, name))
}

func (s *Server) node(c echo.Context) error {
	n, err := s.findNode(c)
	if err != nil {
		return err
	}
	base := deploymentPath(param(c, "id"))
	self := base + "/nodes/" + n.Name
	links := []link{to("self", self), to("deployment", base)}
	for _, i := range n.Instances {
		links = append(links, to("instance", self, "instances", i.Index))
	}
	return answer(c, http.StatusOK, map[string]any{"name": n.Name, "links": links})
}

// instanceView is an instance as Yorc shows it: all attributes are texts, those that every instance has included.
type instanceView struct {
	path       string
	state      string
	attributes map[string]string
}

func (s *Server) findInstance(c echo.Context) (*instanceView, error) {
	n, err := s.findNode(c)
	if err != nil {
		return nil, err
	}
	index := param(c, "instance")
	for _, i := range n.Instances {
		if i.Index != index {
			continue
		}
		v := &instanceView{path: deploymentPath(param(c, "id")) + "/nodes/" + n.Name + "/instances/" + index, state: i.State, attributes: map[string]string{}}
		for name, x := range i.Attributes {
			v.attributes[name] = text(x)
		}
		maps.Copy(v.attributes, builtins(n.Name, index)) // types declare these with a default
		v.attributes["state"] = i.State
		return v, nil
	}
	return nil, notFound(fmt.Sprintf("node %s has no instance %q", n.Name, index))
}

// builtins are the attributes by which Alien4Cloud knows an instance.
func builtins(node, index string) map[string]string {
	return map[string]string{"tosca_id": node + "-" + index, "tosca_name": node}
}

func (v *instanceView) attributeLinks() []link {
	links := []link{}
	for _, name := range slices.Sorted(maps.Keys(v.attributes)) {
		if plain(name) {
			links = append(links, to("attribute", v.path, "attributes", name))
		}
	}
	return links
}

func (s *Server) instance(c echo.Context) error {
	v, err := s.findInstance(c)
	if err != nil {
		return err
	}
	node, _, _ := strings.Cut(v.path, "/instances/")
	links := append([]link{to("self", v.path), to("node", node), to("deployment", deploymentPath(param(c, "id")))}, v.attributeLinks()...)
	return answer(c, http.StatusOK, map[string]any{"id": param(c, "instance"), "status": v.state, "links": links})
}

func (s *Server) attributes(c echo.Context) error {
	v, err := s.findInstance(c)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, map[string]any{"attributes": v.attributeLinks()})
}

type valueDocument struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (s *Server) attribute(c echo.Context) error {
	v, err := s.findInstance(c)
	if err != nil {
		return err
	}
	name := param(c, "attribute")
	value, ok := v.attributes[name]
	if !ok {
		return notFound("there is no attribute " + quote(name))
	}
	return answer(c, http.StatusOK, valueDocument{name, value})
}

func (s *Server) outputs(c echo.Context) error {
	id := param(c, "id")
	outs, err := s.opts.Service.Outputs(c.Request().Context(), id, false)
	if err != nil {
		return err
	}
	if len(outs) == 0 {
		return c.NoContent(http.StatusNoContent)
	}
	links := []link{}
	for _, o := range outs {
		if plain(o.Name) {
			links = append(links, to("output", deploymentPath(id), "outputs", o.Name))
		}
	}
	return answer(c, http.StatusOK, map[string]any{"outputs": links})
}

// output is "" while its value is not known yet.
func (s *Server) output(c echo.Context) error {
	name := param(c, "output")
	outs, err := s.opts.Service.Outputs(c.Request().Context(), param(c, "id"), false)
	if err != nil {
		return err
	}
	for _, o := range outs {
		if o.Name == name {
			return answer(c, http.StatusOK, valueDocument{name, text(o.Value)})
		}
	}
	return notFound("there is no output " + quote(name))
}

// text is a value as Yorc's clients take it: a string; lists and maps as JSON.
func text(v any) string {
	switch t := v.(type) {
	case nil:
		return ""
	case string:
		if t == secret.Mask {
			return redacted
		}
		return t
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// redacted is what Yorc shows of a secret.
const redacted = "<secret value redacted>"

func isNotFound(err error) bool {
	var known *orch.Error
	return errors.As(err, &known) && known.Kind == orch.KindNotFound
}

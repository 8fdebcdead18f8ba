package a4c

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// version is Yorc's whose API this is: the plugin reads and logs it.
const version = "4.4.0"

func (s *Server) info(c echo.Context) error {
	return answer(c, http.StatusOK, map[string]string{"yorc_version": version, "git_commit": "orch"})
}

// health asks the store: a server that cannot read it is none.
func (s *Server) health(c echo.Context) error {
	if _, err := s.opts.Feed.LastIndex(c.Request().Context()); err != nil {
		return err
	}
	return answer(c, http.StatusOK, map[string]string{"value": "passing"})
}

type registered struct {
	NodeType string `json:"node_type,omitempty"`
	Artifact string `json:"implementation_artifact,omitempty"`
	Name     string `json:"name,omitempty"`
	Version  string `json:"version,omitempty"`
	ID       string `json:"id,omitempty"`
	Origin   string `json:"origin"`
}

const builtin = "builtin"

func (s *Server) delegates(c echo.Context) error {
	return answer(c, http.StatusOK, map[string]any{"delegates": []registered{
		{NodeType: `yorc\.nodes\.openstack\..*`, Origin: builtin}, {NodeType: `janus\.nodes\.openstack\..*`, Origin: builtin},
		{NodeType: `orch\.nodes\.openstack\..*`, Origin: builtin}, {NodeType: `yorc\.nodes\.hostspool\..*`, Origin: builtin}, {NodeType: `tosca\.nodes\..*`, Origin: builtin}}})
}

func (s *Server) implementations(c echo.Context) error {
	return answer(c, http.StatusOK, map[string]any{"implementations": []registered{
		{Artifact: "tosca.artifacts.Implementation.Bash", Origin: builtin}, {Artifact: "tosca.artifacts.Implementation.Python", Origin: builtin}}})
}

func (s *Server) definitions(c echo.Context) error {
	return answer(c, http.StatusOK, map[string]any{"definitions": []registered{
		{Name: "normative-types", Version: "1.0.0-ALIEN20", Origin: builtin}, {Name: "yorc-types", Version: "1.1.0", Origin: builtin},
		{Name: "yorc-openstack-types", Version: "1.3.0", Origin: builtin}, {Name: "yorc-hostspool-types", Version: "1.1.0", Origin: builtin},
		{Name: "janus-types", Version: "1.0.0", Origin: builtin}, {Name: "janus-openstack-types", Version: "1.0.0", Origin: builtin}}})
}

func (s *Server) vaults(c echo.Context) error {
	return answer(c, http.StatusOK, map[string]any{"vaults": []registered{{ID: "hashicorp", Origin: builtin}}})
}

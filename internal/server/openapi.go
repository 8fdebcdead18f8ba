package server

import (
	_ "embed"
	"net/http"

	"github.com/labstack/echo/v4"
)

// document is the description of the native API, written by hand; the tests hold every request and answer against it.
//
//go:embed openapi.yaml
var document []byte

func (s *Server) openapi(c echo.Context) error {
	return c.Blob(http.StatusOK, "application/yaml", document)
}

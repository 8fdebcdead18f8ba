package server

import (
	"io"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
)

// maxSecret bounds a secret's value in bytes.
const maxSecret = 1 << 20

func (s *Server) secrets(c echo.Context) error {
	all, err := s.service(c).Secrets().List(c.Request().Context())
	if all == nil {
		all = []orch.SecretInfo{}
	}
	return answer(c, all, err)
}

func (s *Server) setSecret(c echo.Context) error {
	value, err := io.ReadAll(http.MaxBytesReader(c.Response(), c.Request().Body, maxSecret))
	if err != nil {
		return &orch.Error{Kind: orch.KindUser, Msg: "a secret may have 1 MiB at most", Err: err}
	}
	info, err := s.service(c).Secrets().Set(c.Request().Context(), param(c, "secret"), value, c.QueryParam("note"))
	return answer(c, info, err)
}

func (s *Server) secret(c echo.Context) error {
	value, err := s.service(c).Secrets().Get(c.Request().Context(), param(c, "secret"))
	if err != nil {
		return err
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	return c.Blob(http.StatusOK, echo.MIMEOctetStream, value)
}

func (s *Server) removeSecret(c echo.Context) error {
	if err := s.service(c).Secrets().Remove(c.Request().Context(), param(c, "secret")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

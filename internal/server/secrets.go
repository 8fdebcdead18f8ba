package server

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state/secrets"
)

// maxSecret bounds a secret's value in bytes, maxExport an export.
const (
	maxSecret = 1 << 20
	maxExport = 64 << 20
)

func (s *Server) secrets(c echo.Context) error {
	all, err := s.service(c).Secrets().List(c.Request().Context(), c.QueryParam("prefix"))
	if all == nil {
		all = []orch.SecretInfo{}
	}
	return answer(c, all, err)
}

func (s *Server) setSecret(c echo.Context) error {
	if err := limitBody(c, maxSecret); err != nil {
		return err
	}
	value, err := io.ReadAll(c.Request().Body)
	if err != nil {
		return badUpload(err)
	}
	o := orch.SecretOptions{Kind: secrets.Kind(c.QueryParam("kind")), Visibility: secrets.Visibility(c.QueryParam("visibility"))}
	if q := c.QueryParams(); q.Has("note") {
		note := q.Get("note")
		o.Note = &note
	}
	if o.Hidden, err = optionalBool(c, "hidden"); err != nil {
		return err
	}
	create, err := optionalBool(c, "create")
	if err != nil {
		return err
	}
	o.Create = create != nil && *create
	info, err := s.service(c).Secrets().Set(c.Request().Context(), param(c, "secret"), value, o)
	return answer(c, info, err)
}

// optionalBool is nil if the parameter is not given.
func optionalBool(c echo.Context, name string) (*bool, error) {
	text := c.QueryParam(name)
	if text == "" {
		return nil, nil
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		return nil, &orch.Error{Kind: orch.KindUser, Msg: name + " is true or false"}
	}
	return &b, nil
}

func (s *Server) updateSecret(c echo.Context) error {
	var change orch.SecretChange
	if err := decodeJSON(c, &change); err != nil {
		return err
	}
	info, err := s.service(c).Secrets().Update(c.Request().Context(), param(c, "secret"), change)
	return answer(c, info, err)
}

func (s *Server) secret(c echo.Context) error {
	version, err := wholeNumber(c, "version")
	if err != nil {
		return err
	}
	value, err := s.service(c).Secrets().Get(c.Request().Context(), param(c, "secret"), version)
	if err != nil {
		return err
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	return c.Blob(http.StatusOK, echo.MIMEOctetStream, value)
}

// wholeNumber is 0 if the parameter is not given.
func wholeNumber(c echo.Context, name string) (int, error) {
	text := c.QueryParam(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, &orch.Error{Kind: orch.KindUser, Msg: name + " is a number from 1"}
	}
	return n, nil
}

func (s *Server) secretVersions(c echo.Context) error {
	d, err := s.service(c).Secrets().Describe(c.Request().Context(), param(c, "secret"))
	return answer(c, d, err)
}

func (s *Server) removeSecret(c echo.Context) error {
	if err := s.service(c).Secrets().Remove(c.Request().Context(), param(c, "secret")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (s *Server) exportSecrets(c echo.Context) error {
	var o orch.SecretExport
	if err := decodeJSON(c, &o); err != nil {
		return err
	}
	out, err := s.service(c).Secrets().Export(c.Request().Context(), o)
	c.Response().Header().Set("Cache-Control", "no-store")
	return answer(c, out, err)
}

func (s *Server) importSecrets(c echo.Context) error {
	var o orch.SecretImport
	if err := decodeLarge(c, &o, maxExport); err != nil {
		return err
	}
	out, err := s.service(c).Secrets().Import(c.Request().Context(), o)
	return answer(c, out, err)
}

func (s *Server) rotateKey(c echo.Context) error {
	var o orch.SecretRotate
	if err := decodeJSON(c, &o); err != nil {
		return err
	}
	out, err := s.service(c).Secrets().Rotate(c.Request().Context(), o.KeepOld)
	return answer(c, out, err)
}

func (s *Server) secretReads(c echo.Context) error {
	f := orch.SecretReads{Secret: c.QueryParam("secret"), User: c.QueryParam("user"), Deployment: c.QueryParam("deployment")}
	var err error
	if text := c.QueryParam("since"); text != "" {
		if f.Since, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return &orch.Error{Kind: orch.KindUser, Msg: "since is a time as 2026-11-29T12:00:00Z"}
		}
	}
	if f.Last, err = wholeNumber(c, "last"); err != nil {
		return err
	}
	all, err := s.service(c).Secrets().Reads(c.Request().Context(), f)
	return answer(c, all, err)
}

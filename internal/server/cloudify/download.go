package cloudify

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
)

func (s *Server) downloadBlueprint(q *request) (any, error) {
	ctx := q.Request().Context()
	r, err := s.blueprintRecord(ctx, q.param("id"))
	if err != nil {
		return nil, err
	}
	if r.failed() {
		return nil, notFound("Archive of blueprint", r.ID)
	}
	from := s
	if r.Tenant != s.opts.Tenant && s.opts.Peer != nil {
		from = s.opts.Peer(r.Tenant)
	}
	_, data, err := from.opts.Service.Blueprints().Download(ctx, r.ID, "")
	if err != nil {
		return nil, err
	}
	return sendFile(q, r.FileName, data.Size(), data)
}

func (s *Server) sendBlob(q *request, key, name string) (any, error) {
	body, info, err := s.shelf.blobs.Get(q.Request().Context(), key)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return sendFile(q, name, info.Size, body)
}

func sendFile(q *request, name string, size int64, body io.Reader) (any, error) {
	h := q.Response().Header()
	h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%s", name))
	h.Set("Content-Length", strconv.FormatInt(size, 10))
	h.Set("Content-Type", "application/octet-stream")
	q.Response().WriteHeader(http.StatusOK)
	if _, err := io.Copy(q.Response(), body); err != nil && q.Request().Context().Err() == nil {
		q.opts.Logger.Warn("a download broke off", "file", name, "error", err)
	}
	return done, nil
}

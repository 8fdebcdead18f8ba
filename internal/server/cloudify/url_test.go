package cloudify

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"
	"testing"
)

// Archives by URL: in the query of older clients, in the form of newer ones, and of updates; only where the server fetches at all.
func TestArchiveByURL(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const place = "https://archives.example/shop.tar.gz"
	put := v31 + "/blueprints/shop?application_file_name=blueprint.yaml&blueprint_archive_url=" + url.QueryEscape(place)
	s.refused(400, "bad_parameters_error", "PUT", put, nil)

	s.fetch = func(_ context.Context, from string) (io.ReadCloser, error) {
		switch from {
		case place:
			return io.NopCloser(bytes.NewReader(tarball(t, "blueprint", shop))), nil
		case "https://archives.example/large":
			return io.NopCloser(bytes.NewReader(make([]byte, 2<<20))), nil
		}
		return nil, errors.New("404")
	}
	s.Restart()
	if bp := s.call(201, "PUT", put, nil); bp["state"] != "uploaded" {
		t.Errorf("uploaded %v", bp)
	}
	if bp := s.upload("form", "blueprint.yaml", nil, object{"blueprint_archive_url": place}); bp["state"] != "uploaded" {
		t.Errorf("by a form: %v", bp)
	}
	for _, bad := range []string{"https://archives.example/none", "ftp://archives.example/shop.zip", "shop.zip"} {
		s.refused(400, "param_url_not_found_error", "PUT", v31+"/blueprints/other?blueprint_archive_url="+url.QueryEscape(bad), nil)
	}
	s.refused(400, "bad_parameters_error", "PUT", v31+"/blueprints/other?blueprint_archive_url="+url.QueryEscape("https://archives.example/large"), nil)
	if r := s.send("PUT", put, "application/octet-stream", []byte("x")); r.Status != 400 {
		t.Errorf("both: %d %s", r.Status, r.Body)
	}
	s.call(201, "PUT", v31+"/deployments/d", object{"blueprint_id": "shop"})
	if r := s.send("PUT", v31+"/deployment-updates/d/update/initiate?application_file_name=blueprint.yaml&preview=true&blueprint_archive_url="+url.QueryEscape(place), "application/octet-stream", nil); r.Status != 200 {
		t.Errorf("an update by URL: %d %s", r.Status, r.Body)
	}
}

package client

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"strings"

	"github.com/orch-project/orch/pkg/orch"
)

// encode writes a request as JSON, or with its source as a multipart form.
func encode(req orch.Request) ([]byte, string, error) {
	doc, err := json.Marshal(req)
	if err != nil {
		return nil, "", err
	}
	if req.Source == nil {
		return doc, "application/json", nil
	}
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	if err := form.WriteField("request", string(doc)); err != nil {
		return nil, "", err
	}
	part, err := form.CreateFormFile("source", "source.zip")
	if err != nil {
		return nil, "", err
	}
	if err := pack(part, req.Source); err != nil {
		return nil, "", fmt.Errorf("cannot pack %s: %w", req.SourceName, err)
	}
	if err := form.Close(); err != nil {
		return nil, "", err
	}
	return b.Bytes(), form.FormDataContentType(), nil
}

// keptDir holds what a document imports from elsewhere.
const keptDir = ".orch-imports"

// pack writes a file system as a zip archive. Hidden directories such as .git stay behind, but for what was packed of imports.
func pack(w io.Writer, fsys fs.FS) error {
	z := zip.NewWriter(w)
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if d.IsDir() {
			if strings.HasPrefix(d.Name(), ".") && name != keptDir {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		return packFile(z, fsys, name, info)
	})
	if err != nil {
		return err
	}
	return z.Close()
}

func packFile(z *zip.Writer, fsys fs.FS, name string, info fs.FileInfo) error {
	h, err := zip.FileInfoHeader(info)
	if err != nil {
		return err
	}
	h.Name, h.Method = name, zip.Deflate
	out, err := z.CreateHeader(h)
	if err != nil {
		return err
	}
	in, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = io.Copy(out, in)
	return err
}

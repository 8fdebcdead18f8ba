package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime/multipart"
	"strings"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/source"
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
	archive, err := pack(req.Source)
	if err != nil {
		return nil, "", fmt.Errorf("cannot pack %s: %w", req.SourceName, err)
	}
	if _, err := part.Write(archive); err != nil {
		return nil, "", err
	}
	if err := form.Close(); err != nil {
		return nil, "", err
	}
	return b.Bytes(), form.FormDataContentType(), nil
}

// maxArchive is what a server takes.
const maxArchive = 512 << 20

// pack makes an archive of a file system: of what it says is needed, else of everything.
func pack(fsys fs.FS) ([]byte, error) {
	names, err := namesOf(fsys)
	if err != nil {
		return nil, err
	}
	data, err := source.ZipNamed(fsys, names, maxArchive)
	var large *source.LargeError
	if errors.As(err, &large) {
		return nil, &orch.Error{Kind: orch.KindUser, Err: err, Hint: "these are the files that the document refers to: let the servers fetch what is large from where it is kept"}
	}
	return data, err
}

// keptDir holds what a document imports from elsewhere.
const keptDir = ".orch-imports"

// namesOf are the files to send. Hidden directories such as .git stay behind where the source does not say what it needs.
func namesOf(fsys fs.FS) (names []string, err error) {
	if s, ok := fsys.(orch.Selective); ok {
		return s.Needed()
	}
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && name != keptDir && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.Type().IsRegular():
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

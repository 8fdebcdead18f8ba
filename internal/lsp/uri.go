package lsp

import (
	"net/url"
	"path/filepath"
	"strings"
)

// fileOf is the path of a file: URI, "" for others.
func fileOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "file" || u.Path == "" {
		return ""
	}
	return filepath.Clean(filepath.FromSlash(u.Path))
}

func uriOf(file string) string {
	if strings.Contains(file, "://") {
		return file
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(file)}).String()
}

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/md5" // what dpkg's md5sums are
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// archive writes a tar.gz with everything below one directory.
func (r *release) archive(to, dir string, files []file) error {
	var entries []tarEntry
	for _, f := range files {
		if f.archived != "" {
			entries = append(entries, tarEntry{dir + f.archived, f.mode, f.content})
		}
	}
	data, err := r.tarball(entries)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

type tarEntry struct {
	name    string
	mode    int64
	content []byte // nil for a directory
}

// tarball is a tar.gz that depends on nothing but its entries and the time of the commit. Directories are added before what is in them.
func (r *release) tarball(entries []tarEntry) ([]byte, error) {
	slices.SortFunc(entries, func(a, b tarEntry) int { return strings.Compare(a.name, b.name) })
	var buf bytes.Buffer
	z, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(z)
	made := map[string]bool{}
	write := func(e tarEntry, kind byte) error {
		h := &tar.Header{Typeflag: kind, Name: e.name, Mode: e.mode, Size: int64(len(e.content)), ModTime: r.when, Uname: "root", Gname: "root", Format: tar.FormatGNU}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err := w.Write(e.content)
		return err
	}
	for _, e := range entries {
		var parents []string
		begin := ""
		if strings.HasPrefix(e.name, "./") { // as dpkg writes all names
			begin = "./"
		}
		for dir := path.Dir(e.name); dir != "." && dir != "/" && !made[dir]; dir = path.Dir(dir) {
			parents = append(parents, dir)
			made[dir] = true
		}
		for _, dir := range slices.Backward(parents) {
			if err := write(tarEntry{name: begin + dir + "/", mode: 0o755}, tar.TypeDir); err != nil {
				return nil, err
			}
		}
		if err := write(e, tar.TypeReg); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// deb writes a package in the form of deb(5): an ar archive of debian-binary, control.tar.gz and data.tar.gz.
func (r *release) deb(to, arch, number string, files []file) error {
	var data []tarEntry
	var sums, conf strings.Builder
	size := 0
	for _, f := range files {
		if f.located == "" {
			continue
		}
		data = append(data, tarEntry{"./" + f.located, f.mode, f.content})
		if strings.HasPrefix(f.located, "etc/") {
			fmt.Fprintf(&conf, "/%s\n", f.located)
		}
		fmt.Fprintf(&sums, "%x  %s\n", md5.Sum(f.content), f.located)
		size += len(f.content)
	}
	control := []tarEntry{
		{"./control", 0o644, []byte(controlFile(arch, number, size))},
		{"./conffiles", 0o644, []byte(conf.String())},
		{"./md5sums", 0o644, []byte(sums.String())},
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		content, err := os.ReadFile(filepath.Join(r.root, "tools", "packaging", script))
		if err != nil {
			return err
		}
		control = append(control, tarEntry{"./" + script, 0o755, content})
	}
	controlTar, err := r.tarball(control)
	if err != nil {
		return err
	}
	dataTar, err := r.tarball(data)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	out.WriteString("!<arch>\n")
	for _, m := range []struct {
		name    string
		content []byte
	}{{"debian-binary", []byte("2.0\n")}, {"control.tar.gz", controlTar}, {"data.tar.gz", dataTar}} {
		if len(m.name) > 16 {
			return errTooLong
		}
		fmt.Fprintf(&out, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, r.when.Unix(), 0, 0, "100644", len(m.content))
		out.Write(m.content)
		if len(m.content)%2 == 1 {
			out.WriteByte('\n')
		}
	}
	return os.WriteFile(to, out.Bytes(), 0o644)
}

func controlFile(arch, number string, size int) string {
	return fmt.Sprintf(`Package: orch
Version: %s
Architecture: %s
Maintainer: orch project <orch@example.org>
Installed-Size: %d
Depends: passwd
Recommends: ca-certificates
Suggests: terraform | opentofu
Section: admin
Priority: optional
Homepage: https://github.com/orch-project/orch
Description: deploys application topologies on OpenStack and keeps them running
 orch reads topologies (TOSCA, Alien4Cloud, Cloudify), provisions their servers
 and networks through Terraform or OpenTofu, configures them over SSH, and
 removes everything again. This package holds the command and a service that
 is started when it is configured: systemctl enable --now orch
`, number, arch, (size+1023)/1024)
}

package source

import (
	"bufio"
	"bytes"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
)

// findEntry chooses the root document as a CSAR does (TOSCA 1.3 §6.2, TOSCA 2.0 §14): TOSCA.meta's Entry-Definitions, else the only YAML
// file at the root; of several, one that is called by a usual name.
func (b *Bundle) findEntry() diag.List {
	var list diag.List
	for _, p := range []string{"TOSCA-Metadata/TOSCA.meta", "TOSCA.meta"} {
		data, err := fs.ReadFile(b.FS, p)
		if err != nil {
			continue
		}
		b.MetaPath = p
		b.Meta = parseMeta(b.Display(p), data, &list)
		entry := b.Meta["Entry-Definitions"]
		if entry == "" {
			if b.Meta["Name"] != "" { // Alien4Cloud's archives name themselves here and keep one YAML at the root or in Definitions
				break
			}
			list.Errorf(CodeEntry, diag.Pos{File: b.Display(p), Line: 1}, "TOSCA.meta has no Entry-Definitions").Hint =
				"add a line 'Entry-Definitions: path/of/the/template.yaml'"
			return list
		}
		clean := path.Clean(entry)
		if !fs.ValidPath(clean) {
			list.Errorf(CodeEntry, metaPos(b.Display(p), data, "Entry-Definitions"), "Entry-Definitions %q leaves the archive", entry)
			return list
		}
		if info, err := fs.Stat(b.FS, clean); err != nil || info.IsDir() {
			d := list.Errorf(CodeEntry, metaPos(b.Display(p), data, "Entry-Definitions"), "Entry-Definitions names %s, which is not in the archive", entry)
			d.Hint = diag.Suggest(clean, b.yamlFiles("."))
			return list
		}
		b.Entry = clean
		return list
	}
	b.Entry = b.onlyYAML(&list)
	return list
}

// usual names of the document to begin with where several lie at the root of a directory.
var usual = []string{"topology", "service", "app", "main", "blueprint", "service-template", "service_template", "template"}

// blueprint finds the main file of a Cloudify blueprint's archive: blueprint.yaml at the root, or in the only folder at the root, which is how
// Cloudify's client packs them.
func (b *Bundle) blueprint(names []string) string {
	if slices.Contains(names, "blueprint.yaml") {
		return "blueprint.yaml"
	}
	entries, err := fs.ReadDir(b.FS, ".")
	if err != nil || len(entries) != 1 || !entries[0].IsDir() {
		return ""
	}
	p := path.Join(entries[0].Name(), "blueprint.yaml")
	if info, err := fs.Stat(b.FS, p); err != nil || info.IsDir() {
		return ""
	}
	return p
}

func (b *Bundle) onlyYAML(list *diag.List) string {
	names := b.yamlFiles(".")
	if len(names) == 0 && b.Meta != nil {
		names = b.yamlFiles("Definitions")
	}
	if len(names) == 1 {
		return names[0]
	}
	if b.Archive {
		if p := b.blueprint(names); p != "" {
			return p
		}
	}
	if len(names) > 1 && !b.Archive {
		for _, u := range usual {
			for _, n := range names {
				if strings.TrimSuffix(strings.TrimSuffix(n, ".yaml"), ".yml") == u {
					return n
				}
			}
		}
	}
	pos := diag.Pos{File: b.Name}
	if len(names) == 0 {
		list.Errorf(CodeEntry, pos, "there is no YAML document at the root of %s", b.Name).Hint =
			"put one there, or name it in TOSCA-Metadata/TOSCA.meta as Entry-Definitions"
	} else {
		list.Errorf(CodeEntry, pos, "there are %d YAML documents at the root of %s: %s", len(names), b.Name, strings.Join(names, ", ")).Hint =
			"name the one to begin with in TOSCA-Metadata/TOSCA.meta as Entry-Definitions, or give the file itself"
	}
	return ""
}

func (b *Bundle) yamlFiles(dir string) []string {
	entries, _ := fs.ReadDir(b.FS, dir)
	var names []string
	for _, e := range entries {
		ext := strings.ToLower(path.Ext(e.Name()))
		if !e.IsDir() && (ext == ".yaml" || ext == ".yml") && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, path.Join(dir, e.Name()))
		}
	}
	slices.Sort(names)
	return names
}

// parseMeta reads the first block of a TOSCA.meta: "Key: value" lines, continued by lines that begin with a blank.
func parseMeta(file string, data []byte, list *diag.List) map[string]string {
	meta := map[string]string{}
	last, line := "", 0
	sc := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	for sc.Scan() {
		line++
		text := strings.TrimRight(sc.Text(), "\r\t ")
		switch key, val, ok := strings.Cut(text, ":"); {
		case text == "":
			if len(meta) > 0 {
				return meta
			}
		case strings.HasPrefix(text, "#") || strings.HasPrefix(text, "---"):
		case text[0] == ' ' && last != "":
			meta[last] += strings.TrimSpace(text)
		case !ok:
			list.Errorf(CodeArchive, diag.Pos{File: file, Line: line, Col: 1}, "TOSCA.meta: %q is not of the form 'Key: value'", text)
		default:
			last = strings.TrimSpace(key)
			meta[last] = strings.Trim(strings.TrimSpace(val), `"'`)
		}
	}
	return meta
}

func metaPos(file string, data []byte, key string) diag.Pos {
	line := 0
	for l := range bytes.Lines(data) {
		line++
		if bytes.HasPrefix(l, []byte(key)) {
			return diag.Pos{File: file, Line: line, Col: 1}
		}
	}
	return diag.Pos{File: file}
}

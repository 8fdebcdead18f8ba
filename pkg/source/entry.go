package source

import (
	"bufio"
	"bytes"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
)

// findEntry chooses the root document as a CSAR does (TOSCA 1.3 §6.2, TOSCA 2.0 §14): TOSCA.meta's Entry-Definitions, else the only YAML
// file at the root; of several, the only one that says which version it is of, or one that is called by a usual name. An archive whose root
// has nothing but a folder is that folder packed, as Cloudify's client and many tools make them.
func (b *Bundle) findEntry() diag.List {
	b.Base = "."
	if top := b.onlyFolder(); b.Archive && top != "" {
		b.Base = top
	}
	var list diag.List
	for _, name := range []string{"TOSCA-Metadata/TOSCA.meta", "TOSCA.meta"} {
		p := path.Join(b.Base, name)
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
		clean := path.Join(b.Base, entry)
		if !fs.ValidPath(path.Clean(entry)) {
			list.Errorf(CodeEntry, metaPos(b.Display(p), data, "Entry-Definitions"), "Entry-Definitions %q leaves the archive", entry)
			return list
		}
		if info, err := fs.Stat(b.FS, clean); err != nil || info.IsDir() {
			d := list.Errorf(CodeEntry, metaPos(b.Display(p), data, "Entry-Definitions"), "Entry-Definitions names %s, which is not in the archive", entry)
			d.Hint = diag.Suggest(clean, b.yamlFiles(b.Base))
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

// onlyFolder is the folder that is all that lies at the root, apart from what file managers leave there; "" for none.
func (b *Bundle) onlyFolder() string {
	entries, err := fs.ReadDir(b.FS, ".")
	if err != nil {
		return ""
	}
	only := ""
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e.Name(), ".") || e.Name() == "__MACOSX":
		case !e.IsDir() || only != "" || e.Name() == "TOSCA-Metadata":
			return ""
		default:
			only = e.Name()
		}
	}
	return only
}

func (b *Bundle) onlyYAML(list *diag.List) string {
	names := b.yamlFiles(b.Base)
	if len(names) == 0 && b.Meta != nil {
		names = b.yamlFiles(path.Join(b.Base, "Definitions"))
	}
	if len(names) == 1 {
		return names[0]
	}
	if main := path.Join(b.Base, "blueprint.yaml"); b.Archive && slices.Contains(names, main) {
		return main
	}
	if only := b.onlyVersioned(names); only != "" {
		return only
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
		d := list.Errorf(CodeEntry, pos, "there are %d YAML documents at the root of %s: %s", len(names), b.Name, strings.Join(names, ", "))
		d.Hint = "name the one to begin with in TOSCA-Metadata/TOSCA.meta as Entry-Definitions, or give the file itself"
		if b.Archive {
			d.Hint += ": " + b.Name + "!" + names[0]
		}
	}
	return ""
}

var version = regexp.MustCompile(`(?m)^['"]?tosca_definitions_version['"]?[ \t]*:`)

// onlyVersioned is the only one of several documents that says which version it is of: the others are imported by it, or inputs.
func (b *Bundle) onlyVersioned(names []string) string {
	only := ""
	for _, n := range names {
		data, err := fs.ReadFile(b.FS, n)
		if err != nil || !version.Match(data) {
			continue
		}
		if only != "" {
			return ""
		}
		only = n
	}
	return only
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

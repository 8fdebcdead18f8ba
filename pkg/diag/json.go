package diag

import (
	"encoding/json"
	"io"
	"net/url"
	"path/filepath"
	"strings"
)

// Report is the JSON form of a list.
type Report struct {
	Valid       bool `json:"valid"`
	Errors      int  `json:"errors"`
	Warnings    int  `json:"warnings"`
	Diagnostics List `json:"diagnostics"`
}

// NewReport counts a list. Diagnostics is never null in JSON.
func NewReport(l List) Report {
	if l == nil {
		l = List{}
	}
	return Report{Valid: !l.HasErrors(), Errors: l.Count(Error), Warnings: l.Count(Warning), Diagnostics: l}
}

// WriteJSON renders diagnostics as one Report.
func WriteJSON(w io.Writer, l List) error { return indented(w, NewReport(l)) }

func indented(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// SARIF 2.1.0 (OASIS): only what code scanners read.
type (
	sarif struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool    sarifTool     `json:"tool"`
		Results []sarifResult `json:"results"`
		// ColumnKind: our columns count characters, as YAML's do.
		ColumnKind string `json:"columnKind"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID    string     `json:"id"`
		Short *sarifText `json:"shortDescription,omitempty"`
		Full  *sarifText `json:"fullDescription,omitempty"`
		Help  *sarifText `json:"help,omitempty"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations,omitempty"`
		Related   []sarifLocation `json:"relatedLocations,omitempty"`
	}
	sarifLocation struct {
		Physical *sarifPhysical `json:"physicalLocation,omitempty"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
		Message  *sarifText     `json:"message,omitempty"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		Line int `json:"startLine"`
		Col  int `json:"startColumn,omitempty"`
	}
)

// WriteSARIF renders diagnostics for code scanners. version is the program's.
func WriteSARIF(w io.Writer, l List, version string) error {
	run := sarifRun{Tool: sarifTool{sarifDriver{Name: "orch", Version: version, Rules: []sarifRule{}}}, Results: []sarifResult{}, ColumnKind: "unicodeCodePoints"}
	index := map[string]int{}
	for _, d := range l {
		i, ok := index[d.Code]
		if !ok {
			i = len(run.Tool.Driver.Rules)
			index[d.Code] = i
			rule := sarifRule{ID: d.Code}
			if c, ok := Explain(d.Code); ok {
				rule.Short, rule.Full, rule.Help = &sarifText{c.Title}, &sarifText{c.Text}, &sarifText{c.Text}
			}
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, rule)
		}
		text := d.Message
		if d.Hint != "" {
			text += " (" + d.Hint + ")"
		}
		r := sarifResult{RuleID: d.Code, RuleIndex: i, Level: map[Severity]string{Error: "error", Warning: "warning", Info: "note"}[d.Severity], Message: sarifText{text}}
		if !d.Pos.IsZero() {
			loc := sarifLocation{Physical: physical(d.Pos)}
			if d.Path != "" {
				loc.Logical = []sarifLogical{{d.Path}}
			}
			r.Locations = []sarifLocation{loc}
		}
		for _, rel := range d.Related {
			if !rel.Pos.IsZero() {
				r.Related = append(r.Related, sarifLocation{Physical: physical(rel.Pos), Message: &sarifText{rel.Message}})
			}
		}
		run.Results = append(run.Results, r)
	}
	return indented(w, sarif{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}})
}

// uri is a file's name as a URI reference (RFC 3986): relative to where the command ran, or file:///… for an absolute one.
func uri(file string) string {
	if strings.Contains(file, "://") {
		return file
	}
	p := filepath.ToSlash(file)
	u := url.URL{Path: p}
	if strings.HasPrefix(p, "/") {
		u.Scheme = "file"
	}
	return u.String()
}

func physical(p Pos) *sarifPhysical {
	ph := &sarifPhysical{Artifact: sarifArtifact{uri(p.File)}}
	if p.Line > 0 {
		ph.Region = &sarifRegion{p.Line, p.Col}
	}
	return ph
}

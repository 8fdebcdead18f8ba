package cloudinit

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Command is the cloud-init program inside a server, as far as others follow a boot with it: "status". It returns the exit code:
// 0 done or still running, 1 failed, 2 done with recoverable errors.
func Command(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		switch args[0] {
		case "status":
			return statusCommand(args[1:], stdout, stderr)
		case "--version", "-v":
			fmt.Fprintln(stdout, "/usr/bin/cloud-init "+Version)
			return 0
		case "clean", "init", "modules", "single", "collect-logs", "schema", "query", "analyze", "devel", "features":
			fmt.Fprintf(stderr, "cloud-init %s: not available in the sandbox's servers\n", args[0])
			return 1
		}
	}
	fmt.Fprintln(stderr, "usage: cloud-init [-h] [--version] {status} ...")
	return 2
}

// state is what "cloud-init status" reports.
type state struct {
	Status     string              `json:"status"`
	Extended   string              `json:"extended_status"`
	Boot       string              `json:"boot_status_code"`
	Datasource string              `json:"datasource"`
	Detail     string              `json:"detail"`
	Errors     []string            `json:"errors"`
	Warnings   map[string][]string `json:"recoverable_errors"`
	Stage      string              `json:"stage,omitempty"`
}

func statusCommand(args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("cloud-init status", flag.ContinueOnError)
	fs.SetOutput(stderr)
	var wait, long bool
	var format string
	for _, n := range []string{"wait", "w"} {
		fs.BoolVar(&wait, n, false, "block until cloud-init is done")
	}
	for _, n := range []string{"long", "l"} {
		fs.BoolVar(&long, n, false, "report in detail")
	}
	fs.StringVar(&format, "format", "tabular", "json, yaml or tabular")
	if fs.Parse(args) != nil {
		return 2
	}
	s := readState("/")
	for wait && (s.Status == "running" || s.Status == "not started") {
		if format == "tabular" {
			fmt.Fprint(stdout, ".")
		}
		time.Sleep(250 * time.Millisecond)
		if s = readState("/"); s.Status != "running" && s.Status != "not started" && format == "tabular" {
			fmt.Fprintln(stdout)
		}
	}
	s.print(stdout, format, long)
	switch {
	case s.Status == "error":
		return 1
	case strings.HasPrefix(s.Extended, "degraded"):
		return 2
	}
	return 0
}

func (s state) print(w io.Writer, format string, long bool) {
	if format == "json" {
		out, _ := json.MarshalIndent(s, "", "  ")
		fmt.Fprintln(w, string(out))
		return
	}
	if format == "yaml" {
		fmt.Fprintf(w, "---\nboot_status_code: %s\ndatasource: %s\ndetail: %s\nextended_status: %s\nstatus: %s\n...\n\n", s.Boot, s.Datasource, s.Detail, s.Extended, s.Status)
		return
	}
	fmt.Fprintln(w, "status:", s.Status)
	if !long {
		return
	}
	fmt.Fprintln(w, "extended_status:", s.Extended)
	fmt.Fprintln(w, "boot_status_code:", s.Boot)
	fmt.Fprintf(w, "detail:\n%s\n", s.Detail)
	if len(s.Errors) == 0 {
		fmt.Fprintln(w, "errors: []")
	} else {
		fmt.Fprintln(w, "errors:")
		for _, e := range s.Errors {
			fmt.Fprintln(w, "\t- "+e)
		}
	}
	if len(s.Warnings) == 0 {
		fmt.Fprintln(w, "recoverable_errors: {}")
		return
	}
	fmt.Fprintln(w, "recoverable_errors:")
	for level, list := range s.Warnings {
		fmt.Fprintln(w, level+":")
		for _, e := range list {
			fmt.Fprintln(w, "\t- "+e)
		}
	}
}

// readState derives the state from the files.
func readState(root string) state {
	s := state{Status: "not started", Extended: "not started", Boot: "enabled-by-generator", Errors: []string{}, Warnings: map[string][]string{}}
	var doc struct{ V1 map[string]json.RawMessage }
	data, err := os.ReadFile(root + StatusFile)
	if err != nil || json.Unmarshal(data, &doc) != nil {
		return s
	}
	_ = json.Unmarshal(doc.V1["datasource"], &s.Datasource)
	s.Detail = s.Datasource
	_ = json.Unmarshal(doc.V1["stage"], &s.Stage)
	for _, n := range stageNames {
		var st stageStatus
		_ = json.Unmarshal(doc.V1[n], &st)
		s.Errors = append(s.Errors, st.Errors...)
		for level, list := range st.Recoverable {
			s.Warnings[level] = append(s.Warnings[level], list...)
		}
	}
	_, err = os.Stat(root + ResultFile)
	switch {
	case err != nil:
		s.Status = "running"
	case len(s.Errors) > 0:
		s.Status = "error"
	default:
		s.Status = "done"
	}
	s.Extended = s.Status
	if len(s.Warnings) > 0 || s.Status == "error" {
		word := s.Status
		if word == "error" {
			word = "done"
			s.Extended = "error - done"
		}
		if s.Status != "error" {
			s.Extended = "degraded " + word
		}
	}
	return s
}

package cloudinit

import (
	"encoding/json"
	"os"
	"time"
)

// status is what status.json and result.json tell (cloud-init, "How to find the status").
type status struct {
	stages      map[string]*stageStatus
	current     string
	recoverable []string
	errors      []string
}

type stageStatus struct {
	Errors      []string            `json:"errors"`
	Recoverable map[string][]string `json:"recoverable_errors"`
	Start       *float64            `json:"start"`
	Finished    *float64            `json:"finished"`
}

// Files with the status, relative to the root.
const (
	StatusFile = "/run/cloud-init/status.json"
	ResultFile = "/run/cloud-init/result.json"
)

var stageNames = []string{"init-local", "init", "modules-config", "modules-final"}

func now() *float64 {
	t := float64(time.Now().UnixMicro()) / 1e6
	return &t
}

func (s *status) begin(stage string, r *Run) {
	if s.stages == nil {
		s.stages = map[string]*stageStatus{}
		for _, n := range stageNames {
			s.stages[n] = &stageStatus{Errors: []string{}, Recoverable: map[string][]string{}}
		}
		_ = os.Remove(r.path(ResultFile))
	}
	s.current = stage
	s.stages[stage].Start = now()
	s.save(r)
}

func (s *status) end(stage string, r *Run) {
	st := s.stages[stage]
	st.Finished = now()
	if len(s.recoverable) > 0 {
		st.Recoverable["WARNING"] = append(st.Recoverable["WARNING"], s.recoverable...)
		s.recoverable = nil
	}
	s.current = ""
	s.save(r)
}

func (s *status) fail(text string) {
	s.errors = append(s.errors, text)
	if st := s.stages[s.current]; st != nil {
		st.Errors = append(st.Errors, text)
	}
}

func (s *status) finish(r *Run) {
	s.end("modules-final", r)
	errs := s.errors
	if errs == nil {
		errs = []string{}
	}
	r.saveJSON(ResultFile, map[string]any{"v1": map[string]any{"datasource": r.Datasource, "errors": errs}})
}

func (s *status) save(r *Run) {
	v1 := map[string]any{"datasource": r.Datasource, "stage": nil}
	if s.current != "" {
		v1["stage"] = s.current
	}
	for n, st := range s.stages {
		v1[n] = st
	}
	r.saveJSON(StatusFile, map[string]any{"v1": v1})
}

// saveJSON replaces the file as a whole: others poll it.
func (r *Run) saveJSON(path string, v any) {
	data, err := json.MarshalIndent(v, "", " ")
	if err == nil {
		tmp := r.path(path) + ".tmp"
		if err = os.WriteFile(tmp, append(data, '\n'), 0o644); err == nil {
			err = os.Rename(tmp, r.path(path))
		}
	}
	if err != nil {
		r.write("WARNING", "cannot save "+path+": "+err.Error())
	}
}

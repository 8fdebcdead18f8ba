package tosca

import (
	"context"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/tosca/convert"
)

// Convert writes the document in another dialect; see convert.To. place opens a text in the place of the document: blueprints of Cloudify
// reach TOSCA 2.0 by way of 1.3. Of o only Libraries count. The text is empty if nothing can be written.
func (a *Analysis) Convert(ctx context.Context, target string, place func(text []byte) (*source.Bundle, error), o Options) (text []byte, lost diag.List, err error) {
	first := target
	if a.Root.Doc.Traits.Open && target == "tosca_2_0" {
		first = "tosca_simple_yaml_1_3"
	}
	n, lost := convert.To(first, convert.Input{Root: a.Root, Topology: a.Topology})
	if n == nil {
		return nil, lost, nil
	}
	if text, err = source.Marshal(n); err != nil || first == target {
		return text, lost, err
	}
	bundle, err := place(text)
	if err != nil {
		return nil, lost, err
	}
	defer bundle.Close()
	via := Analyze(ctx, Options{Bundle: bundle, Libraries: o.Libraries})
	if via.Findings.HasErrors() || via.Root == nil {
		return text, append(lost, via.Findings...), nil
	}
	text, more, err := via.Convert(ctx, target, place, o)
	for _, d := range more { // their places are of the text between
		d.Pos = a.Root.Doc.Pos
		lost = append(lost, d)
	}
	return text, lost, err
}

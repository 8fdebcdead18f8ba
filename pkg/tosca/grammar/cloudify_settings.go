package grammar

import (
	"slices"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
)

// settings checks the form of deployment_settings and of the schedules in them.
func (b *blueprint) settings(n *source.Node) {
	const path = "deployment_settings"
	b.names(n.Get("default_groups"), path+".default_groups")
	b.text(n.Get("id_template"), path+".id_template")
	if name := n.Get("display_name"); !b.isCall(name) {
		b.text(name, path+".display_name")
	}
	for _, e := range b.entries(n.Get("default_schedules"), path+".default_schedules") {
		b.schedule(e)
	}
}

func (b *blueprint) schedule(e entry) {
	if !b.known(e.value, "schedule", e.path) {
		return
	}
	for _, k := range []string{"workflow", "since"} {
		if e.value.Get(k).IsNull() && !b.slipped(e.value, "schedule", k) {
			b.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the schedule %s has no %s", e.key.Text, k).Path = e.path
		}
	}
	for _, k := range []string{"workflow", "since", "until", "recurring", "recurrence", "timezone"} {
		b.text(e.value.Get(k), e.path+"."+k)
	}
	for _, k := range []string{"default_enabled", "stop_after_fail"} {
		b.flag(e.value.Get(k), e.path+"."+k)
	}
	for _, k := range []string{"count", "slip"} {
		if v := e.value.Get(k); !v.IsNull() {
			b.count(v, e.path+"."+k, 0)
		}
	}
	for i, day := range b.names(e.value.Get("weekdays"), e.path+".weekdays") {
		text := strings.ToLower(day.Text)
		if days := []string{"su", "mo", "tu", "we", "th", "fr", "sa"}; len(text) < 2 || !slices.Contains(days, text[len(text)-2:]) {
			d := b.diags.Errorf(CodeForm, day.Pos, "%s is no day of the week", strconv.Quote(day.Text))
			d.Path, d.Hint = e.path+".weekdays["+strconv.Itoa(i)+"]", "days are "+strings.Join(days, ", ")+", with a number before them for one of a month: 1mo"
		}
	}
	if args := e.value.Get("execution_arguments"); !args.IsNull() {
		b.known(args, "execution_arguments", e.path+".execution_arguments")
	}
	for _, p := range b.entries(e.value.Get("workflow_parameters"), e.path+".workflow_parameters") {
		if fn, _, _, _, call := b.traits.Expressions.Call(p.value); call && fn == "get_attribute" {
			b.diags.Add(diag.Diagnostic{Code: CodeForm, Pos: p.value.Pos, Path: p.path, Message: "schedules are made before there are attributes; get_attribute means nothing here"})
		}
	}
}

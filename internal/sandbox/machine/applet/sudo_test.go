package applet

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseSudo(t *testing.T) {
	for _, c := range []struct {
		args []string
		want sudo
	}{
		{[]string{"id"}, sudo{user: "root", args: []string{"id"}}},
		{[]string{"-n", "-u", "postgres", "psql", "-c", "select 1"}, sudo{user: "postgres", args: []string{"psql", "-c", "select 1"}}},
		{[]string{"-upostgres", "id"}, sudo{user: "postgres", args: []string{"id"}}},
		{[]string{"-EHn", "--", "-x"}, sudo{user: "root", keep: true, args: []string{"-x"}}},
		{[]string{"-nu", "bob", "A=1", "B=2", "env"}, sudo{user: "bob", env: []string{"A=1", "B=2"}, args: []string{"env"}}},
		{[]string{"--user=bob", "--login"}, sudo{user: "bob", login: true, args: []string{}}},
		{[]string{"-S", "-p", "", "-k", "sh", "-c", "x=1"}, sudo{user: "root", validate: true, args: []string{"sh", "-c", "x=1"}}},
	} {
		got, err := parseSudo(c.args)
		if err != nil {
			t.Errorf("%q: %v", c.args, err)
			continue
		}
		if d := cmp.Diff(c.want, *got, cmp.AllowUnexported(sudo{})); d != "" {
			t.Errorf("%q: -want +got\n%s", c.args, d)
		}
	}
	for _, bad := range [][]string{{"--nonsense"}, {"-u"}, {"-Z", "x"}} {
		if _, err := parseSudo(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestQuoteArgs(t *testing.T) {
	if got := quoteArgs([]string{"echo", "a b", "$HOME", "it's"}); got != `echo a\ b $HOME it\'s` {
		t.Error(got)
	}
}

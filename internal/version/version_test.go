package version

import (
	"runtime/debug"
	"testing"
)

func TestFromInfo(t *testing.T) {
	setting := func(kv ...string) (s []debug.BuildSetting) {
		for i := 0; i < len(kv); i += 2 {
			s = append(s, debug.BuildSetting{Key: kv[i], Value: kv[i+1]})
		}
		return s
	}
	for name, tt := range map[string]struct {
		info debug.BuildInfo
		want build
	}{
		"go install of a release": {
			debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, build{version: "v1.2.3"},
		},
		"go build in a checkout": {
			debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: setting("vcs.revision", "abc", "vcs.time", "2026-11-21T08:00:00Z", "vcs.modified", "false")},
			build{commit: "abc", date: "2026-11-21T08:00:00Z"},
		},
		"changed checkout": {
			debug.BuildInfo{Settings: setting("vcs.revision", "abc", "vcs.modified", "true")}, build{commit: "abc-dirty"},
		},
		"no stamp at all": {debug.BuildInfo{}, build{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fromInfo(&tt.info); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestNothingIsEverEmpty(t *testing.T) {
	if Version() == "" || Commit() == "" || Date() == "" {
		t.Errorf("version %q, commit %q, date %q", Version(), Commit(), Date())
	}
}

func TestLinkerValuesWin(t *testing.T) {
	defer func(v, c, d string) { version, commit, date = v, c, d }(version, commit, date)
	version, commit, date = "v9.9.9", "f00", "2020-01-01T00:00:00Z"
	if Version() != "v9.9.9" || Commit() != "f00" || Date() != "2020-01-01T00:00:00Z" {
		t.Errorf("got %s %s %s", Version(), Commit(), Date())
	}
}

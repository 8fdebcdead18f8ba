// Package version says which build of orch this is.
//
// Release builds (`./task build`) set the variables with -ldflags "-X …/internal/version.version=v1.2.3". Other builds, such as
// `go install …@v1.2.3` or `go build` in a checkout, fall back to what the Go toolchain recorded in the binary.
package version

import (
	"runtime/debug"
	"sync"
)

// Set by the linker; empty in other builds.
var version, commit, date string

// Version is the release ("v1.2.3", or "v1.2.3-4-gabc1234" between releases), or "devel" when nothing is recorded.
func Version() string { return first(version, recorded().version, "devel") }

// Commit is the git commit that was built, with "-dirty" when the checkout had changes, or "unknown".
func Commit() string { return first(commit, recorded().commit, "unknown") }

// Date is the time of that commit in RFC 3339, or "unknown". It is not the time of the build, so that equal sources give equal binaries.
func Date() string { return first(date, recorded().date, "unknown") }

type build struct{ version, commit, date string }

var recorded = sync.OnceValue(func() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return build{}
	}
	return fromInfo(info)
})

// fromInfo reads what the toolchain stamps: the module's version, and the state of the checkout unless -buildvcs=false.
func fromInfo(info *debug.BuildInfo) build {
	var b build
	if v := info.Main.Version; v != "(devel)" {
		b.version = v
	}
	dirty := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.commit = s.Value
		case "vcs.time":
			b.date = s.Value
		case "vcs.modified":
			dirty = s.Value == "true"
		}
	}
	if dirty && b.commit != "" {
		b.commit += "-dirty"
	}
	return b
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

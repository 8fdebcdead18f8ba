package hostpool

import (
	"errors"
	"testing"

	"github.com/orch-project/orch/internal/orchtest/bounded"
)

func TestFilters(t *testing.T) {
	labels := map[string]string{"os": "linux", "host.num_cpus": "4", "host.mem_size": "8 GiB", "boot": "10 min", "name": "web 1", "clock": "2.4GHz"}
	for text, want := range map[string]bool{
		`os`: true, `!os`: false, `gpu`: false, `!gpu`: true, `! gpu`: true,
		`os = linux`: true, `os == "linux"`: true, `os='linux'`: true, `os != linux`: false, `gpu != "x"`: true,
		`name = "web 1"`:     true,
		`name = "web \"1"`:   false,
		`host.num_cpus >= 4`: true, `host.num_cpus > 4`: false, `host.num_cpus<=4`: true, `host.num_cpus < 3.5`: false, `host.num_cpus = 4.0`: true,
		`host.mem_size >= 8 GB`: true, `host.mem_size = "8192 MiB"`: true, `host.mem_size > "9 GB"`: false, `host.mem_size >= 4`: false,
		`boot <= 600 s`: true, `boot > 1 h`: false, `clock >= 2400 MHz`: true,
		`os ~= "^lin"`: true, `os !~ "^lin"`: false, `gpu !~ ".*"`: true, `gpu ~= ".*"`: false,
		`os in (windows, linux)`: true, `os in ("windows")`: false, `os not in (windows)`: true, `os notin (linux, "x")`: false, `gpu not in (a)`: true,
		`host.num_cpus in (2, 4)`: true,
	} {
		f, err := ParseFilter(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := f.Matches(labels); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestBadFilters(t *testing.T) {
	for _, text := range []string{``, `!`, `= 4`, `os =`, `os = "a`, `os < linux`, `os ~= "("`, `os in linux`, `os in (a`, `os in (a b)`, `os in ()`, `os linux`, `os = a b`, `!os = 4`} {
		if f, err := ParseFilter(text); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v, %v", text, f, err)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{`!a`, `a = "x\"y"`, `a not in (b, 'c', 4 GB)`, `a >= 1e3 KiB`, `"a b" ~= "x"`} {
		f.Add(s, "4 GB")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		defer bounded.Input(t)()
		x, err := ParseFilter(text)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Error(err)
			}
			return
		}
		x.Matches(map[string]string{x.label: value})
		x.Matches(nil)
		if x.String() != text {
			t.Errorf("%q is %q", text, x)
		}
	})
}

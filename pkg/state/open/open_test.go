package open_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/bolt"
	"github.com/orch-project/orch/pkg/state/mem"
	"github.com/orch-project/orch/pkg/state/open"
)

func TestStore(t *testing.T) {
	dir := t.TempDir()
	for _, address := range []string{filepath.Join(dir, "a.db"), "bolt:" + filepath.Join(dir, "b.db"), "bolt://" + filepath.Join(dir, "c d.db"), "file://" + filepath.Join(dir, "e%20f.db")} {
		s, err := open.Store(t.Context(), address, bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := s.(*bolt.Store); !ok {
			t.Errorf("%s is a %T", address, s)
		}
		if err := s.Update(t.Context(), func(tx state.Tx) error { return tx.Put("a", nil) }); err != nil {
			t.Error(err)
		}
		s.Close()
	}
	if s, err := open.Store(t.Context(), "mem:", bolt.Options{}); err != nil {
		t.Error(err)
	} else if _, ok := s.(*mem.Store); !ok {
		t.Errorf("mem: is a %T", s)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*.db")); len(files) != 4 {
		t.Errorf("files: %q", files)
	}
}

func TestWrongAddresses(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for _, address := range []string{"", "bolt:", "etcd://x", "consul://T0KEN@127.0.0.1:1/x?dc=a&wait=10ms", "consul://T0KEN@:x:y/", "consul://T0KEN@h?colour=red", "consul://T0KEN@h:1?tls=perhaps", "consul://%zzT0KEN@h"} {
		s, err := open.Store(ctx, address, bolt.Options{})
		if err == nil || s != nil {
			t.Errorf("%q: %v, %v", address, s, err)
			continue
		}
		if strings.Contains(err.Error(), "T0KEN") {
			t.Errorf("%q: the token is shown: %v", address, err)
		}
	}
	if got := open.Name("consul://T0KEN@h:1,g:2/x?dc=a"); got != "consul://h:1,g:2/x?dc=a" {
		t.Error(got)
	}
}

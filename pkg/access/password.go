package access

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/orch-project/orch/pkg/orch"
)

// Parameters of argon2id for new hashes: the first choice for constrained memory of RFC 9106 would take 64 MiB for each login; these are
// OWASP's minimum, 19 MiB and 2 passes. A hash carries its own, so they can be raised.
const (
	argonTime    = 2
	argonMemory  = 19 * 1024 // KiB
	argonThreads = 1
	argonKey     = 32
	argonSalt    = 16
)

// hashPassword returns the PHC string of a password.
func hashPassword(password string) string {
	salt := random(argonSalt)
	key := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonKey)
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads, enc.EncodeToString(salt), enc.EncodeToString(key))
}

// samePassword compares with a PHC string.
func samePassword(phc, password string) bool {
	var version, memory, passes, threads int
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &threads); err != nil {
		return false
	}
	// Bounds: a damaged record must not take all memory.
	if memory < 8 || memory > 1<<20 || passes < 1 || passes > 16 || threads < 1 || threads > 16 {
		return false
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	key, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(key) == 0 || len(key) > 128 {
		return false
	}
	got := argon2.IDKey([]byte(password), salt, uint32(passes), uint32(memory), uint8(threads), uint32(len(key)))
	return subtle.ConstantTimeCompare(got, key) == 1
}

// nobody's password is compared where there is no such user, so that the time taken does not tell who exists.
var nobody = sync.OnceValue(func() string { return hashPassword("nobody has this password") })

// ByPassword returns the user whose password this is.
func (a *Accounts) ByPassword(ctx context.Context, name, password string) (orch.User, error) {
	u, err := a.user(ctx, name)
	if err != nil && !errors.Is(err, orch.ErrNotFound) {
		return orch.User{}, err
	}
	hash := u.Hash
	if hash == "" {
		hash = nobody()
	}
	ok, err := a.verified.check(ctx, name, hash, password)
	if err != nil {
		return orch.User{}, err
	}
	if !ok || u.Hash == "" || u.Disabled {
		return orch.User{}, refused("")
	}
	return u.public(), nil
}

// verified remembers passwords that were right a short time ago, so that a client which polls does not cost 19 MiB and many milliseconds each
// time. It keeps a keyed digest in memory, under a key of this process.
type verified struct {
	key   []byte
	slots chan struct{} // bounds memory: argon2 takes 19 MiB a piece

	mu   sync.Mutex
	till map[string]remembered
}

type remembered struct {
	digest [sha256.Size]byte
	until  time.Time
}

const (
	rememberFor   = 5 * time.Minute
	maxRemembered = 10_000
	loginSlots    = 2
)

func newVerified() *verified {
	return &verified{key: random(32), slots: make(chan struct{}, loginSlots), till: map[string]remembered{}}
}

func (v *verified) digest(hash, password string) (out [sha256.Size]byte) {
	m := hmac.New(sha256.New, v.key)
	fmt.Fprintf(m, "%d:%s%s", len(hash), hash, password)
	copy(out[:], m.Sum(nil))
	return out
}

func (v *verified) check(ctx context.Context, name, hash, password string) (bool, error) {
	d := v.digest(hash, password)
	v.mu.Lock()
	have, ok := v.till[name]
	v.mu.Unlock()
	if ok && hmac.Equal(have.digest[:], d[:]) && time.Now().Before(have.until) {
		return true, nil
	}
	if len(password) > maxPassword {
		return false, nil
	}
	select {
	case v.slots <- struct{}{}:
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	same := samePassword(hash, password)
	<-v.slots
	if same {
		v.mu.Lock()
		if len(v.till) >= maxRemembered {
			clear(v.till)
		}
		v.till[name] = remembered{d, time.Now().Add(rememberFor)}
		v.mu.Unlock()
	}
	return same, nil
}

func (v *verified) forget(name string) {
	v.mu.Lock()
	delete(v.till, name)
	v.mu.Unlock()
}

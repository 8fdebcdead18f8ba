package account

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Parameters of SHA-crypt (Drepper, "Unix crypt using SHA-256 and SHA-512").
const (
	shaRounds    = 5000
	shaMinRounds = 1000
	shaMaxRounds = 999_999_999
	shaMaxSalt   = 16
	crypt64      = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// HashPassword makes a SHA-512 crypt(5) hash ("$6$…") with a fresh salt.
func HashPassword(password string) string {
	raw := make([]byte, shaMaxSalt)
	_, _ = rand.Read(raw) // never fails (crypto/rand)
	for i := range raw {
		raw[i] = crypt64[raw[i]&63]
	}
	return sha512crypt(password, string(raw), 0)
}

// VerifyPassword compares a password with a crypt(5) hash. Locked and empty hashes never match. Methods other than
// SHA-512 (yescrypt, bcrypt …) are asked of the system's libcrypt through Perl, which Debian's base always has.
func VerifyPassword(hash, password string) (bool, error) {
	if !strings.HasPrefix(hash, "$") {
		return false, nil
	}
	got := ""
	if strings.HasPrefix(hash, "$6$") {
		salt, rounds, ok := shaSettings(hash)
		if !ok {
			return false, errors.New("malformed SHA-512 crypt hash")
		}
		got = sha512crypt(password, salt, rounds)
	} else {
		var err error
		if got, err = systemCrypt(password, hash); err != nil {
			return false, err
		}
	}
	return subtle.ConstantTimeCompare([]byte(got), []byte(hash)) == 1, nil
}

func systemCrypt(password, setting string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "perl", "-e", `chomp(my $p=<STDIN>); chomp(my $s=<STDIN>); print crypt($p,$s) // ""`)
	cmd.Stdin = strings.NewReader(password + "\n" + setting + "\n")
	out, err := cmd.Output()
	if err != nil && len(out) == 0 {
		return "", fmt.Errorf("cannot check a password hash: %w", err)
	}
	return string(out), nil
}

// shaSettings reads "$6$[rounds=N$]salt$…"; rounds 0 means the default, unwritten.
func shaSettings(hash string) (salt string, rounds int, ok bool) {
	rest := strings.TrimPrefix(hash, "$6$")
	if r, found := strings.CutPrefix(rest, "rounds="); found {
		n, after, found := strings.Cut(r, "$")
		v, err := strconv.Atoi(n)
		if !found || err != nil {
			return "", 0, false
		}
		rounds, rest = min(max(v, shaMinRounds), shaMaxRounds), after
	}
	salt, _, _ = strings.Cut(rest, "$")
	return salt[:min(len(salt), shaMaxSalt)], rounds, true
}

// sha512crypt follows the specification's numbered steps.
func sha512crypt(password, salt string, rounds int) string {
	p, s := []byte(password), []byte(salt)
	alt := sha512.Sum512(append(append(append([]byte{}, p...), s...), p...)) // steps 4–8
	h := sha512.New()
	h.Write(p)
	h.Write(s)
	for n := len(p); n > 0; n -= 64 { // 9, 10
		h.Write(alt[:min(n, 64)])
	}
	for n := len(p); n > 0; n >>= 1 { // 11
		if n&1 != 0 {
			h.Write(alt[:])
		} else {
			h.Write(p)
		}
	}
	sum := h.Sum(nil)
	dp := sha512.Sum512(bytes.Repeat(p, len(p))) // 13–15
	pseq := bytes.Repeat(dp[:], len(p)/64+1)[:len(p)]
	ds := sha512.Sum512(bytes.Repeat(s, 16+int(sum[0]))) // 17–19
	sseq := bytes.Repeat(ds[:], len(s)/64+1)[:len(s)]
	n := rounds
	if n == 0 {
		n = shaRounds
	}
	for i := range n { // 21
		h.Reset()
		odd := i&1 != 0
		if odd {
			h.Write(pseq)
		} else {
			h.Write(sum)
		}
		if i%3 != 0 {
			h.Write(sseq)
		}
		if i%7 != 0 {
			h.Write(pseq)
		}
		if odd {
			h.Write(sum)
		} else {
			h.Write(pseq)
		}
		sum = h.Sum(sum[:0])
	}
	prefix := "$6$"
	if rounds != 0 {
		prefix += "rounds=" + strconv.Itoa(rounds) + "$"
	}
	return prefix + salt + "$" + encodeSum(sum)
}

// encodeSum is step 22: the bytes in the specification's order, six bits a character.
func encodeSum(sum []byte) string {
	var out []byte
	put := func(a, b, c byte, n int) {
		for v := uint(a)<<16 | uint(b)<<8 | uint(c); n > 0; n-- {
			out = append(out, crypt64[v&63])
			v >>= 6
		}
	}
	i, j, k := 0, 21, 42
	for range 21 {
		put(sum[i], sum[j], sum[k], 4)
		i, j, k = j+1, k+1, i+1
	}
	put(0, 0, sum[63], 2)
	return string(out)
}

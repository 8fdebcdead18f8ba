package cloud

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"
)

// UUID returns a random identifier as Nova, Neutron, Glance and Cinder make them.
func UUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Hex returns n random bytes in hexadecimal; Keystone's identifiers are Hex(16).
func Hex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// MAC returns an address of OpenStack's prefix.
func MAC() string {
	var b [3]byte
	_, _ = rand.Read(b[:])
	return fmt.Sprintf("fa:16:3e:%02x:%02x:%02x", b[0], b[1], b[2])
}

// Zulu is the time format of Nova, Neutron and Glance.
func Zulu(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// Micro is the time format of Cinder and of Nova's usage extension.
func Micro(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000") }

// MicroZulu is the time format of Keystone.
func MicroZulu(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

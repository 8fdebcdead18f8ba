package machine

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// aptSources keeps the distribution's own package sources. Third parties' are this machine's affair.
func aptSources(l *layer) error {
	const dir = "/etc/apt/sources.list.d/"
	entries, _ := os.ReadDir(l.base + dir)
	own := func(name string) bool {
		return slices.Contains([]string{"debian.sources", "ubuntu.sources", "ubuntu-archive.sources", "debian.list", "ubuntu.list", "raspi.list"}, name)
	}
	main, _ := os.ReadFile(l.base + "/etc/apt/sources.list")
	found := strings.Contains("\n"+string(main), "\ndeb ")
	for _, e := range entries {
		found = found || own(e.Name())
	}
	if !found {
		return nil // an unusual set-up: better too many sources than none
	}
	// What is left counts as asked for, so that apt does not offer to remove half of the image.
	if l.exists("/var/lib/apt/extended_states") {
		if err := l.write("/var/lib/apt/extended_states", nil, 0o644); err != nil {
			return err
		}
	}
	for _, e := range entries {
		if !own(e.Name()) {
			if err := l.hide(dir + e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// renewKeys hides this machine's TLS keys and makes the placeholder certificate of ssl-cert anew, because packages that
// use it refuse to start without.
func renewKeys(l *layer) error {
	entries, _ := os.ReadDir(l.base + "/etc/ssl/private")
	for _, e := range entries {
		if err := l.hide("/etc/ssl/private/" + e.Name()); err != nil {
			return err
		}
	}
	const keyPath, certPath = "/etc/ssl/private/ssl-cert-snakeoil.key", "/etc/ssl/certs/ssl-cert-snakeoil.pem"
	old, err := os.Stat(filepath.Join(l.base, keyPath))
	if err != nil || !packageInstalled(l, "ssl-cert") {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "localhost"},
		DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0)}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := l.write(keyPath, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o640); err != nil {
		return err
	}
	if st, ok := old.Sys().(*syscall.Stat_t); ok {
		_ = os.Chown(l.dir+keyPath, int(st.Uid), int(st.Gid))
	}
	return l.write(certPath, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o644)
}

// packageInstalled looks into the image's package database.
func packageInstalled(l *layer, name string) bool {
	all, err := readStatus(l.dir + "/var/lib/dpkg/status")
	if err != nil {
		return false
	}
	return slices.ContainsFunc(all, func(p *dpkgPackage) bool { return p.name == name && p.installed })
}

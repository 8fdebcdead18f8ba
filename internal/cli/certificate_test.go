package cli

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writeCertificate makes one for a name, in the files cert.pem and key.pem.
func writeCertificate(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A certificate that is renewed while the server runs is used by the next connection; files that cannot be used leave the one before in place.
func TestCertificateIsRenewed(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	f := serverFlags{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	writeCertificate(t, dir, "first")
	conf, err := f.tls(slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	shows := func(want string) {
		t.Helper()
		c, err := conf.GetCertificate(nil)
		if err != nil || c.Leaf.Subject.CommonName != want {
			t.Errorf("want the %s certificate, got %+v, %v", want, c, err)
		}
	}
	shows("first")
	if err := os.WriteFile(f.key, []byte("half a k"), 0o600); err != nil {
		t.Fatal(err)
	}
	shows("first")
	shows("first")
	if n := strings.Count(log.String(), "cannot be used"); n != 1 {
		t.Errorf("the log says %d times that the new one cannot be used:\n%s", n, log.String())
	}
	writeCertificate(t, dir, "second")
	shows("second")
	if err := os.Remove(f.cert); err != nil {
		t.Fatal(err)
	}
	shows("second")
	if _, err := f.tls(slog.Default()); err == nil {
		t.Error("a server starts without a certificate")
	}
}

package cli

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is what the files of a certificate and its key hold now: who renews it replaces the files, and must not have to stop the server for that.
// While they cannot be used, such as between the two of them, the last one that could is.
type certificate struct {
	cert, key string
	log       *slog.Logger

	mu   sync.Mutex
	pair *tls.Certificate
	read [2]stamp // of the files, when they were read last
}

// stamp tells two states of a file apart.
type stamp struct {
	modified time.Time
	size     int64
}

func stampOf(file string) stamp {
	if i, err := os.Stat(file); err == nil {
		return stamp{i.ModTime(), i.Size()}
	}
	return stamp{}
}

// load reads the files, if they have changed since they were read last.
func (c *certificate) load() error {
	at := [2]stamp{stampOf(c.cert), stampOf(c.key)}
	if c.pair != nil && at == c.read {
		return nil
	}
	c.read = at
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err == nil {
		c.pair = &pair
	}
	return err
}

// get is tls.Config's GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.pair
	switch err := c.load(); {
	case err != nil:
		c.log.Warn("the new certificate of the server cannot be used; the one before goes on", "file", c.cert, "error", err)
	case c.pair != before:
		c.log.Info("the server has a new certificate", "file", c.cert, "until", c.pair.Leaf.NotAfter)
	}
	return c.pair, nil
}

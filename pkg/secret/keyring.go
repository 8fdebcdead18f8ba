package secret

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"filippo.io/age"
)

// ErrNoKey means that content was encrypted with a key that is not in the keyring.
var ErrNoKey = errors.New("the master key that encrypted it is not available")

// ErrSealed means that encrypted content is damaged, or belongs elsewhere.
var ErrSealed = errors.New("the encrypted content is damaged")

// Keyring holds master keys, which are age identities (X25519). The first encrypts; all decrypt, so that a key can be replaced while
// content of the old one exists. It is immutable and safe for concurrent use.
type Keyring struct{ keys []*age.X25519Identity }

// GenerateKeyring makes a keyring with one new key.
func GenerateKeyring() (*Keyring, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("cannot make a master key: %w", err)
	}
	return &Keyring{[]*age.X25519Identity{id}}, nil
}

// ParseKeyring reads identities, "AGE-SECRET-KEY-1…", separated by white space or commas; a # comments out the rest of a line.
// No error shows what was read.
func ParseKeyring(text Value) (*Keyring, error) {
	k := &Keyring{}
	n := 0
	for line := range strings.Lines(text.Reveal()) {
		n++
		line, _, _ = strings.Cut(line, "#")
		for _, word := range strings.FieldsFunc(line, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\r' || r == '\n' }) {
			id, err := age.ParseX25519Identity(word)
			if err != nil {
				return nil, fmt.Errorf("line %d of the master key is not an age identity (AGE-SECRET-KEY-1…); make one with age-keygen or let orch make the file", n)
			}
			k.keys = append(k.keys, id)
		}
	}
	if len(k.keys) == 0 {
		return nil, errors.New("there is no master key: want an age identity (AGE-SECRET-KEY-1…)")
	}
	return k, nil
}

// ID of the key that encrypts: its public half (age1…), which is no secret.
func (k *Keyring) ID() string { return k.keys[0].Recipient().String() }

// IDs of all keys, the encrypting one first.
func (k *Keyring) IDs() []string {
	ids := make([]string, len(k.keys))
	for i, key := range k.keys {
		ids[i] = key.Recipient().String()
	}
	return ids
}

// Has reports whether content encrypted with the key of this id can be read.
func (k *Keyring) Has(id string) bool { return slices.Contains(k.IDs(), id) }

// Rotated returns a keyring with a new key in front.
func (k *Keyring) Rotated() (*Keyring, error) {
	fresh, err := GenerateKeyring()
	if err != nil {
		return nil, err
	}
	return &Keyring{append(fresh.keys, k.keys...)}, nil
}

// Newest returns a keyring with only the key that encrypts: for when nothing of the old ones is left.
func (k *Keyring) Newest() *Keyring { return &Keyring{k.keys[:1]} }

// Text is the keyring in the form that ParseKeyring reads.
func (k *Keyring) Text() Value {
	var b strings.Builder
	b.WriteString("# orch master keys: whoever has this file can read every stored secret. The first one encrypts.\n")
	for _, id := range k.keys {
		fmt.Fprintf(&b, "# public key: %s\n%s\n", id.Recipient(), id)
	}
	return New(b.String())
}

func (k *Keyring) identities() []age.Identity {
	ids := make([]age.Identity, len(k.keys))
	for i, key := range k.keys {
		ids[i] = key
	}
	return ids
}

// The content of every envelope is, under age: a line with the quoted label, a byte 'r' (as it is) or 'z' (gzip), and the data.
// age does not bind a ciphertext to its place; the label does.

// Encrypt returns a writer that encrypts into w what is written to it, compressed; Close completes it. Decrypt must be
// given the same label, which says what the content is ("terraform state of shop"), so that nobody can put one in place of another.
func (k *Keyring) Encrypt(w io.Writer, label string) (io.WriteCloser, error) {
	enc, err := age.Encrypt(w, k.keys[0].Recipient())
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt: %w", err)
	}
	if _, err := io.WriteString(enc, strconv.Quote(label)+"\nz"); err != nil {
		return nil, fmt.Errorf("cannot encrypt: %w", err)
	}
	z, err := gzip.NewWriterLevel(enc, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	return &sealer{z, enc}, nil
}

type sealer struct {
	*gzip.Writer
	enc io.WriteCloser
}

func (s *sealer) Close() error {
	if err := s.Writer.Close(); err != nil {
		return err
	}
	return s.enc.Close()
}

// Decrypt returns a reader of what was encrypted under this label. It authenticates as it reads: an error, ErrSealed, may come late,
// and what was read before it is genuine but not complete.
func (k *Keyring) Decrypt(r io.Reader, label string) (io.Reader, error) {
	plain, err := age.Decrypt(r, k.identities()...)
	if err != nil {
		var none *age.NoIdentityMatchError
		if errors.As(err, &none) {
			return nil, ErrNoKey
		}
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	br := bufio.NewReader(plain)
	quoted, err := br.ReadSlice('\n')
	if err != nil {
		return nil, fmt.Errorf("%w: no label", ErrSealed)
	}
	if got, err := strconv.Unquote(strings.TrimSuffix(string(quoted), "\n")); err != nil || got != label {
		return nil, fmt.Errorf("%w: it belongs to something else", ErrSealed)
	}
	switch kind, err := br.ReadByte(); {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	case kind == 'r':
		return sealedReader{br}, nil
	case kind == 'z':
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSealed, err)
		}
		return sealedReader{z}, nil
	}
	return nil, fmt.Errorf("%w: unknown form", ErrSealed)
}

type sealedReader struct{ r io.Reader }

func (s sealedReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", ErrSealed, err)
	}
	return n, err
}

// Seal encrypts a small value under a label; its length stays visible.
func (k *Keyring) Seal(label string, plain []byte) ([]byte, error) {
	var buf bytes.Buffer
	enc, err := age.Encrypt(&buf, k.keys[0].Recipient())
	if err == nil {
		_, err = io.WriteString(enc, strconv.Quote(label)+"\nr")
	}
	if err == nil {
		_, err = enc.Write(plain)
	}
	if err == nil {
		err = enc.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt: %w", err)
	}
	return buf.Bytes(), nil
}

// Pack is Seal for what is large: it is compressed.
func (k *Keyring) Pack(label string, plain []byte) ([]byte, error) {
	var buf bytes.Buffer
	w, err := k.Encrypt(&buf, label)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt: %w", err)
	}
	return buf.Bytes(), nil
}

// Open decrypts what Seal, Pack or Encrypt made under the same label.
func (k *Keyring) Open(label string, sealed []byte) ([]byte, error) {
	r, err := k.Decrypt(bytes.NewReader(sealed), label)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

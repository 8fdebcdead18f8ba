package secret

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// Envelope encrypts what leaves orch, in age's armored form: any age program opens it. One of the fields is set.
type Envelope struct {
	Recipients []string // public keys, age1…; for Wrap
	Identity   Value    // private keys, AGE-SECRET-KEY-1…; for Unwrap
	Passphrase Value
	Plain      bool // not encrypted
	// Work that a guess at the passphrase costs, as a power of two; 0 is 18, about a second.
	Work int
}

// MinPassphrase is how many bytes a passphrase has at least: a file can be guessed at without limit.
const MinPassphrase = 12

// Wrap encrypts.
func (e Envelope) Wrap(plain []byte) ([]byte, error) {
	if e.Plain {
		return plain, nil
	}
	to, err := e.recipients()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	lines := armor.NewWriter(&out)
	enc, err := age.Encrypt(lines, to...)
	if err == nil {
		_, err = enc.Write(plain)
	}
	if err == nil {
		err = enc.Close()
	}
	if err == nil {
		err = lines.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt: %w", err)
	}
	return out.Bytes(), nil
}

func (e Envelope) recipients() ([]age.Recipient, error) {
	if !e.Passphrase.IsZero() {
		if len(e.Passphrase.Reveal()) < MinPassphrase {
			return nil, fmt.Errorf("the passphrase has less than %d characters: whoever has the file can try as many as they like", MinPassphrase)
		}
		r, err := age.NewScryptRecipient(e.Passphrase.Reveal())
		if err != nil {
			return nil, fmt.Errorf("cannot use the passphrase: %w", err)
		}
		if e.Work > 0 {
			r.SetWorkFactor(e.Work)
		}
		return []age.Recipient{r}, nil
	}
	var to []age.Recipient
	for _, s := range e.Recipients {
		r, err := age.ParseX25519Recipient(strings.TrimSpace(s))
		if err != nil {
			return nil, fmt.Errorf("%.80q is not a public key of age (age1…)", s)
		}
		to = append(to, r)
	}
	if len(to) == 0 {
		return nil, errors.New("there is nobody to encrypt for: give an age public key or a passphrase")
	}
	return to, nil
}

// Unwrap decrypts what Wrap, or any age program, made.
func (e Envelope) Unwrap(data []byte) ([]byte, error) {
	if e.Plain {
		return data, nil
	}
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	if bytes.HasPrefix(trimmed, []byte("{")) {
		return nil, errors.New("it is not encrypted: say so (--plaintext) to take it as it is")
	}
	ids, err := e.identities()
	if err != nil {
		return nil, err
	}
	var r io.Reader = bytes.NewReader(data)
	if bytes.HasPrefix(trimmed, []byte(armor.Header)) {
		r = armor.NewReader(bytes.NewReader(trimmed))
	}
	plain, err := age.Decrypt(r, ids...)
	if err != nil {
		var none *age.NoIdentityMatchError
		if errors.As(err, &none) {
			return nil, errors.New("this key or passphrase does not open it")
		}
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	out, err := io.ReadAll(plain)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	return out, nil
}

func (e Envelope) identities() ([]age.Identity, error) {
	if !e.Passphrase.IsZero() {
		id, err := age.NewScryptIdentity(e.Passphrase.Reveal())
		if err != nil {
			return nil, fmt.Errorf("cannot use the passphrase: %w", err)
		}
		return []age.Identity{id}, nil
	}
	if e.Identity.IsZero() {
		return nil, errors.New("it is encrypted: give the age identity or the passphrase that opens it")
	}
	k, err := ParseKeyring(e.Identity)
	if err != nil {
		return nil, err
	}
	return k.identities(), nil
}

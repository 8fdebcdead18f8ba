package cloudify

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Values of an export are tokens of the form of Fernet (github.com/fernet/spec: version, time, IV, AES-CBC, HMAC-SHA256), with the longer keys
// that Cloudify derives from the passphrase, so that what one exports the other imports.

const (
	fernetVersion = 0x80
	keyRounds     = 100_000
	keySalt       = "salt_"
)

func fernetKey(pass string) (sign, crypt []byte, err error) {
	key, err := pbkdf2.Key(sha256.New, pass, []byte(keySalt), keyRounds, 64)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot derive a key from the passphrase: %w", err)
	}
	return key[:32], key[32:], nil
}

func encrypt(plain []byte, pass string, at time.Time) (string, error) {
	sign, crypt, err := fernetKey(pass)
	if err != nil {
		return "", err
	}
	block, err := aes.NewCipher(crypt)
	if err != nil {
		return "", err
	}
	n := aes.BlockSize - len(plain)%aes.BlockSize
	padded := append(slices.Clone(plain), bytes.Repeat([]byte{byte(n)}, n)...)
	token := make([]byte, 9+aes.BlockSize, 9+aes.BlockSize+len(padded)+sha256.Size)
	token[0] = fernetVersion
	binary.BigEndian.PutUint64(token[1:], uint64(at.Unix()))
	if _, err := rand.Read(token[9:]); err != nil {
		return "", err
	}
	body := make([]byte, len(padded))
	cipher.NewCBCEncrypter(block, token[9:9+aes.BlockSize]).CryptBlocks(body, padded)
	token = append(token, body...)
	mac := hmac.New(sha256.New, sign)
	mac.Write(token)
	return base64.URLEncoding.EncodeToString(mac.Sum(token)), nil
}

var errToken = errors.New("the value cannot be decrypted: wrong passphrase, or it was changed")

func decrypt(text, pass string) ([]byte, error) {
	sign, crypt, err := fernetKey(pass)
	if err != nil {
		return nil, err
	}
	return decryptWith(text, sign, crypt)
}

func decryptWith(text string, sign, crypt []byte) ([]byte, error) {
	token, err := base64.URLEncoding.DecodeString(text)
	if err != nil || len(token) < 9+2*aes.BlockSize+sha256.Size || token[0] != fernetVersion {
		return nil, errToken
	}
	signed, sum := token[:len(token)-sha256.Size], token[len(token)-sha256.Size:]
	mac := hmac.New(sha256.New, sign)
	mac.Write(signed)
	body := slices.Clone(signed[9+aes.BlockSize:])
	if !hmac.Equal(mac.Sum(nil), sum) || len(body)%aes.BlockSize != 0 {
		return nil, errToken
	}
	block, err := aes.NewCipher(crypt)
	if err != nil {
		return nil, err
	}
	cipher.NewCBCDecrypter(block, signed[9:9+aes.BlockSize]).CryptBlocks(body, body)
	n := int(body[len(body)-1])
	if n == 0 || n > aes.BlockSize || n > len(body) {
		return nil, errToken
	}
	return body[:len(body)-n], nil
}

package nova

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net/http"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func keyDoc(c *rest.Call, k *cloud.KeyPair) rest.Doc {
	d := rest.Doc{"name": k.Name, "public_key": k.PublicKey, "fingerprint": k.Fingerprint}
	if c.Version.At(2) {
		d["type"] = k.Type
	}
	return d
}

// keyOwner is the user whose keys are meant: administrators may name another since 2.10.
func keyOwner(c *rest.Call, user string) (string, error) {
	if user == "" || !c.Version.At(10) || user == c.Token.User.ID {
		return c.Token.User.ID, nil
	}
	if !c.Admin() {
		return "", denied("os-keypairs")
	}
	return user, nil
}

func (s *Service) listKeyPairs(c *rest.Call) (rest.Reply, error) {
	owner, err := keyOwner(c, c.Query.Get("user_id"))
	if err != nil {
		return rest.Reply{}, err
	}
	docs := []rest.Doc{}
	for k := range s.Cloud.KeyPairs.Where(func(k *cloud.KeyPair) bool { return k.UserID == owner }) {
		docs = append(docs, keyDoc(c, k))
	}
	rest.Sort(docs, []rest.SortKey{{Name: "name"}})
	page := rest.Page{Docs: docs}
	if c.Version.At(35) {
		var known bool
		page, known, err = rest.Paginate(docs, c.Query, rest.PageOptions{Max: 1000, Key: "name", URL: c.Base + c.URL.Path})
		if err != nil {
			return rest.Reply{}, err
		}
		if !known {
			return rest.Reply{}, rest.Bad("marker [%s] not found", c.Query.Get("marker"))
		}
	}
	wrapped := []rest.Doc{}
	for _, d := range page.Docs {
		wrapped = append(wrapped, rest.Doc{"keypair": d})
	}
	page.Docs = wrapped
	return rest.OK(paged("keypairs", page))
}

func (s *Service) createKeyPair(c *rest.Call) (rest.Reply, error) {
	var b struct {
		KeyPair *struct {
			Name, Type string
			PublicKey  *string `json:"public_key"`
			UserID     string  `json:"user_id"`
		}
	}
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	if b.KeyPair == nil || b.KeyPair.Name == "" {
		return rest.Reply{}, rest.Bad("Invalid input for field/attribute keypair. Value: {}. 'name' is a required property")
	}
	extra := ""
	if c.Version.At(92) {
		extra = "@."
	}
	if strings.Trim(b.KeyPair.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_- "+extra) != "" || len(b.KeyPair.Name) > 255 {
		return rest.Reply{}, rest.Bad("An invalid 'name' value was provided. The name must be: Only expected characters: [_- 0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ]")
	}
	if b.KeyPair.PublicKey == nil && c.Version.At(92) {
		return rest.Reply{}, rest.Bad("Invalid input for field/attribute keypair. 'public_key' is a required property")
	}
	owner, err := keyOwner(c, b.KeyPair.UserID)
	if err != nil {
		return rest.Reply{}, err
	}
	k := &cloud.KeyPair{Number: s.Cloud.Number(), Name: b.KeyPair.Name, UserID: owner, Type: "ssh", Created: s.Cloud.Now()}
	key := cloud.KeyPairKey(owner, k.Name)
	if s.Cloud.KeyPairs.Get(key) != nil {
		return rest.Reply{}, rest.Conflict("Key pair '%s' already exists.", k.Name)
	}
	if limit := s.Cloud.Quotas.Limit("nova", c.Project(), "key_pairs"); limit >= 0 && s.keysOf(owner)+1 > limit {
		return rest.Reply{}, rest.Forbidden("Quota exceeded, too many key pairs.")
	}
	private, err := fillKey(k, b.KeyPair.PublicKey)
	if err != nil {
		return rest.Reply{}, err
	}
	s.Cloud.KeyPairs.Put(key, k)
	d := keyDoc(c, k)
	d["user_id"] = owner
	if private != "" {
		d["private_key"] = private
	}
	status := http.StatusOK
	if c.Version.At(2) {
		status = http.StatusCreated
	}
	return rest.Reply{Status: status, Body: map[string]any{"keypair": d}}, nil
}

func (s *Service) keysOf(user string) int {
	return s.Cloud.KeyPairs.Count(func(k *cloud.KeyPair) bool { return k.UserID == user })
}

// fillKey takes the given public key, or makes a pair and returns its private half, which is kept nowhere.
func fillKey(k *cloud.KeyPair, public *string) (private string, err error) {
	if public != nil {
		parsed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(*public))
		if err != nil {
			return "", rest.Bad("Keypair data is invalid: failed to generate fingerprint")
		}
		k.PublicKey, k.Fingerprint = *public, ssh.FingerprintLegacyMD5(parsed)
		return "", nil
	}
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	sshPub, err := ssh.NewPublicKey(pub)
	if err != nil {
		return "", err
	}
	block, err := ssh.MarshalPrivateKey(priv, "Generated-by-Nova")
	if err != nil {
		return "", err
	}
	k.PublicKey = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sshPub))) + " Generated-by-Nova"
	k.Fingerprint = ssh.FingerprintLegacyMD5(sshPub)
	return string(pem.EncodeToMemory(block)), nil
}

func (s *Service) keyPair(c *rest.Call) (*cloud.KeyPair, error) {
	owner, err := keyOwner(c, c.Query.Get("user_id"))
	if err != nil {
		return nil, err
	}
	k := s.Cloud.KeyPairs.Get(cloud.KeyPairKey(owner, c.PathValue("name")))
	if k == nil {
		return nil, rest.Missing("Keypair %s not found for user %s", c.PathValue("name"), owner)
	}
	return k, nil
}

func (s *Service) showKeyPair(c *rest.Call) (rest.Reply, error) {
	k, err := s.keyPair(c)
	if err != nil {
		return rest.Reply{}, err
	}
	d := keyDoc(c, k)
	d["user_id"], d["id"], d["created_at"], d["updated_at"], d["deleted"], d["deleted_at"] = k.UserID, k.Number, cloud.Micro(k.Created), nil, false, nil
	return rest.OK(map[string]any{"keypair": d})
}

func (s *Service) deleteKeyPair(c *rest.Call) (rest.Reply, error) {
	k, err := s.keyPair(c)
	if err != nil {
		return rest.Reply{}, err
	}
	s.Cloud.KeyPairs.Delete(cloud.KeyPairKey(k.UserID, k.Name))
	if c.Version.At(2) {
		return rest.Empty()
	}
	return rest.Accepted(nil)
}

package cloudify

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	"github.com/orch-project/orch/internal/server/jsonbody"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state/secrets"
)

// secretDocument is a secret without its value.
type secretDocument struct {
	common
	Key      string          `json:"key"`
	Hidden   bool            `json:"is_hidden_value"`
	Updated  *string         `json:"updated_at"`
	Schema   json.RawMessage `json:"schema"`
	Provider *string         `json:"provider_name"`
	Options  *string         `json:"provider_options"`
}

type openSecret struct {
	secretDocument
	Value any `json:"value"`
}

func (s *Server) secretOf(i orch.SecretInfo, schema json.RawMessage) secretDocument {
	o := owned{ID: i.Name, Tenant: i.Tenant, By: i.Owner, Visibility: string(i.Visibility), Created: i.Created}
	if o.Tenant == "" {
		o.Tenant = s.opts.Tenant
	}
	return secretDocument{common: o.common(), Key: i.Name, Hidden: i.Hidden, Updated: stamp(i.Updated), Schema: schema}
}

// secretStore is orch's store of secrets, in the tenant.
func (s *Server) secretStore() orch.Secrets { return s.opts.Service.Secrets() }

func (s *Server) findSecret(q *request, key string) (orch.SecretInfo, error) {
	d, err := s.secretStore().Describe(q.Request().Context(), key)
	if isNotFound(err) {
		err = notFound("Secret", key)
	}
	return d.SecretInfo, err
}

// secretBody is what creates or changes a secret.
type secretBody struct {
	Value      any             `json:"value"`
	Update     flag            `json:"update_if_exists"`
	Hidden     *flag           `json:"is_hidden_value"`
	Visibility string          `json:"visibility"`
	Schema     json.RawMessage `json:"schema"`
	Provider   string          `json:"provider_name"`
}

// bytes of a secret's value: a text as it is, anything else as JSON.
func (b *secretBody) bytes() ([]byte, secrets.Kind, error) {
	switch t := b.Value.(type) {
	case nil:
		return nil, "", badParameters("Missing value in json request body")
	case string:
		if t == "" {
			return nil, "", badParameters("The secret's value cannot be empty")
		}
		return []byte(t), secrets.Text, nil
	}
	data, err := json.Marshal(b.Value)
	return data, secrets.JSON, err
}

func (b *secretBody) hidden() *bool {
	if b.Hidden == nil {
		return nil
	}
	h := bool(*b.Hidden)
	return &h
}

func (s *Server) createSecret(q *request) (any, error) {
	ctx, key := q.Request().Context(), q.param("key")
	var b secretBody
	if err := checkSecretKey(key); err != nil {
		return nil, err
	}
	if err := q.body(&b); err != nil {
		return nil, err
	}
	if b.Provider != "" {
		return nil, badParameters("There is no secrets provider %s", b.Provider)
	}
	value, kind, err := b.bytes()
	if err != nil {
		return nil, err
	}
	vis, err := visibility(b.Visibility, false)
	if err != nil {
		return nil, err
	}
	schema := b.Schema
	o := orch.SecretOptions{Kind: kind, Visibility: secrets.Visibility(vis), Hidden: b.hidden(), Create: !bool(b.Update)}
	if have, err := s.findSecret(q, key); err == nil {
		if o.Create {
			return nil, existing("secret", key)
		}
		if b.Visibility == "" {
			o.Visibility = have.Visibility
		}
		if len(schema) == 0 || string(schema) == "null" {
			if schema, err = s.schemaOf(ctx, have); err != nil {
				return nil, err
			}
		}
	} else if !isMissing(err) {
		return nil, err
	}
	if err := follows(schema, b.Value); err != nil {
		return nil, err
	}
	info, err := s.secretStore().Set(ctx, key, value, o)
	if o.Create && isConflict(err) {
		return nil, existing("secret", key)
	}
	if err != nil {
		return nil, err
	}
	r := schemaRecord{Key: key, Schema: schema, Created: info.Created}
	if schema = r.of(info); string(schema) != "null" {
		if err := s.shelf.schemas.put(ctx, s.opts.Tenant, key, r); err != nil {
			return nil, err
		}
	}
	return openSecret{s.secretOf(info, schema), jsonbody.Plain(b.Value)}, nil
}

func checkSecretKey(key string) error {
	if len(key) == 0 || len(key) > 256 {
		return badParameters("The secret's key must have from 1 to 256 characters")
	}
	return nil
}

// mayOpen reports whether the client may see a hidden secret.
func mayOpen(q *request, i orch.SecretInfo) error {
	if i.Hidden && i.Owner != q.user() && !q.admin() {
		return forbidden("User `" + q.user() + "` is not permitted to modify the hidden secret `" + i.Name + "`")
	}
	return nil
}

func (s *Server) updateSecret(q *request) (any, error) {
	ctx, key := q.Request().Context(), q.param("key")
	var b secretBody
	if _, err := q.changes("secret", &b); err != nil {
		return nil, err
	}
	info, err := s.findSecret(q, key)
	if err != nil {
		return nil, err
	}
	if err := mayOpen(q, info); err != nil {
		return nil, err
	}
	schema, err := s.schemaOf(ctx, info)
	if err != nil {
		return nil, err
	}
	if b.Value != nil {
		value, kind, err := b.bytes()
		if err == nil {
			err = follows(schema, b.Value)
		}
		if err != nil {
			return nil, err
		}
		if info, err = s.secretStore().Set(ctx, key, value, orch.SecretOptions{Kind: kind}); err != nil {
			return nil, err
		}
	}
	if b.Visibility != "" || b.Hidden != nil {
		c := orch.SecretChange{Hidden: b.hidden()}
		if b.Visibility != "" {
			vis, err := visibility(b.Visibility, false)
			if err != nil {
				return nil, err
			}
			c.Visibility = secrets.Visibility(vis)
		}
		if info, err = s.secretStore().Update(ctx, key, c); err != nil {
			return nil, err
		}
	}
	return s.secretOf(info, schema), nil
}

func (s *Server) secret(q *request) (any, error) {
	key := q.param("key")
	info, err := s.findSecret(q, key)
	if err != nil {
		return nil, err
	}
	skip, err := q.flag("_skip_value")
	if err != nil {
		return nil, err
	}
	schema, err := s.schemaOf(q.Request().Context(), info)
	if err != nil {
		return nil, err
	}
	d := openSecret{s.secretOf(info, schema), ""}
	q.Response().Header().Set("Cache-Control", "no-store")
	if skip || mayOpen(q, info) != nil {
		return d, nil
	}
	value, err := s.secretStore().Get(q.Request().Context(), key, 0)
	if err != nil {
		return nil, err
	}
	d.Value = string(value)
	if info.Kind == secrets.JSON {
		var v any
		if json.Unmarshal(value, &v) == nil {
			d.Value = v
		}
	}
	return d, nil
}

func (s *Server) secrets(q *request) (any, error) {
	l, err := listingOf[secretDocument](q)
	if err != nil {
		return nil, err
	}
	if err := s.savedRules(q, "secrets", &l); err != nil {
		return nil, err
	}
	docs, err := s.secretDocuments(q)
	if err != nil {
		return nil, err
	}
	return answerList(q.Request().Context(), q, l, docs, nil)
}

func (s *Server) secretDocuments(q *request) ([]secretDocument, error) {
	infos, err := s.secretStore().List(q.Request().Context(), "")
	if err != nil {
		return nil, err
	}
	records, err := s.shelf.schemas.all(q.Request().Context(), s.opts.Tenant)
	schemas := map[string]schemaRecord{}
	for _, r := range records {
		schemas[r.Key] = r
	}
	docs := []secretDocument{}
	for _, i := range infos {
		docs = append(docs, s.secretOf(i, schemas[i.Name].of(i)))
	}
	return docs, err
}

func (s *Server) deleteSecret(q *request) (any, error) {
	key := q.param("key")
	info, err := s.findSecret(q, key)
	if err != nil {
		return nil, err
	}
	if err := mayOpen(q, info); err != nil {
		return nil, err
	}
	schema, err := s.schemaOf(q.Request().Context(), info)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.secretStore().Remove(q.Request().Context(), key), s.shelf.schemas.remove(q.Request().Context(), s.opts.Tenant, key)); err != nil {
		return nil, err
	}
	if q.api < v3_1 {
		return s.secretOf(info, schema), nil
	}
	return nothing()
}

func (s *Server) showSecret(q *request) (any, error) {
	to, err := q.wishedVisibility()
	if err != nil {
		return nil, err
	}
	info, err := s.findSecret(q, q.param("key"))
	if err != nil {
		return nil, err
	}
	if err := widen("secret", info.Name, string(info.Visibility), to); err != nil {
		return nil, err
	}
	if info, err = s.secretStore().Update(q.Request().Context(), info.Name, orch.SecretChange{Visibility: secrets.Visibility(to)}); err != nil {
		return nil, err
	}
	schema, err := s.schemaOf(q.Request().Context(), info)
	return s.secretOf(info, schema), err
}

// sharedSecret is a secret in an export.
type sharedSecret struct {
	Key        string `json:"key"`
	Value      string `json:"value"`
	Visibility string `json:"visibility"`
	Tenant     string `json:"tenant_name"`
	Hidden     bool   `json:"is_hidden_value"`
	Encrypted  bool   `json:"encrypted"`
	By         string `json:"creator,omitempty"`
}

// exportSecrets lists the secrets with their values, under a passphrase where one is given.
func (s *Server) exportSecrets(q *request) (any, error) {
	ctx, query := q.Request().Context(), q.QueryParams()
	pass := query.Get("_passphrase")
	if query.Has("_passphrase") && len(pass) < 8 {
		return nil, badParameters("The passphrase must have 8 characters at least")
	}
	docs, err := s.secretDocuments(q)
	if err != nil {
		return nil, err
	}
	out := []sharedSecret{}
	for _, d := range docs {
		if v := query["visibility"]; len(v) > 0 && !slices.Contains(v, d.Visibility) {
			continue
		}
		info, err := s.findSecret(q, d.Key)
		if err != nil || mayOpen(q, info) != nil {
			continue // gone, or hidden from this client
		}
		value, err := s.secretStore().Get(ctx, d.Key, 0)
		if err != nil {
			return nil, err
		}
		x := sharedSecret{Key: d.Key, Value: string(value), Visibility: d.Visibility, Tenant: d.Tenant, Hidden: d.Hidden, Encrypted: pass != ""}
		if pass != "" {
			if x.Value, err = encrypt(value, pass, s.opts.now()); err != nil {
				return nil, err
			}
		}
		out = append(out, x)
	}
	q.Response().Header().Set("Cache-Control", "no-store")
	return out, nil
}

// importSecrets takes an export.
func (s *Server) importSecrets(q *request) (any, error) {
	ctx := q.Request().Context()
	var b struct {
		Secrets  []sharedSecret    `json:"secrets_list"`
		Tenants  map[string]string `json:"tenant_map"`
		Pass     string            `json:"passphrase"`
		Override flag              `json:"override_collisions"`
	}
	if err := q.body(&b); err != nil {
		return nil, err
	}
	colliding, overridden := map[string][]string{}, map[string][]string{}
	problems := map[string]any{} // by the secret's place in the list
	for i, x := range b.Secrets {
		bad := func(why string) { problems[strconv.Itoa(i)] = map[string]string{"key": x.Key, "error": why} }
		tenant := x.Tenant
		if to := b.Tenants[tenant]; to != "" {
			tenant = to
		}
		if realTenant(tenant) != q.tenant {
			bad("the tenant " + tenant + " is not the request's")
			continue
		}
		if err := checkSecretKey(x.Key); err != nil {
			bad(err.Error())
			continue
		}
		value := []byte(x.Value)
		if x.Encrypted {
			var err error
			if value, err = decrypt(x.Value, b.Pass); err != nil {
				bad(err.Error())
				continue
			}
		}
		vis, err := visibility(x.Visibility, false)
		if err != nil {
			bad(err.Error())
			continue
		}
		have, err := s.findSecret(q, x.Key)
		if err == nil {
			colliding[tenant] = append(colliding[tenant], x.Key)
			if !bool(b.Override) || mayOpen(q, have) != nil {
				continue
			}
			overridden[tenant] = append(overridden[tenant], x.Key)
		}
		if _, err := s.secretStore().Set(ctx, x.Key, value, orch.SecretOptions{Visibility: secrets.Visibility(vis), Hidden: &x.Hidden}); err != nil {
			return nil, err
		}
	}
	return map[string]any{"colliding_secrets": colliding, "overridden_secrets": overridden, "secrets_errors": problems}, nil
}

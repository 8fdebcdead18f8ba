package orch

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

// The catalogue's records:
//
//	blueprints/<tenant>/<name>/<version>     blueprintRecord
//	blob blueprint/<tenant>/<name>/<digest>  the upload; versions with the same content share it
type blueprintRecord struct {
	Blueprint
	Blob string `json:"blob"`
}

// catalogue implements Blueprints.
type catalogue struct{ l *Local }

// Blueprints implements Service.
func (l *Local) Blueprints() Blueprints { return catalogue{l} }

const maxBlueprint = 512 << 20

func blueprintPrefix(tenant, name string) string {
	if name == "" {
		return state.Prefix("blueprints", tenant)
	}
	return state.Prefix("blueprints", tenant, name)
}

func blueprintKey(tenant, name, version string) string {
	return state.Join("blueprints", tenant, name, version)
}

// Upload implements Blueprints.
func (c catalogue) Upload(ctx context.Context, b NewBlueprint) (Blueprint, error) {
	made, err := c.read(ctx, b)
	if err != nil {
		return Blueprint{}, err
	}
	tenant := TenantOf(ctx)
	r := blueprintRecord{Blueprint: made, Blob: state.Join("blueprint", tenant, made.Name, made.SHA256[:32])}
	if id, ok := IdentityOf(ctx); ok {
		r.User = id.User
	}
	r.Private = b.Private
	if have, err := c.find(ctx, tenant, b, r); err != nil || have != nil && !hides(ctx, *have, b) {
		return deref(have), err
	}
	if _, err := c.l.blobs.Put(ctx, r.Blob, b.Reader()); err != nil {
		return Blueprint{}, storeError(err)
	}
	var out blueprintRecord
	err = c.l.store.Update(ctx, func(tx state.Tx) error {
		same, version, err := choose(ctx, tx, tenant, b, r)
		if err != nil {
			return err
		}
		if same != nil {
			out = *same
			if !hides(ctx, out.Blueprint, b) {
				return nil
			}
			out.Private = b.Private
			return state.Put(tx, blueprintKey(tenant, out.Name, out.Version), out)
		}
		out = r
		out.Version, out.Created = version, now()
		// Who removes the last version with this content meanwhile takes the blob along: get it, to notice.
		if _, err := tx.Get("blob/" + r.Blob); err != nil {
			return err
		}
		return state.Put(tx, blueprintKey(tenant, r.Name, version), out)
	})
	if err != nil {
		c.dropBlob(ctx, tenant, r.Name, r.Blob)
	}
	return out.Blueprint, storeError(err)
}

// find looks whether the upload is there already, or cannot be, before anything is stored.
func (c catalogue) find(ctx context.Context, tenant string, b NewBlueprint, r blueprintRecord) (*Blueprint, error) {
	var have *blueprintRecord
	err := c.l.store.View(ctx, func(tx state.Tx) (err error) {
		have, _, err = choose(ctx, tx, tenant, b, r)
		return err
	})
	if have == nil {
		return nil, storeError(err)
	}
	return &have.Blueprint, storeError(err)
}

// choose returns the version that holds the same already, or the number that a new one gets.
func choose(ctx context.Context, tx state.Tx, tenant string, b NewBlueprint, r blueprintRecord) (same *blueprintRecord, version string, err error) {
	all, err := versionsIn(tx, tenant, r.Name)
	if err != nil {
		return nil, "", err
	}
	if len(all) > 0 && (b.New || slices.ContainsFunc(all, hiddenFrom(ctx))) {
		return nil, "", &Error{Kind: KindConflict, Msg: fmt.Sprintf("there is a blueprint %q already", r.Name), Hint: "remove it first, or upload under another name"}
	}
	if b.Version == "" {
		if len(all) > 0 && sameUpload(all[0], r) {
			return &all[0], "", nil
		}
		highest := 0
		for _, v := range all {
			if n, err := strconv.Atoi(v.Version); err == nil {
				highest = max(highest, n)
			}
		}
		version = strconv.Itoa(highest + 1)
	} else {
		version = b.Version
	}
	have, found, err := state.Find[blueprintRecord](tx, blueprintKey(tenant, r.Name, version))
	switch {
	case err != nil || !found:
		return nil, version, err
	case sameUpload(have, r):
		return &have, "", nil
	}
	return nil, "", &Error{Kind: KindConflict, Msg: fmt.Sprintf("version %s of blueprint %s is there already, with other content", version, r.Name),
		Hint: "versions do not change: give another one, or none for the next number"}
}

func sameUpload(a, b blueprintRecord) bool { return a.SHA256 == b.SHA256 && a.Entry == b.Entry }

// hides reports whether uploading the same again changes who may know of it: its user and admins may hide it.
func hides(ctx context.Context, have Blueprint, b NewBlueprint) bool {
	id, known := IdentityOf(ctx)
	return have.Private != b.Private && (have.Private || !known || id.User == have.User || id.Allows(Admin))
}

// hiddenFrom tells the versions that who asks may not know of. The server's own work sees everything.
func hiddenFrom(ctx context.Context) func(blueprintRecord) bool {
	id, known := IdentityOf(ctx)
	return func(r blueprintRecord) bool {
		return r.Private && known && id.Role != "" && id.User != r.User && !id.Allows(Admin)
	}
}

// seenIn are the versions that who asks may know of, newest first.
func seenIn(ctx context.Context, tx state.Tx, name string) ([]blueprintRecord, error) {
	all, err := versionsIn(tx, TenantOf(ctx), name)
	return slices.DeleteFunc(all, hiddenFrom(ctx)), err
}

func versionsIn(tx state.Tx, tenant, name string) ([]blueprintRecord, error) {
	var all []blueprintRecord
	for r, err := range state.List[blueprintRecord](tx, blueprintPrefix(tenant, name)) {
		if err != nil {
			return nil, err
		}
		all = append(all, r.Value)
	}
	slices.SortFunc(all, func(a, b blueprintRecord) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(b.Version, a.Version))
	})
	return all, nil
}

// Validate implements Blueprints.
func (c catalogue) Validate(ctx context.Context, b NewBlueprint) (Blueprint, error) {
	if b.Name == "" {
		b.Name = "blueprint"
	}
	b.Unchecked = true
	return c.read(ctx, b)
}

// read opens and resolves an upload.
func (c catalogue) read(ctx context.Context, b NewBlueprint) (Blueprint, error) {
	if !validName(b.Name) || strings.Contains(b.Name, tenantMark) || b.Version != "" && !validName(b.Version) {
		return Blueprint{}, &Error{Kind: KindUser, Msg: fmt.Sprintf("%q, version %q: no name for a blueprint", b.Name, b.Version),
			Hint: "use letters, digits, '-', '_' and '.', up to 128 of them, in name and version"}
	}
	data := b.Reader()
	if data.Size() == 0 {
		return Blueprint{}, &Error{Kind: KindUser, Msg: "the upload is empty", Hint: "send a zip or tar archive, or a YAML document"}
	}
	if data.Size() > maxBlueprint {
		return Blueprint{}, &Error{Kind: KindUser, Msg: fmt.Sprintf("the upload is larger than %d MiB", maxBlueprint>>20)}
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, data); err != nil {
		return Blueprint{}, fmt.Errorf("cannot read the upload: %w", err)
	}
	out := Blueprint{Name: b.Name, Version: b.Version, Filename: b.Filename, Entry: b.Entry, Labels: b.Labels, Size: data.Size(),
		SHA256: hex.EncodeToString(sum.Sum(nil)), Inputs: []BlueprintInput{}, Outputs: []string{}, Nodes: []string{}, Workflows: []string{}}
	bundle, list := openUpload(b)
	if list.HasErrors() {
		return Blueprint{}, list.Err()
	}
	defer bundle.Close()
	out.Filename, out.Entry = bundle.Name, bundle.Entry
	t, more := c.l.opts.Load(ctx, Bundle{FS: bundle.FS, Entry: bundle.Entry, Name: shownName(bundle)})
	list.Add(more...)
	out.Diagnostics = list.Sorted()
	if !b.Unchecked && list.HasErrors() {
		return Blueprint{}, list.Err()
	}
	if t != nil {
		describe(&out, t)
	}
	return out, nil
}

// archiveMark ends the name of a bundle that came out of an archive, so that its positions read archive.zip!path.
const archiveMark = "!"

// shownName begins the positions in an upload; a single document's own name is enough.
func shownName(b *source.Bundle) string {
	if b.Archive {
		return b.Name + archiveMark
	}
	return ""
}

// openUpload opens an archive, or a single document as a bundle with that one file.
func openUpload(b NewBlueprint) (*source.Bundle, diag.List) {
	name := path.Base(strings.ReplaceAll(b.Filename, `\`, "/"))
	if b.Filename == "" || name == "." || name == "/" {
		name = b.Name
	}
	data := b.Reader()
	single := singleDocument(data)
	if single {
		if ext := strings.ToLower(path.Ext(name)); ext != ".yaml" && ext != ".yml" {
			name += ".yaml"
		}
		packed, err := zipOf(name, data)
		if err != nil {
			return nil, diag.List{{Severity: diag.Error, Code: source.CodeArchive, Message: err.Error(), Pos: diag.Pos{File: name}}}
		}
		data, b.Entry = bytes.NewReader(packed), name
	}
	bundle, list := source.OpenReader(name, data, data.Size())
	if bundle == nil {
		return nil, list
	}
	if b.Entry != "" {
		list = slices.DeleteFunc(list, func(d diag.Diagnostic) bool { return d.Code == source.CodeEntry })
		bundle.Entry = b.Entry
		if f, err := bundle.FS.Open(b.Entry); err != nil {
			list.Errorf(source.CodeEntry, diag.Pos{File: bundle.Name}, "there is no document %s in it", b.Entry)
		} else {
			_ = f.Close()
		}
	}
	bundle.Archive = !single
	return bundle, list
}

// singleDocument tells text from archives: YAML is UTF-8 (or UTF-16 with a mark) and has no NUL.
func singleDocument(data Content) bool {
	head := make([]byte, min(data.Size(), 512))
	if _, err := data.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	for len(head) > 0 && int64(len(head)) < data.Size() && !utf8.Valid(head) && len(head) > 508 {
		head = head[:len(head)-1] // a character cut in two
	}
	return utf8.Valid(head) && !bytes.HasPrefix(head, []byte("PK")) && !bytes.ContainsRune(head, 0)
}

func zipOf(name string, data Content) ([]byte, error) {
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	f, err := w.Create(name)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(f, io.NewSectionReader(data, 0, data.Size())); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func describe(b *Blueprint, t *topology.Topology) {
	b.Description, b.Topology, b.Dialect = t.Description, t.Name, t.Dialect
	for _, p := range t.Inputs {
		in := BlueprintInput{Name: p.Name, Description: p.Description, Required: p.Required && p.Value == nil}
		if p.Schema != nil && p.Schema.Type != nil {
			in.Type = p.Schema.Type.Name()
		}
		if p.Value != nil {
			if raw, err := json.Marshal(p.Value); err == nil {
				_ = json.Unmarshal(raw, &in.Default)
			}
		}
		b.Inputs = append(b.Inputs, in)
	}
	for _, p := range outputsOf(t) {
		b.Outputs = append(b.Outputs, p.Name)
	}
	for _, n := range t.Nodes {
		b.Nodes = append(b.Nodes, n.Name)
	}
	for name := range t.Workflows {
		b.Workflows = append(b.Workflows, name)
	}
	slices.Sort(b.Workflows)
}

// List implements Blueprints.
func (c catalogue) List(ctx context.Context) ([]Blueprint, error) {
	newest := map[string]Blueprint{}
	err := c.l.store.View(ctx, func(tx state.Tx) error {
		clear(newest)
		all, err := seenIn(ctx, tx, "")
		for _, r := range all {
			if _, ok := newest[r.Name]; !ok {
				newest[r.Name] = r.Blueprint
			}
		}
		return err
	})
	out := make([]Blueprint, 0, len(newest))
	for _, b := range newest {
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b Blueprint) int { return cmp.Compare(a.Name, b.Name) })
	return out, storeError(err)
}

// Versions implements Blueprints.
func (c catalogue) Versions(ctx context.Context, name string) ([]Blueprint, error) {
	var out []Blueprint
	err := c.l.store.View(ctx, func(tx state.Tx) error {
		out = []Blueprint{}
		all, err := seenIn(ctx, tx, name)
		for _, r := range all {
			out = append(out, r.Blueprint)
		}
		return err
	})
	if err == nil && len(out) == 0 || name == "" {
		return nil, noBlueprint(name, "")
	}
	return out, storeError(err)
}

func noBlueprint(name, version string) error {
	what := fmt.Sprintf("there is no blueprint %q", name)
	if version != "" {
		what = fmt.Sprintf("there is no version %q of blueprint %q", version, name)
	}
	return &Error{Kind: KindNotFound, Msg: what, Hint: "orch blueprints list shows all", Err: ErrNotFound}
}

// Get implements Blueprints.
func (c catalogue) Get(ctx context.Context, name, version string) (Blueprint, error) {
	r, err := c.get(ctx, name, version)
	return r.Blueprint, err
}

func (c catalogue) get(ctx context.Context, name, version string) (blueprintRecord, error) {
	var out blueprintRecord
	if name == "" {
		return out, noBlueprint(name, version)
	}
	err := c.l.store.View(ctx, func(tx state.Tx) (err error) {
		if version != "" {
			out, _, err = state.Get[blueprintRecord](tx, blueprintKey(TenantOf(ctx), name, version))
			if err == nil && hiddenFrom(ctx)(out) {
				out, err = blueprintRecord{}, state.ErrNotFound
			}
			return err
		}
		all, err := seenIn(ctx, tx, name)
		if err == nil && len(all) == 0 {
			return state.ErrNotFound
		}
		if err == nil {
			out = all[0]
		}
		return err
	})
	if errors.Is(err, state.ErrNotFound) {
		return out, noBlueprint(name, version)
	}
	return out, storeError(err)
}

// Download implements Blueprints.
func (c catalogue) Download(ctx context.Context, name, version string) (Blueprint, Content, error) {
	r, err := c.get(ctx, name, version)
	if err != nil {
		return Blueprint{}, nil, err
	}
	for {
		data, err := c.content(ctx, r.Blob)
		if !errors.Is(err, state.ErrChanged) || ctx.Err() != nil { // the same was stored once more meanwhile
			return r.Blueprint, data, storeError(err)
		}
	}
}

func (c catalogue) content(ctx context.Context, blob string) (Content, error) {
	r, _, err := c.l.blobs.Get(ctx, blob)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return ReadContent(r)
}

// Remove implements Blueprints.
func (c catalogue) Remove(ctx context.Context, name, version string, digests ...string) error {
	tenant := TenantOf(ctx)
	if name == "" {
		return noBlueprint(name, version)
	}
	var gone []blueprintRecord
	err := c.l.store.Update(ctx, func(tx state.Tx) error {
		gone = nil
		all, err := seenIn(ctx, tx, name)
		if err != nil || len(all) == 0 {
			return err
		}
		for _, r := range all {
			if version == "" || r.Version == version {
				gone = append(gone, r)
			}
		}
		if len(digests) > 0 && len(gone) > 0 && !slices.Contains(digests, gone[0].SHA256) {
			return &Error{Kind: KindConflict, Msg: fmt.Sprintf("the blueprint %s:%s is not the one that was meant: its digest is %s now", name, gone[0].Version, gone[0].SHA256),
				Hint: "read it again", Err: ErrChanged}
		}
		if version == "" {
			return tx.DeletePrefix(blueprintPrefix(tenant, name))
		}
		return tx.Delete(blueprintKey(tenant, name, version))
	})
	if err == nil && len(gone) == 0 {
		return noBlueprint(name, version)
	}
	for _, r := range gone {
		c.dropBlob(ctx, tenant, name, r.Blob)
	}
	return storeError(err)
}

// dropBlob removes an upload that no version refers to.
func (c catalogue) dropBlob(ctx context.Context, tenant, name, blob string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := c.l.store.Update(ctx, func(tx state.Tx) error {
		all, err := versionsIn(tx, tenant, name)
		if err != nil || slices.ContainsFunc(all, func(r blueprintRecord) bool { return r.Blob == blob }) {
			return err
		}
		return state.DeleteBlobTx(tx, blob)
	})
	if err != nil {
		c.l.log.Warn("cannot remove an upload that nothing refers to", "blueprint", name, "error", err)
	}
}

// fromBlueprint gives a request that names a blueprint ("name" or "name:version") its documents.
func (l *Local) fromBlueprint(ctx context.Context, req Request) (Request, error) {
	if req.Blueprint == "" || req.Source != nil {
		return req, nil
	}
	name, version, _ := strings.Cut(req.Blueprint, ":")
	b, data, err := catalogue{l}.Download(ctx, name, version)
	if err != nil {
		return req, err
	}
	bundle, list := openUpload(NewBlueprint{Name: b.Name, Filename: b.Filename, Entry: b.Entry, Content: data, Size: data.Size()})
	if list.HasErrors() {
		return req, list.Err()
	}
	req.Blueprint = b.Name + ":" + b.Version
	req.Source, req.SourceName = bundle.FS, shownName(bundle)
	if req.Entry == "" {
		req.Entry = bundle.Entry
	}
	return req, nil
}

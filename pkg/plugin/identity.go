package plugin

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
)

// Identity marks a cloud resource as ours. It is written in every form that the clouds' APIs have: tags, metadata, or a unique name.
type Identity struct {
	Deployment, Node, Instance string
}

// Keys of the metadata form; the tag form is key=value.
const (
	KeyDeployment = "orch.deployment"
	KeyNode       = "orch.node"
	KeyInstance   = "orch.instance"
	// KeyKeep marks what stays after an undeployment, because the topology says so.
	KeyKeep = "orch.keep"
)

// maxTag is the shortest limit among Neutron's releases.
const maxTag = 60

// Tags are the marks as a list. A tag that would be too long ends in a hash; a resource found by it is confirmed by nothing else, so the
// hash is long enough to be unique.
func (i Identity) Tags() []string {
	tags := []string{Tag(KeyDeployment, i.Deployment)}
	if i.Node != "" {
		tags = append(tags, Tag(KeyNode, i.Node))
	}
	if i.Instance != "" {
		tags = append(tags, Tag(KeyInstance, i.Instance))
	}
	return tags
}

// Tag is one mark: key=value, without the characters that Neutron refuses, at most 60 characters.
func Tag(key, value string) string {
	s := key + "=" + strings.NewReplacer(",", "_", "/", "_").Replace(value)
	if len(s) > maxTag || s != key+"="+value {
		if len(s) > maxTag-17 {
			s = strings.ToValidUTF8(s[:maxTag-17], "")
		}
		s += "~" + hash(value, 16)
	}
	return s
}

// Mark is the form for descriptions, which are set in the very request that makes a resource: "orch-12345678-app web[0]".
func (i Identity) Mark() string {
	s := UniquePrefix(i.Deployment) + i.Deployment
	switch {
	case i.Node != "" && i.Instance != "":
		s += " " + i.Node + "[" + i.Instance + "]"
	case i.Node != "":
		s += " " + i.Node
	}
	if len(s) > 120 {
		s = strings.ToValidUTF8(s[:120], "")
	}
	return s
}

// Metadata are the marks as a map.
func (i Identity) Metadata() map[string]string {
	m := map[string]string{KeyDeployment: i.Deployment}
	if i.Node != "" {
		m[KeyNode] = i.Node
	}
	if i.Instance != "" {
		m[KeyInstance] = i.Instance
	}
	return m
}

// Owned reports whether an object of a cloud's API carries the identity of a deployment in one of its forms: the metadata, tags,
// description or name fields.
func Owned(o map[string]any, deployment string) bool {
	if md, ok := o["metadata"].(map[string]any); ok && md[KeyDeployment] == any(deployment) {
		return md[KeyKeep] != any("true") // what was kept may be used again
	}
	if tags, ok := o["tags"].([]any); ok && slices.Contains(tags, any(Tag(KeyDeployment, deployment))) {
		return true
	}
	prefix := UniquePrefix(deployment)
	return strings.Contains(str(o["description"]), prefix) || strings.HasPrefix(str(o["name"]), prefix)
}

// Made reports whether an object of a cloud's API carries the identity of any deployment.
func Made(o map[string]any) bool {
	if md, ok := o["metadata"].(map[string]any); ok && md[KeyDeployment] != nil {
		return md[KeyKeep] != any("true")
	}
	tags, _ := o["tags"].([]any)
	return slices.ContainsFunc(tags, func(t any) bool { return strings.HasPrefix(str(t), KeyDeployment+"=") }) ||
		uniquePrefix.MatchString(str(o["description"])) || uniqueName.MatchString(str(o["name"]))
}

// The form of UniquePrefix, in a description and in a name.
var (
	uniquePrefix = regexp.MustCompile(`\borch-[0-9a-f]{8}-`)
	uniqueName   = regexp.MustCompile(`^orch-[0-9a-f]{8}-`)
)

// UniquePrefix begins the names of a deployment's resources whose API has neither tags nor metadata.
func UniquePrefix(deployment string) string { return "orch-" + hash(deployment, 8) + "-" }

// UniqueName is the name of such a resource: the prefix, then readable parts.
func (i Identity) UniqueName(suffix string) string {
	return clean(UniquePrefix(i.Deployment) + join("-", i.Deployment, i.Node, i.Instance, suffix))
}

// ReadableName is the name of a resource that is known by its tags or metadata.
func (i Identity) ReadableName(suffix string) string {
	return clean(join("-", i.Deployment, i.Node, i.Instance, suffix))
}

func join(sep string, parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, sep)
}

var unclean = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// clean keeps to what every API takes in a name, and to a length that leaves room for what clouds append.
func clean(name string) string {
	s := unclean.ReplaceAllString(name, "-")
	if len(s) > 200 {
		s = s[:190] + "-" + hash(name, 8)
	}
	return s
}

func hash(s string, n int) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:n]
}

// keyPart makes the key of a repetition part of a Terraform name, injectively.
func keyPart(key string) string {
	s := badLabel.ReplaceAllString(key, "_")
	if s != key {
		s += "_" + hash(key, 6)
	}
	return s
}

var (
	badLabel = regexp.MustCompile(`[^A-Za-z0-9_-]`)
	inLabel  = regexp.MustCompile(`_\d+(_|$)`)
)

// labelPart makes a node's name part of a Terraform name, injectively: a name that had to be changed, or that could be read as another
// node's label, gets a hash.
func labelPart(name string) string {
	s := badLabel.ReplaceAllString(name, "_")
	if s == "" || s[0] >= '0' && s[0] <= '9' || s[0] == '-' {
		s = "n_" + s
	}
	if s != name || inLabel.MatchString(s) || s == "deployment" || strings.HasSuffix(s, "_all") {
		s += "_" + hash(name, 6)
	}
	return s
}

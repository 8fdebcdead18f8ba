package topology

import (
	"crypto/sha256"
	"math/big"
	"strings"
)

// InstanceID names an instance as Cloudify does: app_1r8qc4. It is unique over all deployments of a tenant, as Cloudify's clients ask for instances by
// it alone, and a function of what it names: scripts, events and the REST API show the same. The name of a deployment counts without the mark of
// its tenant.
func InstanceID(deployment string, in Instance) string {
	if _, name, marked := strings.Cut(deployment, "~"); marked {
		deployment = name
	}
	sum := sha256.Sum256([]byte(deployment + "\x00" + in.Node + "\x00" + in.Index))
	n := new(big.Int).SetBytes(sum[:8]).Text(36)
	for len(n) < instanceSuffix {
		n = "0" + n
	}
	return in.Node + "_" + n[len(n)-instanceSuffix:]
}

const instanceSuffix = 6

// IsInstanceID reports whether a text names an instance: by its id, or as orch's own users write it (app[0], app_0).
func IsInstanceID(id, deployment string, in Instance) bool {
	return id == InstanceID(deployment, in) || id == in.Node+"_"+in.Index || id == in.String()
}

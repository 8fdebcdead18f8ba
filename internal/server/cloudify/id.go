package cloudify

import (
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/orch-project/orch/pkg/topology"
)

// Executions have UUIDs in Cloudify, and orch's tasks have ULIDs: the same 128 bits, written otherwise.

func executionID(task string) string {
	id, err := ulid.ParseStrict(task)
	if err != nil {
		return task
	}
	return uuid(id[:])
}

// taskID is the opposite; false for what is no UUID.
func taskID(execution string) (string, bool) {
	if len(execution) != 36 {
		_, err := ulid.ParseStrict(execution)
		return execution, err == nil
	}
	raw, err := hex.DecodeString(strings.ReplaceAll(execution, "-", ""))
	if err != nil || len(raw) != 16 {
		return "", false
	}
	var id ulid.ULID
	copy(id[:], raw)
	return id.String(), true
}

// newID is one of an execution that is no task.
func newID() string {
	id := ulid.Make()
	return uuid(id[:])
}

// derivedID is an id that is the same each time: of what Cloudify has a record of and orch has not.
func derivedID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return uuid(sum[:16])
}

func uuid(b []byte) string {
	h := hex.EncodeToString(b)
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:32]}, "-")
}

// instanceID names a node instance as Cloudify does: app_1r8qc4. It is unique over all deployments, as clients ask for instances by it alone.
func instanceID(deployment string, in topology.Instance) string {
	sum := sha256.Sum256([]byte(deployment + "\x00" + in.Node + "\x00" + in.Index))
	n := new(big.Int).SetBytes(sum[:8]).Text(36)
	for len(n) < instanceSuffix {
		n = "0" + n
	}
	return in.Node + "_" + n[len(n)-instanceSuffix:]
}

const instanceSuffix = 6

// isInstance reports whether an id is that of an instance: also as scripts know it, whose ctx has no need of other deployments' ids (app_0).
func isInstance(id, deployment string, in topology.Instance) bool {
	return id == instanceID(deployment, in) || id == in.Node+"_"+in.Index
}

// createExecution and uploadID are the ids of what is done at once here, and by executions in Cloudify.
func createID(deployment string) string {
	return derivedID("create_deployment_environment", deployment)
}

func uploadID(tenant, blueprint string) string {
	return derivedID("upload_blueprint", tenant, blueprint)
}

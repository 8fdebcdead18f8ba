package cloudify

import (
	"crypto/sha256"
	"encoding/hex"
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

func instanceID(deployment string, in topology.Instance) string {
	return topology.InstanceID(deployment, in)
}

func isInstance(id, deployment string, in topology.Instance) bool {
	return topology.IsInstanceID(id, deployment, in)
}

// createExecution and uploadID are the ids of what is done at once here, and by executions in Cloudify.
func createID(deployment string) string {
	return derivedID("create_deployment_environment", deployment)
}

func uploadID(tenant, blueprint string) string {
	return derivedID("upload_blueprint", tenant, blueprint)
}

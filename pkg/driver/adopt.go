package driver

import (
	"context"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/topology"
)

// Adopter drivers compare what a deployment has in the cloud with what they have on record of it, and take over what they lack.
type Adopter interface {
	// Survey says of every resource where it is known. It touches nothing. reqs are the wanted instances, by which resources that only the
	// cloud knows are told; without any, nothing of the deployment is known but its name.
	Survey(ctx context.Context, deployment string, reqs []*Request) ([]Surveyed, error)
	// Adopt takes over what only the cloud knows and what a request's resource is found to be: all of it, or only these ids. The result is the
	// survey afterwards. The cloud is not touched.
	Adopt(ctx context.Context, deployment string, reqs []*Request, ids []string, emit event.Emit) ([]Surveyed, error)
}

// Where a surveyed resource is known.
const (
	InBoth    = "both"      // on record, and in the cloud
	InCloud   = "cloud"     // an orphan: nobody has it on record
	InState   = "state"     // on record, but gone
	Unchecked = "unchecked" // on record; the cloud is not asked for resources of this kind
)

// Surveyed is a resource with what is known of it.
type Surveyed struct {
	CloudResource
	// Address that the driver has it on record under, or would.
	Address string
	Where   string
	// Reason why an orphan cannot be adopted, "" if it can.
	Reason string
	// Adopted: it was an orphan and is on record now. Changes are what the next deployment has to change of what was adopted, now (with fields) or
	// before.
	Adopted bool
	Changes []Change
	// Owners are the instances whose resource it is.
	Owners []topology.Instance
}

// Surveyor is a Cloud that also tells the parts of resources: what is a resource in Terraform's eyes but has no mark of its own.
type Surveyor interface {
	// Survey returns everything that carries the deployment's identity, what of known still exists (by kind and id), and the parts of both:
	// "router interface", "security group rule", "floating IP association", "volume attachment", with the ids that Terraform's provider has for
	// them.
	Survey(ctx context.Context, deployment string, known []CloudResource) ([]CloudResource, error)
}

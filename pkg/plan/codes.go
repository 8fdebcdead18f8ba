package plan

import "github.com/orch-project/orch/pkg/diag"

func init() {
	diag.Register(
		diag.Code{ID: "batch-order", Title: "An update that cannot be done in batches", Text: "A batch is finished before the next one begins. A declared workflow, as Alien4Cloud's documents have them, does each of its steps on all instances before the next step: there the first batch would wait for the last."},
		diag.Code{ID: "dependency-cycle", Title: "Nodes wait for each other", Text: "Following the requirements from node to node leads back to where one started, so that none of them can be the first. The message names the cycle. Remove one of the requirements, or turn it round."},
		diag.Code{ID: "heal-in-place", Title: "Only making it anew would heal it", Text: "The request allows only operations that heal an instance where it is (Cloudify's lifecycle.heal), and this instance has none, or its last run has failed."},
		diag.Code{ID: "inline-cycle", Title: "A workflow contains itself", Text: "An inline activity leads, perhaps through other workflows, back to the workflow that it is in. The message names the chain."},
		diag.Code{ID: "scale-limit", Title: "More or fewer instances than the document allows", Text: "The capability Scalable of a node, or of the server at the end of its chain of hosts, says how many instances there may be (min_instances, max_instances). A number that was asked for with `orch scale` is kept for later deployments and must stay within these limits, too: scale first, then deploy narrower ones."},
		diag.Code{ID: "unknown-count", Title: "The number of instances cannot be told", Text: "How many instances a node has must be known when planning. Use a number or an input, not an attribute or the output of an operation."},
		diag.Code{ID: "unknown-instance", Title: "There is no such instance", Text: "An instance is written node[index]; `orch status` lists those that exist. As a warning: the instance is on record, but its node is in no known topology any more, and it is forgotten as it is."},
		diag.Code{ID: "unknown-target", Title: "A workflow step works on nothing", Text: "The target of a step must be a node template or a group of the topology."},
		diag.Code{ID: "update-options", Title: "Options of an update that the topology cannot have", Text: "To install only, to uninstall only, or to make instances anew while updating is possible for Cloudify blueprints, whose update is defined so. Other topologies are brought to what is wanted as a whole."},
	)
}

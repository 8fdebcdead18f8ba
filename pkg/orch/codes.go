package orch

import "github.com/orch-project/orch/pkg/diag"

func init() {
	diag.Register(
		diag.Code{ID: "missing-secret", Title: "A secret has no value", Text: "The topology asks for it with get_secret, and the store has none of that name. Set it with `orch secrets set NAME`; the value comes from a prompt, standard input or a file. `orch inputs FILE` lists all secrets that a topology asks for."},
		diag.Code{ID: "no-selection", Title: "No node of another deployment can be selected", Text: "The node template has the directive `select` (`selectable`), so that a node of another deployment is to take its place: one of its type, started, that passes its `node_filter`. `orch deploy` looks at all deployments of the tenant, takes the first by name, and keeps to it as long as it fits; its properties and attributes are then those of the node here, and nothing is done to it. With `directives: [ select, create ]` the node is made where none is found."},
		diag.Code{ID: "selected", Title: "A node of another deployment was selected", Text: "A node template with the directive `select` stands for this instance of another deployment: it has that one's properties and attributes, and nothing is done to it."},
		diag.Code{ID: "selected-elsewhere", Title: "Another deployment has selected a node that goes", Text: "A node of the deployment that is about to be undeployed takes the place of a node of another deployment (directive `select`). That one keeps the values that it has, and what it does with the node fails from now on. Undeploy it first, or let it select another node."},
		diag.Code{ID: "no-address", Title: "A server has no address", Text: "Operations are to run on the node, which no location makes and whose template says no address. Choose a location that makes such servers " +
			"(`--location`), or give the address of an existing one: the property `ip` of Cloudify's Compute, or the attribute `public_address` or `private_address` of TOSCA's. How to log in is said by " +
			"Cloudify's `agent_config` or the credential of the node's endpoint; without either the SSH agent is asked."},
	)
}

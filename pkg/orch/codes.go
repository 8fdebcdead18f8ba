package orch

import "github.com/orch-project/orch/pkg/diag"

func init() {
	diag.Register(
		diag.Code{ID: "missing-secret", Title: "A secret has no value", Text: "The topology asks for it with get_secret, and the store has none of that name. Set it with `orch secrets set NAME`; the value comes from a prompt, standard input or a file. `orch inputs FILE` lists all secrets that a topology asks for."},
		diag.Code{ID: "no-address", Title: "A server has no address", Text: "Operations are to run on the node, which no location makes and whose template says no address. Choose a location that makes such servers " +
			"(`--location`), or give the address of an existing one: the property `ip` of Cloudify's Compute, or the attribute `public_address` or `private_address` of TOSCA's. How to log in is said by " +
			"Cloudify's `agent_config` or the credential of the node's endpoint; without either the SSH agent is asked."},
	)
}

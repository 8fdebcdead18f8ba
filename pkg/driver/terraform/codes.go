package terraform

import "github.com/orch-project/orch/pkg/diag"

func init() {
	diag.Register(
		diag.Code{ID: CodeCloud, Title: "The cloud cannot be used", Text: "Before anything is made the cloud is asked for what the deployment needs. It did not answer, refused the credentials, or none is configured. `orch doctor` tries the same; `orch sandbox up` starts a cloud on this machine."},
		diag.Code{ID: CodeQuota, Title: "The quota does not suffice", Text: "What is to be made, together with what exists, exceeds a quota of the project. Nothing was created. Remove something, ask for more, or deploy less."},
		diag.Code{ID: CodeLost, Title: "Resources exist of which nothing is on record", Text: "The cloud has resources with this deployment's mark, but neither its record nor Terraform's state knows of any: the state store was lost, or another orch has a deployment of this name in the project. Nothing was created. `orch sweep NAME` lists them. `orch deploy --adopt` takes them over and makes only what is missing, `orch sweep NAME --delete` removes them; what is somebody else's deployment needs another name."},
		diag.Code{ID: CodeTool, Title: "Terraform cannot run", Text: "Neither terraform nor tofu was found or could be started. Put one on PATH or set ORCH_TERRAFORM; `orch doctor` shows what is found."},
	)
}

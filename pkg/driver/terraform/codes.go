package terraform

import "github.com/orch-project/orch/pkg/diag"

func init() {
	diag.Register(
		diag.Code{ID: CodeCloud, Title: "The cloud cannot be used", Text: "Before anything is made the cloud is asked for what the deployment needs. It did not answer, refused the credentials, or none is configured. `orch doctor` tries the same; `orch sandbox up` starts a cloud on this machine."},
		diag.Code{ID: CodeQuota, Title: "The quota does not suffice", Text: "What is to be made, together with what exists, exceeds a quota of the project. Nothing was created. Remove something, ask for more, or deploy less."},
		diag.Code{ID: CodeTool, Title: "Terraform cannot run", Text: "Neither terraform nor tofu was found or could be started. Put one on PATH or set ORCH_TERRAFORM; `orch doctor` shows what is found."},
	)
}

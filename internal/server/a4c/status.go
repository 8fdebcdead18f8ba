package a4c

import (
	"strings"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
)

// Words of orch for what a deployment's status is about.
const (
	doingDeploy   = "deploy"
	doingUpdate   = "update"
	doingScale    = "scale"
	doingUndeploy = "undeploy"
	doingPurge    = "purge"
)

// statusOf is Yorc's status, in upper case, of a deployment's status and what that is about. Empty: Yorc has none.
func statusOf(status, doing string) string {
	switch orch.Status(status) {
	case orch.StatusDeploying:
		if doing == doingUpdate {
			return "UPDATE_IN_PROGRESS" // of one that had failed
		}
		return "DEPLOYMENT_IN_PROGRESS"
	case orch.StatusDeployed:
		if doing == doingUpdate {
			return "UPDATED"
		}
		return "DEPLOYED"
	case orch.StatusUpdating:
		if doing == doingScale {
			return "SCALING_IN_PROGRESS"
		}
		return "UPDATE_IN_PROGRESS"
	case orch.StatusRollingBack:
		if doing == doingDeploy {
			return "DEPLOYMENT_IN_PROGRESS"
		}
		return "UPDATE_IN_PROGRESS"
	case orch.StatusUndeploying:
		if doing == event.Forget {
			return "PURGE_IN_PROGRESS"
		}
		return "UNDEPLOYMENT_IN_PROGRESS" // a purge that undeploys first is that, too
	case orch.StatusUndeployed:
		return "UNDEPLOYED"
	case event.Purged:
		return "PURGED"
	case orch.StatusFailed, orch.StatusCancelled, orch.StatusPaused:
		return failedStatus(doing)
	}
	return ""
}

func failedStatus(doing string) string {
	switch doing {
	case doingUpdate:
		return "UPDATE_FAILURE"
	case doingUndeploy:
		return "UNDEPLOYMENT_FAILED"
	case doingPurge, event.Forget:
		return "PURGE_FAILED"
	}
	return "DEPLOYMENT_FAILED"
}

// listedStatus is what the plugin can read when it starts: it does not know SCALING_IN_PROGRESS there, and would not start.
func listedStatus(d orch.Deployment) string {
	switch s := statusOf(d.Status, d.Doing); s {
	case "SCALING_IN_PROGRESS", "":
		return "DEPLOYMENT_IN_PROGRESS"
	default:
		return s
	}
}

// taskStatus is that of tasks.
func taskStatus(status string) string {
	switch status {
	case "queued", "pending":
		return "INITIAL"
	case "running", "cancelling":
		return "RUNNING"
	case "done":
		return "DONE"
	case "failed", "paused":
		return "FAILED"
	case "cancelled":
		return "CANCELED"
	}
	return strings.ToUpper(status)
}

// stepStatus is that of one of orch's steps.
func stepStatus(status string) string {
	switch status {
	case "doing":
		return "RUNNING"
	case "done":
		return "DONE"
	case "failed":
		return "ERROR"
	case "cancelled":
		return "CANCELED"
	}
	return "INITIAL" // pending, skipped
}

// taskType of a task. takesDown reports whether it only takes instances away: scaling and updates are called by the direction that they go in.
func taskType(t orch.Task, takesDown bool) string {
	switch {
	case t.Verb == orch.Undeploy && t.Doing == doingPurge:
		return "Purge"
	case t.Verb == orch.Undeploy:
		return "UnDeploy"
	case t.Verb == orch.Operate:
		return "CustomCommand"
	case t.Verb == orch.Workflow:
		return "CustomWorkflow"
	case t.Doing == doingScale && takesDown:
		return "ScaleIn"
	case t.Doing == doingScale:
		return "ScaleOut"
	case t.Doing == doingUpdate && takesDown:
		return "RemoveNodes"
	case t.Doing == doingUpdate:
		return "AddNodes"
	}
	return "Deploy"
}

// Package event says what happened: typed records in the order of their sequence number, for users (terminal tree, logs, A4C, web page).
//
// It knows neither stores nor terminals. Sequence numbers are given by the store's event log; an event without number has not been stored yet.
package event

import "time"

// Type of an event. The set is closed: readers may switch over it.
type Type string

const (
	DeploymentStatus Type = "deployment" // Status: the deployment's new status; Key: what was asked for (deploy update scale undeploy purge, Forget); Value: the task's status; Message, when a task begins: its new instances (NODE/INDEX …)
	TaskStatus       Type = "task"       // Status: the task's new status; Workflow; Key: what it does to the deployment (deploy update scale undeploy purge, Forget)
	StepStatus       Type = "step"       // Status: pending doing done failed skipped cancelled; Step
	InstanceState    Type = "instance"   // Status: the TOSCA node state (creating, started …); Node, Instance
	Attribute        Type = "attribute"  // Key, Value: an attribute of Node, Instance (never a secret: masked before)
	Resource         Type = "resource"   // Key: Terraform address; Status: creating created deleting deleted failed …
	Waiting          Type = "waiting"    // Message: what a step waits for (SSH port, cloud-init, package lock, lease …); Status Over: no longer, the step goes on
	Health           Type = "health"     // Status: healthy or unhealthy, by the policy Key; Node, Instance; Message: why not
	Log              Type = "log"        // Message: a line of output or of orch itself; Level, Stream
)

// Forget is the Key of a purge that has nothing to undeploy, and Purged the Status of the event that is kept of a deployment that is no more.
const (
	Forget = "forget"
	Purged = "purged"
)

// Over is the Status of the Waiting event that ends a step's wait.
const Over = "over"

// Level of a log line.
type Level string

const (
	Debug Level = "debug"
	Info  Level = "info"
	Warn  Level = "warn"
	Error Level = "error"
)

// Event is one thing that happened. Zero fields do not apply.
type Event struct {
	Seq        uint64    `json:"seq,omitempty"`   // per deployment, dense from 1
	Index      uint64    `json:"index,omitempty"` // over all deployments, growing; only from readers of the index, not stored
	Time       time.Time `json:"time"`
	Type       Type      `json:"type"`
	Deployment string    `json:"deployment,omitempty"`
	Task       string    `json:"task,omitempty"`
	Workflow   string    `json:"workflow,omitempty"`
	Step       string    `json:"step,omitempty"`
	// WorkflowStep is the step of the declared workflow that Step belongs to; "" in generated workflows.
	WorkflowStep string `json:"workflow_step,omitempty"`
	Node         string `json:"node,omitempty"`
	Instance     string `json:"instance,omitempty"` // "0", "1" …
	// Relationship is the requirement's name when the operation belongs to a relationship; Target its other node.
	Relationship string `json:"relationship,omitempty"`
	Target       string `json:"target,omitempty"`
	Interface    string `json:"interface,omitempty"`
	Operation    string `json:"operation,omitempty"`
	Host         string `json:"host,omitempty"`
	Status       string `json:"status,omitempty"`
	Key          string `json:"key,omitempty"`
	Value        string `json:"value,omitempty"`
	Level        Level  `json:"level,omitempty"`
	Stream       string `json:"stream,omitempty"` // "stdout", "stderr" or "" (orch)
	Message      string `json:"message,omitempty"`
}

// Emit receives events as they happen; it must not block for long and is safe for concurrent use.
type Emit func(Event)

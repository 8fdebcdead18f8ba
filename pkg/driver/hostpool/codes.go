package hostpool

import "github.com/orch-project/orch/pkg/diag"

// Codes of findings.
const (
	CodeNoHost = "no-pool-host"
	CodeFilter = "host-filter"
)

func init() {
	diag.Register(
		diag.Code{ID: CodeNoHost, Title: "No host of the pool fits", Text: "A server is to be a host of a pool, and every host is in use, cannot be reached, or lacks what is asked: the " +
			"message says which. `orch hosts list` shows the hosts with their labels. A host's labels answer the server's `filters`, and the properties of its host and os capabilities: " +
			"`host.num_cpus`, `host.mem_size`, `host.disk_size`, `os.type`, `os.distribution`, `os.version`, `os.architecture`."},
		diag.Code{ID: CodeFilter, Title: "A filter of hosts cannot be read", Text: "Filters are `label`, `!label`, `label = \"text\"` (also `!=`), `label >= 4 GB` (also `<`, `<=`, `>`), " +
			"`label ~= \"regular expression\"` (also `!~`), and `label in (a, b)` (also `not in`)."},
	)
}

package sandbox

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/orch-project/orch/internal/sandbox/gate"
	"github.com/orch-project/orch/internal/sandbox/machine"
)

// Options of a sandbox. The zero value is one in memory on a random port, whose servers are records only.
type Options struct {
	// Dir is the state directory: credentials, the machines' files, the log. Empty: a temporary one, removed by Close.
	Dir string
	// Listen is the address of the API, "127.0.0.1:0" when empty.
	Listen string
	// Machines makes servers run; nil: they are records that become ACTIVE after Delays.Build. Its Dir and External are
	// chosen by the sandbox when they are zero.
	Machines *machine.Options
	// Host runs the servers instead of what Machines describes; for tests.
	Host machine.Host
	// External is the network of floating addresses, an IPv4 prefix. Zero: one that this machine does not use.
	External netip.Prefix
	// Hypervisors is the number of compute hosts that the scheduler sees, 4 when 0: so many servers fit in an anti-affinity group.
	Hypervisors int
	// Delays of what takes time in a real cloud.
	Delays Delays
	// TokenTTL is how long tokens are valid, an hour when 0.
	TokenTTL time.Duration
	// Password is that of all users; random when empty.
	Password string
	// Quotas overrides limits, by project name, then "nova", "neutron" or "cinder", then resource.
	Quotas map[string]map[string]map[string]int
	// Region is "RegionOne" when empty.
	Region string
	Logger *slog.Logger

	// outside opens the API's socket and the servers' connections outside of this process's network namespace; nil: it has no other.
	outside *gate.Gate
}

// Delays are how long the asynchronous parts take that have no machine behind them. Zero means the default, negative none.
type Delays struct {
	// Build is the time from BUILD to ACTIVE (300 ms), Action that of reboots, attachments … (100 ms), Volume that of making a volume
	// (100 ms), Delete that of removals (100 ms).
	Build, Action, Volume, Delete time.Duration
}

func orDefault(d, standard time.Duration) time.Duration {
	switch {
	case d < 0:
		return 0
	case d == 0:
		return standard
	}
	return d
}

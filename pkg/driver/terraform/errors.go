package terraform

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plugin"
	"github.com/orch-project/orch/pkg/topology"
)

// Class of a cloud's failure; it decides the hint and whether trying again may help.
type Class string

const (
	ClassQuota       Class = "quota"
	ClassCapacity    Class = "no valid host"
	ClassNotFound    Class = "not found"
	ClassConflict    Class = "conflict"
	ClassServer      Class = "cloud error"
	ClassRate        Class = "rate limit"
	ClassAuth        Class = "authentication"
	ClassForbidden   Class = "forbidden"
	ClassUnreachable Class = "unreachable"
	ClassTimeout     Class = "timeout"
	ClassInvalid     Class = "invalid request"
	ClassDisk        Class = "disk full"
	ClassUnknown     Class = ""
)

// classes in the order in which they are tried: the specific before the general.
var classes = []struct {
	class Class
	re    *regexp.Regexp
	retry bool
	hint  string
}{
	{ClassDisk, regexp.MustCompile(`no space left on device|disk quota exceeded`), false, "make room on the disk of the orchestrator, and resume"},
	{ClassQuota, regexp.MustCompile(`(?i)quota exceeded|quota.*exceed|exceeds? (allowed|available) .*quota|OverQuota|LimitExceeded|limit exceeded|exceedsavailablequota|OverLimit.*(quota|maximum number)`), false,
		quotaHint},
	{ClassCapacity, regexp.MustCompile(`(?i)no valid host|not enough hosts|insufficient resources|no weighed backends|NoValidBackend`), false,
		"the cloud has no room for this flavor, zone or server group; choose another flavor or availability zone, or try again later"},
	{ClassRate, regexp.MustCompile(`(?i)\b429\b|too many requests|rate limit`), true, "the cloud limits the rate of requests; orch tries again"},
	{ClassAuth, regexp.MustCompile(`(?i)\b401\b|unauthorized|authentication (failed|required)|requires authentication|must provide exactly one|missing .*(username|auth|password)|OS_AUTH_URL|authenticating`), false,
		"check the location's credentials (clouds.yaml or OS_*); orch doctor tries them"},
	{ClassForbidden, regexp.MustCompile(`(?i)\b403\b|forbidden|policy doesn't allow|not authorized`), false,
		"the project's roles do not allow this; ask the cloud's administrator"},
	{ClassTimeout, regexp.MustCompile(`(?i)context deadline exceeded|timeout while waiting|timed out|i/o timeout|gateway timeout`), true,
		"the cloud took too long; orch tries again"},
	{ClassUnreachable, regexp.MustCompile(`(?i)connection refused|no such host|no route to host|network is unreachable|connection reset|EOF\b|tls: |x509: |dial tcp`), true,
		"the cloud's API cannot be reached; check the network and the endpoint"},
	{ClassServer, regexp.MustCompile(`(?i)\b(500|502|503|504)\b|internal server error|bad gateway|service unavailable|computeFault`), true,
		"the cloud failed inside; orch tries again"},
	{ClassConflict, regexp.MustCompile(`(?i)\b409\b|conflict|already exists|in use|InUse`), true,
		"the cloud says that something stands in the way, named above"},
	// Neutron's sentence (the external network is not reachable from the subnet) is lost in the provider's.
	{ClassNotFound, regexp.MustCompile(`associating openstack_networking_floatingip_v2 .*: Resource not found|is not reachable from subnet`), false,
		"the network of that port has no way to the external network: connect it to a router with that gateway, or name another network"},
	{ClassNotFound, regexp.MustCompile(`(?i)\b404\b|not found|could not be found|returned no results|unable to find|no .* matches|no suitable`), false,
		"the cloud has nothing of that name or id for this project"},
	{ClassInvalid, regexp.MustCompile(`(?i)\b400\b|bad request|invalid`), false, "the cloud does not accept the request; its words say why"},
}

// Classify finds out what kind of failure a cloud's words are.
func Classify(text string) (class Class, retryable bool, hint string) {
	for _, c := range classes {
		if c.re.MatchString(text) {
			return c.class, c.retry, c.hint
		}
	}
	return ClassUnknown, false, ""
}

// CloudError is a failure in the cloud's own words, with what kind it is. It is found in driver.Error's chain.
type CloudError struct {
	Class   Class
	Address string
	Text    string
}

func (e *CloudError) Error() string { return e.Text }

// explain says why a request failed: its own failure, else the one it depends on.
func (t *tracker) explain(ctx context.Context, i int, failure error) error {
	for _, d := range t.failed {
		if d.Address != "" && slices.Contains(t.addresses[i], d.Address) {
			return t.cloudError(ctx, d, "")
		}
	}
	if err := t.heldOf(i); err != nil {
		return err
	}
	if len(t.failed) > 0 {
		d := t.rootOf(i)
		if owner := t.owners[d.Address]; owner != (topology.Instance{}) {
			who := owner.Node
			if owner.Index != "" {
				who = owner.String()
			}
			e := t.cloudError(ctx, d, "not done because "+who+" failed: ")
			e.Because = owner
			return e
		}
		return t.cloudError(ctx, d, "")
	}
	r := t.b.reqs[i]
	if failure != nil {
		return failure
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return &driver.Error{Op: "terraform apply", Host: "orchestrator", ExitCode: -1, Retryable: true,
		Err: fmt.Errorf("%s was not made when Terraform ended; was it cancelled?", r.ID())}
}

// rootOf is the failure that a request depends on, or else the first.
func (t *tracker) rootOf(i int) diagnostic {
	needs := map[string]bool{}
	t.b.bundle.Manifest.reach(plugin.EntryKey(t.b.reqs[i].ID()), needs)
	for _, d := range t.failed {
		if _, key := t.b.bundle.Manifest.owner(d.Address); needs[key] {
			return d
		}
	}
	return t.failed[0]
}

func (t *tracker) cloudError(ctx context.Context, d diagnostic, because string) *driver.Error {
	text := clarify(d)
	ce := &CloudError{Address: d.Address, Text: text}
	e := &driver.Error{Op: "terraform apply " + d.Address, Host: "orchestrator", ExitCode: -1, Detail: because + text, Err: ce}
	if d.Address == "" {
		e.Op = "terraform apply"
	}
	if fault, console := t.serverWords(ctx, d.Address); fault != "" {
		ce.Text = fault
		e.Detail, e.Console = because+fault, console
		text = fault
	}
	ce.Class, e.Retryable, e.Hint = Classify(text)
	return e
}

// serverWords are Nova's fault and the end of the console log of a server that went to ERROR: Terraform does not pass them on.
func (t *tracker) serverWords(ctx context.Context, address string) (fault string, console []string) {
	if t.b.cloud == nil || address == "" {
		return "", nil
	}
	id := idOf(t.b.bundle.state.find(address))
	if id == "" || !t.isServer(address) {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	fault, err := t.b.cloud.Fault(ctx, id)
	if err != nil {
		t.b.d.opts.Logger.Warn("cannot read the server's fault", "server", id, "err", err)
	}
	if log, err := t.b.cloud.Console(ctx, id, 40); err == nil {
		console = lastLines(log, 12)
	}
	return fault, console
}

// isServer reports whether the address is the first resource of an instance whose mapping has a host.
func (t *tracker) isServer(address string) bool {
	e, _ := t.b.bundle.Manifest.owner(address)
	if e == nil {
		return false
	}
	n := t.b.renderer.Topology.NodeNamed(e.Instance.Node)
	if n == nil {
		return false
	}
	m := t.b.d.opts.Plugins.MappingFor(n, t.b.loc)
	return m != nil && m.Host != nil && len(e.Blocks) > 0 && e.Blocks[0].address() == address
}

var (
	jsonTail = regexp.MustCompile(`"message":\s*"((?:[^"\\]|\\.)*)"`)
)

// clarify takes the cloud's sentence out of the provider's: from {"NeutronError": {"message": "Quota exceeded …"}} the message.
func clarify(d diagnostic) string {
	text := strings.TrimSpace(d.Summary)
	if d.Detail != "" && !strings.Contains(text, d.Detail) {
		text = strings.TrimSpace(text + ": " + d.Detail)
	}
	text = strings.Join(strings.Fields(text), " ")
	if m := jsonTail.FindStringSubmatch(text); m != nil && strings.TrimSpace(m[1]) != "" {
		said := strings.NewReplacer(`\"`, `"`, `\n`, " ", `\\`, `\`).Replace(m[1])
		head, _, _ := strings.Cut(text, "{")
		return strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(head), ":") + ": " + said)
	}
	return text
}

func cloudUnreachable(err error) error {
	var x *driver.Error
	if errors.As(err, &x) {
		return err
	}
	_, retry, hint := Classify(err.Error())
	return &driver.Error{Op: "ask the cloud", Host: "orchestrator", ExitCode: -1, Detail: err.Error(), Hint: hint, Retryable: retry, Err: err}
}

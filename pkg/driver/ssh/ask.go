package ssh

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/orch-project/orch/pkg/driver"
)

// The cloud is asked about servers that cannot be reached, at most so often for each, and may take so long to answer.
const (
	askEvery    = 10 * time.Second
	askPatience = 10 * time.Second
)

// deploymentKey is the context's key of the deployment whose operation is run: it tells which cloud to ask.
type deploymentKey struct{}

// questions remembers when the cloud was last asked about a server.
type questions struct {
	mu sync.Mutex
	at map[string]time.Time
}

// due reports whether the question may be asked now, and notes that it is.
func (q *questions) due(question string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if last, ok := q.at[question]; ok && time.Since(last) < askEvery {
		return false
	}
	if q.at == nil || len(q.at) > 4096 {
		q.at = map[string]time.Time{}
	}
	q.at[question] = time.Now()
	return true
}

// cloud to ask about the host's server; nil when there is none, or it has just been asked.
func (p *Pool) cloud(ctx context.Context, h driver.Host, question string) driver.Cloud {
	deployment, ok := ctx.Value(deploymentKey{}).(string)
	if !ok || p.o.Cloud == nil || h.ServerID == "" || !p.asked.due(question+" "+h.ServerID) {
		return nil
	}
	c, err := p.o.Cloud(ctx, deployment)
	if err != nil {
		return nil // the failure itself matters more
	}
	return c
}

// broken are the statuses out of which a server does not come by itself, resting those in which it cannot be reached until somebody wakes it.
var (
	broken  = map[string]bool{"ERROR": true, driver.ServerDeleted: true, "SOFT_DELETED": true}
	resting = map[string]bool{"SHUTOFF": true, "PAUSED": true, "SUSPENDED": true, "SHELVED": true, "SHELVED_OFFLOADED": true}
)

// down asks the cloud about a server that cannot be reached, and is the error if it says that this will stay so; nil if it does not, or does not answer.
// How an operation has ended that ran there is not known, so its journal is to be asked when the server is back.
func (p *Pool) down(ctx context.Context, h driver.Host) error {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	c, ok := p.cloud(ctx, h, "status").(driver.Statuser)
	if !ok {
		return nil
	}
	status, fault, err := c.ServerStatus(ctx, h.ServerID)
	if err != nil || !broken[status] && !resting[status] {
		return nil
	}
	e := &driver.Error{Op: "connect by SSH", Host: address(h), ExitCode: -1, Retryable: true, Final: broken[status]}
	name := fmt.Sprintf("the server %s of %s", h.ServerID, h.Instance)
	switch {
	case status == driver.ServerDeleted:
		e.Err, e.Hint = fmt.Errorf("%s does not exist in the cloud any more", name), "make the server anew: orch heal"
	case fault != "":
		e.Err, e.Hint = fmt.Errorf("%s is %s: %s", name, status, fault), "mend the cause and reboot the server, or make it anew: orch heal"
	case broken[status]:
		e.Err, e.Hint = fmt.Errorf("%s is %s", name, status), "reboot the server, or make it anew: orch heal"
	default:
		e.Err, e.Hint = fmt.Errorf("%s is %s, so nothing runs on it", name, status), "start the server, then orch resume"
	}
	e.Detail = e.Err.Error()
	return e
}

// finished is the last line that cloud-init prints to the console, on the first boot and on every other.
var finished = regexp.MustCompile(`Cloud-init v\. \S+ finished at `)

// firstBootOver reports that cloud-init says on the console that it has done its work: whom it has not let in by then, it never will.
func (p *Pool) firstBootOver(ctx context.Context, h driver.Host) bool {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	c := p.cloud(ctx, h, "console")
	if c == nil {
		return false
	}
	text, err := c.Console(ctx, h.ServerID, 0)
	return err == nil && finished.MatchString(text)
}

// stranger is the error of a host that refuses the login although its cloud-init has finished.
func stranger(h driver.Host, err error) error {
	var e *driver.Error
	if !errors.As(explain(h, err), &e) {
		return err
	}
	c := *e
	c.Err = fmt.Errorf("%w; its cloud-init has finished, so waiting will not help", e.Err)
	c.Hint = strings.Join([]string{"the user or the key is not what the server was made with: " + e.Hint,
		"`ssh-keygen -lf FILE` shows a key's fingerprint, the location's user, key_pair and private_key say which are used"}, "; ")
	return &c
}

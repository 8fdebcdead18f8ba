package nova

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func (s *Service) consoleOutput(c *rest.Call, raw json.RawMessage) (rest.Reply, error) {
	var b struct{ Length any }
	_ = json.Unmarshal(raw, &b) // null is allowed
	lines, ok := toInt(b.Length)
	if !ok {
		return rest.Reply{}, rest.Bad("Invalid input for field/attribute length. Value: %v. %v is not valid under any of the given schemas", b.Length, b.Length)
	}
	if b.Length != nil && lines == 0 {
		return rest.OK(map[string]any{"output": ""})
	}
	s.Cloud.Lock()
	v, err := s.server(c)
	if err == nil && (v.VMState == "building" || v.Host == "") {
		err = rest.Conflict("Instance %s is not ready", v.ID)
	}
	host := s.Cloud.Host
	text := ""
	if err == nil && host == nil {
		text = recordedConsole(v)
	}
	s.Cloud.Unlock()
	if err != nil {
		return rest.Reply{}, err
	}
	if host != nil {
		if text, err = host.Console(context.WithoutCancel(c.Context()), v.ID, lines); err != nil {
			return rest.Reply{}, rest.Missing("Unable to get console: %v", err)
		}
	} else if all := strings.SplitAfter(text, "\n"); lines > 0 && len(all) > lines {
		text = strings.Join(all[len(all)-lines-1:], "")
	}
	return rest.OK(map[string]any{"output": text})
}

// recordedConsole is the log of a server that is only a record.
func recordedConsole(v *cloud.Server) string {
	return fmt.Sprintf("[    0.000000] sandbox: %s is a record only, no machine runs\n[    0.000001] sandbox: booted\n\n%s login: \n", v.ID, v.Hostname)
}

func (s *Service) noConsole(*rest.Call, *cloud.Server, json.RawMessage) (rest.Reply, error) {
	return rest.Reply{}, rest.Bad("Unavailable console type.")
}

func (s *Service) remoteConsole(c *rest.Call) (rest.Reply, error) {
	if _, err := s.server(c); err != nil {
		return rest.Reply{}, err
	}
	return rest.Reply{}, rest.Bad("Unavailable console type.")
}

func (s *Service) serverPassword(c *rest.Call) (rest.Reply, error) {
	if _, err := s.server(c); err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"password": ""})
}

func (s *Service) clearPassword(c *rest.Call) (rest.Reply, error) {
	if _, err := s.server(c); err != nil {
		return rest.Reply{}, err
	}
	return rest.Empty()
}

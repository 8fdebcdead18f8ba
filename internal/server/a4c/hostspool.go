package a4c

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/hostpool"
	"github.com/orch-project/orch/pkg/orch"
)

// Yorc's words for hosts of pools.
type (
	poolConnection struct {
		Host       *string `json:"host,omitempty"`
		User       *string `json:"user,omitempty"`
		Port       *uint64 `json:"port,omitempty"`
		Password   *string `json:"password,omitempty"`
		PrivateKey *string `json:"private_key,omitempty"`
	}
	poolLabelChange struct {
		Op    string `json:"op"`
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	poolHostChange struct {
		Connection *poolConnection   `json:"connection"`
		Labels     []poolLabelChange `json:"labels"`
	}
	poolHostConfig struct {
		Name       string            `json:"name"`
		Connection poolConnection    `json:"connection"`
		Labels     map[string]string `json:"labels"`
	}
	poolHosts struct {
		Hosts []poolHostConfig `json:"hosts"`
	}
	poolAllocation struct {
		ID         string            `json:"id"`
		Node       string            `json:"node_name"`
		Instance   string            `json:"instance"`
		Deployment string            `json:"deployment_id"`
		Shareable  bool              `json:"shareable"`
		Resources  map[string]string `json:"resource_labels,omitempty"`
		Policy     string            `json:"placement_policy"`
	}
	poolHost struct {
		Name        string            `json:"name"`
		Connection  map[string]any    `json:"connection"`
		Status      string            `json:"status,omitempty"`
		Reason      string            `json:"reason,omitempty"`
		Labels      map[string]string `json:"labels,omitempty"`
		Allocations []poolAllocation  `json:"allocations,omitempty"`
		Links       []link            `json:"links"`
	}
	poolCollection struct {
		Checkpoint uint64   `json:"checkpoint"`
		Hosts      []link   `json:"hosts,omitempty"`
		Warnings   []string `json:"warnings,omitempty"`
	}
)

func (c *poolConnection) wanted(labels map[string]string) hostpool.Wanted {
	w := hostpool.Wanted{Host: c.Host, User: c.User, Password: unmasked(c.Password), PrivateKey: unmasked(c.PrivateKey), Labels: labels}
	if c.Port != nil {
		port := int(min(*c.Port, 1<<17)) // too large stays too large
		w.Port = &port
	}
	return w
}

// unmasked leaves out what only says that there is a secret: a client that sends back what it was shown, as `yorc hostspool apply` does with
// what `export` has written, means the secret that there is.
func unmasked(v *string) *string {
	if v != nil && *v == orch.Mask {
		return nil
	}
	return v
}

func (h *poolHostChange) wanted() (hostpool.Wanted, error) {
	if h.Connection == nil {
		h.Connection = &poolConnection{}
	}
	w := h.Connection.wanted(map[string]string{})
	for _, l := range h.Labels {
		switch strings.ToLower(l.Op) {
		case "add", "":
			w.Labels[l.Name] = l.Value
		case "remove":
			w.RemoveLabels = append(w.RemoveLabels, l.Name)
		default:
			return w, badRequest("unknown operation " + quote(l.Op) + " on the label " + quote(l.Name))
		}
	}
	return w, nil
}

func (s *Server) hostsPools(c echo.Context) error {
	names, err := s.opts.Service.Hosts().Pools(c.Request().Context())
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return c.NoContent(http.StatusNoContent)
	}
	return answer(c, http.StatusOK, map[string]any{"locations": names})
}

func hostPath(pool, host string) string { return "/hosts_pool/" + pool + "/" + host }

func (s *Server) hosts(c echo.Context) error {
	pool := param(c, "location")
	l, err := s.opts.Service.Hosts().List(c.Request().Context(), pool, c.QueryParams()["filter"])
	if err != nil {
		return err
	}
	if len(l.Hosts) == 0 {
		return c.NoContent(http.StatusNoContent)
	}
	return answer(c, http.StatusOK, collection(pool, l))
}

func collection(pool string, l orch.HostList) poolCollection {
	out := poolCollection{Checkpoint: l.Checkpoint}
	for _, h := range l.Hosts {
		out.Hosts = append(out.Hosts, to("host", "/hosts_pool", pool, h.Name))
		if h.Reason != "" {
			out.Warnings = append(out.Warnings, "host "+quote(h.Name)+": "+h.Reason)
		}
	}
	return out
}

// poolHost shows a host. Secrets are never shown, unlike Yorc's: that there is one is.
func (s *Server) poolHost(c echo.Context) error {
	h, err := s.opts.Service.Hosts().Host(c.Request().Context(), param(c, "location"), param(c, "host"))
	if err != nil {
		return err
	}
	out := poolHost{Name: h.Name, Reason: h.Reason, Labels: h.Labels, Links: []link{to("self", hostPath(h.Location, h.Name))},
		Connection: map[string]any{"host": h.Connection.Host, "user": h.Connection.User, "port": h.Connection.Port}}
	if h.Connection.PasswordRef != "" {
		out.Connection["password"] = orch.Mask
	}
	if h.Connection.KeyRef != "" {
		out.Connection["private_key"] = orch.Mask
	}
	if st := h.Status(); st != hostpool.Free {
		out.Status = string(st)
	}
	for _, a := range h.Allocations {
		took := map[string]string{}
		for k, n := range a.Resources {
			took[k] = strconv.FormatFloat(n, 'f', -1, 64)
		}
		out.Allocations = append(out.Allocations, poolAllocation{a.ID, a.Node, a.Instance, a.Deployment, a.Shareable, took, a.Policy})
	}
	return answer(c, http.StatusOK, out)
}

func (s *Server) addHost(c echo.Context) error {
	var change poolHostChange
	if err := body(c, &change); err != nil {
		return err
	}
	if change.Connection == nil {
		return badRequest("a host needs a connection")
	}
	w, err := change.wanted()
	if err != nil {
		return err
	}
	if len(w.RemoveLabels) > 0 {
		return badRequest("a host that is new has no label " + quote(w.RemoveLabels[0]) + " to remove")
	}
	pool, name := param(c, "location"), param(c, "host")
	h, err := s.opts.Service.Hosts().Add(c.Request().Context(), pool, name, w)
	if err != nil {
		return refused(err)
	}
	warn(c, h)
	c.Response().Header().Set(echo.HeaderLocation, hostPath(pool, name))
	return c.NoContent(http.StatusCreated)
}

// warn of a host that cannot be reached; it is in the pool all the same.
func warn(c echo.Context, h *hostpool.Host) {
	if h.Reason != "" {
		c.Response().Header().Set("Warning", `199 - "`+strings.NewReplacer(`"`, "'", "\r", " ", "\n", " ").Replace(h.Reason)+`"`)
	}
}

func (s *Server) updateHost(c echo.Context) error {
	var change poolHostChange
	if err := body(c, &change); err != nil {
		return err
	}
	w, err := change.wanted()
	if err != nil {
		return err
	}
	h, err := s.opts.Service.Hosts().Update(c.Request().Context(), param(c, "location"), param(c, "host"), w)
	if err != nil {
		return turned(err, orch.KindConflict, http.StatusBadRequest)
	}
	warn(c, h)
	return c.NoContent(http.StatusOK)
}

func (s *Server) removeHost(c echo.Context) error {
	err := s.opts.Service.Hosts().Remove(c.Request().Context(), param(c, "location"), param(c, "host"))
	if err != nil {
		return turned(err, orch.KindConflict, http.StatusBadRequest)
	}
	return c.NoContent(http.StatusOK)
}

// applyHostsAt changes the whole pool if nobody has changed it since ?checkpoint.
func (s *Server) applyHostsAt(c echo.Context) error {
	at, err := strconv.ParseUint(c.QueryParam("checkpoint"), 10, 64)
	if err != nil {
		return badParameter("checkpoint", "the pool's checkpoint is needed")
	}
	return s.applyHostsTo(c, &at, http.StatusCreated)
}

func (s *Server) applyHosts(c echo.Context) error { return s.applyHostsTo(c, nil, http.StatusOK) }

func (s *Server) applyHostsTo(c echo.Context, at *uint64, status int) error {
	var b poolHosts
	if err := body(c, &b); err != nil {
		return err
	}
	wanted := map[string]hostpool.Wanted{}
	for _, h := range b.Hosts {
		if _, twice := wanted[h.Name]; twice || h.Name == "" {
			return badRequest("a host needs a name of its own: " + quote(h.Name))
		}
		wanted[h.Name] = h.Connection.wanted(h.Labels)
	}
	pool := param(c, "location")
	l, err := s.opts.Service.Hosts().ApplyHosts(c.Request().Context(), pool, wanted, at)
	if err != nil {
		return refused(err)
	}
	return answer(c, status, collection(pool, l))
}

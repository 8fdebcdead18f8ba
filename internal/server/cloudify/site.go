package cloudify

import (
	"context"
	"strconv"
	"strings"
)

type siteRecord struct {
	owned
	Latitude  *float64 `json:"latitude,omitempty"`
	Longitude *float64 `json:"longitude,omitempty"`
}

type siteDocument struct {
	common
	Name      string   `json:"name"`
	Location  *string  `json:"location"`
	Latitude  *float64 `json:"latitude"`
	Longitude *float64 `json:"longitude"`
}

func siteOf(r siteRecord) siteDocument {
	d := siteDocument{common: r.common(), Name: r.ID, Latitude: r.Latitude, Longitude: r.Longitude}
	if r.Latitude != nil {
		s := number(*r.Latitude) + ", " + number(*r.Longitude)
		d.Location = &s
	}
	return d
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// setLocation reads "latitude, longitude"; an empty text removes them.
func (r *siteRecord) setLocation(s string) error {
	if s == "" {
		r.Latitude, r.Longitude = nil, nil
		return nil
	}
	lat, long, ok := strings.Cut(s, ",")
	a, err := strconv.ParseFloat(strings.TrimSpace(lat), 64)
	b, err2 := strconv.ParseFloat(strings.TrimSpace(long), 64)
	if !ok || err != nil || err2 != nil || !(a >= -90 && a <= 90) || !(b >= -180 && b <= 180) {
		return badParameters("Invalid location `%s`, the format is expected to be \"latitude,longitude\" such as \"32.071072,34.787274\", with the latitude from -90 to 90 and the longitude from -180 to 180", s)
	}
	r.Latitude, r.Longitude = &a, &b
	return nil
}

func (s *Server) siteRecord(ctx context.Context, tenant, name string) (siteRecord, error) {
	r, found, err := s.shelf.sites.get(ctx, tenant, name)
	if err == nil && !found {
		err = notFound("Site", name)
	}
	return r, err
}

type siteBody struct {
	Location   *string `json:"location"`
	Visibility string  `json:"visibility"`
	NewName    string  `json:"new_name"`
}

func (s *Server) createSite(q *request) (any, error) {
	var b siteBody
	name := q.param("name")
	if err := checkID("name", name, false); err != nil {
		return nil, err
	}
	if err := q.optionalBody(&b); err != nil {
		return nil, err
	}
	vis, err := visibility(b.Visibility, false)
	if err != nil {
		return nil, err
	}
	r := siteRecord{owned: owned{ID: name, Tenant: q.tenant, By: q.user(), Visibility: vis, Created: s.opts.now()}}
	if b.Location != nil {
		if err := r.setLocation(*b.Location); err != nil {
			return nil, err
		}
	}
	err = s.shelf.sites.change(q.Request().Context(), q.tenant, name, func(have *siteRecord) (*siteRecord, error) {
		if have != nil {
			return nil, existing("site", name)
		}
		return &r, nil
	})
	if err != nil {
		return nil, err
	}
	return siteOf(r), nil
}

// updateSite changes place, visibility and name.
func (s *Server) updateSite(q *request) (any, error) {
	ctx, name := q.Request().Context(), q.param("name")
	var b siteBody
	if err := q.body(&b); err != nil {
		return nil, err
	}
	r, err := s.siteRecord(ctx, q.tenant, name)
	if err != nil {
		return nil, err
	}
	if b.Location != nil {
		if err := r.setLocation(*b.Location); err != nil {
			return nil, err
		}
	}
	if b.Visibility != "" {
		if r.Visibility, err = visibility(b.Visibility, false); err != nil {
			return nil, err
		}
	}
	if b.NewName != "" && b.NewName != name {
		if err := s.renameSite(ctx, q, &r, b.NewName); err != nil {
			return nil, err
		}
		return siteOf(r), nil
	}
	if err := s.shelf.sites.put(ctx, q.tenant, r.ID, r); err != nil {
		return nil, err
	}
	return siteOf(r), nil
}

func (s *Server) renameSite(ctx context.Context, q *request, r *siteRecord, name string) error {
	if err := checkID("new_name", name, false); err != nil {
		return err
	}
	old := r.ID
	r.ID = name
	err := s.shelf.sites.change(ctx, q.tenant, name, func(have *siteRecord) (*siteRecord, error) {
		if have != nil {
			return nil, existing("site", name)
		}
		return r, nil
	})
	if err != nil {
		return err
	}
	if err := s.moveDeployments(ctx, q.tenant, old, name); err != nil {
		return err
	}
	return s.shelf.sites.remove(ctx, q.tenant, old)
}

// moveDeployments attaches the deployments of a site to another, "" to none.
func (s *Server) moveDeployments(ctx context.Context, tenant, from, to string) error {
	all, err := s.shelf.deployments.all(ctx, tenant)
	if err != nil {
		return err
	}
	for _, d := range all {
		if d.Site != from {
			continue
		}
		err := s.shelf.deployments.change(ctx, tenant, d.ID, func(r *deploymentRecord) (*deploymentRecord, error) {
			if r != nil && r.Site == from {
				r.Site = to
			}
			return r, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) site(q *request) (any, error) {
	r, err := s.siteRecord(q.Request().Context(), q.tenant, q.param("name"))
	if err != nil {
		return nil, err
	}
	return answerOne(q, siteOf(r))
}

func (s *Server) sites(q *request) (any, error) {
	l, err := listingOf[siteDocument](q)
	if err != nil {
		return nil, err
	}
	all, err := s.shelf.sites.all(q.Request().Context(), q.tenant)
	if err != nil {
		return nil, err
	}
	docs := []siteDocument{}
	for _, r := range all {
		docs = append(docs, siteOf(r))
	}
	return answerList(q.Request().Context(), q, l, docs, nil)
}

func (s *Server) deleteSite(q *request) (any, error) {
	ctx, name := q.Request().Context(), q.param("name")
	if _, err := s.siteRecord(ctx, q.tenant, name); err != nil {
		return nil, err
	}
	if err := s.moveDeployments(ctx, q.tenant, name, ""); err != nil {
		return nil, err
	}
	if err := s.shelf.sites.remove(ctx, q.tenant, name); err != nil {
		return nil, err
	}
	return nothing()
}

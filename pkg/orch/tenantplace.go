package orch

// Hosts and Locations belong to the server: every tenant may deploy to them, and only the server's admin changes them (the routes say so).

func (s *inTenant) Hosts() Hosts { return s.svc.Hosts() }

func (s *inTenant) Locations() Locations { return s.svc.Locations() }

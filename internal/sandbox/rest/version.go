package rest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Version is a microversion.
type Version struct{ Major, Minor int }

// At reports whether the version is 2.minor (or 3.minor for Cinder) or newer.
func (v Version) At(minor int) bool { return v.Minor >= minor }

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// Range are the microversions of a service.
type Range struct {
	Min, Max Version
	// Service is the name in OpenStack-API-Version ("compute", "volume"); Legacy an older header of its own.
	Service, Legacy string
}

// Negotiate reads the wanted version from the request and sets the reply's headers.
// Errors: 400 for what is not a version, 406 for one out of range.
func (r *Range) Negotiate(req *http.Request, reply http.Header) (Version, error) {
	reply.Add("Vary", "OpenStack-API-Version")
	if r.Legacy != "" {
		reply.Add("Vary", r.Legacy)
	}
	v, err := r.parse(r.wanted(req.Header))
	shown := v
	if err != nil {
		shown = r.Min
	}
	reply.Set("OpenStack-API-Version", r.Service+" "+shown.String())
	if r.Legacy != "" {
		reply.Set(r.Legacy, shown.String())
	}
	if err != nil {
		return v, err
	}
	return v, nil
}

func (r *Range) wanted(h http.Header) string {
	for _, value := range h.Values("OpenStack-API-Version") {
		for part := range strings.SplitSeq(value, ",") {
			if name, version, ok := strings.Cut(strings.TrimSpace(part), " "); ok && strings.HasPrefix(strings.ToLower(name), r.Service) {
				// Cinder looks for its name in what clients write, and some write volumev3.
				return strings.TrimSpace(version)
			}
		}
	}
	if r.Legacy != "" {
		return h.Get(r.Legacy)
	}
	return ""
}

func (r *Range) parse(text string) (Version, error) {
	switch text {
	case "":
		return r.Min, nil
	case "latest":
		return r.Max, nil
	}
	major, minor, ok := strings.Cut(text, ".")
	a, err1 := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	if !ok || err1 != nil || err2 != nil || b < 0 || major[0] == '0' || len(minor) > 1 && minor[0] == '0' {
		return Version{}, Bad("API Version String %s is of invalid format. Must be of format MajorNum.MinorNum.", text)
	}
	v := Version{a, b}
	if a != r.Min.Major || b < r.Min.Minor || b > r.Max.Minor {
		return v, Fail(http.StatusNotAcceptable, "Version %s is not supported by the API. Minimum is %s and maximum is %s.", v, r.Min, r.Max)
	}
	return v, nil
}

package a4c

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
)

// names reports whether one of the media types of the headers means want. Yorc compares the whole header; parameters and lists mean the
// same, so they pass here.
func names(headers []string, want string) bool {
	some := false
	for _, h := range headers {
		for _, one := range strings.Split(h, ",") {
			t, _, err := mime.ParseMediaType(strings.TrimSpace(one))
			if err != nil {
				some = some || strings.TrimSpace(one) != ""
				continue
			}
			major, _, _ := strings.Cut(want, "/")
			if t == want || t == "*/*" || t == major+"/*" {
				return true
			}
			some = true
		}
	}
	return !some
}

// flag is a boolean query parameter: absent is false, without a value true.
func flag(c echo.Context, name string) (bool, error) {
	if !c.QueryParams().Has(name) {
		return false, nil
	}
	v := c.QueryParam(name)
	if v == "" {
		return true, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, badParameter(name, fmt.Sprintf("%q is neither true nor false", v))
	}
	return b, nil
}

func badParameter(name, why string) error {
	return &problem{http.StatusBadRequest, "bad_request", fmt.Sprintf("Invalid value for parameter %q: %s.", name, why)}
}

// param is a decoded path parameter.
func param(c echo.Context, name string) string {
	v := c.Param(name)
	if d, err := url.PathUnescape(v); err == nil {
		return d
	}
	return v
}

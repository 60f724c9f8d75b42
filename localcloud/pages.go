package localcloud

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// checkPage refuses what a page of somebody else asks for in this machine's
// browser. The credentials are known to all, so any page can sign a URL or a form
// for 127.0.0.1, and browsers send such a request unasked. A page of this machine
// may ask for anything, one of elsewhere may read from S3, whose answer it only
// sees when the bucket's CORS rules say so, and write where these let it.
func (c *Cloud) checkPage(w http.ResponseWriter, r *http.Request, service string) error {
	h := r.Header
	if service == "s3" && h.Get("Sec-Fetch-Mode") == "navigate" {
		// An object that is shown as a page must not act as one of this cloud.
		w.Header().Set("Content-Security-Policy", "sandbox allow-downloads")
	}
	reads := service == "s3" && (r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions)
	if reads {
		return nil
	}
	from := "another site"
	if origins := h.Values("Origin"); len(origins) > 0 {
		if from = strings.Join(origins, ", "); len(origins) == 1 && ofThisMachine(from) {
			return nil
		}
		if bucket, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/"); service == "s3" && c.s3.Admits(bucket, from, r.Method) {
			return nil
		}
	} else if h.Get("Sec-Fetch-Site") != "cross-site" {
		return nil
	}
	code := "AccessDeniedException"
	if service == "s3" {
		code = "AccessDenied"
	}
	c.log.Warn("request of a page in a browser was refused", "page", from, "operation", operation(r))
	return &wire.Error{Code: code, Status: http.StatusForbidden,
		Message: "The local cloud takes no such request from a page of " + from + ": only from pages of this machine, or those that a bucket's CORS rules name."}
}

// ofThisMachine tells whether an origin is a page that a loopback address serves.
func ofThisMachine(origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && loopbackHost(u.Host)
}

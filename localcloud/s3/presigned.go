package s3

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// signedQuery are the query parameters that signature version 2 covers.
var signedQuery = []string{"acl", "cors", "delete", "lifecycle", "location", "logging", "notification", "partNumber", "policy", "requestPayment",
	"response-cache-control", "response-content-disposition", "response-content-encoding", "response-content-language", "response-content-type", "response-expires",
	"restore", "tagging", "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website"}

// isoTime is how S3 writes times in its answers.
const isoTime = "2006-01-02T15:04:05Z"

// upgrade turns a URL that is presigned by signature version 2, which boto3 and
// the AWS CLI still make for us-east-1, into a request of version 4, which is all
// that the gateway reads. Other requests stay as they are.
// https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
func (s *S3) upgrade(r *http.Request) error {
	q := r.URL.Query()
	if q.Has("X-Amz-Signature") {
		return s.unhoist(r, q)
	}
	const attributes = "X-Amz-Object-Attributes"
	if list := r.Header.Get(attributes); strings.Contains(list, " ") { // which the gateway takes for a part of a name
		return s.resign(r, func() { r.Header.Set(attributes, strings.ReplaceAll(list, " ", "")) })
	}
	key := q.Get("AWSAccessKeyId")
	if !q.Has("Signature") && key == "" || r.Header.Get("Authorization") != "" {
		return nil
	}
	if key == "" || !q.Has("Signature") || !q.Has("Expires") {
		return &wire.Error{Code: "AccessDenied", Status: http.StatusForbidden, Message: "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"}
	}
	now := clock.Real{}.Now()
	at, err := strconv.ParseInt(q.Get("Expires"), 10, 64)
	if err != nil {
		return &wire.Error{Code: "AccessDenied", Status: http.StatusForbidden, Message: "Invalid date (should be seconds since epoch): " + q.Get("Expires")}
	}
	if until := time.Unix(at, 0); !now.Before(until) {
		return s3err.GetExpiredPresignedURLError(0, until.UTC().Format(isoTime), now.UTC().Format(isoTime))
	}
	secret, token, _, ok := s.options.SecretFor(key)
	if !ok {
		return s3err.GetInvalidAccessKeyIdErr(key)
	}
	mac := hmac.New(sha1.New, []byte(secret))
	text := toSign(r, q)
	_, _ = mac.Write([]byte(text))
	if given, err := base64.StdEncoding.DecodeString(q.Get("Signature")); err != nil || !hmac.Equal(given, mac.Sum(nil)) || q.Get("x-amz-security-token") != token {
		return s3err.GetSignatureDoesNotMatchErr(key, text, q.Get("Signature"), utils.HexBytes(text), "", "")
	}
	q.Del("AWSAccessKeyId")
	q.Del("Signature")
	q.Del("Expires")
	q.Del("x-amz-security-token")
	lower(r, q)
	return s.sign(r, aws.Credentials{AccessKeyID: key, SecretAccessKey: secret, SessionToken: token})
}

// lower makes headers of the parameters that stand for them.
func lower(r *http.Request, q url.Values) {
	for name, values := range q {
		if isHoisted(name) {
			r.Header[http.CanonicalHeaderKey(name)] = values
			q.Del(name)
		}
	}
	r.URL.RawQuery = q.Encode()
}

// queryAuth are the parameters of a URL that is presigned by version 4.
var queryAuth = []string{"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "x-amz-signature", "x-amz-security-token", "x-amz-content-sha256"}

// isHoisted tells a parameter that stands for a header.
func isHoisted(name string) bool {
	name = strings.ToLower(name)
	return (strings.HasPrefix(name, "x-amz-") && !slices.Contains(queryAuth, name)) || name == "if-match" || name == "if-none-match"
}

// unhoist gives a URL that is presigned by version 4 the headers that SDKs put
// into its query, where the gateway does not look, and signs it anew. What is
// wrong with its signature is left to the gateway to say.
func (s *S3) unhoist(r *http.Request, q url.Values) error {
	signed := strings.Split(q.Get("X-Amz-SignedHeaders"), ";")
	if !slices.Contains(signed, "x-amz-content-sha256") {
		r.Header.Del("X-Amz-Content-Sha256") // not looked at, unlike all others
	}
	hoisted := false
	for name := range q {
		hoisted = hoisted || isHoisted(name)
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Amz-") && !slices.Contains(signed, strings.ToLower(name)) {
			return nil
		}
	}
	if !hoisted {
		return nil
	}
	return s.resign(r, func() {
		for _, name := range queryAuth {
			for given := range q {
				if strings.EqualFold(given, name) {
					q.Del(given)
				}
			}
		}
		lower(r, q)
	})
}

// resign changes a request in a way that the gateway needs, if its signature is right.
func (s *S3) resign(r *http.Request, change func()) error {
	caller, err := wire.Verify(r, s.options.SecretFor, clock.Real{}.Now())
	if err != nil {
		return nil //nolint:nilerror // the gateway finds it too
	}
	change()
	secret, token, _, _ := s.options.SecretFor(caller.AccessKeyID)
	return s.sign(r, aws.Credentials{AccessKeyID: caller.AccessKeyID, SecretAccessKey: secret, SessionToken: token})
}

// sign signs a request to the gateway by version 4. Only the headers that have to
// be are signed: a proxy drops some, and the client's agent may have sent any.
func (s *S3) sign(r *http.Request, by aws.Credentials) error {
	const payload = "UNSIGNED-PAYLOAD"
	r.Header.Set("X-Amz-Content-Sha256", payload)
	signed := r.Clone(r.Context())
	signed.ContentLength, signed.Body = 0, nil
	for name := range signed.Header {
		if !strings.HasPrefix(name, "X-Amz-") {
			signed.Header.Del(name)
		}
	}
	err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).SignHTTP(r.Context(), by, signed, payload, "s3", s.options.Region, clock.Real{}.Now())
	if err != nil {
		return fmt.Errorf("sign request to the S3 gateway: %w", err)
	}
	maps.Copy(r.Header, signed.Header)
	return nil
}

// toSign is the string that signature version 2 signs, for a presigned URL.
func toSign(r *http.Request, q url.Values) string {
	lines := []string{r.Method, r.Header.Get("Content-MD5"), r.Header.Get("Content-Type"), q.Get("Expires")}
	var headers []string
	for _, from := range []map[string][]string{r.Header, q} {
		for name, values := range from {
			if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") {
				headers = append(headers, lower+":"+strings.Join(values, ","))
			}
		}
	}
	slices.Sort(headers)
	resource := r.URL.EscapedPath()
	separator := "?"
	for _, name := range signedQuery {
		if !q.Has(name) {
			continue
		}
		resource += separator + name
		if value := q.Get(name); value != "" {
			resource += "=" + value
		}
		separator = "&"
	}
	return strings.Join(append(append(lines, headers...), resource), "\n")
}

const metaPrefix = "X-Amz-Meta-"

// lowerMeta writes the names of metadata in lower case, as S3 does: clients take
// them as they come.
type lowerMeta struct{ http.ResponseWriter }

func (w lowerMeta) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w lowerMeta) WriteHeader(status int) {
	h := w.Header()
	for name, values := range h {
		if strings.HasPrefix(name, metaPrefix) {
			delete(h, name)
			h[strings.ToLower(name)] = values
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

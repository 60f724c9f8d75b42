package s3

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// signedQuery are the query parameters that signature version 2 covers.
var signedQuery = []string{"acl", "cors", "delete", "lifecycle", "location", "logging", "notification", "partNumber", "policy", "requestPayment",
	"response-cache-control", "response-content-disposition", "response-content-encoding", "response-content-language", "response-content-type", "response-expires",
	"restore", "tagging", "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website"}

// upgrade turns a URL that is presigned by signature version 2, which boto3 and
// the AWS CLI still make for us-east-1, into a request of version 4, which is all
// that the gateway reads. Other requests stay as they are.
// https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
func (s *S3) upgrade(r *http.Request) error {
	q := r.URL.Query()
	key := q.Get("AWSAccessKeyId")
	if key == "" || !q.Has("Signature") || !q.Has("Expires") {
		return nil
	}
	now := clock.Real{}.Now()
	if at, err := strconv.ParseInt(q.Get("Expires"), 10, 64); err != nil || !now.Before(time.Unix(at, 0)) {
		return &wire.Error{Code: "AccessDenied", Status: http.StatusForbidden, Message: "Request has expired"}
	}
	secret, token, _, ok := s.options.SecretFor(key)
	if !ok {
		return &wire.Error{Code: "InvalidAccessKeyId", Status: http.StatusForbidden, Message: "The AWS Access Key Id you provided does not exist in our records."}
	}
	mac := hmac.New(sha1.New, []byte(secret))
	_, _ = mac.Write([]byte(toSign(r, q)))
	if given, err := base64.StdEncoding.DecodeString(q.Get("Signature")); err != nil || !hmac.Equal(given, mac.Sum(nil)) || q.Get("x-amz-security-token") != token {
		return &wire.Error{Code: "SignatureDoesNotMatch", Status: http.StatusForbidden,
			Message: "The request signature we calculated does not match the signature you provided. Check your key and signing method."}
	}
	for name, values := range q {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-") {
			r.Header[http.CanonicalHeaderKey(name)] = values
		}
		if strings.HasPrefix(lower, "x-amz-") || slices.Contains([]string{"AWSAccessKeyId", "Signature", "Expires"}, name) {
			q.Del(name)
		}
	}
	r.URL.RawQuery = q.Encode()
	const payload = "UNSIGNED-PAYLOAD"
	r.Header.Set("X-Amz-Content-Sha256", payload)
	signed := r.Clone(r.Context())
	for name := range r.Header {
		if !strings.HasPrefix(name, "X-Amz-") {
			signed.Header.Del(name) // Connection and the like do not reach the gateway
		}
	}
	err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).SignHTTP(r.Context(),
		aws.Credentials{AccessKeyID: key, SecretAccessKey: secret, SessionToken: token}, signed, payload, "s3", s.options.Region, now)
	if err != nil {
		return fmt.Errorf("sign presigned request: %w", err)
	}
	for _, name := range []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token"} {
		if v := signed.Header.Get(name); v != "" {
			r.Header.Set(name, v)
		}
	}
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

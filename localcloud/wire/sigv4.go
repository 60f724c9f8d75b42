package wire

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"
)

// SecretFor finds the secret of an access key: its session token ("" for lasting
// keys) and whose it is.
type SecretFor func(accessKey string) (secret, token string, c Caller, ok bool)

// maxSkew is how far a request's date may be off, either way.
const maxSkew = 15 * time.Minute

// Credential is what a signed request says of itself, before it is believed.
type Credential struct {
	AccessKey, Date, Region, Service string
	presigned                        bool
	signed                           []string // names of signed headers
	signature                        string
}

// ParseCredential reads the Authorization header, or the query of a presigned URL.
func ParseCredential(r *http.Request) (Credential, error) {
	scope, c := "", Credential{}
	if header := r.Header.Get("Authorization"); header != "" {
		rest, ok := strings.CutPrefix(header, "AWS4-HMAC-SHA256 ")
		if !ok {
			return c, &Error{Code: "IncompleteSignatureException", Status: http.StatusForbidden, Message: "Unsupported authorization type; only AWS4-HMAC-SHA256 is."}
		}
		for field := range strings.SplitSeq(rest, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
			switch name {
			case "Credential":
				scope = value
			case "SignedHeaders":
				c.signed = strings.Split(value, ";")
			case "Signature":
				c.signature = value
			}
		}
	} else if q := r.URL.Query(); q.Get("X-Amz-Credential") != "" {
		scope, c.signature, c.presigned = q.Get("X-Amz-Credential"), q.Get("X-Amz-Signature"), true
		c.signed = strings.Split(q.Get("X-Amz-SignedHeaders"), ";")
	} else {
		return c, &Error{Code: "MissingAuthenticationTokenException", Status: http.StatusForbidden, Message: "Missing Authentication Token"}
	}
	parts := strings.Split(scope, "/")
	if len(parts) < 5 || parts[len(parts)-1] != "aws4_request" || c.signature == "" || len(c.signed) == 0 {
		return c, &Error{Code: "IncompleteSignatureException", Status: http.StatusForbidden, Message: "Credential must have five slash-delimited elements, e.g. keyid/date/region/service/term."}
	}
	n := len(parts)
	c.AccessKey, c.Date, c.Region, c.Service = strings.Join(parts[:n-4], "/"), parts[n-4], parts[n-3], parts[n-2]
	return c, nil
}

// Verify checks a request's signature and tells who made it. It reads the body,
// up to MaxBody bytes, and puts it back. now is the real time: clients sign by it.
func Verify(r *http.Request, secretFor SecretFor, now time.Time) (Caller, error) {
	c, err := ParseCredential(r)
	if err != nil {
		return Caller{}, err
	}
	secret, token, caller, ok := secretFor(c.AccessKey)
	given := r.Header.Get("X-Amz-Security-Token")
	if c.presigned {
		given = r.URL.Query().Get("X-Amz-Security-Token")
	}
	if !ok && caller.Expired {
		return Caller{}, &Error{Code: "ExpiredTokenException", Status: http.StatusForbidden, Message: "The security token included in the request is expired"}
	}
	if !ok || given != token {
		return Caller{}, &Error{Code: "UnrecognizedClientException", Status: http.StatusForbidden, Message: "The security token included in the request is invalid."}
	}
	date := signedAt(r, c.presigned)
	if err := checkDate(r, c, date, now); err != nil {
		return Caller{}, err
	}
	payload, err := payloadHash(r, c)
	if err != nil {
		return Caller{}, err
	}
	canonical := canonicalRequest(r, c, payload)
	sum := sha256.Sum256([]byte(canonical))
	toSign := "AWS4-HMAC-SHA256\n" + date + "\n" + c.Date + "/" + c.Region + "/" + c.Service + "/aws4_request\n" + hex.EncodeToString(sum[:])
	want := hex.EncodeToString(sign(SigningKey(secret, c.Date, c.Region, c.Service), toSign))
	if !hmac.Equal([]byte(want), []byte(c.signature)) {
		return Caller{}, &Error{Code: "InvalidSignatureException", Status: http.StatusForbidden,
			Message: "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}
	}
	caller.AccessKeyID = c.AccessKey
	return caller, nil
}

// SigningKey derives the key that signs requests of one day, region and service.
func SigningKey(secret, date, region, service string) []byte {
	k := sign([]byte("AWS4"+secret), date)
	k = sign(k, region)
	k = sign(k, service)
	return sign(k, "aws4_request")
}

func sign(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = io.WriteString(h, text)
	return h.Sum(nil)
}

const amzDate = "20060102T150405Z"

func signedAt(r *http.Request, presigned bool) string {
	if presigned {
		return r.URL.Query().Get("X-Amz-Date")
	}
	if d := r.Header.Get("X-Amz-Date"); d != "" {
		return d
	}
	if t, err := http.ParseTime(r.Header.Get("Date")); err == nil {
		return t.UTC().Format(amzDate)
	}
	return ""
}

func checkDate(r *http.Request, c Credential, date string, now time.Time) error {
	t, err := time.Parse(amzDate, date)
	if err != nil || !strings.HasPrefix(date, c.Date) {
		return &Error{Code: "IncompleteSignatureException", Status: http.StatusForbidden, Message: "Date must be in ISO-8601 'basic format' and of the day that the credential names. Got '" + date + "'."}
	}
	from, to := t.Add(-maxSkew), t.Add(maxSkew)
	if c.presigned {
		seconds, err := strconv.Atoi(r.URL.Query().Get("X-Amz-Expires"))
		if err != nil || seconds < 1 || seconds > 604800 {
			return &Error{Code: "AuthorizationQueryParametersError", Message: "X-Amz-Expires must be between 1 and 604800 seconds."}
		}
		to = t.Add(time.Duration(seconds) * time.Second)
	}
	if now.Before(from) || now.After(to) {
		return &Error{Code: "InvalidSignatureException", Status: http.StatusForbidden, Message: "Signature expired or not yet current: " + date + " against " + now.UTC().Format(amzDate)}
	}
	return nil
}

func payloadHash(r *http.Request, c Credential) (string, error) {
	given := r.Header.Get("X-Amz-Content-Sha256")
	if c.presigned && given == "" && c.Service == "s3" {
		given = "UNSIGNED-PAYLOAD"
	}
	if strings.HasPrefix(given, "UNSIGNED-PAYLOAD") || strings.HasPrefix(given, "STREAMING-") {
		return given, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	if err != nil {
		return "", &Error{Code: "IncompleteBody", Message: err.Error()}
	}
	if len(body) > MaxBody {
		return "", &Error{Code: "RequestEntityTooLargeException", Status: http.StatusRequestEntityTooLarge, Message: "The request is larger than the local cloud takes."}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	sum := sha256.Sum256(body)
	actual := hex.EncodeToString(sum[:])
	if given != "" && given != actual {
		return "", &Error{Code: "XAmzContentSHA256Mismatch", Message: "The provided 'x-amz-content-sha256' header does not match what was computed."}
	}
	return actual, nil
}

func canonicalRequest(r *http.Request, c Credential, payload string) string {
	path := r.URL.EscapedPath()
	if c.Service == "s3" {
		path = r.URL.Path
	}
	if path == "" {
		path = "/"
	}
	var b strings.Builder
	b.WriteString(r.Method + "\n" + escape(path, true) + "\n" + canonicalQuery(r.URL.RawQuery) + "\n")
	for _, name := range c.signed {
		b.WriteString(strings.ToLower(name) + ":" + headerValue(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(c.signed, ";") + "\n" + payload)
	return b.String()
}

func headerValue(r *http.Request, name string) string {
	switch strings.ToLower(name) {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	values := r.Header.Values(name)
	trimmed := make([]string, len(values))
	for i, v := range values {
		trimmed[i] = strings.Join(strings.Fields(v), " ")
	}
	return strings.Join(trimmed, ",")
}

func canonicalQuery(raw string) string {
	var pairs []string
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		k, v = unescape(k), unescape(v)
		if k != "X-Amz-Signature" {
			pairs = append(pairs, escape(k, false)+"="+escape(v, false))
		}
	}
	sort.Strings(pairs)
	return strings.Join(pairs, "&")
}

func unescape(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

// escape is AWS's URI encoding: all but unreserved characters, and the slash of paths.
func escape(s string, path bool) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		ch := s[i]
		switch {
		case ch >= 'A' && ch <= 'Z', ch >= 'a' && ch <= 'z', ch >= '0' && ch <= '9', ch == '-', ch == '_', ch == '.', ch == '~', ch == '/' && path:
			b.WriteByte(ch)
		default:
			b.WriteByte('%')
			b.WriteByte(hexDigits[ch>>4])
			b.WriteByte(hexDigits[ch&15])
		}
	}
	return b.String()
}

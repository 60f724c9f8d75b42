package wire_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

var signedTime = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

func secretFor(key string) (string, string, wire.Caller, bool) {
	switch key {
	case "AKID":
		return "SECRET", "", wire.Caller{ARN: "root"}, true
	case "ASIA":
		return "SECRET", "TOKEN", wire.Caller{ARN: "role"}, true
	}
	return "", "", wire.Caller{}, false
}

// received is a request as a server gets it.
func received(t *testing.T, r *http.Request) *http.Request {
	t.Helper()
	var wireForm bytes.Buffer
	if err := r.Write(&wireForm); err != nil {
		t.Fatal(err)
	}
	out := httptest.NewRequest(r.Method, r.URL.RequestURI(), nil)
	_, body, _ := bytes.Cut(wireForm.Bytes(), []byte("\r\n\r\n"))
	out.Host, out.Header, out.Body, out.ContentLength = r.URL.Host, r.Header, io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if out.URL.Path != r.URL.Path {
		t.Fatalf("path %q became %q", r.URL.Path, out.URL.Path)
	}
	return out
}

func TestVerify(t *testing.T) {
	for name, tc := range map[string]struct {
		method, url, body, service string
		header                     map[string]string
		credentials                aws.Credentials
		change                     func(r *http.Request)
		after                      time.Duration
		want                       string // error code
	}{
		"JSON":                  {method: "POST", url: "http://127.0.0.1:1/", body: `{"a":1}`, service: "states", header: map[string]string{"X-Amz-Target": "AWSStepFunctions.X", "Content-Type": "application/x-amz-json-1.0"}},
		"no body":               {method: "GET", url: "http://127.0.0.1:1/2015-03-31/functions/f", service: "lambda"},
		"escaped path":          {method: "GET", url: "http://127.0.0.1:1/functions/arn%3Aaws%3Alambda/x%20y/%C3%BC", service: "lambda"},
		"query":                 {method: "GET", url: "http://127.0.0.1:1/f?b=2&a=1&a=0&empty=&flag&sp=a%20b%2Bc&%C3%BC=%2F", service: "lambda"},
		"S3 key":                {method: "GET", url: "http://127.0.0.1:1/bucket/a%20b%2Bc/%C3%BC?versionId=x", service: "s3"},
		"header spaces":         {method: "POST", url: "http://127.0.0.1:1/", service: "states", header: map[string]string{"X-Amz-Meta-A": "  two   words "}},
		"session":               {method: "POST", url: "http://127.0.0.1:1/", service: "states", credentials: aws.Credentials{AccessKeyID: "ASIA", SecretAccessKey: "SECRET", SessionToken: "TOKEN"}},
		"a little late":         {method: "POST", url: "http://127.0.0.1:1/", service: "states", after: 14 * time.Minute},
		"wrong secret":          {method: "POST", url: "http://127.0.0.1:1/", service: "states", credentials: aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "OTHER"}, want: "InvalidSignatureException"},
		"unknown key":           {method: "POST", url: "http://127.0.0.1:1/", service: "states", credentials: aws.Credentials{AccessKeyID: "NOBODY", SecretAccessKey: "SECRET"}, want: "UnrecognizedClientException"},
		"wrong token":           {method: "POST", url: "http://127.0.0.1:1/", service: "states", credentials: aws.Credentials{AccessKeyID: "ASIA", SecretAccessKey: "SECRET", SessionToken: "OTHER"}, want: "UnrecognizedClientException"},
		"token of no session":   {method: "POST", url: "http://127.0.0.1:1/", service: "states", credentials: aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "SECRET", SessionToken: "TOKEN"}, want: "UnrecognizedClientException"},
		"body changed":          {method: "POST", url: "http://127.0.0.1:1/", body: "a", service: "states", change: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("b")) }, want: "InvalidSignatureException"},
		"path changed":          {method: "GET", url: "http://127.0.0.1:1/a", service: "lambda", change: func(r *http.Request) { r.URL.Path = "/b" }, want: "InvalidSignatureException"},
		"query changed":         {method: "GET", url: "http://127.0.0.1:1/a?x=1", service: "lambda", change: func(r *http.Request) { r.URL.RawQuery = "x=2" }, want: "InvalidSignatureException"},
		"method changed":        {method: "GET", url: "http://127.0.0.1:1/a", service: "lambda", change: func(r *http.Request) { r.Method = "DELETE" }, want: "InvalidSignatureException"},
		"signed header changed": {method: "POST", url: "http://127.0.0.1:1/", service: "states", header: map[string]string{"X-Amz-Target": "A.B"}, change: func(r *http.Request) { r.Header.Set("X-Amz-Target", "A.C") }, want: "InvalidSignatureException"},
		"too late":              {method: "POST", url: "http://127.0.0.1:1/", service: "states", after: 16 * time.Minute, want: "InvalidSignatureException"},
		"too early":             {method: "POST", url: "http://127.0.0.1:1/", service: "states", after: -16 * time.Minute, want: "InvalidSignatureException"},
		"no signature":          {method: "POST", url: "http://127.0.0.1:1/", service: "states", change: func(r *http.Request) { r.Header.Del("Authorization") }, want: "MissingAuthenticationTokenException"},
		"another scheme":        {method: "POST", url: "http://127.0.0.1:1/", service: "states", change: func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, want: "IncompleteSignatureException"},
		"half a credential": {method: "POST", url: "http://127.0.0.1:1/", service: "states", change: func(r *http.Request) {
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/x, SignedHeaders=host, Signature=0")
		}, want: "IncompleteSignatureException"},
		"claimed payload hash": {method: "POST", url: "http://127.0.0.1:1/", body: "a", service: "states", change: func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", strings.Repeat("0", 64)) }, want: "XAmzContentSHA256Mismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), tc.method, tc.url, strings.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range tc.header {
				r.Header.Set(k, v)
			}
			if tc.credentials.AccessKeyID == "" {
				tc.credentials = aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "SECRET"}
			}
			sum := sha256.Sum256([]byte(tc.body))
			err = v4.NewSigner().SignHTTP(context.Background(), tc.credentials, r, hex.EncodeToString(sum[:]), tc.service, "us-east-1", signedTime, func(o *v4.SignerOptions) {
				o.DisableURIPathEscaping = tc.service == "s3"
			})
			if err != nil {
				t.Fatal(err)
			}
			got := received(t, r)
			if tc.change != nil {
				tc.change(got)
			}
			caller, err := wire.Verify(got, secretFor, signedTime.Add(tc.after))
			if tc.want != "" {
				if !wire.HasCode(err, tc.want) {
					t.Errorf("%+v, %v; want %s", caller, err, tc.want)
				}
				return
			}
			if err != nil || caller.AccessKeyID != tc.credentials.AccessKeyID {
				t.Fatalf("%+v, %v", caller, err)
			}
			if body, err := io.ReadAll(got.Body); err != nil || string(body) != tc.body {
				t.Errorf("the body is gone: %q, %v", body, err)
			}
		})
	}
}

func TestVerifyPresigned(t *testing.T) {
	for name, tc := range map[string]struct {
		expires string
		after   time.Duration
		want    string
	}{
		"in time":  {"60", 59 * time.Second, ""},
		"too late": {"60", 61 * time.Second, "InvalidSignatureException"},
		"for ever": {"604801", 0, "AuthorizationQueryParametersError"},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:1/b/k?X-Amz-Expires="+tc.expires, nil)
		signed, _, err := v4.NewSigner().PresignHTTP(context.Background(), aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "SECRET"}, r, "UNSIGNED-PAYLOAD", "s3", "us-east-1", signedTime,
			func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(signed)
		if err != nil {
			t.Fatal(err)
		}
		_, err = wire.Verify(httptest.NewRequest(http.MethodGet, u.String(), nil), secretFor, signedTime.Add(tc.after))
		if (tc.want == "") != (err == nil) || (tc.want != "" && !wire.HasCode(err, tc.want)) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

// TestVerifyPresignedBody: outside S3 the body of a presigned request is signed.
func TestVerifyPresignedBody(t *testing.T) {
	const body = "Action=GetCallerIdentity&Version=2011-06-15"
	sum := sha256.Sum256([]byte(body))
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:1/?X-Amz-Expires=60", nil)
	signed, _, err := v4.NewSigner().PresignHTTP(context.Background(), aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "SECRET"}, r, hex.EncodeToString(sum[:]), "sts", "us-east-1", signedTime)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wire.Verify(httptest.NewRequest(http.MethodPost, signed, strings.NewReader(body)), secretFor, signedTime); err != nil {
		t.Error(err)
	}
	if _, err := wire.Verify(httptest.NewRequest(http.MethodPost, signed, strings.NewReader("Action=AssumeRole")), secretFor, signedTime); !wire.HasCode(err, "InvalidSignatureException") {
		t.Errorf("another body: %v", err)
	}
}

func FuzzParseCredential(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKID/20260301/us-east-1/states/aws4_request, SignedHeaders=host;x-amz-date, Signature=00", "")
	f.Add("", "X-Amz-Credential=AKID%2F20260301%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Signature=0&X-Amz-SignedHeaders=host")
	f.Fuzz(func(t *testing.T, header, query string) {
		r := &http.Request{Method: http.MethodGet, Header: http.Header{"Authorization": {header}}, URL: &url.URL{Path: "/", RawQuery: query}, Body: http.NoBody}
		if _, err := wire.Verify(r, secretFor, signedTime); err == nil {
			t.Error("a made-up signature was accepted")
		}
	})
}

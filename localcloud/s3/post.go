package s3

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// What follows is the upload of a file by a form in a browser (POST Object): the
// form's policy and its signature are checked here, and the file is then put like
// any other object, by who signed the policy. The gateway's own forms know neither
// signature version 2, which boto3 makes by default, nor fields after the file.
// https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html

const (
	maxForm     = 20 << 10 // the fields before the file, in bytes
	maxFormFile = 5 << 30
)

// formReason is the header by which a put knows that a form made it.
const formReason = "X-Local-Form"

// formHeaders are the fields that become the header of the same name, beside x-amz-*.
var formHeaders = []string{"cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires"}

// formAuth are the fields of the signature, which are no headers of the put.
var formAuth = []string{"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature", "x-amz-security-token"}

// form is a form upload: its fields, by their names in lower case, and its file.
type form struct {
	bucket string
	fields map[string]string
	file   *os.File
	size   int64
}

func (f *form) key() string { return f.fields["key"] }

// isForm tells a form upload from the other requests on a bucket.
func isForm(r *http.Request) bool {
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return r.Method == http.MethodPost && key == "" && r.URL.Path != "/" && r.Header.Get("Authorization") == "" && !r.URL.Query().Has("delete") && !r.URL.Query().Has("X-Amz-Credential")
}

// servePost answers a form upload.
func (s *S3) servePost(w http.ResponseWriter, r *http.Request) {
	identify(w)
	err := s.post(w, r)
	if err == nil {
		return
	}
	s.log.Warn("S3 form upload refused", "operation", r.Method+" "+r.URL.Path, "error", asWireError(err))
	_, _ = io.Copy(io.Discard, r.Body) // a browser that still sends would not read the answer
	s.answerError(w, err)
}

func (s *S3) post(w http.ResponseWriter, r *http.Request) error {
	f := &form{bucket: strings.Trim(r.URL.Path, "/"), fields: map[string]string{}}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return s3err.GetPreconditionFailedErr(s3err.ConditionPostBucket)
	}
	if _, err := s.keeper.bucket(f.bucket); err != nil {
		return err
	}
	if r.ContentLength > maxFormFile+maxForm {
		return s3err.GetEntityTooLargeErr(r.ContentLength, maxFormFile)
	}
	file, err := f.read(multipart.NewReader(r.Body, params["boundary"]))
	if err != nil {
		return err
	}
	credentials, err := s.formSigner(f.fields)
	if err != nil {
		return err
	}
	policy, err := auth.ParsePOSTPolicyBase64(f.fields["policy"])
	if err != nil {
		return err
	}
	if err := s.spool(f, file); err != nil {
		return err
	}
	defer func() { _ = f.file.Close() }()
	if err := policy.Evaluate(auth.PostPolicyEvalInput{Bucket: f.bucket, Key: f.key(), ContentLength: f.size, Fields: f.covered()}); err != nil {
		return err
	}
	put, err := s.formPut(r, f, credentials)
	if err != nil {
		return err
	}
	answer := &captured{header: http.Header{}}
	s.ServeHTTP(answer, put)
	return f.answer(w, r, answer)
}

// read reads the fields up to the file, which it returns: what follows the file is not looked at.
func (f *form) read(parts *multipart.Reader) (*multipart.Part, error) {
	size := 0
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil, s3err.GetInvalidArgumentErr(s3err.InvalidArgPOSTFileRequired, "0")
		}
		if err != nil {
			return nil, s3err.GetAPIError(s3err.ErrMalformedPOSTRequest)
		}
		name := strings.ToLower(part.FormName())
		if name == "file" {
			if f.key() == "" {
				return nil, telling(s3err.PostAuth.MissingField("key"), "ArgumentValue", "")
			}
			if filename := part.FileName(); filename != "" {
				f.fields["key"] = strings.ReplaceAll(f.key(), "${filename}", filename)
			}
			return part, nil
		}
		value, err := io.ReadAll(io.LimitReader(part, maxForm))
		if err != nil {
			return nil, s3err.GetAPIError(s3err.ErrMalformedPOSTRequest)
		}
		if size += len(name) + len(value); size > maxForm {
			return nil, s3err.APIError{Code: "MaxPostPreDataLengthExceededError", HTTPStatusCode: http.StatusBadRequest, Description: "Your POST request fields preceding the upload file were too large."}
		}
		if old, ok := f.fields[name]; ok && strings.HasPrefix(name, "x-amz-meta-") {
			value = []byte(old + "," + string(value))
		}
		f.fields[name] = string(value)
	}
}

// covered are the fields that the policy has to speak of.
func (f *form) covered() map[string]string {
	out := map[string]string{}
	for name, value := range f.fields {
		if name != "awsaccesskeyid" && name != "signature" {
			out[name] = value
		}
	}
	return out
}

// spool reads the file into the service's folder: its length decides by the policy
// whether it is taken, and goes before it into the put.
func (s *S3) spool(f *form, from io.Reader) error {
	file, size, err := s.keep(from)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return s3err.GetAPIError(s3err.ErrMalformedPOSTRequest)
	}
	if err != nil {
		return fmt.Errorf("keep uploaded file: %w", err)
	}
	f.file, f.size = file, size
	return nil
}

// keep reads a body of unknown length into the service's folder. The file lives as
// long as it is open.
func (s *S3) keep(from io.Reader) (*os.File, int64, error) {
	file, err := os.CreateTemp(s.options.Dir, "body-*")
	if err != nil {
		return nil, 0, err
	}
	_ = os.Remove(file.Name())
	size, err := io.Copy(file, from)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, size, nil
}

// formSigner checks the policy's signature, of version 4 or 2, and gives the
// credentials that it was made with.
func (s *S3) formSigner(fields map[string]string) (aws.Credentials, error) {
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { _, ok := fields[n]; return ok })
	}
	var needed [][2]string
	switch {
	case has("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"):
		needed = [][2]string{{"policy", "policy"}, {"x-amz-algorithm", "X-Amz-Algorithm"}, {"x-amz-credential", "X-Amz-Credential"}, {"x-amz-date", "X-Amz-Date"}, {"x-amz-signature", "X-Amz-Signature"}}
	case has("awsaccesskeyid", "signature"):
		needed = [][2]string{{"policy", "policy"}, {"awsaccesskeyid", "AWSAccessKeyId"}, {"signature", "Signature"}}
	default: // no bucket here is open to all
		return aws.Credentials{}, s3err.GetAPIError(s3err.ErrAccessDenied)
	}
	for _, n := range needed {
		if !has(n[0]) {
			return aws.Credentials{}, telling(s3err.PostAuth.MissingField(n[1]), "ArgumentValue", "")
		}
	}
	access, signature := fields["awsaccesskeyid"], fields["signature"]
	var key func(secret string) []byte
	hash, encode := sha1.New, base64.StdEncoding.EncodeToString
	if has("x-amz-signature") {
		if fields["x-amz-algorithm"] != "AWS4-HMAC-SHA256" {
			return aws.Credentials{}, s3err.GetInvalidArgumentErr(s3err.InvalidArgOnlyAws4HmacSha256, fields["x-amz-algorithm"])
		}
		c, err := utils.ParseCredentials(fields["x-amz-credential"], s3err.PostAuth)
		if err != nil {
			return aws.Credentials{}, err
		}
		if c.Region != s.options.Region {
			return aws.Credentials{}, s3err.PostAuth.IncorrectRegion(fields["x-amz-credential"], s.options.Region, c.Region)
		}
		access, signature, hash, encode = c.Access, fields["x-amz-signature"], sha256.New, hex.EncodeToString
		key = func(secret string) []byte { return wire.SigningKey(secret, c.Date, c.Region, "s3") }
	} else {
		key = func(secret string) []byte { return []byte(secret) }
	}
	secret, token, caller, ok := s.options.SecretFor(access)
	switch {
	case !ok && caller.Expired:
		return aws.Credentials{}, errExpired
	case !ok:
		return aws.Credentials{}, s3err.GetInvalidAccessKeyIdErr(access)
	case fields["x-amz-security-token"] != token:
		return aws.Credentials{}, s3err.GetAPIError(s3err.ErrInvalidToken)
	}
	mac := hmac.New(hash, key(secret))
	_, _ = mac.Write([]byte(fields["policy"]))
	if !hmac.Equal([]byte(encode(mac.Sum(nil))), []byte(signature)) {
		return aws.Credentials{}, s3err.GetSignatureDoesNotMatchErr(access, fields["policy"], signature, utils.HexBytes(fields["policy"]), "", "")
	}
	return aws.Credentials{AccessKeyID: access, SecretAccessKey: secret, SessionToken: token}, nil
}

// formPut is the request that puts a form's file.
func (s *S3) formPut(r *http.Request, f *form, credentials aws.Credentials) (*http.Request, error) {
	put, err := http.NewRequestWithContext(r.Context(), http.MethodPut, "http://"+r.Host, io.NopCloser(f.file))
	if err != nil {
		return nil, fmt.Errorf("make put of form upload: %w", err)
	}
	put.ContentLength = f.size
	put.URL.Path = "/" + f.bucket + "/" + f.key()
	put.URL.RawPath = "/" + f.bucket + "/" + strings.ReplaceAll(escaped(f.key()), "%2F", "/")
	put.RequestURI = put.URL.RequestURI()
	for name, value := range f.fields {
		if slices.Contains(formHeaders, name) || strings.HasPrefix(name, "x-amz-") && !slices.Contains(formAuth, name) {
			put.Header.Set(name, mailSafe(value))
		}
	}
	if acl := f.fields["acl"]; acl != "" {
		put.Header.Set("X-Amz-Acl", acl)
	}
	if tagging, ok := f.fields["tagging"]; ok {
		tags, err := formTags(tagging)
		if err != nil {
			return nil, err
		}
		put.Header.Set("X-Amz-Tagging", tags)
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		put.Header.Set("Origin", origin)
		put.Header.Set("Access-Control-Request-Method", http.MethodPost) // the gateway judges the origin by it
	}
	put.Header.Set(formReason, "PostObject")
	return put, s.sign(put, credentials)
}

// escaped is a key as it stands in a Location: slashes too are escaped.
func escaped(key string) string { return strings.ReplaceAll(url.QueryEscape(key), "+", "%20") }

// mailSafe writes a value that no header may have as RFC 2047 has it, in AWS's
// spelling: letters quoted, control characters in base64.
func mailSafe(value string) string {
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' }) {
		return strings.Replace(mime.BEncoding.Encode("UTF-8", value), "=?UTF-8?b?", "=?UTF-8?B?", 1)
	}
	return strings.Replace(mime.QEncoding.Encode("UTF-8", value), "=?UTF-8?q?", "=?UTF-8?Q?", 1)
}

// formTags reads tags in XML; a document about something else has none.
func formTags(document string) (string, error) {
	var root struct{ XMLName xml.Name }
	if err := xml.Unmarshal([]byte(document), &root); err != nil {
		return "", malformed()
	}
	if root.XMLName.Local != "Tagging" {
		return "", nil
	}
	return utils.ConvertTaggingXMLToQueryString([]byte(document))
}

// answer tells the browser what became of the put.
func (f *form) answer(w http.ResponseWriter, r *http.Request, put *captured) error {
	h := w.Header()
	for name, values := range put.header {
		if name != "Content-Length" && name != "Content-Type" {
			h[name] = values
		}
	}
	if put.status != http.StatusOK {
		h.Set("Content-Type", put.header.Get("Content-Type"))
		w.WriteHeader(put.status)
		_, _ = w.Write(put.body.Bytes())
		return nil
	}
	etag := put.header.Get("Etag")
	redirect := f.fields["success_action_redirect"]
	if redirect == "" {
		redirect = f.fields["redirect"]
	}
	if to, err := url.Parse(redirect); err == nil && to.Scheme != "" && to.Host != "" {
		query := to.Query()
		query.Set("bucket", f.bucket)
		query.Set("key", f.key())
		query.Set("etag", etag)
		to.RawQuery = query.Encode()
		h.Set("Location", to.String())
		w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	location := "http://" + r.Host + "/" + f.bucket + "/" + escaped(f.key())
	h.Set("Location", location)
	switch f.fields["success_action_status"] {
	case "200":
		w.WriteHeader(http.StatusOK)
	case "201":
		body, err := xml.Marshal(struct {
			XMLName  xml.Name `xml:"PostResponse"`
			Location string
			Bucket   string
			Key      string
			ETag     string
		}{Location: location, Bucket: f.bucket, Key: f.key(), ETag: etag})
		if err != nil {
			return fmt.Errorf("encode answer to form upload: %w", err)
		}
		writeXML(w, http.StatusCreated, append([]byte(xml.Header), body...))
	default:
		w.WriteHeader(http.StatusNoContent)
	}
	return nil
}

// captured keeps an answer.
type captured struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (c *captured) Header() http.Header { return c.header }

func (c *captured) WriteHeader(status int) {
	if c.status == 0 {
		c.status = status
	}
}

func (c *captured) Write(p []byte) (int, error) {
	c.WriteHeader(http.StatusOK)
	return c.body.Write(p)
}

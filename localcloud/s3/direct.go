package s3

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
	"go.etcd.io/bbolt"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// What follows is S3 for the other services of the local cloud: the same objects,
// versions, events and permissions as on the wire, without a request. A role in
// the context's caller must be allowed; a service on its own may do all.

func bucketARN(name string) string      { return "arn:aws:s3:::" + name }
func objectARN(name, key string) string { return bucketARN(name) + "/" + key }

func (s *S3) allow(ctx context.Context, action, resource string) error {
	caller := wire.CallerFrom(ctx)
	if caller.RoleARN == "" {
		return nil
	}
	allowed, denied := s.options.Evaluate(caller, action, resource, map[string][]string{"aws:SecureTransport": {"true"}})
	if allowed && !denied {
		return nil
	}
	s.logDenied(caller, action, resource)
	why := "because no identity-based policy allows the " + action + " action"
	if denied {
		why = "with an explicit deny in an identity-based policy"
	}
	return &wire.Error{Code: "AccessDenied", Status: http.StatusForbidden,
		Message: fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %q %s", caller.ARN, action, resource, why)}
}

// asWireError gives an error of S3 its code, message and status.
func asWireError(err error) *wire.Error {
	var e s3err.S3Error
	if errors.As(err, &e) {
		base := e.BaseError()
		message := base.Description
		if bare := strings.TrimSuffix(message, "."); slices.Contains(unended, bare) {
			message = bare
		}
		return &wire.Error{Code: base.Code, Message: message, Status: e.StatusCode()}
	}
	return wire.AsError(err)
}

func wireError(err error) error {
	if err == nil {
		return nil
	}
	return asWireError(err)
}

// asS3Error is the same the other way round.
func asS3Error(err error) error {
	e := wire.AsError(err)
	return s3err.APIError{Code: e.Code, Description: e.Message, HTTPStatusCode: e.HTTPStatus()}
}

// signatureError gives a signature's fault S3's name for it.
func signatureError(err error) error {
	e := *wire.AsError(err)
	switch e.Code {
	case "UnrecognizedClientException":
		e.Code, e.Message = "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."
	case "ExpiredTokenException":
		return errExpired
	case "InvalidSignatureException":
		e.Code = "SignatureDoesNotMatch"
	case "MissingAuthenticationTokenException":
		e.Code, e.Message = "AccessDenied", "Access Denied"
	}
	return asS3Error(&e)
}

// answerError answers with an error; those of S3 have members of their own.
func (s *S3) answerError(w http.ResponseWriter, err error) {
	var e s3err.S3Error
	if !errors.As(err, &e) {
		s.writeError(w, asWireError(err))
		return
	}
	if e.StatusCode() == http.StatusNotImplemented {
		s.log.Error("operation not supported by the local cloud", "service", "s3", "error", e.BaseError().Description)
	}
	writeXML(w, e.StatusCode(), correctError(e.XMLBody(identify(w)), ""))
}

func writeXML(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func (s *S3) writeError(w http.ResponseWriter, e *wire.Error) {
	if e.Status == http.StatusNotImplemented {
		s.log.Error("operation not supported by the local cloud", "service", "s3", "error", e.Message)
	}
	writeXML(w, e.HTTPStatus(), s3err.APIError{Code: e.Code, Description: e.Message}.XMLBody(identify(w)))
}

// identify gives an answer that is not the gateway's the headers that all of S3's
// have, and tells the ids of the request and of who answers.
func identify(w http.ResponseWriter) (id, host string) {
	h := w.Header()
	if h.Get("X-Amz-Request-Id") == "" {
		h.Set("X-Amz-Request-Id", utils.NewS3RequestID())
		h.Set("X-Amz-Id-2", utils.NewS3HostID())
		h.Set("Server", "AmazonS3")
	}
	return h.Get("X-Amz-Request-Id"), h.Get("X-Amz-Id-2")
}

// List names the objects under a prefix, sorted.
func (s *S3) List(ctx context.Context, bucketName, prefix string) ([]string, error) {
	if err := s.allow(ctx, "s3:ListBucket", bucketARN(bucketName)); err != nil {
		return nil, err
	}
	keys := []string{}
	err := s.keeper.list(bucketName, query{prefix: prefix}, func(e entry) bool {
		keys = append(keys, e.key)
		return true
	})
	return keys, wireError(err)
}

// Open opens an object, or with a version id that version of it, and tells its
// size in bytes. The caller closes it.
func (s *S3) Open(ctx context.Context, bucketName, key, versionID string) (io.ReadCloser, int64, error) {
	action := "s3:GetObject"
	if versionID != "" {
		action = "s3:GetObjectVersion"
	}
	if err := s.allow(ctx, action, objectARN(bucketName, key)); err != nil {
		return nil, 0, err
	}
	var body io.ReadCloser
	v, err := s.keeper.find(bucketName, key, versionID, func(tx *bbolt.Tx, v *version) (err error) {
		body, err = s.keeper.blobs.open(tx, v.Segments, 0, v.Size)
		return err
	})
	if err != nil {
		return nil, 0, wireError(err)
	}
	return body, v.Size, nil
}

// Put stores an object of size bytes (-1: unknown) and returns its version id, ""
// in a bucket without versions.
func (s *S3) Put(ctx context.Context, bucketName, key string, body io.Reader, size int64) (string, error) {
	if err := s.allow(ctx, "s3:PutObject", objectARN(bucketName, key)); err != nil {
		return "", err
	}
	in := s3response.PutObjectInput{Bucket: &bucketName, Key: &key, Body: body, ContentType: ptr("binary/octet-stream")}
	if size >= 0 {
		in.ContentLength = &size
	}
	out, err := s.keeper.PutObject(ctx, in)
	return out.VersionID, wireError(err)
}

// CreateBucket makes a bucket; BucketAlreadyOwnedByYou when it is there.
func (s *S3) CreateBucket(ctx context.Context, bucketName string) error {
	if err := s.allow(ctx, "s3:CreateBucket", bucketARN(bucketName)); err != nil {
		return err
	}
	if !utils.IsValidBucketName(bucketName) {
		return wireError(s3err.GetBucketErr(s3err.ErrInvalidBucketName, bucketName))
	}
	acl, err := json.Marshal(auth.ACL{Owner: s.options.Account, Grantees: []auth.Grantee{{
		Permission: auth.PermissionFullControl, Access: s.options.Account, Type: types.TypeCanonicalUser}}})
	if err != nil {
		return fmt.Errorf("make ACL of bucket %s: %w", bucketName, err)
	}
	return wireError(s.keeper.create(&bucket{Name: bucketName, Created: s.keeper.now(), ACL: acl, Ownership: string(types.ObjectOwnershipBucketOwnerEnforced)}))
}

// HasBucket tells whether there is a bucket.
func (s *S3) HasBucket(ctx context.Context, bucketName string) (bool, error) {
	if err := s.allow(ctx, "s3:ListBucket", bucketARN(bucketName)); err != nil {
		return false, err
	}
	_, err := s.keeper.bucket(bucketName)
	if wire.HasCode(wireError(err), "NoSuchBucket") {
		return false, nil
	}
	return err == nil, wireError(err)
}

// DeleteBucket removes an empty bucket.
func (s *S3) DeleteBucket(ctx context.Context, bucketName string) error {
	if err := s.allow(ctx, "s3:DeleteBucket", bucketARN(bucketName)); err != nil {
		return err
	}
	return wireError(s.keeper.DeleteBucket(ctx, bucketName))
}

// SetVersioning switches versioning on, or suspends it.
func (s *S3) SetVersioning(ctx context.Context, bucketName string, on bool) error {
	if err := s.allow(ctx, "s3:PutBucketVersioning", bucketARN(bucketName)); err != nil {
		return err
	}
	if on {
		return wireError(s.keeper.PutBucketVersioning(ctx, bucketName, types.BucketVersioningStatusEnabled))
	}
	return wireError(s.keeper.change(bucketName, func(b *bucket) {
		if b.Versioning != "" {
			b.Versioning = string(types.BucketVersioningStatusSuspended)
		}
	}))
}

// SetEventBridge switches the bucket's events on or off.
func (s *S3) SetEventBridge(ctx context.Context, bucketName string, on bool) error {
	if err := s.allow(ctx, "s3:PutBucketNotification", bucketARN(bucketName)); err != nil {
		return err
	}
	body := `<NotificationConfiguration` + xmlns + `></NotificationConfiguration>`
	if on {
		body = `<NotificationConfiguration` + xmlns + `><EventBridgeConfiguration></EventBridgeConfiguration></NotificationConfiguration>`
	}
	return wireError(s.putConfig(bucketName, "notification", []byte(body), http.Header{}, http.Header{}))
}

// SetPolicy keeps a bucket policy; "" removes it. One that could not be decided by is refused.
func (s *S3) SetPolicy(ctx context.Context, bucketName, policyJSON string) error {
	if err := s.allow(ctx, "s3:PutBucketPolicy", bucketARN(bucketName)); err != nil {
		return err
	}
	if policyJSON == "" {
		return wireError(s.keeper.DeleteBucketPolicy(ctx, bucketName))
	}
	checkable, err := checkablePolicy([]byte(policyJSON))
	if err != nil || checkable == nil { // the gateway has AWS's words for it
		checkable = []byte(policyJSON)
	}
	err = auth.ValidatePolicyDocument(checkable, bucketName, &identities{})
	if err != nil {
		var e s3err.S3Error
		if errors.As(err, &e) {
			return wireError(err)
		}
		return &wire.Error{Code: "MalformedPolicy", Message: err.Error()}
	}
	return wireError(s.keeper.PutBucketPolicy(ctx, bucketName, []byte(policyJSON)))
}

// putsPolicy tells whether a request puts a bucket policy.
func putsPolicy(r *http.Request) (bucketName string, ok bool) {
	bucketName, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return bucketName, bucketName != "" && key == "" && r.Method == http.MethodPut && r.URL.Query().Has("policy")
}

// servePolicy answers it: the gateway would take no AWS service for a principal.
func (s *S3) servePolicy(w http.ResponseWriter, r *http.Request, bucketName string) error {
	identify(w)
	caller, err := wire.Verify(r, s.options.SecretFor, clock.Real{}.Now())
	if err != nil {
		return signatureError(err)
	}
	if _, err := s.keeper.bucket(bucketName); err != nil {
		return err
	}
	body, err := wire.ReadBody(w, r)
	switch {
	case err != nil:
		return malformed()
	case len(body) == 0:
		return wire.Errorf("MissingRequestBodyError", "Request Body is empty")
	}
	if err := s.SetPolicy(wire.WithCaller(r.Context(), caller), bucketName, string(body)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// Tag replaces a bucket's tags.
func (s *S3) Tag(ctx context.Context, bucketName string, tags map[string]string) error {
	if err := s.allow(ctx, "s3:PutBucketTagging", bucketARN(bucketName)); err != nil {
		return err
	}
	return wireError(s.keeper.PutBucketTagging(ctx, bucketName, tags))
}

var _ http.Handler = (*S3)(nil)

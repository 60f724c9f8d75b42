package s3

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"

	"github.com/versity/versitygw/s3err"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// subresource is a part of a bucket's configuration that the gateway does not
// know, and that is kept and answered here.
type subresource struct {
	put, get string // IAM actions; a delete takes the put's
	check    func(body []byte) error
	initial  string          // what a bucket answers for which none was put
	none     *s3err.APIError // or: the error it answers with
	note     string          // what is not carried out, for the log
}

const xmlns = ` xmlns="http://s3.amazonaws.com/doc/2006-03-01/"`

func notFound(code, message string) *s3err.APIError {
	return &s3err.APIError{Code: code, Description: message, HTTPStatusCode: http.StatusNotFound}
}

var subresources = map[string]subresource{
	"notification": {put: "s3:PutBucketNotification", get: "s3:GetBucketNotification", check: checkNotification,
		initial: `<NotificationConfiguration` + xmlns + `/>`},
	"encryption": {put: "s3:PutEncryptionConfiguration", get: "s3:GetEncryptionConfiguration", check: checkEncryption,
		initial: `<ServerSideEncryptionConfiguration` + xmlns + `><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault><BucketKeyEnabled>false</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>`},
	"lifecycle": {put: "s3:PutLifecycleConfiguration", get: "s3:GetLifecycleConfiguration", check: checkLifecycle,
		none: notFound("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"), note: "lifecycle rules are kept, but nothing expires in the local cloud"},
	"publicAccessBlock": {put: "s3:PutBucketPublicAccessBlock", get: "s3:GetBucketPublicAccessBlock", check: func([]byte) error { return nil },
		initial: `<PublicAccessBlockConfiguration` + xmlns + `><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>`},
}

// deleted marks a sub-resource that was deleted, which is not the same as never put.
const deletedConfig = "deleted"

func malformed() error { return s3err.GetAPIError(s3err.ErrMalformedXML) }

// allFour writes a public access block with all its members: one that is not
// given is false.
func allFour(body []byte) []byte {
	var given struct{ BlockPublicAcls, IgnorePublicAcls, BlockPublicPolicy, RestrictPublicBuckets bool }
	_ = xml.Unmarshal(body, &given) // the root was checked; a member that is no boolean is false
	return fmt.Appendf(nil, `<PublicAccessBlockConfiguration%s><BlockPublicAcls>%t</BlockPublicAcls><IgnorePublicAcls>%t</IgnorePublicAcls><BlockPublicPolicy>%t</BlockPublicPolicy><RestrictPublicBuckets>%t</RestrictPublicBuckets></PublicAccessBlockConfiguration>`,
		xmlns, given.BlockPublicAcls, given.IgnorePublicAcls, given.BlockPublicPolicy, given.RestrictPublicBuckets)
}

type notificationXML struct {
	XMLName     xml.Name  `xml:"NotificationConfiguration"`
	EventBridge *struct{} `xml:"EventBridgeConfiguration"`
	Others      []struct {
		XMLName xml.Name
	} `xml:",any"`
}

func checkNotification(body []byte) error {
	var n notificationXML
	if err := xml.Unmarshal(body, &n); err != nil {
		return malformed()
	}
	if len(n.Others) > 0 {
		return unsupported("bucket notifications by " + n.Others[0].XMLName.Local + "; EventBridgeConfiguration is supported")
	}
	return nil
}

// eventBridgeOn reads whether a notification configuration sends events.
func eventBridgeOn(body []byte) bool {
	var n notificationXML
	return xml.Unmarshal(body, &n) == nil && n.EventBridge != nil
}

func checkEncryption(body []byte) error {
	var e struct {
		XMLName xml.Name `xml:"ServerSideEncryptionConfiguration"`
		Rules   []struct {
			Algorithm string  `xml:"ApplyServerSideEncryptionByDefault>SSEAlgorithm"`
			Key       *string `xml:"ApplyServerSideEncryptionByDefault>KMSMasterKeyID"`
		} `xml:"Rule"`
	}
	if err := xml.Unmarshal(body, &e); err != nil || len(e.Rules) == 0 {
		return malformed()
	}
	for _, r := range e.Rules {
		if r.Key != nil && r.Algorithm == "AES256" {
			return invalidArgument("a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse", "ApplyServerSideEncryptionByDefault", "")
		}
		if r.Algorithm != "" && r.Algorithm != "AES256" {
			return unsupported("bucket encryption by " + r.Algorithm + "; AES256 is supported")
		}
	}
	return nil
}

// configRequest tells which sub-resource of which bucket a request is about.
func configRequest(r *http.Request) (bucketName, name string, ok bool) {
	bucketName, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if bucketName == "" || key != "" || r.URL.RawQuery == "" {
		return "", "", false
	}
	q := r.URL.Query()
	for name := range subresources {
		if q.Has(name) {
			return bucketName, name, true
		}
	}
	return "", "", false
}

// serveConfig answers a request about a bucket's sub-resource.
func (s *S3) serveConfig(w http.ResponseWriter, r *http.Request, bucketName, name string) error {
	identify(w)
	caller, err := wire.Verify(r, s.options.SecretFor, clock.Real{}.Now())
	if err != nil {
		return signatureError(err)
	}
	sub := subresources[name]
	action := sub.put
	if r.Method == http.MethodGet {
		action = sub.get
	}
	if err := s.allow(wire.WithCaller(r.Context(), caller), action, bucketARN(bucketName)); err != nil {
		return asS3Error(err)
	}
	switch r.Method {
	case http.MethodGet:
		return s.getConfig(w, bucketName, name)
	case http.MethodPut:
		body, err := wire.ReadBody(w, r)
		if err != nil {
			return malformed()
		}
		return s.putConfig(bucketName, name, body, r.Header, w.Header())
	case http.MethodDelete:
		if name == "notification" {
			break
		}
		if err := s.keeper.setConfig(bucketName, name, []byte(deletedConfig)); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return s3err.GetAPIError(s3err.ErrMethodNotAllowed)
}

func (s *S3) getConfig(w http.ResponseWriter, bucketName, name string) error {
	sub := subresources[name]
	b, err := s.keeper.bucket(bucketName)
	if err != nil {
		return err
	}
	body, ok := b.Config[name]
	switch {
	case ok && string(body) != deletedConfig:
	case ok && name == "publicAccessBlock":
		return telling(*notFound("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found"), "BucketName", bucketName)
	case sub.none != nil:
		return telling(*sub.none, "BucketName", bucketName)
	default:
		body = []byte(sub.initial)
	}
	if least := b.Config[smallest]; name == "lifecycle" && least != nil {
		w.Header().Set(smallest, string(least))
	}
	w.Header().Set("Content-Type", "application/xml")
	_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n%s", strings.TrimPrefix(string(body), `<?xml version="1.0" encoding="UTF-8"?>`))
	return nil
}

// putConfig keeps a sub-resource. header is the request's, answer the answer's.
func (s *S3) putConfig(bucketName, name string, body []byte, header, answer http.Header) error {
	sub := subresources[name]
	if err := sub.check(body); err != nil {
		return err
	}
	if name == "publicAccessBlock" {
		body = allFour(body)
	}
	if sub.note != "" {
		s.log.Warn(sub.note, "bucket", bucketName)
	}
	if name != "lifecycle" {
		return s.keeper.setConfig(bucketName, name, body)
	}
	value, err := smallestOf(header)
	if err != nil {
		return err
	}
	answer.Set(smallest, value)
	if err := s.keeper.setConfig(bucketName, smallest, []byte(value)); err != nil {
		return err
	}
	return s.keeper.setConfig(bucketName, name, body)
}

func (k *keeper) setConfig(bucketName, name string, body []byte) error {
	return k.change(bucketName, func(b *bucket) {
		if b.Config == nil {
			b.Config = map[string][]byte{}
		}
		b.Config[name] = body
	})
}

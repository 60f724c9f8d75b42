package s3_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
)

// raw sends a document as the account's root, signed by the secret.
func (c *cloud) raw(t *testing.T, method, path, document, secret string) (int, string) {
	t.Helper()
	r := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), method, c.url+path, strings.NewReader(document)))
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "test", SecretAccessKey: secret}, r, "UNSIGNED-PAYLOAD", "s3", "us-east-1", time.Now())
	must[struct{}](t)(struct{}{}, err)
	answer := must[*http.Response](t)(http.DefaultClient.Do(r))
	defer answer.Body.Close()
	return answer.StatusCode, string(must[[]byte](t)(io.ReadAll(answer.Body)))
}

func TestDocuments(t *testing.T) {
	c := start(t, t.TempDir())
	makeBucket(t, c.root(), "docs", false)
	put(t, c.root(), "docs", "k", "x")
	up := *must[*awss3.CreateMultipartUploadOutput](t)(c.root().CreateMultipartUpload(t.Context(), &awss3.CreateMultipartUploadInput{Bucket: aws.String("docs"), Key: aws.String("m")})).UploadId
	const malformed = "<Code>MalformedXML</Code>"
	lifecycle := func(rule string) string {
		return "<LifecycleConfiguration><Rule><Status>Enabled</Status>" + rule + "</Rule></LifecycleConfiguration>"
	}
	for name, tc := range map[string]struct {
		method, path, document string
		secret                 string // "": the right one
		status                 int
		want                   string
	}{
		"a deletion without a sum":  {"POST", "/docs?delete=", `<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>gone</Key></Object><Quiet>true</Quiet></Delete>`, "", 400, "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"},
		"a deletion of nothing":     {"POST", "/docs?delete=", `<Delete><Quiet>true</Quiet></Delete>`, "", 400, malformed},
		"a deletion of too many":    {"POST", "/docs?delete=", "<Delete>" + strings.Repeat("<Object><Key>k</Key></Object>", 1001) + "</Delete>", "", 400, malformed},
		"a size that is no number":  {"POST", "/docs?delete=", `<Delete><Object><Key>k</Key><Size>big</Size></Object></Delete>`, "", 400, malformed},
		"another root":              {"PUT", "/docs?versioning=", `<Versioning><Status>Enabled</Status></Versioning>`, "", 400, malformed},
		"another signature":         {"PUT", "/docs?versioning=", `<Versioning/>`, "guessed", 403, "<Code>SignatureDoesNotMatch</Code>"},
		"another bucket":            {"PUT", "/nowhere?versioning=", `<Versioning/>`, "", 404, "<BucketName>nowhere</BucketName>"},
		"a versioning of nothing":   {"PUT", "/docs?versioning=", `<VersioningConfiguration/>`, "", 400, "<Code>IllegalVersioningConfigurationException</Code>"},
		"tags of nothing":           {"PUT", "/docs/k?tagging=", `<Tagging/>`, "", 200, ""},
		"a tag twice":               {"PUT", "/docs/k?tagging=", `<Tagging><TagSet><Tag><Key>a</Key><Value/></Tag><Tag><Key>a</Key><Value/></Tag></TagSet></Tagging>`, "", 400, "<TagKey>a</TagKey>"},
		"a tag without value":       {"PUT", "/docs?tagging=", `<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>`, "", 400, malformed},
		"no parts":                  {"POST", "/docs/m?uploadId=" + up, `<CompleteMultipartUpload/>`, "", 400, malformed},
		"no document of parts":      {"POST", "/docs/m?uploadId=" + up, ``, "", 400, "<Message>You must specify at least one part</Message>"},
		"no upload":                 {"POST", "/docs/m?uploadId=none", ``, "", 404, "<UploadId>none</UploadId>"},
		"no ownership":              {"PUT", "/docs?ownershipControls=", `<OwnershipControls/>`, "", 400, malformed},
		"a CORS of nothing":         {"PUT", "/docs?cors=", `<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>`, "", 400, malformed},
		"a bucket in another place": {"PUT", "/elsewhere", `<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>`, "", 501, "does not support buckets in other regions"},
		"a bucket of AWS's tags":    {"PUT", "/tagged", `<CreateBucketConfiguration><Tags><Tag><Key>aws:a</Key><Value>1</Value></Tag></Tags></CreateBucketConfiguration>`, "", 400, "This prefix is reserved for system tags."},
		"a key without KMS": {"PUT", "/docs?encryption=", `<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm><KMSMasterKeyID>k</KMSMasterKeyID></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>`,
			"", 400, "a KMSMasterKeyID is not applicable"},
		"a lifecycle":             {"PUT", "/docs?lifecycle=", lifecycle(`<Filter><And><Prefix>a</Prefix><Tag><Key>t</Key><Value>1</Value></Tag></And></Filter><Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration>`), "", 200, ""},
		"a lifecycle's afternoon": {"PUT", "/docs?lifecycle=", lifecycle(`<Filter/><Expiration><Date>2030-01-01T12:00:00Z</Date></Expiration>`), "", 400, "'Date' must be at midnight GMT"},
		"a lifecycle's doubt":     {"PUT", "/docs?lifecycle=", lifecycle(`<Filter/><Expiration><Days>1</Days><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>`), "", 400, malformed},
		"a lifecycle's twins": {"PUT", "/docs?lifecycle=", lifecycle(`<Filter><And><Tag><Key>t</Key><Value>1</Value></Tag><Tag><Key>t</Key><Value>2</Value></Tag></And></Filter><Expiration><Days>1</Days></Expiration>`),
			"", 400, "Duplicate Tag Keys are not allowed."},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.secret == "" {
				tc.secret = "test"
			}
			status, body := c.raw(t, tc.method, tc.path, tc.document, tc.secret)
			if status != tc.status || !strings.Contains(strings.ReplaceAll(body, "&#39;", "'"), tc.want) {
				t.Errorf("answer %d: %s, want %d %s", status, body, tc.status, tc.want)
			}
		})
	}
}

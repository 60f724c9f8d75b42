package s3_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// posting is a form that a browser would send.
type posting struct {
	fields map[string]string
	file   string
	name   string // of the file; "": the field has none
	after  string // a field after the file
	kind   string // of the content; "": a form's
	origin string
}

func (p posting) send(t *testing.T, to string) (*http.Response, string) {
	t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for name, value := range p.fields {
		must[struct{}](t)(struct{}{}, w.WriteField(name, value))
	}
	if p.file != "" {
		make := func() (io.Writer, error) { return w.CreateFormField("file") }
		if p.name != "" {
			make = func() (io.Writer, error) { return w.CreateFormFile("file", p.name) }
		}
		must[int](t)(io.WriteString(must[io.Writer](t)(make()), p.file))
	}
	if p.after != "" {
		must[struct{}](t)(struct{}{}, w.WriteField(p.after, "x"))
	}
	must[struct{}](t)(struct{}{}, w.Close())
	r := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodPost, to, &body))
	r.Header.Set("Content-Type", w.FormDataContentType())
	if p.kind != "" {
		r.Header.Set("Content-Type", p.kind)
	}
	if p.origin != "" {
		r.Header.Set("Origin", p.origin)
	}
	answer := must[*http.Response](t)(http.DefaultTransport.RoundTrip(r))
	defer answer.Body.Close()
	return answer, string(must[[]byte](t)(io.ReadAll(answer.Body)))
}

// policy is one that runs out in an hour, in base64.
func policy(t *testing.T, until time.Duration, conditions ...any) string {
	t.Helper()
	raw := must[[]byte](t)(json.Marshal(map[string]any{"expiration": time.Now().Add(until).UTC().Format(time.RFC3339), "conditions": conditions}))
	return base64.StdEncoding.EncodeToString(raw)
}

// formV2 signs a form as boto3 does by default.
func formV2(t *testing.T, until time.Duration, fields map[string]string, more ...any) map[string]string {
	conditions := more
	for name, value := range fields {
		conditions = append(conditions, map[string]string{name: value})
	}
	fields = maps.Clone(fields)
	delete(fields, "bucket")
	fields["policy"] = policy(t, until, conditions...)
	mac := hmac.New(sha1.New, []byte("test"))
	_, _ = mac.Write([]byte(fields["policy"]))
	fields["AWSAccessKeyId"], fields["signature"] = "test", base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return fields
}

func without(fields map[string]string, names ...string) map[string]string {
	fields = maps.Clone(fields)
	for _, n := range names {
		delete(fields, n)
	}
	return fields
}

func with(fields map[string]string, name, value string) map[string]string {
	fields = maps.Clone(fields)
	fields[name] = value
	return fields
}

func TestFormUpload(t *testing.T) {
	c := start(t, t.TempDir())
	cl := c.root()
	makeBucket(t, cl, "forms", true)
	must[*awss3.PutBucketNotificationConfigurationOutput](t)(cl.PutBucketNotificationConfiguration(t.Context(), &awss3.PutBucketNotificationConfigurationInput{Bucket: aws.String("forms"),
		NotificationConfiguration: &types.NotificationConfiguration{EventBridgeConfiguration: &types.EventBridgeConfiguration{}}}))
	must[*awss3.PutBucketCorsOutput](t)(cl.PutBucketCors(t.Context(), &awss3.PutBucketCorsInput{Bucket: aws.String("forms"), CORSConfiguration: &types.CORSConfiguration{
		CORSRules: []types.CORSRule{{AllowedMethods: []string{"POST"}, AllowedOrigins: []string{"http://page.test"}}}}}))
	to := c.url + "/forms"
	v4 := must[*awss3.PresignedPostRequest](t)(awss3.NewPresignClient(cl).PresignPostObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String("forms"), Key: aws.String("four")}))
	big := strings.Repeat("0123456789", 100_000)

	answer, _ := posting{fields: v4.Values, file: big, name: "a.csv"}.send(t, v4.URL)
	if answer.StatusCode != http.StatusNoContent || answer.Header.Get("X-Amz-Version-Id") == "" || answer.Header.Get("X-Amz-Checksum-Crc64nvme") == "" || answer.Header.Get("Location") != to+"/four" {
		t.Errorf("answer %d: %v", answer.StatusCode, answer.Header)
	}
	if got := get(t, cl, &awss3.GetObjectInput{Bucket: aws.String("forms"), Key: aws.String("four")}); got != big {
		t.Errorf("read back %d bytes", len(got))
	}
	sent := c.sent()
	if len(sent) != 1 || sent[0].Detail["reason"] != "PostObject" {
		t.Errorf("events: %+v", sent)
	}

	fields := formV2(t, time.Hour, map[string]string{"bucket": "forms", "success_action_status": "201", "Content-Type": "text/csv", "x-amz-meta-Who": "me, Zoë",
		"tagging": "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"}, []any{"starts-with", "$key", "in/"})
	fields["key"] = "in/${filename}"
	answer, body := posting{fields: fields, file: "x,y", name: "ü 1.csv", after: "submit", origin: "http://page.test"}.send(t, to+"/")
	location := to + "/in%2F%C3%BC%201.csv"
	want := "<PostResponse><Location>" + location + "</Location><Bucket>forms</Bucket><Key>in/ü 1.csv</Key><ETag>" + strings.ReplaceAll(answer.Header.Get("Etag"), `"`, "&#34;") + "</ETag></PostResponse>"
	if answer.StatusCode != http.StatusCreated || !strings.HasSuffix(body, want) || answer.Header.Get("Location") != location || answer.Header.Get("Access-Control-Allow-Origin") != "http://page.test" {
		t.Errorf("answer %d %v: %s, want %s", answer.StatusCode, answer.Header, body, want)
	}
	head := must[*awss3.HeadObjectOutput](t)(cl.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: aws.String("forms"), Key: aws.String("in/ü 1.csv")}))
	if *head.ContentType != "text/csv" || *head.ContentLength != 3 || head.Metadata["who"] != "=?UTF-8?Q?me,_Zo=C3=AB?=" || aws.ToInt32(head.TagCount) != 1 {
		t.Errorf("head: %+v", head)
	}

	to2 := "http://page.test/done?a=b"
	answer, body = posting{fields: formV2(t, time.Hour, map[string]string{"bucket": "forms", "key": "r", "success_action_redirect": to2}), file: "x"}.send(t, to)
	if at, err := url.Parse(answer.Header.Get("Location")); answer.StatusCode != http.StatusSeeOther || err != nil || body != "" || at.Query().Get("key") != "r" || at.Query().Get("bucket") != "forms" ||
		at.Query().Get("a") != "b" || at.Query().Get("etag") != answer.Header.Get("Etag") {
		t.Errorf("answer %d %v: %s", answer.StatusCode, answer.Header, body)
	}
}

func TestFormRefusals(t *testing.T) {
	c := start(t, t.TempDir())
	makeBucket(t, c.root(), "forms", false)
	good := formV2(t, time.Hour, map[string]string{"bucket": "forms", "key": "k"})
	four := must[*awss3.PresignedPostRequest](t)(awss3.NewPresignClient(c.root()).PresignPostObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String("forms"), Key: aws.String("k")})).Values
	role := must[*awss3.PresignedPostRequest](t)(awss3.NewPresignClient(c.client("ASIAROLE", "role-secret", "role-token")).PresignPostObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String("forms"), Key: aws.String("k")})).Values
	sized := formV2(t, time.Hour, map[string]string{"bucket": "forms", "key": "k"}, []any{"content-length-range", 2, 4})
	for name, tc := range map[string]struct {
		posting
		bucket string
		status int
		want   string // in the answer
	}{
		"goes through":           {posting: posting{fields: good, file: "x"}, status: 204},
		"no form":                {posting: posting{fields: good, file: "x", kind: "text/html"}, status: 412, want: "<Condition>Bucket POST must be of the enclosure-type multipart/form-data</Condition>"},
		"no bucket":              {posting: posting{fields: good, file: "x"}, bucket: "nowhere", status: 404, want: "<Code>NoSuchBucket</Code>"},
		"no file":                {posting: posting{fields: good}, status: 400, want: "POST requires exactly one file upload per request."},
		"no key":                 {posting: posting{fields: without(good, "key"), file: "x"}, status: 400, want: "<ArgumentName>key</ArgumentName><ArgumentValue></ArgumentValue>"},
		"no signature at all":    {posting: posting{fields: map[string]string{"key": "k"}, file: "x"}, status: 403, want: "<Code>AccessDenied</Code><Message>Access Denied</Message>"},
		"no signature":           {posting: posting{fields: without(good, "signature"), file: "x"}, status: 400, want: "<ArgumentName>Signature</ArgumentName><ArgumentValue></ArgumentValue>"},
		"no algorithm":           {posting: posting{fields: without(four, "X-Amz-Algorithm"), file: "x"}, status: 400, want: "<ArgumentName>X-Amz-Algorithm</ArgumentName>"},
		"another signature":      {posting: posting{fields: with(four, "X-Amz-Signature", "00"), file: "x"}, status: 403, want: "<Code>SignatureDoesNotMatch</Code>"},
		"another policy":         {posting: posting{fields: with(good, "policy", policy(t, time.Hour, map[string]string{"bucket": "forms"})), file: "x"}, status: 403, want: "<Code>SignatureDoesNotMatch</Code>"},
		"nobody's key":           {posting: posting{fields: with(good, "AWSAccessKeyId", "nobody"), file: "x"}, status: 403, want: "<Code>InvalidAccessKeyId</Code>"},
		"a role without leave":   {posting: posting{fields: role, file: "x"}, status: 403, want: "<Code>AccessDenied</Code>"},
		"another session":        {posting: posting{fields: with(role, "X-Amz-Security-Token", "x"), file: "x"}, status: 400, want: "<Code>InvalidToken</Code>"},
		"too late":               {posting: posting{fields: formV2(t, -time.Minute, map[string]string{"bucket": "forms", "key": "k"}), file: "x"}, status: 403, want: "Invalid according to Policy: Policy expired."},
		"a field beside policy":  {posting: posting{fields: with(good, "x-amz-meta-more", "1"), file: "x"}, status: 403, want: "Invalid according to Policy: Extra input fields: x-amz-meta-more"},
		"another key":            {posting: posting{fields: with(good, "key", "other"), file: "x"}, status: 403, want: "Policy Condition failed: [&#34;eq&#34;, &#34;$key&#34;, &#34;k&#34;]"},
		"too large":              {posting: posting{fields: sized, file: "12345"}, status: 400, want: "<ProposedSize>5</ProposedSize><MaxSizeAllowed>4</MaxSizeAllowed>"},
		"too small":              {posting: posting{fields: sized, file: "1"}, status: 400, want: "<Code>EntityTooSmall</Code>"},
		"too many fields":        {posting: posting{fields: with(good, "x-ignore-all", strings.Repeat("x", 21<<10)), file: "x"}, status: 400, want: "<Code>MaxPostPreDataLengthExceededError</Code>"},
		"tags that are no XML":   {posting: posting{fields: formV2(t, time.Hour, map[string]string{"bucket": "forms", "key": "k", "tagging": "a=b"}), file: "x"}, status: 400, want: "<Code>MalformedXML</Code>"},
		"an ACL where none goes": {posting: posting{fields: formV2(t, time.Hour, map[string]string{"bucket": "forms", "key": "k", "acl": "public-read"}), file: "x"}, status: 400, want: "<Code>AccessControlListNotSupported</Code>"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.bucket == "" {
				tc.bucket = "forms"
			}
			answer, body := tc.send(t, c.url+"/"+tc.bucket)
			if answer.StatusCode != tc.status || !strings.Contains(body, tc.want) {
				t.Errorf("answer %d: %s, want %d %s", answer.StatusCode, body, tc.status, tc.want)
			}
		})
	}
}

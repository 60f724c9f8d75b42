package localcloud_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/millrace-ml/millrace/localcloud"
)

// presigned is a URL that any page can make: the credentials are known to all.
func (r *running) presigned(t *testing.T, service, method, path, body string) string {
	t.Helper()
	req := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body)))
	query := req.URL.Query()
	query.Set("X-Amz-Expires", "60")
	req.URL.RawQuery = query.Encode()
	sum := sha256.Sum256([]byte(body))
	payload := hex.EncodeToString(sum[:])
	if service == "s3" {
		payload = "UNSIGNED-PAYLOAD"
	}
	credentials := must[aws.Credentials](t)(r.config().Credentials.Retrieve(t.Context()))
	uri, _, err := v4.NewSigner().PresignHTTP(t.Context(), credentials, req, payload, service, "us-east-1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return uri
}

// TestPagesOfOthers: a page in a browser can send a signed URL or form to this
// machine without being asked. Only pages of this machine, and those that a
// bucket's CORS rules name, are listened to.
func TestPagesOfOthers(t *testing.T) {
	c := serve(t, localcloud.Options{Ephemeral: true})
	objects := s3.NewFromConfig(c.config())
	for _, bucket := range []string{"closed", "forms"} {
		must[*s3.CreateBucketOutput](t)(objects.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}))
		must[*s3.PutObjectOutput](t)(objects.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("page.html"), Body: strings.NewReader("<script>"), ContentType: aws.String("text/html")}))
	}
	must[*s3.PutBucketCorsOutput](t)(objects.PutBucketCors(t.Context(), &s3.PutBucketCorsInput{Bucket: aws.String("forms"), CORSConfiguration: &s3types.CORSConfiguration{
		CORSRules: []s3types.CORSRule{{AllowedMethods: []string{"POST"}, AllowedOrigins: []string{"https://page.test"}}}}}))
	form := func(bucket string) (kind, body string) {
		signed := must[*s3.PresignedPostRequest](t)(s3.NewPresignClient(objects).PresignPostObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("by a form")}))
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		for name, value := range signed.Values {
			must[struct{}](t)(struct{}{}, w.WriteField(name, value))
		}
		must[int](t)(io.WriteString(must[io.Writer](t)(w.CreateFormFile("file", "f")), "x"))
		must[struct{}](t)(struct{}{}, w.Close())
		return w.FormDataContentType(), b.String()
	}
	const role = "Action=CreateRole&Version=2010-05-08&RoleName=r&AssumeRolePolicyDocument=%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22sts%3AAssumeRole%22%2C%22Principal%22%3A%7B%22AWS%22%3A%22%2A%22%7D%7D%7D"
	const function = `{"FunctionName":"f"}`
	for name, tc := range map[string]struct {
		service, method, path, body, kind string
		form                              string // bucket
		header                            map[string]string
		status                            int
	}{
		"a function, from elsewhere":        {service: "lambda", method: "POST", path: "/2015-03-31/functions", body: function, kind: "text/plain", header: map[string]string{"Origin": "https://page.test"}, status: 403},
		"a function, from nowhere":          {service: "lambda", method: "POST", path: "/2015-03-31/functions", body: function, kind: "text/plain", header: map[string]string{"Origin": "null"}, status: 403},
		"a function, from a name like ours": {service: "lambda", method: "POST", path: "/2015-03-31/functions", body: function, kind: "text/plain", header: map[string]string{"Origin": "http://127.0.0.1.page.test"}, status: 403},
		"a function, from here":             {service: "lambda", method: "POST", path: "/2015-03-31/functions", body: function, kind: "text/plain", header: map[string]string{"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}, status: 400},
		"a function, by a program":          {service: "lambda", method: "POST", path: "/2015-03-31/functions", body: function, kind: "text/plain", status: 400},
		"a role, by an image's address":     {service: "iam", method: "GET", path: "/?" + role, header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, status: 403},
		"an address that is typed":          {service: "iam", method: "GET", path: "/?Action=Nothing", header: map[string]string{"Sec-Fetch-Site": "none"}, status: 400},
		"a form":                            {form: "closed", header: map[string]string{"Origin": "https://page.test", "Sec-Fetch-Mode": "navigate"}, status: 403},
		"a form, from here":                 {form: "closed", header: map[string]string{"Origin": "http://127.0.0.1:8080"}, status: 204},
		"a form that the bucket lets in":    {form: "forms", header: map[string]string{"Origin": "https://page.test"}, status: 204},
		"a form of another page":            {form: "forms", header: map[string]string{"Origin": "https://other.test"}, status: 403},
		"an upload in parts":                {service: "s3", method: "POST", path: "/closed/k?uploads=", header: map[string]string{"Origin": "https://page.test"}, status: 403},
		"a link to an object":               {service: "s3", method: "GET", path: "/closed/page.html", header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			uri, method, body, kind := c.url+"/"+tc.form, http.MethodPost, tc.body, tc.kind
			if tc.form != "" {
				kind, body = form(tc.form)
			} else {
				uri, method = c.presigned(t, tc.service, tc.method, tc.path, tc.body), tc.method
			}
			req := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), method, uri, strings.NewReader(body)))
			req.Header.Set("Content-Type", kind)
			for k, v := range tc.header {
				req.Header.Set(k, v)
			}
			resp := must[*http.Response](t)(http.DefaultClient.Do(req))
			answer := must[[]byte](t)(io.ReadAll(resp.Body))
			_ = resp.Body.Close()
			refused := strings.Contains(string(answer), "takes no such request from a page")
			if resp.StatusCode != tc.status || refused != (tc.status == http.StatusForbidden) {
				t.Errorf("%s %s, want %d", resp.Status, answer, tc.status)
			}
			// What is shown as a page has no scripts that could speak for this cloud.
			if sandboxed := strings.HasPrefix(resp.Header.Get("Content-Security-Policy"), "sandbox"); sandboxed != (tc.header["Sec-Fetch-Mode"] == "navigate") {
				t.Errorf("header %v", resp.Header)
			}
		})
	}
	if got := must[*lambda.ListFunctionsOutput](t)(lambda.NewFromConfig(c.config()).ListFunctions(t.Context(), nil)); len(got.Functions) != 0 {
		t.Errorf("functions: %+v", got.Functions)
	}
	if log := c.log.String(); !strings.Contains(log, "request of a page in a browser was refused") {
		t.Errorf("it was not said aloud:\n%s", log)
	}
}

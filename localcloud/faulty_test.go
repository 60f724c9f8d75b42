package localcloud_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/millrace-ml/millrace/localcloud"
	"github.com/millrace-ml/millrace/localcloud/faults"
)

// control asks the control path of faults for something.
func (r *running) control(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	return r.ask(t, method, faults.Path+path, body)
}

// ask sends JSON to a path, and gives the answer's status and body.
func (r *running) ask(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// lay lays a fault in place of all others.
func (r *running) lay(t *testing.T, fault string) {
	t.Helper()
	r.control(t, http.MethodDelete, "", "")
	if status, body := r.control(t, http.MethodPost, "", fault); status != http.StatusCreated {
		t.Fatalf("lay %s: %d %s", fault, status, body)
	}
}

func TestFaultsAreOffByDefault(t *testing.T) {
	c := serve(t, localcloud.Options{Ephemeral: true})
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if status, body := c.control(t, method, "", `{"on":"event","do":"drop"}`); status != http.StatusNotFound || !strings.Contains(body, "millrace up --faults") {
			t.Errorf("%s: %d %s", method, status, body)
		}
	}
}

// TestCallsMeetFaults: by the protocols of all kinds of services.
func TestCallsMeetFaults(t *testing.T) {
	c := serve(t, localcloud.Options{Ephemeral: true, Faults: true})
	cfg := c.config()
	objects := s3.NewFromConfig(cfg)
	large := bytes.Repeat([]byte("x"), 3<<20)
	calls := map[string]func() error{
		"s3:CreateBucket": func() error {
			_, err := objects.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("box")})
			return err
		},
		"s3:PutObject": func() error {
			_, err := objects.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("box"), Key: aws.String("k"), Body: bytes.NewReader(large)})
			return err
		},
		"states:ListStateMachines": func() error {
			_, err := sfn.NewFromConfig(cfg).ListStateMachines(t.Context(), &sfn.ListStateMachinesInput{})
			return err
		},
		"iam:ListRoles": func() error {
			_, err := iam.NewFromConfig(cfg).ListRoles(t.Context(), &iam.ListRolesInput{})
			return err
		},
		"sns:ListTopics": func() error {
			_, err := sns.NewFromConfig(cfg).ListTopics(t.Context(), &sns.ListTopicsInput{})
			return err
		},
		"lambda:ListFunctions": func() error {
			_, err := awslambda.NewFromConfig(cfg).ListFunctions(t.Context(), &awslambda.ListFunctionsInput{})
			return err
		},
	}
	for _, tt := range []struct{ operation, do, code string }{
		{"s3:CreateBucket", `"throttle"`, "SlowDown"},
		{"s3:CreateBucket", `"fail"`, "InternalError"},
		{"s3:CreateBucket", `"fail","after":true`, "InternalError"},
		{"s3:PutObject", `"throttle"`, "SlowDown"},
		{"s3:PutObject", `"fail","code":"EntityTooLarge"`, "EntityTooLarge"},
		{"states:ListStateMachines", `"throttle"`, "ThrottlingException"},
		{"states:ListStateMachines", `"fail","code":"ServiceUnavailable","status":503`, "ServiceUnavailable"},
		{"iam:ListRoles", `"throttle"`, "Throttling"},
		{"iam:ListRoles", `"fail"`, "InternalFailure"},
		{"sns:ListTopics", `"throttle"`, "Throttling"},
		{"lambda:ListFunctions", `"throttle"`, "TooManyRequestsException"},
		{"lambda:ListFunctions", `"fail"`, "ServiceException"},
	} {
		service, operation, _ := strings.Cut(tt.operation, ":")
		c.lay(t, `{"id":"f","on":"call","match":{"service":"`+service+`","operation":"`+operation+`","caller":"root"},"count":1,"do":`+tt.do+`}`)
		if err := calls[tt.operation](); code(err) != tt.code {
			t.Errorf("%s, %s: %v", tt.operation, tt.do, err)
		}
		if err := calls[tt.operation](); err != nil && code(err) != "BucketAlreadyOwnedByYou" {
			t.Errorf("%s without a fault: %v", tt.operation, err)
		}
	}
}

// TestCutConnections: before the call took effect, and after.
func TestCutConnections(t *testing.T) {
	c := serve(t, localcloud.Options{Ephemeral: true, Faults: true})
	objects := s3.NewFromConfig(c.config())
	must[*s3.CreateBucketOutput](t)(objects.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("box")}))
	for key, after := range map[string]string{"before": "false", "after": "true"} {
		c.lay(t, `{"on":"call","match":{"operation":"PutObject"},"do":"cut","after":`+after+`}`)
		_, err := objects.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("box"), Key: &key, Body: strings.NewReader("x")})
		if err == nil || strings.Contains(err.Error(), "StatusCode: 2") {
			t.Errorf("%s: the call is answered: %v", key, err)
		}
		c.control(t, http.MethodDelete, "", "")
		_, err = objects.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String("box"), Key: &key})
		if there := err == nil; there != (key == "after") {
			t.Errorf("%s: the object is there: %v, %v", key, there, err)
		}
	}
}

// TestServicesMeetFaults: the calls of services among each other.
func TestServicesMeetFaults(t *testing.T) {
	c := serve(t, localcloud.Options{Ephemeral: true, Faults: true})
	cfg := c.config()
	events, queues := eventbridge.NewFromConfig(cfg), sqs.NewFromConfig(cfg)
	queue := must[*sqs.CreateQueueOutput](t)(queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q"), Attributes: map[string]string{
		"Policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"*"}]}`}}))
	must[*eventbridge.PutRuleOutput](t)(events.PutRule(t.Context(), &eventbridge.PutRuleInput{Name: aws.String("r"), EventPattern: aws.String(`{"source":["acme"]}`)}))
	must[*eventbridge.PutTargetsOutput](t)(events.PutTargets(t.Context(), &eventbridge.PutTargetsInput{Rule: aws.String("r"),
		Targets: []ebtypes.Target{{Id: aws.String("q"), Arn: aws.String("arn:aws:sqs:us-east-1:000000000000:q")}}}))
	for _, tt := range []struct {
		do   string
		come int // times
	}{{`"throttle"`, 1}, {`"fail","after":true`, 2}, {`"cut"`, 1}, {`"cut","after":true`, 2}} {
		c.lay(t, `{"id":"f","on":"call","match":{"service":"sqs","operation":"SendMessage","caller":"events.amazonaws.com"},"count":1,"do":`+tt.do+`}`)
		must[*eventbridge.PutEventsOutput](t)(events.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: []ebtypes.PutEventsRequestEntry{
			{Source: aws.String("acme"), DetailType: aws.String("Made"), Detail: aws.String("{}")}}}))
		for range tt.come {
			got := must[*sqs.ReceiveMessageOutput](t)(queues.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, WaitTimeSeconds: 20}))
			if len(got.Messages) != 1 {
				t.Fatalf("%s: %+v", tt.do, got.Messages)
			}
			if _, err := queues.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: queue.QueueUrl, ReceiptHandle: got.Messages[0].ReceiptHandle}); err != nil {
				t.Fatal(err)
			}
		}
		var answer struct {
			Faults []faults.Hold
			Seen   []faults.Seen
		}
		if _, body := c.control(t, http.MethodGet, "", ""); json.Unmarshal([]byte(body), &answer) != nil || len(answer.Faults) != 1 || answer.Faults[0].Hits != 1 || answer.Faults[0].Matched != 2 {
			t.Errorf("%s: %s", tt.do, body)
		}
	}
}

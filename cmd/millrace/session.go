package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/millrace-ml/millrace/shared/awserr"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/registry"
	"github.com/millrace-ml/millrace/shared/runs"
)

// Where the local cloud keeps its state, and who it says it is.
const (
	stateFolder  = ".millrace"
	localRegion  = "us-east-1"
	localAccount = "000000000000"
	localKey     = "test"
	stackName    = "Millrace"
)

// running says where the local cloud of a state folder is to be found.
type running struct {
	Endpoint string `json:"endpoint"`
	PID      int    `json:"pid"`
	Dir      string `json:"dir"`
}

func runningFile() string { return filepath.Join(stateFolder, "cloud.json") }

// findRunning finds the local cloud that runs in this folder; ok is false when
// none answers.
func findRunning(ctx context.Context) (r running, ok bool) {
	raw, err := os.ReadFile(runningFile())
	if err != nil || json.Unmarshal(raw, &r) != nil {
		return r, false
	}
	return r, r.answers(ctx)
}

// answers tells whether it is there still. A killed cloud's port may be another
// folder's by now, and its process number anything's; hardly both.
func (r running) answers(ctx context.Context) bool {
	return r.here() && syscall.Kill(r.PID, 0) == nil && healthy(ctx, r.Endpoint)
}

// here tells whether the file can be of a local cloud. It may have come with the
// folder, from somebody who would like to have what is uploaded.
func (r running) here() bool {
	u, err := url.Parse(r.Endpoint)
	if err != nil || u.Scheme != "http" || r.PID <= 0 {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}

func healthy(ctx context.Context, endpoint string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/_millrace/health", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// awsConfig is the AWS configuration that a command works with.
func (c *cli) awsConfig(ctx context.Context) (aws.Config, error) {
	if c.endpoint == "" && inEnvironment() == "" {
		if r, ok := findRunning(ctx); ok {
			if !c.json {
				c.say("local cloud at %s", r.Endpoint)
			}
			return localConfig(r.Endpoint), nil
		}
	}
	var opts []func(*config.LoadOptions) error
	if c.endpoint != "" {
		opts = append(opts, config.WithBaseEndpoint(c.endpoint))
		if os.Getenv("AWS_ACCESS_KEY_ID") == "" && os.Getenv("AWS_PROFILE") == "" {
			opts = append(opts, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(localKey, localKey, "")))
		}
		if os.Getenv("AWS_REGION") == "" && os.Getenv("AWS_DEFAULT_REGION") == "" {
			opts = append(opts, config.WithRegion(localRegion))
		}
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return cfg, fmt.Errorf("load AWS configuration: %w%s", err, c.orLocal(ctx))
	}
	if cfg.Region == "" {
		if hint := c.orLocal(ctx); hint != "" {
			return cfg, errors.New("no AWS region is configured" + hint)
		}
		return cfg, errors.New("no AWS region is configured, and no local cloud runs in this folder (hint: `millrace up`, or set AWS_REGION)")
	}
	return cfg, nil
}

// inEnvironment names the variable that says which account or endpoint is meant,
// even where a local cloud runs; "" when none does.
func inEnvironment() string {
	for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_ACCESS_KEY_ID"} {
		if os.Getenv(name) != "" {
			return name
		}
	}
	return ""
}

// orLocal is the hint for who may have meant the local cloud of this folder.
func (c *cli) orLocal(ctx context.Context) string {
	name := inEnvironment()
	if c.endpoint != "" || name == "" {
		return ""
	}
	r, ok := findRunning(ctx)
	if !ok || r.Endpoint == os.Getenv("AWS_ENDPOINT_URL") {
		return ""
	}
	return fmt.Sprintf(" (hint: %s is set, so the local cloud of this folder was not asked: unset it)", name)
}

// localConfig is the configuration for a local cloud that was started here:
// whatever the environment says is for accounts.
func localConfig(endpoint string) aws.Config {
	return aws.Config{BaseEndpoint: &endpoint, Region: localRegion, Credentials: credentials.NewStaticCredentialsProvider(localKey, localKey, ""),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported, ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported}
}

// session is a deployed Millrace and the clients to it.
type session struct {
	cfg          aws.Config
	s3           *s3.Client
	sfn          *sfn.Client
	sagemaker    *sagemaker.Client
	logs         *cloudwatchlogs.Client
	ledger       *ledger.Ledger
	registry     *registry.Registry
	dataBucket   string
	stateMachine string // ARN
	pipelines    []string
}

// open finds the deployed stack.
func (c *cli) open(ctx context.Context) (*session, error) {
	cfg, err := c.awsConfig(ctx)
	if err != nil {
		return nil, err
	}
	s, err := newSession(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, c.orLocal(ctx))
	}
	return s, nil
}

func newSession(ctx context.Context, cfg aws.Config) (*session, error) {
	out, err := cloudformation.NewFromConfig(cfg).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String(stackName)})
	if err != nil {
		return nil, fmt.Errorf("find stack %s: %w (hint: `millrace up` deploys it on this machine, `cdk deploy` into an account)", stackName, err)
	}
	values := map[string]string{}
	for _, o := range out.Stacks[0].Outputs {
		values[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	for _, need := range []string{"DataBucket", "LedgerBucket", "StateMachine", "Pipelines"} {
		if values[need] == "" {
			return nil, fmt.Errorf("find stack %s: it is %s and has no output %s yet", stackName, out.Stacks[0].StackStatus, need)
		}
	}
	s := &session{cfg: cfg, s3: s3.NewFromConfig(cfg), sfn: sfn.NewFromConfig(cfg), sagemaker: sagemaker.NewFromConfig(cfg), logs: cloudwatchlogs.NewFromConfig(cfg),
		dataBucket: values["DataBucket"], stateMachine: values["StateMachine"]}
	s.ledger = ledger.New(s.s3, values["LedgerBucket"])
	s.registry = registry.New(s.sagemaker)
	if err := json.Unmarshal([]byte(values["Pipelines"]), &s.pipelines); err != nil {
		return nil, fmt.Errorf("read output Pipelines of stack %s: %w", stackName, err)
	}
	return s, nil
}

// known refuses a pipeline that is not deployed.
func (s *session) known(pipeline string) error {
	if !slices.Contains(s.pipelines, pipeline) {
		return fmt.Errorf("there is no pipeline %s (there is: %s)", pipeline, strings.Join(s.pipelines, ", "))
	}
	return nil
}

// began refuses a run that never began.
func (s *session) began(ctx context.Context, pipeline string, run int) error {
	if err := s.known(pipeline); err != nil {
		return err
	}
	arn := s.executionARN(pipeline, run)
	_, err := s.sfn.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &arn})
	if awserr.IsNotFound(err) {
		return fmt.Errorf("there is no run %s/%d (hint: millrace runs %s; numbers can have gaps)", pipeline, run, pipeline)
	}
	if err != nil {
		return fmt.Errorf("describe run %s/%d: %w", pipeline, run, err)
	}
	return nil
}

// executionARN is the ARN of a run's execution.
func (s *session) executionARN(pipeline string, run int) string {
	return runs.ExecutionARN(s.stateMachine, ledger.ExecutionName(pipeline, run))
}

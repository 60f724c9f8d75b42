package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"

	"github.com/millrace-ml/millrace/shared/awserr"
)

// maxTemplateBody is CloudFormation's limit for a template in a request, in bytes.
const maxTemplateBody = 51_200

// assembly is a cloud assembly: what `cdk synth` writes.
type assembly struct {
	dir      string
	template []byte
	assets   map[string]asset // by the object key that the template names
}

type asset struct {
	path   string
	bucket string // with ${AWS::…} in it
	zip    bool
}

// readAssembly reads the one stack of a cloud assembly folder.
func readAssembly(dir string) (*assembly, error) {
	templates, err := filepath.Glob(filepath.Join(dir, "*.template.json"))
	if err != nil || len(templates) != 1 {
		return nil, fmt.Errorf("read assembly %s: expected one *.template.json, found %d (hint: `make build` or `cdk synth` writes one)", dir, len(templates))
	}
	a := &assembly{dir: dir, assets: map[string]asset{}}
	if a.template, err = os.ReadFile(templates[0]); err != nil {
		return nil, fmt.Errorf("read assembly: %w", err)
	}
	raw, err := os.ReadFile(strings.TrimSuffix(templates[0], ".template.json") + ".assets.json")
	if err != nil {
		return nil, fmt.Errorf("read assembly: %w", err)
	}
	var manifest struct {
		Files map[string]struct {
			Source struct {
				Path      string `json:"path"`
				Packaging string `json:"packaging"`
			} `json:"source"`
			Destinations map[string]struct {
				BucketName string `json:"bucketName"`
				ObjectKey  string `json:"objectKey"`
			} `json:"destinations"`
		} `json:"files"`
		DockerImages map[string]any `json:"dockerImages"`
	}
	if err := json.Unmarshal(raw, &manifest); err != nil {
		return nil, fmt.Errorf("read assembly %s: %w", dir, err)
	}
	if len(manifest.DockerImages) > 0 {
		return nil, fmt.Errorf("read assembly %s: it has Docker image assets, which need a Docker engine", dir)
	}
	for _, f := range manifest.Files {
		path := filepath.Join(dir, f.Source.Path)
		if path == templates[0] {
			continue // the template itself, which is given to CloudFormation directly
		}
		for _, d := range f.Destinations {
			a.assets[d.ObjectKey] = asset{path: path, bucket: d.BucketName, zip: f.Source.Packaging == "zip"}
		}
	}
	return a, nil
}

// deploy puts an assembly into the cloud through the same AWS calls as the CDK
// CLI makes: assets into a bucket, then a stack created or updated.
func deploy(ctx context.Context, cfg aws.Config, a *assembly, parameters map[string]string) error {
	template, bucket, err := publish(ctx, s3.NewFromConfig(cfg), a, cfg.Region)
	if err != nil {
		return err
	}
	if err := putBootstrapVersion(ctx, ssm.NewFromConfig(cfg), template); err != nil {
		return err
	}
	body, url := aws.String(string(template)), (*string)(nil)
	if len(template) > maxTemplateBody {
		if url, err = publishTemplate(ctx, cfg, bucket, template); err != nil {
			return err
		}
		body = nil
	}
	var params []types.Parameter
	for k, v := range parameters {
		params = append(params, types.Parameter{ParameterKey: aws.String(k), ParameterValue: aws.String(v)})
	}
	sort.Slice(params, func(i, j int) bool { return *params[i].ParameterKey < *params[j].ParameterKey })
	cfn := cloudformation.NewFromConfig(cfg)
	can := []types.Capability{types.CapabilityCapabilityNamedIam}
	_, err = cfn.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String(stackName), TemplateBody: body, TemplateURL: url, Parameters: params, Capabilities: can})
	if hasCode(err, "AlreadyExistsException") {
		_, err = cfn.UpdateStack(ctx, &cloudformation.UpdateStackInput{StackName: aws.String(stackName), TemplateBody: body, TemplateURL: url, Parameters: params, Capabilities: can})
		if hasCode(err, "ValidationError") && strings.Contains(err.Error(), "No updates are to be performed") {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("deploy stack %s: %w", stackName, err)
	}
	return waitForStack(ctx, cfn)
}

// bootstrapVersion is the version of the CDK's bootstrap stack whose resources
// the deployed template needs.
const bootstrapVersion = "30"

// putBootstrapVersion puts the parameters that the template reads about the CDK's bootstrap
// stack, which this deployment does without.
func putBootstrapVersion(ctx context.Context, client *ssm.Client, template []byte) error {
	var t struct {
		Parameters map[string]struct {
			Type    string
			Default any
		}
	}
	if err := json.Unmarshal(template, &t); err != nil {
		return fmt.Errorf("read template: %w", err)
	}
	for _, p := range t.Parameters {
		name, _ := p.Default.(string)
		if p.Type != "AWS::SSM::Parameter::Value<String>" || !strings.HasPrefix(name, "/cdk-bootstrap/") {
			continue
		}
		_, err := client.PutParameter(ctx, &ssm.PutParameterInput{Name: &name, Value: aws.String(bootstrapVersion), Type: ssmtypes.ParameterTypeString})
		if err != nil && !hasCode(err, "ParameterAlreadyExists") {
			return fmt.Errorf("put parameter %s: %w", name, err)
		}
	}
	return nil
}

func hasCode(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}

func waitForStack(ctx context.Context, cfn *cloudformation.Client) error {
	for {
		out, err := cfn.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String(stackName)})
		if err != nil {
			return fmt.Errorf("wait for stack %s: %w", stackName, err)
		}
		status := out.Stacks[0].StackStatus
		switch {
		case status == types.StackStatusCreateComplete || status == types.StackStatusUpdateComplete:
			return nil
		case !strings.HasSuffix(string(status), "_IN_PROGRESS"):
			return fmt.Errorf("deploy stack %s: it ended as %s: %s", stackName, status, whyFailed(ctx, cfn))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// whyFailed finds the first failure among the stack's events.
func whyFailed(ctx context.Context, cfn *cloudformation.Client) string {
	out, err := cfn.DescribeStackEvents(ctx, &cloudformation.DescribeStackEventsInput{StackName: aws.String(stackName)})
	if err != nil {
		return "and its events cannot be read: " + err.Error()
	}
	why := "its events do not say why"
	for _, e := range out.StackEvents { // newest first: the last found is the first that failed
		if strings.HasSuffix(string(e.ResourceStatus), "_FAILED") {
			why = aws.ToString(e.LogicalResourceId) + ": " + aws.ToString(e.ResourceStatusReason)
		}
	}
	return why
}

// publish uploads the assets under names made of their content, and gives the
// template with these names in it.
func publish(ctx context.Context, client *s3.Client, a *assembly, region string) (template []byte, bucket string, err error) {
	template = a.template
	keys := make([]string, 0, len(a.assets))
	for key := range a.assets {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	fill := strings.NewReplacer("${AWS::AccountId}", localAccount, "${AWS::Region}", region, "${AWS::Partition}", "aws")
	for _, key := range keys {
		as := a.assets[key]
		raw, err := as.read()
		if err != nil {
			return nil, "", err
		}
		sum := sha256.Sum256(raw)
		name := hex.EncodeToString(sum[:]) + filepath.Ext(key)
		bucket = fill.Replace(as.bucket)
		if err := putAsset(ctx, client, bucket, name, raw); err != nil {
			return nil, "", err
		}
		template = bytes.ReplaceAll(template, []byte(`"`+key+`"`), []byte(`"`+name+`"`))
	}
	return template, bucket, nil
}

func putAsset(ctx context.Context, client *s3.Client, bucket, key string, raw []byte) error {
	_, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
	if err == nil {
		return nil
	}
	if awserr.IgnoreNotFound(err) != nil {
		return fmt.Errorf("look for asset %s: %w", key, err)
	}
	if _, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket}); err != nil && !hasCode(err, "BucketAlreadyOwnedByYou") {
		return fmt.Errorf("create asset bucket %s: %w", bucket, err)
	}
	if _, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(raw)}); err != nil {
		return fmt.Errorf("upload asset %s: %w", key, err)
	}
	return nil
}

func publishTemplate(ctx context.Context, cfg aws.Config, bucket string, template []byte) (*string, error) {
	sum := sha256.Sum256(template)
	key := hex.EncodeToString(sum[:]) + ".json"
	if err := putAsset(ctx, s3.NewFromConfig(cfg), bucket, key, template); err != nil {
		return nil, err
	}
	return aws.String(aws.ToString(cfg.BaseEndpoint) + "/" + bucket + "/" + key), nil
}

// read gives the asset's bytes: a folder as a zip that is the same for the same content.
func (a asset) read() ([]byte, error) {
	if !a.zip {
		raw, err := os.ReadFile(a.path)
		if err != nil {
			return nil, fmt.Errorf("read asset: %w", err)
		}
		return raw, nil
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	err := filepath.WalkDir(a.path, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return addToZip(w, a.path, path)
	})
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("zip asset %s: %w", a.path, err)
	}
	return b.Bytes(), nil
}

func addToZip(w *zip.Writer, root, path string) error {
	name, err := filepath.Rel(root, path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	// Stored, not compressed: it never leaves this machine.
	h := &zip.FileHeader{Name: filepath.ToSlash(name), Method: zip.Store, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	h.SetMode(0o644 | info.Mode()&0o111)
	f, err := w.CreateHeader(h)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	return err
}

// localParameters are the stack's parameters on this machine: the worker is
// pinned by the digest of its program.
func localParameters(worker string) (map[string]string, error) {
	raw, err := os.ReadFile(worker)
	if err != nil {
		return nil, fmt.Errorf("read worker: %w (hint: `make build`)", err)
	}
	sum := sha256.Sum256(raw)
	arch := map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH]
	if arch == "" {
		return nil, fmt.Errorf("this machine is of an architecture that Lambda does not have: %s", runtime.GOARCH)
	}
	return map[string]string{
		"WorkerImage":  fmt.Sprintf("%s.dkr.ecr.%s.amazonaws.com/%s@sha256:%s", localAccount, localRegion, workerImage, hex.EncodeToString(sum[:])),
		"Architecture": arch,
	}, nil
}

// workerImage is the repository of the worker's image.
const workerImage = "millrace-worker"

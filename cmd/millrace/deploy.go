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
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
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

// bucket is where all its assets go.
func (a *assembly) bucket(region string) (string, error) {
	fill := strings.NewReplacer("${AWS::AccountId}", localAccount, "${AWS::Region}", region, "${AWS::Partition}", "aws")
	var bucket string
	for _, as := range a.assets {
		switch name := fill.Replace(as.bucket); bucket {
		case "", name:
			bucket = name
		default:
			return "", fmt.Errorf("read assembly %s: its assets go to more than one bucket", a.dir)
		}
	}
	return bucket, nil
}

// deploy puts an assembly into the cloud through the same AWS calls as the CDK
// CLI makes: assets into the bucket of the CDK's bootstrap stack, then a change
// set that creates or updates the stack.
func deploy(ctx context.Context, cfg aws.Config, a *assembly, parameters map[string]string) error {
	cfn := cloudformation.NewFromConfig(cfg)
	bucket, err := a.bucket(cfg.Region)
	if err != nil {
		return err
	}
	if err := deployToolkit(ctx, cfn, bucket, a.template); err != nil {
		return err
	}
	template, err := publish(ctx, s3.NewFromConfig(cfg), a, bucket)
	if err != nil {
		return err
	}
	in := stackInput{name: stackName, body: aws.String(string(template)), capabilities: []types.Capability{types.CapabilityCapabilityNamedIam}}
	if len(template) > maxTemplateBody {
		if in.url, err = publishTemplate(ctx, cfg, bucket, template); err != nil {
			return err
		}
		in.body = nil
	}
	for k, v := range parameters {
		in.parameters = append(in.parameters, types.Parameter{ParameterKey: aws.String(k), ParameterValue: aws.String(v)})
	}
	sort.Slice(in.parameters, func(i, j int) bool { return *in.parameters[i].ParameterKey < *in.parameters[j].ParameterKey })
	return deployStack(ctx, cfn, in)
}

func hasCode(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}

// publish uploads the assets under names made of their content, and gives the
// template with these names in it.
func publish(ctx context.Context, client *s3.Client, a *assembly, bucket string) (template []byte, err error) {
	template = a.template
	for _, key := range slices.Sorted(maps.Keys(a.assets)) {
		as := a.assets[key]
		raw, err := as.read()
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(raw)
		name := hex.EncodeToString(sum[:]) + filepath.Ext(key)
		if err := putAsset(ctx, client, bucket, name, raw); err != nil {
			return nil, err
		}
		template = bytes.ReplaceAll(template, []byte(`"`+key+`"`), []byte(`"`+name+`"`))
	}
	return template, nil
}

func putAsset(ctx context.Context, client *s3.Client, bucket, key string, raw []byte) error {
	_, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
	if err == nil {
		return nil
	}
	if awserr.IgnoreNotFound(err) != nil {
		return fmt.Errorf("look for asset %s: %w", key, err)
	}
	if _, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(raw)}); err != nil {
		return fmt.Errorf("upload asset to bucket %s: %w", bucket, err)
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

package lambda

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/uuid"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

const latest = "$LATEST"

// function is what the store keeps of a function.
type function struct {
	Config   types.FunctionConfiguration
	CodeSHA  string // hex SHA-256 of the zip; names the code folder
	Source   types.FunctionCodeLocation
	Tags     map[string]string
	Policy   []statement
	Async    *asyncConfig
	Reserved *int32 // reserved concurrency
	Deployed string // the revision that made code or configuration what they are; tags and permissions make others
}

func (f *function) name() string     { return aws.ToString(f.Config.FunctionName) }
func (f *function) arn() string      { return aws.ToString(f.Config.FunctionArn) }
func (f *function) revision() string { return aws.ToString(f.Config.RevisionId) }

// revised gives the function a new revision that its processes do not see.
func (l *Lambda) revised(f *function) { f.Config.RevisionId = aws.String(uuid.NewString()) }

func (f *function) timeout() time.Duration {
	return time.Duration(aws.ToInt32(f.Config.Timeout)) * time.Second
}

func (f *function) logGroup() string {
	if c := f.Config.LoggingConfig; c != nil && c.LogGroup != nil {
		return *c.LogGroup
	}
	return "/aws/lambda/" + f.name()
}

// change authorizes and changes a stored function.
func (l *Lambda) change(ctx context.Context, action string, id, qualifier *string, f func(*function) error) (function, error) {
	name, _, err := l.resolve(id, qualifier)
	if err != nil {
		return function{}, err
	}
	if err := l.allow(ctx, action, l.functionARN(name)); err != nil {
		return function{}, err
	}
	return l.functions.Update(name, func(v function, ok bool) (function, error) {
		if !ok {
			return v, l.notFound(name, "")
		}
		return v, f(&v)
	})
}

// beingCreated is why AWS's answers to a creation and to updates tell Pending and
// InProgress. Here it is over by then; what comes later has another revision, as
// on AWS, where the end of it makes one.
const beingCreated = "The function is being created."

// touched gives the function a new revision, as every change of code or
// configuration does; running processes of older revisions finish and stop.
func (l *Lambda) touched(f *function) {
	l.revised(f)
	f.Deployed = f.revision()
	f.Config.LastModified = aws.String(l.o.Clock.Now().UTC().Format("2006-01-02T15:04:05.000-0700"))
	f.Config.State = types.StateActive
	f.Config.LastUpdateStatus = types.LastUpdateStatusSuccessful
}

func (l *Lambda) createFunction(ctx context.Context, in *api.CreateFunctionInput) (*api.CreateFunctionOutput, error) {
	name, _, err := l.resolve(in.FunctionName, nil)
	if err != nil {
		return nil, err
	}
	if len(name) > maxName {
		return nil, invalid("1 validation error detected: Value '%s' at 'functionName' failed to satisfy constraint: Member must have length less than or equal to %d", name, maxName)
	}
	if err := l.allow(ctx, "lambda:CreateFunction", l.functionARN(name)); err != nil {
		return nil, err
	}
	if err := refuseCreate(in); err != nil {
		return nil, err
	}
	if len(in.Tags) > maxTags {
		return nil, invalid("Number of tags exceeds resource tag limit.")
	}
	f := function{Tags: in.Tags, Config: types.FunctionConfiguration{
		FunctionName: aws.String(name), FunctionArn: aws.String(l.functionARN(name)), Version: aws.String(latest),
		Runtime: in.Runtime, PackageType: types.PackageTypeZip, Architectures: []types.Architecture{types.ArchitectureX8664},
		MemorySize: aws.Int32(128), Timeout: aws.Int32(3), Description: aws.String(""),
		EphemeralStorage: &types.EphemeralStorage{Size: aws.Int32(512)},
		TracingConfig:    &types.TracingConfigResponse{Mode: types.TracingModePassThrough},
		SnapStart:        &types.SnapStartResponse{ApplyOn: types.SnapStartApplyOnNone, OptimizationStatus: types.SnapStartOptimizationStatusOff},
		LoggingConfig:    &types.LoggingConfig{LogFormat: types.LogFormatText, LogGroup: aws.String("/aws/lambda/" + name)},
	}}
	if len(in.Architectures) > 0 {
		f.Config.Architectures = in.Architectures
	}
	err = l.configure(ctx, &f, settings{
		Role: in.Role, Handler: in.Handler, Description: in.Description, Timeout: in.Timeout, MemorySize: in.MemorySize,
		Environment: in.Environment, EphemeralStorage: in.EphemeralStorage, TracingConfig: in.TracingConfig,
		DeadLetterConfig: in.DeadLetterConfig, LoggingConfig: in.LoggingConfig,
	})
	if err != nil {
		return nil, err
	}
	if _, ok, err := l.functions.Get(name); err != nil || ok {
		if err != nil {
			return nil, err
		}
		return nil, status(http.StatusConflict, "ResourceConflictException", "Function already exist: %s", name)
	}
	src := codeSource{Zip: in.Code.ZipFile, Bucket: in.Code.S3Bucket, Key: in.Code.S3Key, Version: in.Code.S3ObjectVersion}
	if err := l.install(ctx, &f, src); err != nil {
		return nil, err
	}
	l.touched(&f)
	_, err = l.functions.Update(name, func(v function, ok bool) (function, error) {
		if ok {
			return v, status(http.StatusConflict, "ResourceConflictException", "Function already exist: %s", name)
		}
		return f, nil
	})
	if err != nil {
		return nil, err
	}
	out := copyConfig[api.CreateFunctionOutput](f.Config)
	out.State, out.StateReason, out.StateReasonCode = types.StatePending, aws.String(beingCreated), types.StateReasonCodeCreating
	out.LastUpdateStatus, out.RevisionId = "", aws.String(uuid.NewString())
	return out, nil
}

// refuseCreate names, all at once, what the local cloud does not have.
func refuseCreate(in *api.CreateFunctionInput) error {
	if in.Code == nil {
		return invalid("Code is missing")
	}
	if in.PackageType == types.PackageTypeImage || in.Code.ImageUri != nil {
		return invalid("the local cloud does not run container images (PackageType Image): use a zip with a bootstrap and the runtime provided.al2023")
	}
	if in.Runtime == "" || in.Handler == nil {
		return invalid("Runtime and Handler are mandatory parameters for functions created with deployment packages.")
	}
	if in.Runtime != types.RuntimeProvidedal2023 {
		return invalid("the local cloud does not run the runtime %s: only provided.al2023 (a zip with a bootstrap program)", in.Runtime)
	}
	if len(in.Architectures) > 1 {
		return invalid("Architectures must have exactly one member")
	}
	return refuse(map[string]bool{
		"CapacityProviderConfig": in.CapacityProviderConfig != nil, "CodeSigningConfigArn": in.CodeSigningConfigArn != nil,
		"DurableConfig": in.DurableConfig != nil, "FileSystemConfigs": len(in.FileSystemConfigs) > 0, "ImageConfig": in.ImageConfig != nil,
		"KMSKeyArn": in.KMSKeyArn != nil, "Layers": len(in.Layers) > 0, "Publish": in.Publish, "PublishTo": in.PublishTo != "",
		"SnapStart":            in.SnapStart != nil && in.SnapStart.ApplyOn != types.SnapStartApplyOnNone,
		"TenancyConfig":        in.TenancyConfig != nil,
		"VpcConfig":            in.VpcConfig != nil && len(in.VpcConfig.SubnetIds)+len(in.VpcConfig.SecurityGroupIds) > 0,
		"Code.SourceKMSKeyArn": in.Code.SourceKMSKeyArn != nil,
	})
}

func refuse(given map[string]bool) error {
	var names []string
	for n, set := range given {
		if set {
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		return nil
	}
	sort.Strings(names)
	return invalid("the local cloud does not support %s for functions", strings.Join(names, ", "))
}

// settings are what CreateFunction and UpdateFunctionConfiguration share; nil leaves as is.
type settings struct {
	Role, Handler, Description *string
	Timeout, MemorySize        *int32
	Environment                *types.Environment
	EphemeralStorage           *types.EphemeralStorage
	TracingConfig              *types.TracingConfig
	DeadLetterConfig           *types.DeadLetterConfig
	LoggingConfig              *types.LoggingConfig
}

func (l *Lambda) configure(ctx context.Context, f *function, s settings) error {
	c := &f.Config
	if s.Role != nil || c.Role == nil {
		if err := l.checkRole(ctx, aws.ToString(s.Role), f.name()); err != nil {
			return err
		}
		c.Role = s.Role
	}
	if s.Timeout != nil {
		if *s.Timeout > 900 {
			return status(http.StatusBadRequest, "ValidationException", "1 validation error detected: Value '%d' at 'timeout' failed to satisfy constraint: Member must have value less than or equal to 900", *s.Timeout)
		}
		c.Timeout = s.Timeout
	}
	if s.MemorySize != nil {
		if *s.MemorySize > 10240 {
			return invalid("'MemorySize' value failed to satisfy constraint: Member must have value less than or equal to 10240")
		}
		c.MemorySize = s.MemorySize
	}
	if s.Environment != nil {
		if err := checkEnvironment(s.Environment.Variables); err != nil {
			return err
		}
		c.Environment = &types.EnvironmentResponse{Variables: s.Environment.Variables}
	}
	if s.DeadLetterConfig != nil {
		if err := checkTarget(aws.ToString(s.DeadLetterConfig.TargetArn), "DeadLetterConfig.TargetArn", "sqs", "sns"); err != nil {
			return err
		}
		c.DeadLetterConfig = nil
		if aws.ToString(s.DeadLetterConfig.TargetArn) != "" {
			c.DeadLetterConfig = s.DeadLetterConfig
		}
	}
	if s.Handler != nil {
		c.Handler = s.Handler
	}
	if s.Description != nil {
		c.Description = s.Description
	}
	if s.EphemeralStorage != nil {
		c.EphemeralStorage = s.EphemeralStorage
	}
	if s.TracingConfig != nil {
		c.TracingConfig = &types.TracingConfigResponse{Mode: s.TracingConfig.Mode}
	}
	if lc := s.LoggingConfig; lc != nil {
		merged := *lc
		if merged.LogGroup == nil {
			merged.LogGroup = aws.String("/aws/lambda/" + f.name())
		}
		if merged.LogFormat == "" {
			merged.LogFormat = types.LogFormatText
		}
		if merged.LogFormat == types.LogFormatJson {
			merged.ApplicationLogLevel = cmp.Or(merged.ApplicationLogLevel, types.ApplicationLogLevelInfo)
			merged.SystemLogLevel = cmp.Or(merged.SystemLogLevel, types.SystemLogLevelInfo)
		}
		c.LoggingConfig = &merged
	}
	return nil
}

func (l *Lambda) checkRole(ctx context.Context, role, name string) error {
	if err := l.allow(ctx, "iam:PassRole", role); err != nil {
		return err
	}
	if l.o.AssumeRole == nil {
		return nil
	}
	if _, _, _, err := l.o.AssumeRole(role, name, l.functionARN(name)); err != nil {
		return invalid("The role defined for the function cannot be assumed by Lambda. (%v)", err)
	}
	return nil
}

var variableName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]+$`)

// reserved are the variables that Lambda sets and lets nobody else set.
var reserved = []string{
	"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME",
	"AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME",
	"AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}

func checkEnvironment(vars map[string]string) error {
	var taken []string
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		if !variableName.MatchString(k) && !slices.Contains(reserved, k) {
			return status(http.StatusBadRequest, "ValidationException", "environment variable %q: a name begins with a letter and has only letters, digits and underscores", k)
		}
		if slices.Contains(reserved, k) {
			taken = append(taken, k)
		}
	}
	if len(taken) > 0 {
		return invalid("Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: %s", strings.Join(taken, ", "))
	}
	measured, err := wire.EncodeJSON(vars, false)
	if err != nil {
		return err
	}
	if len(measured) > 4096 {
		return invalid("Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit. String measured: %s", measured)
	}
	return nil
}

func (l *Lambda) updateFunctionCode(ctx context.Context, in *api.UpdateFunctionCodeInput) (*api.UpdateFunctionCodeOutput, error) {
	f, err := l.find(ctx, "lambda:UpdateFunctionCode", in.FunctionName, nil)
	if err != nil {
		return nil, err
	}
	err = refuse(map[string]bool{"ImageUri": in.ImageUri != nil, "Publish": in.Publish, "PublishTo": in.PublishTo != "", "SourceKMSKeyArn": in.SourceKMSKeyArn != nil})
	if err != nil {
		return nil, err
	}
	if err := checkRevision(&f, in.RevisionId); err != nil {
		return nil, err
	}
	if len(in.Architectures) > 0 {
		f.Config.Architectures = in.Architectures
	}
	src := codeSource{Zip: in.ZipFile, Bucket: in.S3Bucket, Key: in.S3Key, Version: in.S3ObjectVersion}
	if err := l.install(ctx, &f, src); err != nil {
		return nil, err
	}
	l.touched(&f)
	if in.DryRun {
		return copyConfig[api.UpdateFunctionCodeOutput](f.Config), nil
	}
	fresh := f.Config
	f, err = l.functions.Update(f.name(), func(v function, ok bool) (function, error) {
		if !ok {
			return v, l.notFound(f.name(), "")
		}
		v.CodeSHA, v.Source = f.CodeSHA, f.Source
		v.Config.CodeSha256, v.Config.CodeSize, v.Config.Architectures = fresh.CodeSha256, fresh.CodeSize, fresh.Architectures
		l.touched(&v)
		return v, nil
	})
	if err != nil {
		return nil, err
	}
	l.retire(f.name())
	out := copyConfig[api.UpdateFunctionCodeOutput](f.Config)
	out.LastUpdateStatus, out.LastUpdateStatusReason = types.LastUpdateStatusInProgress, aws.String(beingCreated)
	out.RevisionId = aws.String(uuid.NewString())
	return out, nil
}

func checkRevision(f *function, want *string) error {
	if want != nil && *want != f.revision() {
		return status(http.StatusPreconditionFailed, "PreconditionFailedException", "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id")
	}
	return nil
}

func (l *Lambda) updateFunctionConfiguration(ctx context.Context, in *api.UpdateFunctionConfigurationInput) (*api.UpdateFunctionConfigurationOutput, error) {
	if in.Runtime != "" && in.Runtime != types.RuntimeProvidedal2023 {
		return nil, invalid("the local cloud does not run the runtime %s: only provided.al2023 (a zip with a bootstrap program)", in.Runtime)
	}
	err := refuse(map[string]bool{
		"CapacityProviderConfig": in.CapacityProviderConfig != nil, "DurableConfig": in.DurableConfig != nil,
		"FileSystemConfigs": len(in.FileSystemConfigs) > 0, "ImageConfig": in.ImageConfig != nil, "KMSKeyArn": in.KMSKeyArn != nil, "Layers": len(in.Layers) > 0,
		"SnapStart": in.SnapStart != nil && in.SnapStart.ApplyOn != types.SnapStartApplyOnNone,
		"VpcConfig": in.VpcConfig != nil && len(in.VpcConfig.SubnetIds)+len(in.VpcConfig.SecurityGroupIds) > 0,
	})
	if err != nil {
		return nil, err
	}
	f, err := l.find(ctx, "lambda:UpdateFunctionConfiguration", in.FunctionName, nil)
	if err != nil {
		return nil, err
	}
	s := settings{
		Role: in.Role, Handler: in.Handler, Description: in.Description, Timeout: in.Timeout, MemorySize: in.MemorySize,
		Environment: in.Environment, EphemeralStorage: in.EphemeralStorage, TracingConfig: in.TracingConfig,
		DeadLetterConfig: in.DeadLetterConfig, LoggingConfig: in.LoggingConfig,
	}
	if err := l.configure(ctx, &f, s); err != nil {
		return nil, err
	}
	s.Role = nil // checked and passed above; the store is not the place to ask IAM
	f, err = l.functions.Update(f.name(), func(v function, ok bool) (function, error) {
		if !ok {
			return v, l.notFound(f.name(), "")
		}
		if err := checkRevision(&v, in.RevisionId); err != nil {
			return v, err
		}
		if err := l.configure(ctx, &v, s); err != nil {
			return v, err
		}
		if in.Role != nil {
			v.Config.Role = in.Role
		}
		l.touched(&v)
		return v, nil
	})
	if err != nil {
		return nil, err
	}
	l.retire(f.name())
	out := copyConfig[api.UpdateFunctionConfigurationOutput](f.Config)
	out.LastUpdateStatus, out.LastUpdateStatusReason = types.LastUpdateStatusInProgress, aws.String(beingCreated)
	out.RevisionId = aws.String(uuid.NewString())
	return out, nil
}

func (l *Lambda) getFunction(ctx context.Context, in *api.GetFunctionInput) (*api.GetFunctionOutput, error) {
	f, err := l.get(ctx, "lambda:GetFunction", in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	out := &api.GetFunctionOutput{Configuration: &f.Config, Code: &f.Source}
	if len(f.Tags) > 0 { // AWS leaves an empty map out
		out.Tags = f.Tags
	}
	if f.Reserved != nil {
		out.Concurrency = &types.Concurrency{ReservedConcurrentExecutions: f.Reserved}
	}
	return out, nil
}

func (l *Lambda) getFunctionConfiguration(ctx context.Context, in *api.GetFunctionConfigurationInput) (*api.GetFunctionConfigurationOutput, error) {
	f, err := l.get(ctx, "lambda:GetFunctionConfiguration", in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	return copyConfig[api.GetFunctionConfigurationOutput](f.Config), nil
}

func (l *Lambda) listFunctions(ctx context.Context, in *api.ListFunctionsInput) (*api.ListFunctionsOutput, error) {
	if err := l.allow(ctx, "lambda:ListFunctions", "*"); err != nil {
		return nil, err
	}
	limit := int(aws.ToInt32(in.MaxItems))
	if limit <= 0 || limit > 50 {
		limit = 50
	}
	var after string
	if in.Marker != nil {
		raw, err := base64.RawURLEncoding.DecodeString(*in.Marker)
		if err != nil {
			return nil, invalid("Marker %q is not one that ListFunctions gave", *in.Marker)
		}
		after = string(raw)
	}
	out := &api.ListFunctionsOutput{Functions: []types.FunctionConfiguration{}}
	err := l.functions.Scan("", func(name string, f function) bool {
		if name <= after {
			return true
		}
		if len(out.Functions) == limit {
			last := aws.ToString(out.Functions[limit-1].FunctionName)
			out.NextMarker = aws.String(base64.RawURLEncoding.EncodeToString([]byte(last)))
			return false
		}
		out.Functions = append(out.Functions, f.Config)
		return true
	})
	return out, err
}

func (l *Lambda) deleteFunction(ctx context.Context, in *api.DeleteFunctionInput) (*api.DeleteFunctionOutput, error) {
	name, q, err := l.parse(in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	if q == latest {
		return nil, invalid("$LATEST version cannot be deleted without deleting the function.")
	}
	f, err := l.find(ctx, "lambda:DeleteFunction", &name, nil)
	if err != nil {
		return nil, err
	}
	if q != "" { // a version that is not there is deleted already
		return &api.DeleteFunctionOutput{StatusCode: http.StatusNoContent}, nil
	}
	if err := l.functions.Delete(f.name()); err != nil {
		return nil, err
	}
	l.mu.Lock()
	p := l.pools[f.name()]
	delete(l.pools, f.name())
	l.mu.Unlock()
	if p != nil {
		p.close()
	}
	// The code may still be read by a process that is ending: what stays is removed at the next creation.
	if err := os.RemoveAll(filepath.Join(l.o.Dir, f.name())); err != nil {
		l.o.Log.Warn("code of deleted function not removed", "function", f.name(), "error", err)
	}
	return &api.DeleteFunctionOutput{StatusCode: http.StatusNoContent}, nil
}

// copyConfig fills one of the API's many outputs that repeat FunctionConfiguration.
func copyConfig[Out any](c types.FunctionConfiguration) *Out {
	out := new(Out)
	to, from := reflect.ValueOf(out).Elem(), reflect.ValueOf(c)
	for i := range from.NumField() {
		if f := from.Type().Field(i); f.IsExported() {
			if field := to.FieldByName(f.Name); field.IsValid() {
				field.Set(from.Field(i))
			}
		}
	}
	return out
}

func codeHash(sum []byte) (hexSum, b64 string) {
	return hex.EncodeToString(sum), base64.StdEncoding.EncodeToString(sum)
}

package lambda

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// asyncConfig is a function's event invoke config.
type asyncConfig struct {
	MaxRetries   *int32
	MaxAge       *int32 // seconds
	Destinations *types.DestinationConfig
	Modified     time.Time
}

// Lambda's defaults for asynchronous invocations.
const (
	defaultMaxRetries = 2
	defaultMaxAge     = 6 * time.Hour
)

func (c *asyncConfig) retries() int {
	if c == nil || c.MaxRetries == nil {
		return defaultMaxRetries
	}
	return int(*c.MaxRetries)
}

func (c *asyncConfig) age() time.Duration {
	if c == nil || c.MaxAge == nil {
		return defaultMaxAge
	}
	return time.Duration(*c.MaxAge) * time.Second
}

func (c *asyncConfig) onFailure() string {
	if c == nil || c.Destinations == nil || c.Destinations.OnFailure == nil {
		return ""
	}
	return aws.ToString(c.Destinations.OnFailure.Destination)
}

func (c *asyncConfig) onSuccess() string {
	if c == nil || c.Destinations == nil || c.Destinations.OnSuccess == nil {
		return ""
	}
	return aws.ToString(c.Destinations.OnSuccess.Destination)
}

// checkDestinations refuses what the outcomes of the function that id names cannot be sent to.
func (l *Lambda) checkDestinations(id *string, d *types.DestinationConfig) error {
	c := &asyncConfig{Destinations: d}
	for member, target := range map[string]string{"OnFailure": c.onFailure(), "OnSuccess": c.onSuccess()} {
		if err := checkTarget(target, "DestinationConfig."+member+".Destination", "sqs", "sns", "lambda", "events"); err != nil {
			return err
		}
		if serviceOf(target) != "lambda" {
			continue
		}
		name, _, err := l.parse(&target, nil)
		if err == nil {
			_, err = l.load(name)
		}
		if self, _, _ := l.parse(id, nil); self == name {
			return invalid("You can't specify the function as a destination for itself.")
		}
		if err != nil {
			return invalid("The destination ARN %s is invalid.", target)
		}
	}
	return nil
}

// checkTarget refuses an ARN of a service that records cannot be sent to; empty is none.
func checkTarget(arn, member string, services ...string) error {
	if arn == "" {
		return nil
	}
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) == 6 && parts[0] == "arn" {
		for _, s := range services {
			if parts[2] == s {
				return nil
			}
		}
	}
	return invalid("%s %s: the local cloud sends to %s only", member, arn, strings.Join(services, ", "))
}

func (l *Lambda) putEventInvokeConfig(ctx context.Context, in *api.PutFunctionEventInvokeConfigInput) (*api.PutFunctionEventInvokeConfigOutput, error) {
	if in.MaximumRetryAttempts == nil && in.MaximumEventAgeInSeconds == nil && in.DestinationConfig == nil {
		return nil, invalid("You must specify at least one of error handling or destination setting.")
	}
	if err := l.checkDestinations(in.FunctionName, in.DestinationConfig); err != nil {
		return nil, err
	}
	f, err := l.change(ctx, "lambda:PutFunctionEventInvokeConfig", in.FunctionName, in.Qualifier, func(f *function) error {
		f.Async = &asyncConfig{MaxRetries: in.MaximumRetryAttempts, MaxAge: in.MaximumEventAgeInSeconds, Destinations: in.DestinationConfig, Modified: l.o.Clock.Now()}
		return nil
	})
	if wire.HasCode(err, "ResourceNotFoundException") {
		return nil, status(http.StatusNotFound, "ResourceNotFoundException", "The function doesn't exist.")
	}
	if err != nil {
		return nil, err
	}
	return &api.PutFunctionEventInvokeConfigOutput{
		FunctionArn: latestARN(&f), LastModified: &f.Async.Modified, DestinationConfig: destinations(f.Async),
		MaximumEventAgeInSeconds: f.Async.MaxAge, MaximumRetryAttempts: f.Async.MaxRetries,
	}, nil
}

func (l *Lambda) updateEventInvokeConfig(ctx context.Context, in *api.UpdateFunctionEventInvokeConfigInput) (*api.UpdateFunctionEventInvokeConfigOutput, error) {
	if err := l.checkDestinations(in.FunctionName, in.DestinationConfig); err != nil {
		return nil, err
	}
	f, err := l.change(ctx, "lambda:UpdateFunctionEventInvokeConfig", in.FunctionName, in.Qualifier, func(f *function) error {
		if f.Async == nil {
			return errNoConfig
		}
		if in.MaximumRetryAttempts != nil {
			f.Async.MaxRetries = in.MaximumRetryAttempts
		}
		if in.MaximumEventAgeInSeconds != nil {
			f.Async.MaxAge = in.MaximumEventAgeInSeconds
		}
		if in.DestinationConfig != nil {
			f.Async.Destinations = in.DestinationConfig
		}
		f.Async.Modified = l.o.Clock.Now()
		return nil
	})
	if err != nil {
		return nil, l.noConfig(err, in.FunctionName, in.Qualifier)
	}
	return &api.UpdateFunctionEventInvokeConfigOutput{
		FunctionArn: latestARN(&f), LastModified: &f.Async.Modified, DestinationConfig: destinations(f.Async),
		MaximumEventAgeInSeconds: f.Async.MaxAge, MaximumRetryAttempts: f.Async.MaxRetries,
	}, nil
}

func (l *Lambda) getEventInvokeConfig(ctx context.Context, in *api.GetFunctionEventInvokeConfigInput) (*api.GetFunctionEventInvokeConfigOutput, error) {
	f, err := l.find(ctx, "lambda:GetFunctionEventInvokeConfig", in.FunctionName, in.Qualifier)
	if err == nil && f.Async == nil {
		err = errNoConfig
	}
	if err != nil {
		return nil, l.noConfig(err, in.FunctionName, in.Qualifier)
	}
	return &api.GetFunctionEventInvokeConfigOutput{
		FunctionArn: latestARN(&f), LastModified: &f.Async.Modified, DestinationConfig: destinations(f.Async),
		MaximumEventAgeInSeconds: f.Async.MaxAge, MaximumRetryAttempts: f.Async.MaxRetries,
	}, nil
}

func (l *Lambda) deleteEventInvokeConfig(ctx context.Context, in *api.DeleteFunctionEventInvokeConfigInput) (*api.DeleteFunctionEventInvokeConfigOutput, error) {
	_, err := l.change(ctx, "lambda:DeleteFunctionEventInvokeConfig", in.FunctionName, in.Qualifier, func(f *function) error {
		if f.Async == nil {
			return errNoConfig
		}
		f.Async = nil
		return nil
	})
	if err != nil {
		return nil, l.noConfig(err, in.FunctionName, in.Qualifier)
	}
	return &api.DeleteFunctionEventInvokeConfigOutput{}, nil
}

// errNoConfig is of a function without an event invoke config; noConfig words it.
var errNoConfig = status(http.StatusNotFound, "ResourceNotFoundException", "")

// noConfig says, as AWS does, of what is not there, function, version or config, that it has no config.
func (l *Lambda) noConfig(err error, id, qualifier *string) error {
	name, q, malformed := l.parse(id, qualifier)
	if malformed != nil || !wire.HasCode(err, "ResourceNotFoundException") {
		return err
	}
	return status(http.StatusNotFound, "ResourceNotFoundException", "The function %s:%s doesn't have an EventInvokeConfig", l.functionARN(name), cmp.Or(q, latest))
}

func latestARN(f *function) *string { return aws.String(f.arn() + ":" + latest) }

// destinations has both members, as AWS answers.
func destinations(c *asyncConfig) *types.DestinationConfig {
	out := types.DestinationConfig{OnFailure: &types.OnFailure{}, OnSuccess: &types.OnSuccess{}}
	if c.Destinations != nil && c.Destinations.OnFailure != nil {
		out.OnFailure = c.Destinations.OnFailure
	}
	if c.Destinations != nil && c.Destinations.OnSuccess != nil {
		out.OnSuccess = c.Destinations.OnSuccess
	}
	return &out
}

func (l *Lambda) putConcurrency(ctx context.Context, in *api.PutFunctionConcurrencyInput) (*api.PutFunctionConcurrencyOutput, error) {
	name, q, err := l.parse(in.FunctionName, nil)
	if err != nil {
		return nil, err
	}
	if q != "" {
		return nil, invalid("This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN.")
	}
	n := in.ReservedConcurrentExecutions
	if err := l.checkReserved(name, aws.ToInt32(n)); err != nil {
		return nil, err
	}
	_, err = l.change(ctx, "lambda:PutFunctionConcurrency", &name, nil, func(f *function) error {
		f.Reserved = n
		return nil
	})
	if wire.HasCode(err, "ResourceNotFoundException") {
		return nil, l.notFound(name, latest)
	}
	if err != nil {
		return nil, err
	}
	return &api.PutFunctionConcurrencyOutput{ReservedConcurrentExecutions: n}, nil
}

// An account's concurrent executions, and how many of them cannot be reserved.
const (
	accountConcurrency = 1000
	leastUnreserved    = 100
)

// checkReserved refuses to reserve so many executions for a function that too few are left for all others.
func (l *Lambda) checkReserved(name string, n int32) error {
	left := accountConcurrency - n
	known := false
	err := l.functions.Scan("", func(other string, f function) bool {
		known = known || other == name
		if other != name {
			left -= aws.ToInt32(f.Reserved)
		}
		return true
	})
	if err != nil || !known || left >= leastUnreserved { // a function that is not there is told later
		return err
	}
	return invalid("Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [%d].", leastUnreserved)
}

func (l *Lambda) getConcurrency(ctx context.Context, in *api.GetFunctionConcurrencyInput) (*api.GetFunctionConcurrencyOutput, error) {
	f, err := l.find(ctx, "lambda:GetFunctionConcurrency", in.FunctionName, nil)
	if err != nil {
		return nil, err
	}
	return &api.GetFunctionConcurrencyOutput{ReservedConcurrentExecutions: f.Reserved}, nil
}

func (l *Lambda) deleteConcurrency(ctx context.Context, in *api.DeleteFunctionConcurrencyInput) (*api.DeleteFunctionConcurrencyOutput, error) {
	_, err := l.change(ctx, "lambda:DeleteFunctionConcurrency", in.FunctionName, nil, func(f *function) error {
		f.Reserved = nil
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteFunctionConcurrencyOutput{}, nil
}

const maxTags = 50 // of a function

// tagged is the function whose tags an ARN is about.
func (l *Lambda) tagged(arn *string) (string, error) {
	name, q, err := l.parse(arn, nil)
	if err == nil && q != "" {
		err = invalid("Tags on function aliases and versions are not supported. Please specify a function ARN.")
	}
	return name, err
}

func (l *Lambda) tagResource(ctx context.Context, in *api.TagResourceInput) (*api.TagResourceOutput, error) {
	name, err := l.tagged(in.Resource)
	if err != nil {
		return nil, err
	}
	if len(in.Tags) == 0 {
		return nil, invalid("An error occurred and the request cannot be processed.")
	}
	_, err = l.change(ctx, "lambda:TagResource", &name, nil, func(f *function) error {
		if f.Tags == nil {
			f.Tags = map[string]string{}
		}
		for k, v := range in.Tags {
			f.Tags[k] = v
		}
		if len(f.Tags) > maxTags {
			return invalid("Number of tags exceeds resource tag limit.")
		}
		l.revised(f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.TagResourceOutput{}, nil
}

func (l *Lambda) untagResource(ctx context.Context, in *api.UntagResourceInput) (*api.UntagResourceOutput, error) {
	name, err := l.tagged(in.Resource)
	if err != nil {
		return nil, err
	}
	_, err = l.change(ctx, "lambda:UntagResource", &name, nil, func(f *function) error {
		for _, k := range in.TagKeys {
			delete(f.Tags, k)
		}
		l.revised(f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.UntagResourceOutput{}, nil
}

func (l *Lambda) listTags(ctx context.Context, in *api.ListTagsInput) (*api.ListTagsOutput, error) {
	name, err := l.tagged(in.Resource)
	if err != nil {
		return nil, err
	}
	f, err := l.find(ctx, "lambda:ListTags", &name, nil)
	if err != nil {
		return nil, err
	}
	if f.Tags == nil {
		f.Tags = map[string]string{}
	}
	return &api.ListTagsOutput{Tags: f.Tags}, nil
}

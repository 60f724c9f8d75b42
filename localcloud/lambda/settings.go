package lambda

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
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

func checkDestinations(d *types.DestinationConfig) error {
	c := &asyncConfig{Destinations: d}
	for member, target := range map[string]string{"OnFailure": c.onFailure(), "OnSuccess": c.onSuccess()} {
		if err := checkTarget(target, "DestinationConfig."+member+".Destination", "sqs", "sns", "lambda", "events"); err != nil {
			return err
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
	if err := checkDestinations(in.DestinationConfig); err != nil {
		return nil, err
	}
	f, err := l.change(ctx, "lambda:PutFunctionEventInvokeConfig", in.FunctionName, in.Qualifier, func(f *function) error {
		f.Async = &asyncConfig{MaxRetries: in.MaximumRetryAttempts, MaxAge: in.MaximumEventAgeInSeconds, Destinations: in.DestinationConfig, Modified: l.o.Clock.Now()}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.PutFunctionEventInvokeConfigOutput{
		FunctionArn: latestARN(&f), LastModified: &f.Async.Modified, DestinationConfig: destinations(f.Async),
		MaximumEventAgeInSeconds: f.Async.MaxAge, MaximumRetryAttempts: f.Async.MaxRetries,
	}, nil
}

func (l *Lambda) updateEventInvokeConfig(ctx context.Context, in *api.UpdateFunctionEventInvokeConfigInput) (*api.UpdateFunctionEventInvokeConfigOutput, error) {
	if err := checkDestinations(in.DestinationConfig); err != nil {
		return nil, err
	}
	f, err := l.change(ctx, "lambda:UpdateFunctionEventInvokeConfig", in.FunctionName, in.Qualifier, func(f *function) error {
		if f.Async == nil {
			return noAsyncConfig(f)
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
		return nil, err
	}
	return &api.UpdateFunctionEventInvokeConfigOutput{
		FunctionArn: latestARN(&f), LastModified: &f.Async.Modified, DestinationConfig: destinations(f.Async),
		MaximumEventAgeInSeconds: f.Async.MaxAge, MaximumRetryAttempts: f.Async.MaxRetries,
	}, nil
}

func (l *Lambda) getEventInvokeConfig(ctx context.Context, in *api.GetFunctionEventInvokeConfigInput) (*api.GetFunctionEventInvokeConfigOutput, error) {
	f, err := l.find(ctx, "lambda:GetFunctionEventInvokeConfig", in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	if f.Async == nil {
		return nil, noAsyncConfig(&f)
	}
	return &api.GetFunctionEventInvokeConfigOutput{
		FunctionArn: latestARN(&f), LastModified: &f.Async.Modified, DestinationConfig: destinations(f.Async),
		MaximumEventAgeInSeconds: f.Async.MaxAge, MaximumRetryAttempts: f.Async.MaxRetries,
	}, nil
}

func (l *Lambda) deleteEventInvokeConfig(ctx context.Context, in *api.DeleteFunctionEventInvokeConfigInput) (*api.DeleteFunctionEventInvokeConfigOutput, error) {
	_, err := l.change(ctx, "lambda:DeleteFunctionEventInvokeConfig", in.FunctionName, in.Qualifier, func(f *function) error {
		if f.Async == nil {
			return noAsyncConfig(f)
		}
		f.Async = nil
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteFunctionEventInvokeConfigOutput{}, nil
}

func noAsyncConfig(f *function) error {
	return status(http.StatusNotFound, "ResourceNotFoundException", "The function %s:%s doesn't have an EventInvokeConfig", f.arn(), latest)
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
	n := in.ReservedConcurrentExecutions
	_, err := l.change(ctx, "lambda:PutFunctionConcurrency", in.FunctionName, nil, func(f *function) error {
		f.Reserved = n
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.PutFunctionConcurrencyOutput{ReservedConcurrentExecutions: n}, nil
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

func (l *Lambda) tagResource(ctx context.Context, in *api.TagResourceInput) (*api.TagResourceOutput, error) {
	_, err := l.change(ctx, "lambda:TagResource", in.Resource, nil, func(f *function) error {
		if f.Tags == nil {
			f.Tags = map[string]string{}
		}
		for k, v := range in.Tags {
			f.Tags[k] = v
		}
		if len(f.Tags) > maxTags {
			return invalid("Number of tags exceeds resource tag limit.")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.TagResourceOutput{}, nil
}

func (l *Lambda) untagResource(ctx context.Context, in *api.UntagResourceInput) (*api.UntagResourceOutput, error) {
	_, err := l.change(ctx, "lambda:UntagResource", in.Resource, nil, func(f *function) error {
		for _, k := range in.TagKeys {
			delete(f.Tags, k)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.UntagResourceOutput{}, nil
}

func (l *Lambda) listTags(ctx context.Context, in *api.ListTagsInput) (*api.ListTagsOutput, error) {
	f, err := l.find(ctx, "lambda:ListTags", in.Resource, nil)
	if err != nil {
		return nil, err
	}
	if f.Tags == nil {
		f.Tags = map[string]string{}
	}
	return &api.ListTagsOutput{Tags: f.Tags}, nil
}

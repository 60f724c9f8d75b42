// Package bootstrap starts a Lambda function: the one place that loads the AWS
// configuration, reads the environment and sets up the log, and that turns an
// error into the name under which the state machine knows it.
package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/awserr"
	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/statemachine"
)

// Environment variables of the functions, which the template sets.
const (
	VarLedger       = "MILLRACE_LEDGER"        // bucket
	VarData         = "MILLRACE_DATA"          // bucket
	VarStateMachine = "MILLRACE_STATE_MACHINE" // ARN
	VarImage        = "MILLRACE_WORKER_IMAGE"  // URI, pinned by digest
	VarRole         = "MILLRACE_JOB_ROLE"      // ARN
	VarBus          = "MILLRACE_BUS"           // name
)

// Base is what a function is wired from.
type Base struct {
	AWS aws.Config
	Log *slog.Logger
	env map[string]string
}

// Env is the value of a variable that Main was told to require.
func (b *Base) Env(name string) string {
	v, ok := b.env[name]
	if !ok {
		panic("bootstrap: variable is not among those required: " + name)
	}
	return v
}

// Main wires a function once and serves invocations until the process ends.
// All variables that are missing are named together.
func Main[In, Out any](wire func(*Base) func(context.Context, In) (Out, error), require ...string) {
	log := slog.New(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: level()}))
	b := &Base{Log: log, env: map[string]string{}}
	var missing []string
	for _, name := range require {
		if b.env[name] = os.Getenv(name); b.env[name] == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		log.Error("environment variables are missing", "names", strings.Join(missing, ", "))
		os.Exit(1)
	}
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		log.Error("load AWS configuration", "error", err.Error())
		os.Exit(1)
	}
	b.AWS = cfg
	lambda.Start(Named(log, wire(b)))
}

func level() slog.Level {
	var l slog.Level
	if l.UnmarshalText([]byte(os.Getenv("MILLRACE_LOG_LEVEL"))) != nil {
		return slog.LevelInfo
	}
	return l
}

// Named makes a handler answer its errors under explicit names: left to itself,
// the runtime reports the outermost Go type, and no Retry or Catch would match.
func Named[In, Out any](log *slog.Logger, h func(context.Context, In) (Out, error)) func(context.Context, In) (Out, error) {
	return func(ctx context.Context, in In) (Out, error) {
		out, err := h(ctx, in)
		if err == nil {
			return out, nil
		}
		request := ""
		if lc, ok := lambdacontext.FromContext(ctx); ok {
			request = lc.AwsRequestID
		}
		name := ErrorName(err)
		log.ErrorContext(ctx, "invocation failed", "error_name", name, "error", err.Error(), "request_id", request)
		return out, messages.InvokeResponse_Error{Type: name, Message: message(err)}
	}
}

// Event decodes an EventBridge event for a handler. An event of no known kind is
// a counted no-op: it gives no detail and no error.
func Event(ctx context.Context, log *slog.Logger, raw []byte) (events.Envelope, any, error) {
	e, detail, err := events.Decode(raw)
	if errors.Is(err, events.ErrUnknown) {
		log.InfoContext(ctx, "unknown event", "event_id", e.ID, "source", e.Source, "detail_type", e.DetailType)
		return e, nil, nil
	}
	return e, detail, err
}

// ErrorName is the name under which the state machine knows an error.
func ErrorName(err error) string {
	if name, ok := statemachine.FailureName(err); ok {
		return name
	}
	if awserr.IsTransient(err) {
		return statemachine.ErrTransient
	}
	return statemachine.ErrUnexpected
}

// message is the error's text without the name in front.
func message(err error) string {
	var f *statemachine.Failure
	if errors.As(err, &f) && errors.Unwrap(err) == f.Err {
		return f.Err.Error()
	}
	return err.Error()
}

// PipelinesFolder is where a function's code holds the pipelines' definitions.
const PipelinesFolder = "pipelines"

// Pipelines are the definitions that were deployed with the function.
type Pipelines struct {
	byName map[string]*definition.Definition
}

// LoadPipelines reads the definitions beside the function's code. A definition
// that is wrong must not have been deployed: it is an error for all.
func LoadPipelines() (*Pipelines, error) {
	root := os.Getenv("LAMBDA_TASK_ROOT")
	files, err := filepath.Glob(filepath.Join(root, PipelinesFolder, "*", "pipeline.yaml"))
	if err != nil {
		return nil, fmt.Errorf("list definitions: %w", err)
	}
	p := &Pipelines{byName: map[string]*definition.Definition{}}
	var problems []error
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file))
		src, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read definition of %s: %w", name, err)
		}
		d, err := definition.Parse(name, src)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		p.byName[name] = d
	}
	return p, errors.Join(problems...)
}

// Find gives a pipeline's definition; nil when there is none.
func (p *Pipelines) Find(name string) (*definition.Definition, error) { return p.byName[name], nil }

// Names are the pipelines' names, sorted.
func (p *Pipelines) Names() []string {
	return slices.Sorted(maps.Keys(p.byName))
}

// MustPipelines is LoadPipelines at start-up: without definitions a function
// can do nothing, so it says why and ends.
func (b *Base) MustPipelines() *Pipelines {
	p, err := LoadPipelines()
	if err != nil {
		b.Log.Error("load pipeline definitions", "error", err.Error())
		os.Exit(1)
	}
	return p
}

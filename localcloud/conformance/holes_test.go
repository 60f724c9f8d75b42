package conformance_test

import (
	"context"
	"testing"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
)

// serviceIDs are the SDK's names of the services that the local cloud serves.
var serviceIDs = map[string]string{
	"cloudformation": "CloudFormation", "ecr": "ECR", "events": "EventBridge", "iam": "IAM", "lambda": "Lambda", "logs": "CloudWatch Logs", "s3": "S3",
	"sagemaker": "SageMaker", "sns": "SNS", "sqs": "SQS", "ssm": "SSM", "states": "SFN", "sts": "STS",
}

// uncalled are the operations that no behaviour calls through the SDK, with the reason.
var uncalled = map[string]string{
	"S3:PostObject": "a browser's form; the SDK has no such call, the s3.post behaviours send it",
}

// note records the operation of each call.
func (w *world) note(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("note", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		w.called.Store(awsmiddleware.GetServiceID(ctx)+":"+awsmiddleware.GetOperationName(ctx), true)
		return next.HandleInitialize(ctx, in)
	}), middleware.After)
}

// holes fails for what a local cloud serves and no behaviour has called.
func (w *world) holes(t *testing.T) {
	for service, operations := range w.served {
		for _, operation := range operations {
			name := serviceIDs[service] + ":" + operation
			_, called := w.called.Load(name)
			switch why := uncalled[name]; {
			case !called && why == "":
				t.Errorf("no behaviour calls %s: add one that tells how AWS does", name)
			case called && why != "":
				t.Errorf("%s is called, and is an exception (%s): take it out", name, why)
			}
		}
	}
}

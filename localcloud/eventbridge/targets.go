package eventbridge

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
)

// The bounds that AWS sets on targets.
const (
	maxTargets     = 5 // of one rule
	maxInput       = 8192
	maxInputPath   = 256
	maxRetries     = 185
	maxAge         = 86400 // seconds
	maxPathsMapped = 100
)

// kindOf tells what a target is by its ARN; "" when it is nothing supported.
func kindOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" {
		return ""
	}
	resource := parts[5]
	switch parts[2] {
	case "lambda":
		if strings.HasPrefix(resource, "function:") {
			return "lambda"
		}
	case "states":
		if strings.HasPrefix(resource, "stateMachine:") {
			return "states"
		}
	case "sqs", "sns":
		if resource != "" && !strings.ContainsAny(resource, ":/") {
			return parts[2]
		}
	case "logs":
		if strings.HasPrefix(resource, "log-group:") {
			return "logs"
		}
	case "events":
		if strings.HasPrefix(resource, "event-bus/") {
			return "events"
		}
	}
	return ""
}

// checkTarget refuses a target that AWS refuses, or that is not supported here.
func (s *EventBridge) checkTarget(t *types.Target) error {
	id, arn := aws.ToString(t.Id), aws.ToString(t.Arn)
	kind := kindOf(arn)
	if kind == "" {
		if !strings.HasPrefix(arn, "arn:") {
			return invalid("Parameter %s is not valid. Reason: Provided Arn is not in correct format.", arn)
		}
		return invalid("the local cloud does not support %s as the target %s (supported: Lambda functions, state machines, SQS queues, SNS topics, log groups, event buses)", arn, id)
	}
	parts := strings.SplitN(arn, ":", 6)
	if parts[3] != s.o.Region || parts[4] != s.o.Account {
		return invalid("the local cloud does not support targets in another region or account: %s", arn)
	}
	if kind == "states" && t.RoleArn == nil {
		return invalid("RoleArn is required for target %s.", arn)
	}
	if strings.HasSuffix(arn, ".fifo") {
		return invalid("the local cloud does not support FIFO queues and topics: %s", arn)
	}
	if t.SqsParameters != nil && t.SqsParameters.MessageGroupId != nil && kind != "sqs" {
		return invalid("Parameter SqsParameters is not supported for target %s.", id)
	}
	if t.AppSyncParameters != nil || t.BatchParameters != nil || t.EcsParameters != nil || t.HttpParameters != nil || t.KinesisParameters != nil ||
		t.RedshiftDataParameters != nil || t.RunCommandParameters != nil || t.SageMakerPipelineParameters != nil {
		return invalid("the local cloud does not support the parameters of target %s: they are for other kinds of targets", id)
	}
	if err := checkDelivery(t); err != nil {
		return err
	}
	return checkInput(t)
}

func checkDelivery(t *types.Target) error {
	if d := t.DeadLetterConfig; d != nil && d.Arn != nil {
		if kindOf(*d.Arn) != "sqs" {
			return invalid("Parameter DeadLetterConfig.Arn is not valid. Reason: %s is not the ARN of an SQS queue.", *d.Arn)
		}
		if strings.HasSuffix(*d.Arn, ".fifo") {
			return invalid("Parameter DeadLetterConfig.Arn is not valid. Reason: the dead-letter queue cannot be a FIFO queue.")
		}
	}
	return nil
}

func checkInput(t *types.Target) error {
	given := 0
	for _, is := range []bool{t.Input != nil, t.InputPath != nil, t.InputTransformer != nil} {
		if is {
			given++
		}
	}
	if given > 1 {
		return invalid("Only one of Input, InputPath, or InputTransformer must be provided for target %s.", *t.Id)
	}
	switch {
	case t.Input != nil:
		if len(*t.Input) > maxInput || !validJSON(*t.Input) {
			return invalid("Parameter Input of target %s is not valid: JSON of at most %d characters is needed.", *t.Id, maxInput)
		}
	case t.InputPath != nil:
		if _, err := parsePath(*t.InputPath); err != nil || len(*t.InputPath) > maxInputPath {
			return invalid("InputPath for target %s is invalid.", *t.Id)
		}
	case t.InputTransformer != nil:
		return checkTransformer(t)
	}
	return nil
}

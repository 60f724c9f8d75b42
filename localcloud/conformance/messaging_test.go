package conformance_test

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// queue makes a queue that AWS's services may send to.
func (c *call) queue(attributes ...string) (url string) {
	c.Helper()
	name := c.name()
	set := map[string]string{"Policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":["events.amazonaws.com","sns.amazonaws.com"]},"Action":"sqs:SendMessage","Resource":"` + c.arn("sqs", name) + `"}]}`}
	for i := 0; i < len(attributes); i += 2 {
		set[attributes[i]] = attributes[i+1]
	}
	url = *try(c.sqs.CreateQueue(c.ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: set})).ok(c).QueueUrl
	c.after(func(ctx context.Context) error {
		_, err := c.sqs.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &url})
		return err
	})
	return url
}

func (c *call) queueARN(url string) string {
	c.Helper()
	return try(c.sqs.GetQueueAttributes(c.ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"QueueArn"}})).ok(c).Attributes["QueueArn"]
}

// messages receives up to ten, waiting a second for the first.
func (c *call) messages(url string) []types.Message {
	c.Helper()
	return try(c.sqs.ReceiveMessage(c.ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 1,
		MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"}})).ok(c).Messages
}

// message waits for one message, takes it out of the queue, and gives it.
func (c *call) message(url string) types.Message {
	c.Helper()
	var got types.Message
	c.eventually("a message", func() bool {
		out := try(c.sqs.ReceiveMessage(c.ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 5,
			MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"}})).ok(c)
		if len(out.Messages) == 0 {
			return false
		}
		got = out.Messages[0]
		try(c.sqs.DeleteMessage(c.ctx, &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: got.ReceiptHandle})).ok(c)
		return true
	})
	return got
}

// target gives a rule its targets, and takes rule and targets away at the end.
func (c *call) target(rule string, targets ...ebtypes.Target) {
	c.Helper()
	out := try(c.events.PutTargets(c.ctx, &eventbridge.PutTargetsInput{Rule: &rule, Targets: targets})).ok(c)
	if out.FailedEntryCount != 0 {
		c.Fatalf("put targets: %+v", out.FailedEntries)
	}
	c.dropRule(rule)
}

func (c *call) dropRule(rule string) {
	c.after(func(ctx context.Context) error {
		out, err := c.events.ListTargetsByRule(ctx, &eventbridge.ListTargetsByRuleInput{Rule: &rule})
		if err != nil {
			return err
		}
		var ids []string
		for _, t := range out.Targets {
			ids = append(ids, *t.Id)
		}
		if len(ids) > 0 {
			if _, err := c.events.RemoveTargets(ctx, &eventbridge.RemoveTargetsInput{Rule: &rule, Ids: ids}); err != nil {
				return err
			}
		}
		_, err = c.events.DeleteRule(ctx, &eventbridge.DeleteRuleInput{Name: aws.String(rule)})
		return err
	})
}

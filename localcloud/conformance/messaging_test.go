package conformance_test

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
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

// sends makes a request send another body than its input.
func sends(body string) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Serialize.Add(middleware.SerializeMiddlewareFunc("sends", func(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (middleware.SerializeOutput, middleware.Metadata, error) {
			r, err := in.Request.(*smithyhttp.Request).SetStream(strings.NewReader(body))
			if err != nil {
				return middleware.SerializeOutput{}, middleware.Metadata{}, err
			}
			in.Request = r
			return next.HandleSerialize(ctx, in)
		}), middleware.After)
	}
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

const (
	sqsAPI = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_"
	snsAPI = "https://docs.aws.amazon.com/sns/latest/api/API_"
)

func (c *call) send(url, body string) *sqs.SendMessageOutput {
	c.Helper()
	return try(c.sqs.SendMessage(c.ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body})).ok(c)
}

var sqsBehaviours = []behaviour{
	{id: "sqs.create.again", says: "a queue is made again with the same attributes, and with others it is QueueAlreadyExists", source: sqsAPI + "CreateQueue.html", run: func(c *call) {
		url := c.queue("VisibilityTimeout", "7")
		name := url[strings.LastIndex(url, "/")+1:]
		equal(c, "url", str(try(c.sqs.CreateQueue(c.ctx, &sqs.CreateQueueInput{QueueName: &name})).ok(c).QueueUrl), url)
		try(c.sqs.CreateQueue(c.ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{"VisibilityTimeout": "8"}})).fails(c, 400, "QueueAlreadyExists", "A queue already exists with the same name and a different value for attribute VisibilityTimeout")
	}},
	{id: "sqs.get-url.missing", says: "a queue that is not there is AWS.SimpleQueueService.NonExistentQueue", source: sqsAPI + "GetQueueUrl.html", run: func(c *call) {
		try(c.sqs.GetQueueUrl(c.ctx, &sqs.GetQueueUrlInput{QueueName: ref(c.name())})).fails(c, 400, "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist")
	}},
	{id: "sqs.send.receive", says: "a message is received with the MD5 of its body, hidden while it is worked on, and deleted by its receipt", source: sqsAPI + "ReceiveMessage.html", run: func(c *call) {
		url := c.queue()
		sent := c.send(url, "hello")
		equal(c, "md5", str(sent.MD5OfMessageBody), "5d41402abc4b2a76b9719d911017c592")
		got := c.message(url)
		equal(c, "message", []string{str(got.Body), str(got.MessageId), str(got.MD5OfBody), got.Attributes["ApproximateReceiveCount"]}, []string{"hello", *sent.MessageId, *sent.MD5OfMessageBody, "1"})
		equal(c, "again", len(c.messages(url)), 0)
	}},
	{id: "sqs.visibility.end", says: "a message whose visibility is set to 0 is received again, and its receives are counted", source: sqsAPI + "ChangeMessageVisibility.html", run: func(c *call) {
		url := c.queue()
		c.send(url, "hello")
		var first []types.Message
		c.eventually("the message", func() bool { first = c.messages(url); return len(first) == 1 })
		try(c.sqs.ChangeMessageVisibility(c.ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: first[0].ReceiptHandle, VisibilityTimeout: 0})).ok(c)
		var second []types.Message
		c.eventually("the message again", func() bool { second = c.messages(url); return len(second) == 1 })
		equal(c, "count", second[0].Attributes["ApproximateReceiveCount"], "2")
	}},
	{id: "sqs.visibility.none", says: "a change of visibility without a timeout is MissingParameter", source: sqsAPI + "ChangeMessageVisibility.html", run: func(c *call) {
		url := c.queue()
		body := sends(`{"QueueUrl":"` + url + `","ReceiptHandle":"r"}`)
		try(c.sqs.ChangeMessageVisibility(c.ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: ref("r")}, func(o *sqs.Options) { o.APIOptions = append(o.APIOptions, body) })).
			fails(c, 400, "MissingParameter", "The request must contain the parameter VisibilityTimeout.")
	}},
	{id: "sqs.json.unknown-member", says: "a member of a request that the API does not have is passed over", source: "https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html", run: func(c *call) {
		url := c.queue()
		body := sends(`{"Colour":{"of":["the","message"]},"QueueUrl":"` + url + `","messageBody":"no","MessageBody":"yes"}`)
		try(c.sqs.SendMessage(c.ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: ref("b")}, func(o *sqs.Options) {
			o.APIOptions, o.DisableMessageChecksumValidation = append(o.APIOptions, body), true
		})).ok(c)
		equal(c, "body", *c.message(url).Body, "yes")
	}},
	{id: "sqs.json.wrong-type", says: "a member of another type than the API's is SerializationException", source: "https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html", run: func(c *call) {
		url := c.queue()
		body := sends(`{"QueueUrl":"` + url + `","MessageBody":{"a":1}}`)
		try(c.sqs.SendMessage(c.ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: ref("b")}, func(o *sqs.Options) { o.APIOptions = append(o.APIOptions, body) })).
			fails(c, 400, "SerializationException", "")
	}},
	{id: "sqs.redrive", says: "a message that was received too often goes to the dead-letter queue", source: "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html", run: func(c *call) {
		dead := c.queue()
		url := c.queue("RedrivePolicy", `{"deadLetterTargetArn":"`+c.queueARN(dead)+`","maxReceiveCount":1}`, "VisibilityTimeout", "0")
		c.send(url, "hello")
		c.eventually("it is in the dead-letter queue", func() bool {
			c.messages(url)
			got := c.messages(dead)
			return len(got) == 1 && *got[0].Body == "hello"
		})
	}},
	{id: "sqs.batch", says: "a batch is answered entry by entry, and its ids must differ", source: sqsAPI + "SendMessageBatch.html", run: func(c *call) {
		url := c.queue()
		entry := func(id string) types.SendMessageBatchRequestEntry {
			return types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &id}
		}
		equal(c, "sent", len(try(c.sqs.SendMessageBatch(c.ctx, &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: []types.SendMessageBatchRequestEntry{entry("a"), entry("b")}})).ok(c).Successful), 2)
		try(c.sqs.SendMessageBatch(c.ctx, &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: []types.SendMessageBatchRequestEntry{entry("a"), entry("a")}})).fails(c, 400, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct")
		try(c.sqs.SendMessageBatch(c.ctx, &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: []types.SendMessageBatchRequestEntry{}})).fails(c, 400, "AWS.SimpleQueueService.EmptyBatchRequest")
	}},
	{id: "sqs.receive.max", says: "more than ten messages at once cannot be asked for", source: sqsAPI + "ReceiveMessage.html", run: func(c *call) {
		url := c.queue()
		try(c.sqs.ReceiveMessage(c.ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 11})).fails(c, 400, "InvalidParameterValue", "Value 11 for parameter MaxNumberOfMessages is invalid.")
	}},
	{id: "sqs.delete.invalid", says: "a receipt that is none is ReceiptHandleIsInvalid", source: sqsAPI + "DeleteMessage.html", run: func(c *call) {
		url := c.queue()
		try(c.sqs.DeleteMessage(c.ctx, &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: ref("none")})).fails(c, 0, "ReceiptHandleIsInvalid")
	}},
	{id: "sqs.attributes.invalid", says: "an attribute beyond its range is InvalidAttributeValue", source: sqsAPI + "SetQueueAttributes.html", run: func(c *call) {
		url := c.queue()
		try(c.sqs.SetQueueAttributes(c.ctx, &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{"VisibilityTimeout": "43201"}})).fails(c, 400, "InvalidAttributeValue", "Invalid value for the parameter VisibilityTimeout.")
	}},
	{id: "sqs.list.prefix", says: "queues are listed by prefix", source: sqsAPI + "ListQueues.html", run: func(c *call) {
		url := c.queue()
		name := url[strings.LastIndex(url, "/")+1:]
		equal(c, "queues", try(c.sqs.ListQueues(c.ctx, &sqs.ListQueuesInput{QueueNamePrefix: &name})).ok(c).QueueUrls, []string{url})
	}},
}

// topic makes a topic.
func (c *call) topic() string {
	c.Helper()
	arn := *try(c.sns.CreateTopic(c.ctx, &sns.CreateTopicInput{Name: ref(c.name())})).ok(c).TopicArn
	c.after(func(ctx context.Context) error {
		_, err := c.sns.DeleteTopic(ctx, &sns.DeleteTopicInput{TopicArn: &arn})
		return err
	})
	return arn
}

func (c *call) subscribe(topic, queue string, attributes map[string]string) string {
	c.Helper()
	return *try(c.sns.Subscribe(c.ctx, &sns.SubscribeInput{TopicArn: &topic, Protocol: ref("sqs"), Endpoint: ref(c.queueARN(queue)), Attributes: attributes, ReturnSubscriptionArn: true})).ok(c).SubscriptionArn
}

var snsBehaviours = []behaviour{
	{id: "sns.create.again", says: "a topic is made again by its name, and has the same ARN", source: snsAPI + "CreateTopic.html", run: func(c *call) {
		arn := c.topic()
		equal(c, "arn", str(try(c.sns.CreateTopic(c.ctx, &sns.CreateTopicInput{Name: ref(arn[strings.LastIndex(arn, ":")+1:])})).ok(c).TopicArn), arn)
	}},
	{id: "sns.create.name", says: "a name with other characters is InvalidParameter", source: snsAPI + "CreateTopic.html", run: func(c *call) {
		try(c.sns.CreateTopic(c.ctx, &sns.CreateTopicInput{Name: ref("a b")})).fails(c, 400, "InvalidParameter", "Invalid parameter: Topic Name")
	}},
	{id: "sns.publish.sqs", says: "what is published comes to a queue as a Notification in JSON", source: "https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html", run: func(c *call) {
		topic, queue := c.topic(), c.queue()
		c.subscribe(topic, queue, nil)
		id := try(c.sns.Publish(c.ctx, &sns.PublishInput{TopicArn: &topic, Message: ref("hello"), Subject: ref("re")})).ok(c).MessageId
		var note struct{ Type, MessageId, TopicArn, Subject, Message, SignatureVersion, UnsubscribeURL string }
		if err := json.Unmarshal([]byte(*c.message(queue).Body), &note); err != nil {
			c.Fatal(err)
		}
		equal(c, "note", []string{note.Type, note.MessageId, note.TopicArn, note.Subject, note.Message, note.SignatureVersion}, []string{"Notification", *id, topic, "re", "hello", "1"})
	}},
	{id: "sns.publish.raw", says: "with raw delivery the message alone comes, its attributes as the queue's", source: "https://docs.aws.amazon.com/sns/latest/dg/sns-large-payload-raw-message-delivery.html", run: func(c *call) {
		topic, queue := c.topic(), c.queue()
		c.subscribe(topic, queue, map[string]string{"RawMessageDelivery": "true"})
		try(c.sns.Publish(c.ctx, &sns.PublishInput{TopicArn: &topic, Message: ref("hello"), MessageAttributes: map[string]snstypes.MessageAttributeValue{"kind": {DataType: ref("String"), StringValue: ref("x")}}})).ok(c)
		got := c.message(queue)
		equal(c, "message", []string{str(got.Body), str(got.MessageAttributes["kind"].StringValue)}, "[hello x]")
	}},
	{id: "sns.filter.attributes", says: "a subscription with a filter policy gets what has attributes that pass it", source: "https://docs.aws.amazon.com/sns/latest/dg/sns-message-filtering.html", run: func(c *call) {
		topic, queue := c.topic(), c.queue()
		c.subscribe(topic, queue, map[string]string{"FilterPolicy": `{"price":[{"numeric":["<",10]}],"kind":["a","b"]}`, "RawMessageDelivery": "true"})
		publish := func(text, price, kind string) {
			try(c.sns.Publish(c.ctx, &sns.PublishInput{TopicArn: &topic, Message: &text, MessageAttributes: map[string]snstypes.MessageAttributeValue{
				"price": {DataType: ref("Number"), StringValue: &price}, "kind": {DataType: ref("String"), StringValue: &kind}}})).ok(c)
		}
		publish("dear", "10", "a")
		publish("other", "9", "c")
		publish("right", "9.5", "b")
		equal(c, "body", *c.message(queue).Body, "right")
	}},
	{id: "sns.filter.body", says: "with the scope MessageBody the message itself is filtered, members of members too", source: "https://docs.aws.amazon.com/sns/latest/dg/sns-message-filtering-scope.html", run: func(c *call) {
		topic, queue := c.topic(), c.queue()
		c.subscribe(topic, queue, map[string]string{"FilterPolicy": `{"order":{"store":[{"prefix":"b"}]}}`, "FilterPolicyScope": "MessageBody", "RawMessageDelivery": "true"})
		for _, text := range []string{"no JSON", `{"order":{"store":"ab"}}`, `{"order":{"store":"ba"}}`} {
			try(c.sns.Publish(c.ctx, &sns.PublishInput{TopicArn: &topic, Message: &text})).ok(c)
		}
		equal(c, "body", *c.message(queue).Body, `{"order":{"store":"ba"}}`)
	}},
	{id: "sns.filter.invalid", says: "a filter policy that is none is InvalidParameter, and says where", source: recorded + "sns/test_sns_filter_policy.snapshot.json", run: func(c *call) {
		topic, queue := c.topic(), c.queue()
		arn := c.queueARN(queue)
		try(c.sns.Subscribe(c.ctx, &sns.SubscribeInput{TopicArn: &topic, Protocol: ref("sqs"), Endpoint: &arn, Attributes: map[string]string{"FilterPolicy": `{"a": []}`}})).
			fails(c, 400, "InvalidParameter", "Invalid parameter: Attributes Reason: FilterPolicy: Empty arrays are not allowed\n at [Source: (String)\"{\"a\":[]}\"; line: 1, column: 8]")
	}},
	{id: "sns.publish.missing", says: "a topic that is not there is NotFound", source: snsAPI + "Publish.html", run: func(c *call) {
		try(c.sns.Publish(c.ctx, &sns.PublishInput{TopicArn: ref(c.arn("sns", c.name())), Message: ref("x")})).fails(c, 404, "NotFound", "Topic does not exist")
	}},
	{id: "sns.publish.arn", says: "an ARN that is none is InvalidParameter, and says of how many elements it is", source: recorded + "sns/test_sns.snapshot.json", run: func(c *call) {
		try(c.sns.Publish(c.ctx, &sns.PublishInput{TopicArn: ref("topic"), Message: ref("x")})).fails(c, 400, "InvalidParameter", "Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not 1")
	}},
	{id: "sns.publish.empty", says: "an empty message is InvalidParameter", source: snsAPI + "Publish.html", run: func(c *call) {
		try(c.sns.Publish(c.ctx, &sns.PublishInput{TopicArn: ref(c.topic()), Message: ref("")})).fails(c, 400, "InvalidParameter", "Invalid parameter: Empty message")
	}},
	{id: "sns.subscribe.again", says: "the same endpoint is subscribed once", source: snsAPI + "Subscribe.html", run: func(c *call) {
		topic, queue := c.topic(), c.queue()
		equal(c, "arn", c.subscribe(topic, queue, nil), c.subscribe(topic, queue, nil))
		equal(c, "subscriptions", len(try(c.sns.ListSubscriptionsByTopic(c.ctx, &sns.ListSubscriptionsByTopicInput{TopicArn: &topic})).ok(c).Subscriptions), 1)
	}},
	{id: "sns.unsubscribe", says: "after Unsubscribe nothing comes, and the subscription is NotFound", source: snsAPI + "Unsubscribe.html", run: func(c *call) {
		topic, queue := c.topic(), c.queue()
		sub := c.subscribe(topic, queue, nil)
		try(c.sns.Unsubscribe(c.ctx, &sns.UnsubscribeInput{SubscriptionArn: &sub})).ok(c)
		try(c.sns.GetSubscriptionAttributes(c.ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: &sub})).fails(c, 404, "NotFound", "Subscription does not exist")
	}},
}

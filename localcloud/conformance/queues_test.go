package conformance_test

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// received waits for n messages of a queue, which stay in it, hidden.
func (c *call) received(url string, n int) map[string]*string {
	c.Helper()
	receipts := map[string]*string{}
	c.eventually("the messages", func() bool {
		for _, m := range c.messages(url) {
			receipts[*m.Body] = m.ReceiptHandle
		}
		return len(receipts) == n
	})
	return receipts
}

// outcome tells what became of a batch: the ids that went well, and the others with code and fault.
func outcome[T any](done []T, id func(T) *string, failed []types.BatchResultErrorEntry) []string {
	var all []string
	for _, d := range done {
		all = append(all, *id(d))
	}
	for _, f := range failed {
		s := *f.Id + ":" + *f.Code
		if f.SenderFault {
			s += ":sender"
		}
		all = append(all, s)
	}
	return all
}

var queueBehaviours = []behaviour{
	{id: "sqs.send-batch.partial", says: "of a batch the messages that cannot be sent are told one by one, the others are sent", source: sqsAPI + "SendMessageBatch.html", run: func(c *call) {
		url := c.queue()
		out := try(c.sqs.SendMessageBatch(c.ctx, &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: []types.SendMessageBatchRequestEntry{
			{Id: ref("late"), MessageBody: ref("x"), DelaySeconds: 901}, {Id: ref("good"), MessageBody: ref("hello")}}})).ok(c)
		equal(c, "outcome", outcome(out.Successful, func(e types.SendMessageBatchResultEntry) *string { return e.Id }, out.Failed), "[good late:InvalidParameterValue:sender]")
		equal(c, "md5", str(out.Successful[0].MD5OfMessageBody), "5d41402abc4b2a76b9719d911017c592")
		equal(c, "message", str(c.message(url).Body), "hello")
	}},
	{id: "sqs.batch.ids", says: "a batch has at most ten entries, with ids of letters, digits, hyphens and underscores", source: sqsAPI + "SendMessageBatch.html", run: func(c *call) {
		url := c.queue()
		var many []types.SendMessageBatchRequestEntry
		for _, id := range strings.Split("abcdefghijk", "") {
			many = append(many, types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &id})
		}
		try(c.sqs.SendMessageBatch(c.ctx, &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: many})).fails(c, 400, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10. You have sent 11.")
		many[0].Id = ref("a b")
		try(c.sqs.SendMessageBatch(c.ctx, &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: many[:1]})).fails(c, 400, "AWS.SimpleQueueService.InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores.")
	}},
	{id: "sqs.delete-batch.partial", says: "of a batch of receipts those that are none are told one by one, the others' messages are deleted", source: sqsAPI + "DeleteMessageBatch.html", run: func(c *call) {
		url := c.queue()
		c.send(url, "hello")
		receipt := c.received(url, 1)["hello"]
		out := try(c.sqs.DeleteMessageBatch(c.ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: []types.DeleteMessageBatchRequestEntry{
			{Id: ref("bad"), ReceiptHandle: ref("none")}, {Id: ref("good"), ReceiptHandle: receipt}}})).ok(c)
		equal(c, "outcome", outcome(out.Successful, func(e types.DeleteMessageBatchResultEntry) *string { return e.Id }, out.Failed), "[good bad:ReceiptHandleIsInvalid:sender]")
		c.eventually("the queue is empty", func() bool { return c.holds(url) == "0 0" })
		try(c.sqs.DeleteMessageBatch(c.ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: []types.DeleteMessageBatchRequestEntry{}})).fails(c, 400, "AWS.SimpleQueueService.EmptyBatchRequest")
	}},
	{id: "sqs.visibility-batch.partial", says: "of a batch of changes of visibility each is told, and those that went well hold", source: sqsAPI + "ChangeMessageVisibilityBatch.html", run: func(c *call) {
		url := c.queue("VisibilityTimeout", "3600")
		c.send(url, "a")
		c.send(url, "b")
		receipts := c.received(url, 2)
		out := try(c.sqs.ChangeMessageVisibilityBatch(c.ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
			{Id: ref("bad"), ReceiptHandle: ref("none"), VisibilityTimeout: 1}, {Id: ref("good"), ReceiptHandle: receipts["b"], VisibilityTimeout: 0}}})).ok(c)
		equal(c, "outcome", outcome(out.Successful, func(e types.ChangeMessageVisibilityBatchResultEntry) *string { return e.Id }, out.Failed), "[good bad:ReceiptHandleIsInvalid:sender]")
		equal(c, "message", str(c.message(url).Body), "b")
	}},
	{id: "sqs.purge", says: "a purged queue has no messages, not those that are worked on either, and is not purged again within a minute", source: sqsAPI + "PurgeQueue.html", run: func(c *call) {
		url := c.queue()
		c.send(url, "a")
		c.received(url, 1)
		c.send(url, "b")
		try(c.sqs.PurgeQueue(c.ctx, &sqs.PurgeQueueInput{QueueUrl: &url})).ok(c)
		try(c.sqs.PurgeQueue(c.ctx, &sqs.PurgeQueueInput{QueueUrl: &url})).fails(c, 403, "AWS.SimpleQueueService.PurgeQueueInProgress", "Only one PurgeQueue operation on "+url[strings.LastIndex(url, "/")+1:]+" is allowed every 60 seconds.")
		c.eventually("the queue is empty", func() bool { return c.holds(url) == "0 0" })
	}},
	{id: "sqs.dead-letter.sources", says: "a dead-letter queue tells the queues that it is one for", source: sqsAPI + "ListDeadLetterSourceQueues.html", run: func(c *call) {
		dead := c.queue()
		equal(c, "at first", len(try(c.sqs.ListDeadLetterSourceQueues(c.ctx, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: &dead})).ok(c).QueueUrls), 0)
		url := c.queue("RedrivePolicy", `{"deadLetterTargetArn":"`+c.queueARN(dead)+`","maxReceiveCount":1}`)
		c.eventually("the source is listed", func() bool {
			got := try(c.sqs.ListDeadLetterSourceQueues(c.ctx, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: &dead})).ok(c).QueueUrls
			return len(got) == 1 && got[0] == url
		})
	}},
	{id: "sqs.tags", says: "a queue's tags are set, listed and taken away", source: sqsAPI + "TagQueue.html", run: func(c *call) {
		url := c.queue()
		tags := func() map[string]string {
			return try(c.sqs.ListQueueTags(c.ctx, &sqs.ListQueueTagsInput{QueueUrl: &url})).ok(c).Tags
		}
		equal(c, "at first", tags(), "map[]")
		try(c.sqs.TagQueue(c.ctx, &sqs.TagQueueInput{QueueUrl: &url, Tags: map[string]string{"a": "1", "b": "2"}})).ok(c)
		try(c.sqs.TagQueue(c.ctx, &sqs.TagQueueInput{QueueUrl: &url, Tags: map[string]string{"b": "3"}})).ok(c)
		try(c.sqs.UntagQueue(c.ctx, &sqs.UntagQueueInput{QueueUrl: &url, TagKeys: []string{"a", "none"}})).ok(c)
		c.eventually("b alone", func() bool { t := tags(); return len(t) == 1 && t["b"] == "3" })
	}},
	{id: "sqs.visibility.any-receipt", says: "a message that is visible again, or with another receiver, is hidden by a receipt of before; one that is deleted is InvalidParameterValue", source: recorded + "sqs/test_sqs.snapshot.json", run: func(c *call) {
		url := c.queue("VisibilityTimeout", "0")
		c.send(url, "m")
		change := func(receipt *string, timeout int32) result[*sqs.ChangeMessageVisibilityOutput] {
			return try(c.sqs.ChangeMessageVisibility(c.ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: receipt, VisibilityTimeout: timeout}))
		}
		first := c.received(url, 1)["m"]
		change(first, 0).ok(c)
		second := c.received(url, 1)["m"]
		change(first, 600).ok(c)
		equal(c, "messages", len(c.messages(url)), 0)
		try(c.sqs.DeleteMessage(c.ctx, &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: second})).ok(c)
		change(second, 1).fails(c, 400, "InvalidParameterValue", "Reason: Message does not exist or is not available for visibility timeout change.")
	}},
	{id: "sqs.receive.attributes", says: "message attributes are asked for by name, by the beginning of a name, or all by All or an asterisk", source: recorded + "sqs/test_sqs.snapshot.json", run: func(c *call) {
		url := c.queue("VisibilityTimeout", "0")
		text := func(v string) types.MessageAttributeValue {
			return types.MessageAttributeValue{DataType: ref("String"), StringValue: &v}
		}
		try(c.sqs.SendMessage(c.ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: ref("m"), MessageAttributes: map[string]types.MessageAttributeValue{"Help.Me": text("1"), "Hello": text("2"), "General": text("3")}})).ok(c)
		for asked, want := range map[string]int{"All": 3, "*": 3, ".*": 3, "Hel.*": 2, "Help": 0, "General": 1} {
			var got []types.Message
			c.eventually("the message", func() bool {
				got = try(c.sqs.ReceiveMessage(c.ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 5, MessageAttributeNames: []string{asked}})).ok(c).Messages
				return len(got) > 0
			})
			equal(c, asked, len(got[0].MessageAttributes), want)
		}
	}},
	{id: "sqs.send.attribute-names", says: "a message attribute's name has no periods at its ends, does not begin as AWS's own, and its text no control characters", source: sqsAPI + "SendMessage.html", run: func(c *call) {
		url := c.queue()
		for name, value := range map[string]string{".a": "v", "AWS.a": "v", "a!": "v", "a": "\b"} {
			try(c.sqs.SendMessage(c.ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: ref("m"), MessageAttributes: map[string]types.MessageAttributeValue{name: {DataType: ref("String"), StringValue: &value}}})).
				fails(c, 400, "InvalidParameterValue")
		}
	}},
	{id: "sqs.sse", says: "a queue that is encrypted with a KMS key is not by SQS's own", source: recorded + "sqs/test_sqs.snapshot.json", run: func(c *call) {
		url := c.queue("KmsMasterKeyId", "alias/aws/sqs")
		a := try(c.sqs.GetQueueAttributes(c.ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"All"}})).ok(c).Attributes
		equal(c, "encryption", []string{a["KmsMasterKeyId"], a["SqsManagedSseEnabled"], a["KmsDataKeyReusePeriodSeconds"]}, "[alias/aws/sqs false 300]")
	}},
}

// holds are the numbers of a queue's messages: those to be received, and those worked on.
func (c *call) holds(url string) string {
	c.Helper()
	a := try(c.sqs.GetQueueAttributes(c.ctx, &sqs.GetQueueAttributesInput{QueueUrl: aws.String(url), AttributeNames: []types.QueueAttributeName{"All"}})).ok(c).Attributes
	return a["ApproximateNumberOfMessages"] + " " + a["ApproximateNumberOfMessagesNotVisible"]
}

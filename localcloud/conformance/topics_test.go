package conformance_test

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
)

var topicBehaviours = []behaviour{
	{id: "sns.topic.attributes", says: "a topic tells its ARN, owner, policies, name to display and numbers of subscriptions", source: snsAPI + "GetTopicAttributes.html", run: func(c *call) {
		topic := c.topic()
		a := try(c.sns.GetTopicAttributes(c.ctx, &sns.GetTopicAttributesInput{TopicArn: &topic})).ok(c).Attributes
		equal(c, "attributes", []string{a["TopicArn"], a["Owner"], a["DisplayName"], a["SubscriptionsConfirmed"], a["SubscriptionsPending"], a["SubscriptionsDeleted"]}, []string{topic, c.account, "", "0", "0", "0"})
		for _, name := range []string{"Policy", "EffectiveDeliveryPolicy"} {
			if !json.Valid([]byte(a[name])) {
				c.Errorf("%s is no JSON: %q", name, a[name])
			}
		}
	}},
	{id: "sns.topic.set", says: "a topic's attribute is set, one that is none is InvalidParameter, and a topic that is not there NotFound", source: snsAPI + "SetTopicAttributes.html", run: func(c *call) {
		topic := c.topic()
		try(c.sns.SetTopicAttributes(c.ctx, &sns.SetTopicAttributesInput{TopicArn: &topic, AttributeName: ref("DisplayName"), AttributeValue: ref("shown")})).ok(c)
		equal(c, "name", try(c.sns.GetTopicAttributes(c.ctx, &sns.GetTopicAttributesInput{TopicArn: &topic})).ok(c).Attributes["DisplayName"], "shown")
		try(c.sns.SetTopicAttributes(c.ctx, &sns.SetTopicAttributesInput{TopicArn: &topic, AttributeName: ref("Colour"), AttributeValue: ref("x")})).fails(c, 400, "InvalidParameter", "Invalid parameter: AttributeName")
		try(c.sns.GetTopicAttributes(c.ctx, &sns.GetTopicAttributesInput{TopicArn: ref(c.arn("sns", c.name()))})).fails(c, 404, "NotFound", "Topic does not exist")
	}},
	{id: "sns.topic.list", says: "a topic is listed until it is deleted", source: snsAPI + "ListTopics.html", run: func(c *call) {
		topic := c.topic()
		listed := func() bool {
			pages := sns.NewListTopicsPaginator(c.sns, nil)
			for pages.HasMorePages() {
				if slices.ContainsFunc(try(pages.NextPage(c.ctx)).ok(c).Topics, func(t types.Topic) bool { return *t.TopicArn == topic }) {
					return true
				}
			}
			return false
		}
		c.eventually("the topic is listed", listed)
		try(c.sns.DeleteTopic(c.ctx, &sns.DeleteTopicInput{TopicArn: &topic})).ok(c)
		c.eventually("the topic is gone", func() bool { return !listed() })
	}},
	{id: "sns.subscription.list", says: "a subscription is listed among all, with topic, protocol, endpoint and owner", source: snsAPI + "ListSubscriptions.html", run: func(c *call) {
		topic, queue := c.topic(), c.queue()
		arn := c.subscribe(topic, queue, nil)
		endpoint := c.queueARN(queue)
		c.eventually("the subscription is listed", func() bool {
			pages := sns.NewListSubscriptionsPaginator(c.sns, nil)
			for pages.HasMorePages() {
				for _, s := range try(pages.NextPage(c.ctx)).ok(c).Subscriptions {
					if *s.SubscriptionArn == arn {
						equal(c, "subscription", []string{str(s.TopicArn), str(s.Protocol), str(s.Endpoint), str(s.Owner)}, []string{topic, "sqs", endpoint, c.account})
						return true
					}
				}
			}
			return false
		})
	}},
	{id: "sns.subscription.set", says: "a subscription's attribute is set, and one that is none is InvalidParameter", source: snsAPI + "SetSubscriptionAttributes.html", run: func(c *call) {
		arn := c.subscribe(c.topic(), c.queue(), nil)
		try(c.sns.SetSubscriptionAttributes(c.ctx, &sns.SetSubscriptionAttributesInput{SubscriptionArn: &arn, AttributeName: ref("RawMessageDelivery"), AttributeValue: ref("true")})).ok(c)
		equal(c, "raw", try(c.sns.GetSubscriptionAttributes(c.ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: &arn})).ok(c).Attributes["RawMessageDelivery"], "true")
		try(c.sns.SetSubscriptionAttributes(c.ctx, &sns.SetSubscriptionAttributesInput{SubscriptionArn: &arn, AttributeName: ref("Colour"), AttributeValue: ref("x")})).fails(c, 400, "InvalidParameter", "Invalid parameter: AttributeName")
	}},
	{id: "sns.publish-batch", says: "each message of a batch is published under its id; ids must differ, and there are one to ten", source: snsAPI + "PublishBatch.html", run: func(c *call) {
		topic, queue := c.topic(), c.queue()
		c.subscribe(topic, queue, map[string]string{"RawMessageDelivery": "true"})
		entry := func(id string) types.PublishBatchRequestEntry {
			return types.PublishBatchRequestEntry{Id: &id, Message: &id}
		}
		publish := func(entries ...types.PublishBatchRequestEntry) result[*sns.PublishBatchOutput] {
			return try(c.sns.PublishBatch(c.ctx, &sns.PublishBatchInput{TopicArn: &topic, PublishBatchRequestEntries: entries}))
		}
		out := publish(entry("a"), entry("b")).ok(c)
		equal(c, "published", []any{len(out.Successful), len(out.Failed), str(out.Successful[0].Id), out.Successful[0].MessageId != nil}, "[2 0 a true]")
		c.received(queue, 2)
		publish(entry("a"), entry("a")).fails(c, 400, "BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")
		publish([]types.PublishBatchRequestEntry{}...).fails(c, 400, "EmptyBatchRequest", "The batch request doesn't contain any entries.")
		var many []types.PublishBatchRequestEntry
		for _, id := range strings.Split("abcdefghijk", "") {
			many = append(many, entry(id))
		}
		publish(many...).fails(c, 400, "TooManyEntriesInBatchRequest", "The batch request contains more entries than permissible.")
	}},
	{id: "sns.tags", says: "a topic's tags are set, listed and taken away, and a key given twice is InvalidParameter", source: snsAPI + "TagResource.html", run: func(c *call) {
		topic := c.topic()
		tag := func(pairs ...string) result[*sns.TagResourceOutput] {
			var tags []types.Tag
			for i := 0; i < len(pairs); i += 2 {
				tags = append(tags, types.Tag{Key: &pairs[i], Value: &pairs[i+1]})
			}
			return try(c.sns.TagResource(c.ctx, &sns.TagResourceInput{ResourceArn: &topic, Tags: tags}))
		}
		tag("a", "1", "b", "2").ok(c)
		tag("b", "3").ok(c)
		tag("c", "1", "c", "2").fails(c, 400, "InvalidParameter", "Invalid parameter: Duplicated keys are not allowed.")
		try(c.sns.UntagResource(c.ctx, &sns.UntagResourceInput{ResourceArn: &topic, TagKeys: []string{"a"}})).ok(c)
		c.eventually("b alone", func() bool {
			t := try(c.sns.ListTagsForResource(c.ctx, &sns.ListTagsForResourceInput{ResourceArn: &topic})).ok(c).Tags
			return len(t) == 1 && *t[0].Key == "b" && *t[0].Value == "3"
		})
	}},
	{id: "sns.tags.missing", says: "tags of a topic that is not there are ResourceNotFound, set, listed or taken away", source: snsAPI + "TagResource.html", run: func(c *call) {
		arn := c.arn("sns", c.name())
		try(c.sns.TagResource(c.ctx, &sns.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{{Key: ref("a"), Value: ref("1")}}})).fails(c, 404, "ResourceNotFound")
		try(c.sns.UntagResource(c.ctx, &sns.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"a"}})).fails(c, 404, "ResourceNotFound")
		try(c.sns.ListTagsForResource(c.ctx, &sns.ListTagsForResourceInput{ResourceArn: &arn})).fails(c, 404, "ResourceNotFound")
	}},
	{id: "sns.create.some", says: "a topic is made again with some of its tags, not with others", source: recorded + "sns/test_sns.snapshot.json", run: func(c *call) {
		topic := c.topic()
		name := topic[strings.LastIndex(topic, ":")+1:]
		tag := func(k, v string) types.Tag { return types.Tag{Key: &k, Value: &v} }
		try(c.sns.TagResource(c.ctx, &sns.TagResourceInput{ResourceArn: &topic, Tags: []types.Tag{tag("a", "1"), tag("b", "2")}})).ok(c)
		c.eventually("the topic with one of two tags", func() bool {
			out, err := c.sns.CreateTopic(c.ctx, &sns.CreateTopicInput{Name: &name, Tags: []types.Tag{tag("a", "1")}})
			return err == nil && *out.TopicArn == topic
		})
		try(c.sns.CreateTopic(c.ctx, &sns.CreateTopicInput{Name: &name, Tags: []types.Tag{tag("a", "1"), tag("c", "3")}})).fails(c, 400, "InvalidParameter", "Invalid parameter: Tags Reason: Topic already exists with different tags")
	}},
	{id: "sns.subscription.raw", says: "RawMessageDelivery is true or false in letters of any case, and what an attribute is anyway is no difference", source: recorded + "sns/test_sns.snapshot.json", run: func(c *call) {
		topic, queue := c.topic(), c.queue()
		arn := c.subscribe(topic, queue, map[string]string{"RawMessageDelivery": "TrUe"})
		equal(c, "again", c.subscribe(topic, queue, map[string]string{"RawMessageDelivery": "True", "FilterPolicyScope": "MessageAttributes"}), arn)
		equal(c, "raw", try(c.sns.GetSubscriptionAttributes(c.ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: &arn})).ok(c).Attributes["RawMessageDelivery"], "true")
	}},
	{id: "sns.subscription.invalid", says: "what a subscription's attribute cannot be is InvalidParameter, and says why", source: recorded + "sns/test_sns.snapshot.json", run: func(c *call) {
		arn := c.subscribe(c.topic(), c.queue(), nil)
		for _, tc := range [][3]string{
			{"RawMessageDelivery", "yes", "Invalid parameter: RawMessageDelivery: Invalid value [yes]. Must be true or false."},
			{"RedrivePolicy", `{"deadLetterTargetArn":"fake-arn"}`, "Invalid parameter: RedrivePolicy: deadLetterTargetArn is an invalid arn"},
			{"RedrivePolicy", "{invalidjson}", "Invalid parameter: RedrivePolicy: failed to parse JSON. Unexpected character ('i' (code 105)): was expecting double-quote to start field name"},
			{"FilterPolicy", "{invalidjson}", "Invalid parameter: FilterPolicy: failed to parse JSON. Unexpected character ('i' (code 105)): was expecting double-quote to start field name"},
		} {
			try(c.sns.SetSubscriptionAttributes(c.ctx, &sns.SetSubscriptionAttributesInput{SubscriptionArn: &arn, AttributeName: &tc[0], AttributeValue: &tc[1]})).fails(c, 400, "InvalidParameter", tc[2])
		}
	}},
	{id: "sns.publish-batch.attributes", says: "a batch with one wrong message attribute is refused as a whole", source: recorded + "sns/test_sns.snapshot.json", run: func(c *call) {
		topic, queue := c.topic(), c.queue()
		c.subscribe(topic, queue, nil)
		try(c.sns.PublishBatch(c.ctx, &sns.PublishBatchInput{TopicArn: &topic, PublishBatchRequestEntries: []types.PublishBatchRequestEntry{{Id: ref("1"), Message: ref("m")},
			{Id: ref("2"), Message: ref("m"), MessageAttributes: map[string]types.MessageAttributeValue{"a": {DataType: ref("String."), StringValue: ref("v")}}}}})).
			fails(c, 400, "ParameterValueInvalid", "The message attribute 'a' has an invalid message attribute type")
		equal(c, "messages", len(c.messages(queue)), 0)
	}},
}

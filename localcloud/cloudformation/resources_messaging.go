package cloudformation

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

type queueProps struct {
	QueueName                     string `cfn:"name"`
	DelaySeconds                  *int
	MaximumMessageSize            *int
	MessageRetentionPeriod        *int
	ReceiveMessageWaitTimeSeconds *int
	VisibilityTimeout             *int
	RedrivePolicy                 any
	RedriveAllowPolicy            any
	SqsManagedSseEnabled          *bool  `cfn:"noeffect"`
	KmsMasterKeyId                string `cfn:"noeffect"` //nolint:revive // the property's name
	Tags                          []tag
}

func (p *queueProps) attributes() map[string]string {
	out := map[string]string{}
	for name, n := range map[string]*int{
		"DelaySeconds": p.DelaySeconds, "MaximumMessageSize": p.MaximumMessageSize, "MessageRetentionPeriod": p.MessageRetentionPeriod,
		"ReceiveMessageWaitTimeSeconds": p.ReceiveMessageWaitTimeSeconds, "VisibilityTimeout": p.VisibilityTimeout,
	} {
		if n != nil {
			out[name] = strconv.Itoa(*n)
		}
	}
	for name, v := range map[string]any{"RedrivePolicy": p.RedrivePolicy, "RedriveAllowPolicy": p.RedriveAllowPolicy} {
		if v != nil {
			out[name] = document(v)
		}
	}
	return out
}

// queueDefaults are what an attribute that a template no longer gives goes back to.
var queueDefaults = map[string]string{
	"DelaySeconds": "0", "MaximumMessageSize": "262144", "MessageRetentionPeriod": "345600", "ReceiveMessageWaitTimeSeconds": "0",
	"VisibilityTimeout": "30", "RedrivePolicy": "", "RedriveAllowPolicy": "",
}

func queue() *kind {
	return kindOf(handlers[queueProps]{
		attributes: []string{"Arn", "QueueName", "QueueUrl"}, nameLimit: 80,
		create: func(s *step, p *queueProps) (made, error) {
			var out struct{ QueueUrl string } //nolint:revive // the API's name
			err := s.call("sqs", "CreateQueue", map[string]any{"QueueName": p.QueueName, "Attributes": p.attributes(), "Tags": s.tags(p.Tags)}, &out)
			if err != nil {
				return made{}, err
			}
			return made{ID: out.QueueUrl, Attributes: map[string]string{"Arn": s.c.arn("sqs", p.QueueName), "QueueName": p.QueueName, "QueueUrl": out.QueueUrl}}, nil
		},
		update: func(s *step, id string, old, p *queueProps) (made, error) {
			set := p.attributes()
			for name := range old.attributes() {
				if _, ok := set[name]; !ok {
					set[name] = queueDefaults[name]
				}
			}
			if len(set) > 0 && canonical(old.attributes()) != canonical(p.attributes()) {
				if err := s.call("sqs", "SetQueueAttributes", map[string]any{"QueueUrl": id, "Attributes": set}, nil); err != nil {
					return made{}, err
				}
			}
			if canonical(old.Tags) != canonical(p.Tags) {
				return made{}, s.call("sqs", "TagQueue", map[string]any{"QueueUrl": id, "Tags": s.tags(p.Tags)}, nil)
			}
			return made{}, nil
		},
		remove: func(s *step, id string, _ *queueProps) error {
			return s.quietly("sqs", "DeleteQueue", map[string]any{"QueueUrl": id})
		},
	})
}

type queuePolicyProps struct {
	Queues         []string `cfn:"required"`
	PolicyDocument any      `cfn:"required"`
}

func queuePolicy() *kind {
	set := func(s *step, queues []string, policy string) error {
		for _, q := range queues {
			if err := s.call("sqs", "SetQueueAttributes", map[string]any{"QueueUrl": q, "Attributes": map[string]string{"Policy": policy}}, nil); err != nil {
				return err
			}
		}
		return nil
	}
	return kindOf(handlers[queuePolicyProps]{
		attributes: []string{"Id"},
		create: func(s *step, p *queuePolicyProps) (made, error) {
			return made{ID: s.name, Attributes: map[string]string{"Id": s.name}}, set(s, p.Queues, document(p.PolicyDocument))
		},
		update: func(s *step, _ string, old, p *queuePolicyProps) (made, error) {
			if err := set(s, without(old.Queues, p.Queues), ""); err != nil && !gone(err) {
				return made{}, err
			}
			return made{}, set(s, p.Queues, document(p.PolicyDocument))
		},
		remove: func(s *step, _ string, p *queuePolicyProps) error { return set(s, p.Queues, "") },
	})
}

func without(list, other []string) []string {
	var out []string
	for _, x := range list {
		if !slices.Contains(other, x) {
			out = append(out, x)
		}
	}
	return out
}

type topicProps struct {
	TopicName      string `cfn:"name"`
	DisplayName    string
	KmsMasterKeyId string                                `cfn:"noeffect"` //nolint:revive // the property's name
	Subscription   []struct{ Endpoint, Protocol string } `cfn:"replace"`
	Tags           []tag
}

func topic() *kind {
	return kindOf(handlers[topicProps]{
		attributes: []string{"TopicArn", "TopicName"}, nameLimit: 256,
		expected: func(c *CloudFormation, p *topicProps) string { return c.arn("sns", p.TopicName) },
		create: func(s *step, p *topicProps) (made, error) {
			attributes := map[string]string{}
			if p.DisplayName != "" {
				attributes["DisplayName"] = p.DisplayName
			}
			var out struct{ TopicArn string }
			err := s.call("sns", "CreateTopic", map[string]any{"Name": p.TopicName, "Attributes": attributes, "Tags": tagList(s.tags(p.Tags))}, &out)
			if err != nil {
				return made{}, err
			}
			m := made{ID: out.TopicArn, Attributes: map[string]string{"TopicArn": out.TopicArn, "TopicName": p.TopicName}}
			for _, sub := range p.Subscription {
				if err := s.call("sns", "Subscribe", map[string]any{"TopicArn": out.TopicArn, "Protocol": sub.Protocol, "Endpoint": sub.Endpoint}, nil); err != nil {
					return m, err
				}
			}
			return m, nil
		},
		update: func(s *step, id string, old, p *topicProps) (made, error) {
			if old.DisplayName != p.DisplayName {
				in := map[string]any{"TopicArn": id, "AttributeName": "DisplayName", "AttributeValue": &p.DisplayName}
				if err := s.call("sns", "SetTopicAttributes", in, nil); err != nil {
					return made{}, err
				}
			}
			if canonical(old.Tags) != canonical(p.Tags) {
				return made{}, s.call("sns", "TagResource", map[string]any{"ResourceArn": id, "Tags": tagList(s.tags(p.Tags))}, nil)
			}
			return made{}, nil
		},
		remove: func(s *step, id string, _ *topicProps) error {
			return s.quietly("sns", "DeleteTopic", map[string]any{"TopicArn": id})
		},
	})
}

type topicPolicyProps struct {
	Topics         []string `cfn:"required"`
	PolicyDocument any      `cfn:"required"`
}

func topicPolicy() *kind {
	set := func(s *step, topics []string, policy string) error {
		for _, t := range topics {
			if err := s.call("sns", "SetTopicAttributes", map[string]any{"TopicArn": t, "AttributeName": "Policy", "AttributeValue": &policy}, nil); err != nil {
				return err
			}
		}
		return nil
	}
	return kindOf(handlers[topicPolicyProps]{
		attributes: []string{"Id"},
		create: func(s *step, p *topicPolicyProps) (made, error) {
			return made{ID: s.name, Attributes: map[string]string{"Id": s.name}}, set(s, p.Topics, document(p.PolicyDocument))
		},
		update: func(s *step, _ string, old, p *topicPolicyProps) (made, error) {
			if err := set(s, without(old.Topics, p.Topics), ""); err != nil && !gone(err) {
				return made{}, err
			}
			return made{}, set(s, p.Topics, document(p.PolicyDocument))
		},
		remove: func(s *step, _ string, p *topicPolicyProps) error { return set(s, p.Topics, "") },
	})
}

type subscriptionProps struct {
	TopicArn            string `cfn:"required,replace"`
	Protocol            string `cfn:"required,replace"`
	Endpoint            string `cfn:"replace"`
	FilterPolicy        any
	FilterPolicyScope   string
	RawMessageDelivery  *bool
	RedrivePolicy       any
	SubscriptionRoleArn string
}

func (p *subscriptionProps) attributes() map[string]string {
	out := map[string]string{}
	for name, v := range map[string]string{
		"FilterPolicy": document(p.FilterPolicy), "FilterPolicyScope": p.FilterPolicyScope, "RedrivePolicy": document(p.RedrivePolicy), "SubscriptionRoleArn": p.SubscriptionRoleArn,
	} {
		if v != "" {
			out[name] = v
		}
	}
	if p.RawMessageDelivery != nil {
		out["RawMessageDelivery"] = strconv.FormatBool(*p.RawMessageDelivery)
	}
	return out
}

func subscription() *kind {
	return kindOf(handlers[subscriptionProps]{
		create: func(s *step, p *subscriptionProps) (made, error) {
			var out struct{ SubscriptionArn string }
			err := s.call("sns", "Subscribe", map[string]any{
				"TopicArn": p.TopicArn, "Protocol": p.Protocol, "Endpoint": p.Endpoint, "Attributes": p.attributes(), "ReturnSubscriptionArn": true,
			}, &out)
			if err != nil {
				return made{}, err
			}
			return made{ID: out.SubscriptionArn}, nil
		},
		update: func(s *step, id string, old, p *subscriptionProps) (made, error) {
			next := p.attributes()
			for name := range old.attributes() {
				if _, ok := next[name]; !ok {
					next[name] = map[string]string{"RawMessageDelivery": "false", "FilterPolicyScope": "MessageAttributes"}[name]
				}
			}
			names := sortedKeys(next)
			if scope := "FilterPolicyScope"; next[scope] == "MessageBody" { // which allows what the other scope does not
				names = append([]string{scope}, names...)
			}
			for _, name := range names {
				value := next[name]
				if err := s.call("sns", "SetSubscriptionAttributes", map[string]any{"SubscriptionArn": id, "AttributeName": name, "AttributeValue": &value}, nil); err != nil {
					return made{}, err
				}
			}
			return made{}, nil
		},
		remove: func(s *step, id string, _ *subscriptionProps) error {
			return s.quietly("sns", "Unsubscribe", map[string]any{"SubscriptionArn": id})
		},
	})
}

type eventBusProps struct {
	Name             string `cfn:"name,required"`
	Policy           any
	Description      string
	DeadLetterConfig *struct{ Arn string }
	EventSourceName  string `cfn:"replace"`
	Tags             []tag
}

func eventBus() *kind {
	return kindOf(handlers[eventBusProps]{
		attributes: []string{"Arn", "Name"},
		expected:   func(_ *CloudFormation, p *eventBusProps) string { return p.Name },
		create: func(s *step, p *eventBusProps) (made, error) {
			var out struct{ EventBusArn string }
			err := s.call("events", "CreateEventBus", map[string]any{
				"Name": p.Name, "Description": p.Description, "DeadLetterConfig": p.DeadLetterConfig, "EventSourceName": p.EventSourceName, "Tags": tagList(s.tags(p.Tags)),
			}, &out)
			if err != nil {
				return made{}, err
			}
			m := made{ID: p.Name, Attributes: map[string]string{"Arn": out.EventBusArn, "Name": p.Name}}
			if p.Policy == nil {
				return m, nil
			}
			return m, s.call("events", "PutPermission", map[string]any{"EventBusName": p.Name, "Policy": document(p.Policy)}, nil)
		},
		update: func(s *step, id string, old, p *eventBusProps) (made, error) {
			if old.Description != p.Description || canonical(old.DeadLetterConfig) != canonical(p.DeadLetterConfig) {
				if err := s.call("events", "UpdateEventBus", map[string]any{"Name": id, "Description": p.Description, "DeadLetterConfig": p.DeadLetterConfig}, nil); err != nil {
					return made{}, err
				}
			}
			if canonical(old.Tags) != canonical(p.Tags) {
				if err := s.call("events", "TagResource", map[string]any{"ResourceARN": s.c.arn("events", "event-bus/"+id), "Tags": tagList(s.tags(p.Tags))}, nil); err != nil {
					return made{}, err
				}
			}
			switch {
			case canonical(old.Policy) == canonical(p.Policy):
				return made{}, nil
			case p.Policy == nil:
				return made{}, s.quietly("events", "RemovePermission", map[string]any{"EventBusName": id, "RemoveAllPermissions": true})
			}
			return made{}, s.call("events", "PutPermission", map[string]any{"EventBusName": id, "Policy": document(p.Policy)}, nil)
		},
		remove: func(s *step, id string, _ *eventBusProps) error {
			return s.quietly("events", "DeleteEventBus", map[string]any{"Name": id})
		},
	})
}

type eventBusPolicyProps struct {
	EventBusName string `cfn:"replace"`
	StatementId  string `cfn:"required,replace"` //nolint:revive // the property's name
	Statement    any
	Action       string
	Principal    string
	Condition    *struct{ Key, Type, Value string }
}

func (p *eventBusPolicyProps) bus() string {
	if p.EventBusName == "" {
		return "default"
	}
	return p.EventBusName
}

func eventBusPolicy() *kind {
	put := func(s *step, p *eventBusPolicyProps) error {
		if p.Statement == nil {
			return s.call("events", "PutPermission", map[string]any{
				"EventBusName": p.bus(), "StatementId": p.StatementId, "Action": p.Action, "Principal": p.Principal, "Condition": p.Condition,
			}, nil)
		}
		return putStatement(s, p)
	}
	return kindOf(handlers[eventBusPolicyProps]{
		expected: func(_ *CloudFormation, p *eventBusPolicyProps) string { return p.bus() + "|" + p.StatementId },
		create: func(s *step, p *eventBusPolicyProps) (made, error) {
			if err := put(s, p); err != nil {
				return made{}, err
			}
			return made{ID: p.bus() + "|" + p.StatementId}, nil
		},
		update: func(s *step, _ string, _, p *eventBusPolicyProps) (made, error) { return made{}, put(s, p) },
		remove: func(s *step, _ string, p *eventBusPolicyProps) error {
			return s.quietly("events", "RemovePermission", map[string]any{"EventBusName": p.bus(), "StatementId": p.StatementId})
		},
	})
}

// putStatement adds one statement to the bus' policy: the API only replaces the whole.
func putStatement(s *step, p *eventBusPolicyProps) error {
	var bus struct{ Policy string }
	if err := s.call("events", "DescribeEventBus", map[string]any{"Name": p.bus()}, &bus); err != nil {
		return err
	}
	policy := struct {
		Version   string
		Statement []map[string]any
	}{Version: "2012-10-17"}
	if bus.Policy != "" {
		if err := json.Unmarshal([]byte(bus.Policy), &policy); err != nil {
			return fmt.Errorf("read policy of bus %s: %w", p.bus(), err)
		}
	}
	statement, ok := p.Statement.(map[string]any)
	if !ok {
		return fmt.Errorf("Statement of the policy of bus %s is no object", p.bus()) //nolint:revive,staticcheck // the property's name
	}
	own := map[string]any{}
	for k, v := range statement {
		own[k] = v
	}
	own["Sid"] = p.StatementId
	kept := policy.Statement[:0:0]
	for _, x := range policy.Statement {
		if x["Sid"] != p.StatementId {
			kept = append(kept, x)
		}
	}
	policy.Statement = append(kept, own)
	return s.call("events", "PutPermission", map[string]any{"EventBusName": p.bus(), "Policy": canonical(policy)}, nil)
}

type ruleProps struct {
	Name               string `cfn:"name"`
	EventBusName       string `cfn:"replace"`
	EventPattern       any
	ScheduleExpression string
	State              string
	Description        string
	RoleArn            string
	Targets            []ruleTarget
	Tags               []tag
}

type ruleTarget struct {
	Id               string `cfn:"required"` //nolint:revive // the property's name
	Arn              string `cfn:"required"`
	RoleArn          string `json:",omitempty"`
	Input            string `json:",omitempty"`
	InputPath        string `json:",omitempty"`
	InputTransformer *struct {
		InputPathsMap map[string]string `json:",omitempty"`
		InputTemplate string            `cfn:"required"`
	} `json:",omitempty"`
	DeadLetterConfig *struct{ Arn string } `json:",omitempty"`
	RetryPolicy      *struct {
		MaximumEventAgeInSeconds *int `json:",omitempty"`
		MaximumRetryAttempts     *int `json:",omitempty"`
	} `json:",omitempty"`
	SqsParameters *struct{ MessageGroupId string } `json:",omitempty"` //nolint:revive // the property's name
}

// busName takes the name or the ARN of a bus.
func (p *ruleProps) busName() string {
	if i := strings.Index(p.EventBusName, ":event-bus/"); i >= 0 {
		return p.EventBusName[i+len(":event-bus/"):]
	}
	return p.EventBusName
}

func (p *ruleProps) ref() string {
	if b := p.busName(); b != "" && b != "default" {
		return b + "|" + p.Name
	}
	return p.Name
}

func eventRule() *kind {
	return kindOf(handlers[ruleProps]{
		attributes: []string{"Arn"},
		expected:   func(_ *CloudFormation, p *ruleProps) string { return p.ref() },
		create: func(s *step, p *ruleProps) (made, error) {
			arn, err := putRule(s, p)
			if err != nil {
				return made{}, err
			}
			return made{ID: p.ref(), Attributes: map[string]string{"Arn": arn}}, putTargets(s, p, p.Targets)
		},
		update: func(s *step, _ string, old, p *ruleProps) (made, error) {
			if _, err := putRule(s, p); err != nil {
				return made{}, err
			}
			before, wanted := map[string]string{}, map[string]bool{}
			for _, t := range old.Targets {
				before[t.Id] = canonical(t)
			}
			var put []ruleTarget
			for _, t := range p.Targets {
				wanted[t.Id] = true
				if before[t.Id] != canonical(t) {
					put = append(put, t)
				}
			}
			var left []string
			for _, id := range sortedKeys(before) {
				if !wanted[id] {
					left = append(left, id)
				}
			}
			if err := removeTargets(s, p, left); err != nil {
				return made{}, err
			}
			return made{}, putTargets(s, p, put)
		},
		remove: func(s *step, _ string, p *ruleProps) error {
			var ids []string
			for _, t := range p.Targets {
				ids = append(ids, t.Id)
			}
			if err := removeTargets(s, p, ids); err != nil && !gone(err) {
				return err
			}
			return s.quietly("events", "DeleteRule", map[string]any{"Name": p.Name, "EventBusName": p.EventBusName})
		},
	})
}

func putRule(s *step, p *ruleProps) (string, error) {
	var out struct{ RuleArn string }
	err := s.call("events", "PutRule", map[string]any{
		"Name": p.Name, "EventBusName": p.EventBusName, "EventPattern": document(p.EventPattern), "ScheduleExpression": p.ScheduleExpression,
		"State": p.State, "Description": p.Description, "RoleArn": p.RoleArn, "Tags": tagList(s.tags(p.Tags)),
	}, &out)
	return out.RuleArn, err
}

// partial is how PutTargets and RemoveTargets tell what they did not do.
type partial struct {
	FailedEntryCount int
	FailedEntries    []struct{ TargetId, ErrorCode, ErrorMessage string } //nolint:revive // the API's names
}

func (p partial) err() error {
	if p.FailedEntryCount == 0 {
		return nil
	}
	return fmt.Errorf("targets refused: %s", canonical(p.FailedEntries))
}

func putTargets(s *step, p *ruleProps, targets []ruleTarget) error {
	if len(targets) == 0 {
		return nil
	}
	var out partial
	if err := s.call("events", "PutTargets", map[string]any{"Rule": p.Name, "EventBusName": p.EventBusName, "Targets": targets}, &out); err != nil {
		return err
	}
	return out.err()
}

func removeTargets(s *step, p *ruleProps, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	var out partial
	if err := s.call("events", "RemoveTargets", map[string]any{"Rule": p.Name, "EventBusName": p.EventBusName, "Ids": ids}, &out); err != nil {
		return err
	}
	for _, f := range out.FailedEntries {
		if f.ErrorCode != "ResourceNotFoundException" {
			return out.err()
		}
	}
	return nil
}

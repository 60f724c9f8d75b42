package conformance_test

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
)

const (
	eventsAPI   = "https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_"
	eventsGuide = "https://docs.aws.amazon.com/eventbridge/latest/userguide/"
)

// bus makes an event bus.
func (c *call) bus() string {
	c.Helper()
	name := c.name()
	try(c.events.CreateEventBus(c.ctx, &eb.CreateEventBusInput{Name: &name})).ok(c)
	c.after(func(ctx context.Context) error {
		_, err := c.events.DeleteEventBus(ctx, &eb.DeleteEventBusInput{Name: &name})
		return err
	})
	return name
}

// rule makes a rule for the events of a source.
func (c *call) rule(pattern string) string {
	c.Helper()
	name := c.name()
	try(c.events.PutRule(c.ctx, &eb.PutRuleInput{Name: &name, EventPattern: &pattern})).ok(c)
	return name
}

// putEvent puts an event of a source onto the default bus.
func (c *call) putEvent(source, detail string) string {
	c.Helper()
	out := try(c.events.PutEvents(c.ctx, &eb.PutEventsInput{Entries: []types.PutEventsRequestEntry{{Source: &source, DetailType: ref("Test"), Detail: &detail, Resources: []string{"r"}}}})).ok(c)
	if out.FailedEntryCount != 0 {
		c.Fatalf("put event: %+v", out.Entries)
	}
	return *out.Entries[0].EventId
}

// matches asks whether a pattern matches an event with a detail.
func (c *call) matches(pattern, detail string) bool {
	c.Helper()
	event := `{"id":"1","source":"acme","detail-type":"t","account":"` + c.account + `","time":"2026-01-01T00:00:00Z","region":"r","resources":["a"],"detail":` + detail + `}`
	return try(c.events.TestEventPattern(c.ctx, &eb.TestEventPatternInput{EventPattern: &pattern, Event: &event})).ok(c).Result
}

// pattern is a behaviour that pairs of a condition and a value show: "yes" match, "no" do not.
func pattern(operator, says string, condition string, yes, no []string) behaviour {
	return behaviour{id: "events.pattern." + operator, says: says, source: eventsGuide + "eb-create-pattern-operators.html", run: func(c *call) {
		for want, values := range map[bool][]string{true: yes, false: no} {
			for _, v := range values {
				if got := c.matches(`{"detail":{"x":`+condition+`}}`, `{`+v+`}`); got != want {
					c.Errorf("%s of {%s}: %v, want %v", condition, v, got, want)
				}
			}
		}
	}}
}

var patternBehaviours = []behaviour{
	pattern("exact", "values are matched one of them, in their case and type", `["a",1,null,true]`, []string{`"x":"a"`, `"x":1`, `"x":null`, `"x":true`, `"x":["b","a"]`}, []string{`"x":"A"`, `"x":"1"`, `"y":"a"`, `"x":[]`}),
	pattern("prefix", "prefix matches the beginning of a text", `[{"prefix":"ab"}]`, []string{`"x":"abc"`, `"x":"ab"`}, []string{`"x":"Abc"`, `"x":"cab"`, `"x":1`}),
	pattern("prefix-ignore-case", "prefix matches in any case with equals-ignore-case", `[{"prefix":{"equals-ignore-case":"ab"}}]`, []string{`"x":"ABc"`}, []string{`"x":"cab"`}),
	pattern("suffix", "suffix matches the end of a text", `[{"suffix":".csv"}]`, []string{`"x":"a.csv"`}, []string{`"x":"a.csv.gz"`, `"x":"a.CSV"`}),
	pattern("anything-but", "anything-but matches all but the values", `[{"anything-but":["a","b"]}]`, []string{`"x":"c"`, `"x":1`}, []string{`"x":"a"`, `"y":"c"`}),
	pattern("anything-but-prefix", "anything-but excludes a beginning", `[{"anything-but":{"prefix":"a"}}]`, []string{`"x":"b"`}, []string{`"x":"ab"`}),
	pattern("numeric", "numeric compares numbers, alone or within bounds", `[{"numeric":[">",0,"<=",5]}]`, []string{`"x":5`, `"x":0.1`}, []string{`"x":0`, `"x":5.1`, `"x":"5"`}),
	pattern("exists", "exists asks for a leaf", `[{"exists":true}]`, []string{`"x":null`, `"x":"a"`}, []string{`"y":1`}),
	pattern("exists-not", "exists false asks that there be none", `[{"exists":false}]`, []string{`"y":1`}, []string{`"x":1`}),
	pattern("equals-ignore-case", "equals-ignore-case matches a text in any case", `[{"equals-ignore-case":"abc"}]`, []string{`"x":"AbC"`}, []string{`"x":"abcd"`}),
	pattern("wildcard", "wildcard: * stands for any text", `[{"wildcard":"a*/*.csv"}]`, []string{`"x":"ab/c/d.csv"`, `"x":"a/.csv"`}, []string{`"x":"b/c.csv"`, `"x":"a.csv"`}),
	pattern("cidr", "cidr matches addresses of a network", `[{"cidr":"10.0.0.0/24"}]`, []string{`"x":"10.0.0.255"`}, []string{`"x":"10.0.1.0"`, `"x":"a"`}),
	{id: "events.pattern.or", says: "$or matches if one of its patterns does", source: eventsGuide + "eb-create-pattern-operators.html", run: func(c *call) {
		const either = `{"detail":{"$or":[{"x":[1]},{"y":[2]}]}}`
		equal(c, "matches", []bool{c.matches(either, `{"x":1}`), c.matches(either, `{"y":2}`), c.matches(either, `{"x":2,"y":1}`)}, "[true true false]")
	}},
	{id: "events.pattern.array", says: "what is matched in an array of objects is matched in one of them", source: eventsGuide + "eb-event-patterns-arrays.html", run: func(c *call) {
		const both = `{"detail":{"x":{"a":[1],"b":[2]}}}`
		equal(c, "matches", []bool{c.matches(both, `{"x":[{"a":1,"b":2}]}`), c.matches(both, `{"x":[{"a":1},{"b":2}]}`)}, "[true false]")
	}},
	{id: "events.pattern.invalid", says: "a pattern that is none is InvalidEventPatternException, and says why", source: recorded + "events/test_events_patterns.snapshot.json", run: func(c *call) {
		for bad, why := range map[string]string{`{"source":"a"}`: `"source" must be an object or an array`, `{"source":[]}`: "Empty arrays are not allowed", `{"detail":{"x":[{"numeric":10}]}}`: "Value of numeric must be an array.",
			`{"detail":{"x":[{"near":1}]}}`: "Unrecognized match type near", `{"detail":{"x":[{"prefix":1}]}}`: "prefix match pattern must be a string", `no JSON`: ""} {
			try(c.events.TestEventPattern(c.ctx, &eb.TestEventPatternInput{EventPattern: &bad, Event: ref(`{"id":"1","source":"a","detail-type":"t","account":"1","time":"2026-01-01T00:00:00Z","region":"r","resources":[],"detail":{}}`)})).
				fails(c, 400, "InvalidEventPatternException", "Event pattern is not valid. Reason: "+why)
		}
		try(c.events.PutRule(c.ctx, &eb.PutRuleInput{Name: ref(c.name()), EventPattern: ref(`{"source":"a"}`)})).fails(c, 400, "InvalidEventPatternException")
	}},
}

var eventBehaviours = []behaviour{
	{id: "events.bus.update", says: "a bus's description is changed, and buses are listed by prefix", source: eventsAPI + "UpdateEventBus.html", run: func(c *call) {
		name := c.bus()
		try(c.events.UpdateEventBus(c.ctx, &eb.UpdateEventBusInput{Name: &name, Description: ref("of a test")})).ok(c)
		equal(c, "description", str(try(c.events.DescribeEventBus(c.ctx, &eb.DescribeEventBusInput{Name: &name})).ok(c).Description), "of a test")
		list := try(c.events.ListEventBuses(c.ctx, &eb.ListEventBusesInput{NamePrefix: &name})).ok(c).EventBuses
		if len(list) != 1 || str(list[0].Arn) != c.arn("events", "event-bus/"+name) {
			c.Errorf("buses: %+v", list)
		}
		missing := c.name()
		try(c.events.UpdateEventBus(c.ctx, &eb.UpdateEventBusInput{Name: &missing, Description: ref("x")})).fails(c, 400, "ResourceNotFoundException", "Event bus "+missing+" does not exist.")
	}},
	{id: "events.permission", says: "a permission is a statement of the bus's policy, one put under its id again replaces it, and without any there is no policy", source: eventsAPI + "PutPermission.html", run: func(c *call) {
		bus := c.bus()
		put := func(principal string) {
			try(c.events.PutPermission(c.ctx, &eb.PutPermissionInput{EventBusName: &bus, StatementId: ref("s"), Principal: &principal, Action: ref("events:PutEvents")})).ok(c)
		}
		policy := func() string {
			return str(try(c.events.DescribeEventBus(c.ctx, &eb.DescribeEventBusInput{Name: &bus})).ok(c).Policy)
		}
		put("*")
		put(c.account)
		same(c, "policy", policy(), `{"Version":"2012-10-17","Statement":[{"Sid":"s","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::`+c.account+`:root"},"Action":"events:PutEvents","Resource":"`+c.arn("events", "event-bus/"+bus)+`"}]}`)
		remove := func(id string) result[*eb.RemovePermissionOutput] {
			return try(c.events.RemovePermission(c.ctx, &eb.RemovePermissionInput{EventBusName: &bus, StatementId: &id}))
		}
		remove("none").fails(c, 400, "ResourceNotFoundException", "Statement with the provided id does not exist.")
		remove("s").ok(c)
		equal(c, "policy", policy(), "<nil>")
		remove("s").fails(c, 400, "ResourceNotFoundException")
	}},
	{id: "events.put-events.delivered", says: "an event comes to a target with its envelope: version, id, source, account, time, region, resources and detail", source: eventsGuide + "eb-events-structure.html", run: func(c *call) {
		source, queue := c.name(), c.queue()
		c.target(c.rule(`{"source":["`+source+`"]}`), types.Target{Id: ref("q"), Arn: ref(c.queueARN(queue))})
		id := c.putEvent(source, `{"n":1}`)
		var e struct {
			Version, ID, Source, Account, Time, Region string
			Type                                       string `json:"detail-type"`
			Resources                                  []string
			Detail                                     map[string]int
		}
		if err := json.Unmarshal([]byte(*c.message(queue).Body), &e); err != nil {
			c.Fatal(err)
		}
		equal(c, "event", []any{e.Version, e.ID, e.Source, e.Account, e.Region, e.Type, e.Resources, e.Detail}, []any{"0", id, source, c.account, c.cfg.Region, "Test", "[r]", "map[n:1]"})
		if !strings.HasSuffix(e.Time, "Z") || len(e.Time) != 20 {
			c.Errorf("time %s", e.Time)
		}
	}},
	{id: "events.put-events.partial", says: "entries that are not valid are told one by one, the others are taken", source: eventsAPI + "PutEvents.html", run: func(c *call) {
		good := types.PutEventsRequestEntry{Source: ref("acme"), DetailType: ref("t"), Detail: ref("{}")}
		noJSON, noSource := good, good
		noJSON.Detail, noSource.Source = ref("{"), nil
		out := try(c.events.PutEvents(c.ctx, &eb.PutEventsInput{Entries: []types.PutEventsRequestEntry{noJSON, good, noSource}})).ok(c)
		equal(c, "failed", out.FailedEntryCount, 2)
		equal(c, "entries", []string{str(out.Entries[0].ErrorCode), str(out.Entries[0].ErrorMessage), str(out.Entries[1].ErrorCode), str(out.Entries[2].ErrorCode), str(out.Entries[2].ErrorMessage)},
			[]string{"MalformedDetail", "Detail is malformed.", "<nil>", "InvalidArgument", "Parameter Source is not valid. Reason: Source is a required argument."})
	}},
	{id: "events.put-events.aws", says: "nobody else may put events of AWS's services", source: eventsAPI + "PutEventsRequestEntry.html", run: func(c *call) {
		out := try(c.events.PutEvents(c.ctx, &eb.PutEventsInput{Entries: []types.PutEventsRequestEntry{{Source: ref("aws.s3"), DetailType: ref("t"), Detail: ref("{}")}}})).ok(c)
		equal(c, "error", []string{str(out.Entries[0].ErrorCode), str(out.Entries[0].ErrorMessage)}, []string{"NotAuthorizedForSourceException", "Not authorized for the source."})
	}},
	{id: "events.put-events.ten", says: "at most ten entries are put at once", source: eventsAPI + "PutEvents.html", run: func(c *call) {
		try(c.events.PutEvents(c.ctx, &eb.PutEventsInput{Entries: make([]types.PutEventsRequestEntry, 11)})).fails(c, 400, "ValidationException", "Member must have length less than or equal to 10")
	}},
	{id: "events.rule.describe", says: "a rule is described as it was put, enabled", source: eventsAPI + "DescribeRule.html", run: func(c *call) {
		name := c.rule(`{"source":["x"]}`)
		c.dropRule(name)
		out := try(c.events.DescribeRule(c.ctx, &eb.DescribeRuleInput{Name: &name})).ok(c)
		equal(c, "rule", []string{str(out.Name), str(out.Arn), string(out.State), str(out.EventPattern), str(out.EventBusName)}, []string{name, c.arn("events", "rule/"+name), "ENABLED", `{"source":["x"]}`, "default"})
	}},
	{id: "events.rule.missing", says: "a rule that is not there is ResourceNotFoundException, and deleting it is a success", source: eventsAPI + "DescribeRule.html", run: func(c *call) {
		name := c.name()
		try(c.events.DescribeRule(c.ctx, &eb.DescribeRuleInput{Name: &name})).fails(c, 400, "ResourceNotFoundException", "Rule "+name+" does not exist on EventBus default.")
		try(c.events.DeleteRule(c.ctx, &eb.DeleteRuleInput{Name: &name})).ok(c)
	}},
	{id: "events.rule.delete-with-targets", says: "a rule with targets is not deleted", source: eventsAPI + "DeleteRule.html", run: func(c *call) {
		name := c.rule(`{"source":["x"]}`)
		c.target(name, types.Target{Id: ref("q"), Arn: ref(c.queueARN(c.queue()))})
		try(c.events.DeleteRule(c.ctx, &eb.DeleteRuleInput{Name: &name})).fails(c, 400, "ValidationException", "Rule can't be deleted since it has targets.")
	}},
	{id: "events.rule.disabled", says: "a disabled rule delivers nothing, an enabled one does again", source: eventsAPI + "DisableRule.html", run: func(c *call) {
		source, queue := c.name(), c.queue()
		rule := c.rule(`{"source":["` + source + `"]}`)
		c.target(rule, types.Target{Id: ref("q"), Arn: ref(c.queueARN(queue)), InputPath: ref("$.detail.n")})
		try(c.events.DisableRule(c.ctx, &eb.DisableRuleInput{Name: &rule})).ok(c)
		equal(c, "state", try(c.events.DescribeRule(c.ctx, &eb.DescribeRuleInput{Name: &rule})).ok(c).State, "DISABLED")
		c.putEvent(source, `{"n":1}`)
		try(c.events.EnableRule(c.ctx, &eb.EnableRuleInput{Name: &rule})).ok(c)
		c.putEvent(source, `{"n":2}`)
		equal(c, "message", str(c.message(queue).Body), "2")
	}},
	{id: "events.rule.schedule", says: "a schedule is rate or cron, and any other is ValidationException", source: eventsGuide + "eb-scheduled-rule-pattern.html", run: func(c *call) {
		for _, good := range []string{"rate(5 minutes)", "rate(1 hour)", "cron(0 12 * * ? *)", "cron(15 10 ? * 6L 2027-2030)"} {
			name := c.name()
			try(c.events.PutRule(c.ctx, &eb.PutRuleInput{Name: &name, ScheduleExpression: &good, State: types.RuleStateDisabled})).ok(c)
			c.dropRule(name)
		}
		for _, bad := range []string{"rate(1 minutes)", "rate(5 minute)", "rate(0 hours)", "cron(0 12 * * * *)", "every day"} {
			try(c.events.PutRule(c.ctx, &eb.PutRuleInput{Name: ref(c.name()), ScheduleExpression: &bad})).fails(c, 400, "ValidationException", "Parameter ScheduleExpression is not valid.")
		}
	}},
	{id: "events.list-rules", says: "rules are listed by prefix, in pages that do not move", source: eventsAPI + "ListRules.html", run: func(c *call) {
		prefix := c.name() + "-"
		for _, end := range []string{"a", "b", "c"} {
			name := prefix + end
			try(c.events.PutRule(c.ctx, &eb.PutRuleInput{Name: &name, EventPattern: ref(`{"source":["x"]}`)})).ok(c)
			c.dropRule(name)
		}
		first := try(c.events.ListRules(c.ctx, &eb.ListRulesInput{NamePrefix: &prefix, Limit: aws.Int32(2)})).ok(c)
		equal(c, "first", len(first.Rules), 2)
		try(c.events.DeleteRule(c.ctx, &eb.DeleteRuleInput{Name: ref(prefix + "a")})).ok(c)
		second := try(c.events.ListRules(c.ctx, &eb.ListRulesInput{NamePrefix: &prefix, Limit: aws.Int32(2), NextToken: first.NextToken})).ok(c)
		equal(c, "second", []any{len(second.Rules), str(second.Rules[0].Name), str(second.NextToken)}, []any{1, prefix + "c", "<nil>"})
	}},
	{id: "events.target.input", says: "a target gets a constant, a part of the event by path, or a template filled from it", source: eventsGuide + "eb-transform-target-input.html", run: func(c *call) {
		source := c.name()
		rule := c.rule(`{"source":["` + source + `"]}`)
		queues := []string{c.queue(), c.queue(), c.queue()}
		c.target(rule, types.Target{Id: ref("a"), Arn: ref(c.queueARN(queues[0])), Input: ref(`{"constant":true}`)},
			types.Target{Id: ref("b"), Arn: ref(c.queueARN(queues[1])), InputPath: ref("$.detail")},
			types.Target{Id: ref("c"), Arn: ref(c.queueARN(queues[2])), InputTransformer: &types.InputTransformer{InputPathsMap: map[string]string{"n": "$.detail.n", "t": "$.detail.t", "none": "$.detail.none"},
				InputTemplate: ref(`{"n":<n>,"text":"n is <n> and <t>","rule":"<aws.events.rule-name>"}`)}})
		c.putEvent(source, `{"n":7,"t":"seven"}`)
		for i, want := range []string{`{"constant":true}`, `{"n":7,"t":"seven"}`, `{"n":7,"text":"n is 7 and seven","rule":"` + rule + `"}`} {
			var got, wanted any
			if json.Unmarshal([]byte(*c.message(queues[i]).Body), &got) != nil || json.Unmarshal([]byte(want), &wanted) != nil {
				c.Fatal("no JSON")
			}
			equal(c, "input", got, wanted)
		}
	}},
	{id: "events.target.five", says: "a rule has at most five targets", source: eventsGuide + "eb-quota.html", run: func(c *call) {
		name := c.rule(`{"source":["x"]}`)
		c.dropRule(name)
		arn := c.queueARN(c.queue())
		var targets []types.Target
		for _, id := range []string{"1", "2", "3", "4", "5", "6"} {
			targets = append(targets, types.Target{Id: &id, Arn: &arn})
		}
		try(c.events.PutTargets(c.ctx, &eb.PutTargetsInput{Rule: &name, Targets: targets})).fails(c, 400, "LimitExceededException", "The requested resource exceeds the maximum number allowed.")
	}},
	{id: "events.target.names", says: "the rules of a target are listed by its ARN", source: eventsAPI + "ListRuleNamesByTarget.html", run: func(c *call) {
		name, arn := c.rule(`{"source":["x"]}`), c.queueARN(c.queue())
		c.target(name, types.Target{Id: ref("q"), Arn: &arn})
		equal(c, "rules", try(c.events.ListRuleNamesByTarget(c.ctx, &eb.ListRuleNamesByTargetInput{TargetArn: &arn})).ok(c).RuleNames, []string{name})
	}},
	{id: "events.target.dead-letter", says: "an event that cannot be delivered goes to the dead-letter queue, with what went wrong as attributes", source: eventsGuide + "eb-rule-dlq.html", run: func(c *call) {
		source, dead := c.name(), c.queue()
		rule := c.rule(`{"source":["` + source + `"]}`)
		gone := c.arn("sqs", c.name())
		c.target(rule, types.Target{Id: ref("q"), Arn: &gone, DeadLetterConfig: &types.DeadLetterConfig{Arn: ref(c.queueARN(dead))}, RetryPolicy: &types.RetryPolicy{MaximumRetryAttempts: aws.Int32(0), MaximumEventAgeInSeconds: aws.Int32(60)}})
		c.putEvent(source, `{}`)
		a := c.message(dead).MessageAttributes
		equal(c, "attributes", []string{str(a["RULE_ARN"].StringValue), str(a["TARGET_ARN"].StringValue)}, []string{c.arn("events", "rule/"+rule), gone})
		if str(a["ERROR_CODE"].StringValue) == "<nil>" || str(a["ERROR_MESSAGE"].StringValue) == "<nil>" {
			c.Errorf("attributes: %v", a)
		}
	}},
	{id: "events.bus.create", says: "a bus is made once, and described with its ARN", source: eventsAPI + "CreateEventBus.html", run: func(c *call) {
		name := c.bus()
		try(c.events.CreateEventBus(c.ctx, &eb.CreateEventBusInput{Name: &name})).fails(c, 400, "ResourceAlreadyExistsException", "Event bus "+name+" already exists.")
		equal(c, "arn", str(try(c.events.DescribeEventBus(c.ctx, &eb.DescribeEventBusInput{Name: &name})).ok(c).Arn), c.arn("events", "event-bus/"+name))
	}},
	{id: "events.bus.missing", says: "a bus that is not there is ResourceNotFoundException", source: eventsAPI + "DescribeEventBus.html", run: func(c *call) {
		name := c.name()
		try(c.events.DescribeEventBus(c.ctx, &eb.DescribeEventBusInput{Name: &name})).fails(c, 400, "ResourceNotFoundException", "Event bus "+name+" does not exist.")
		try(c.events.ListRules(c.ctx, &eb.ListRulesInput{EventBusName: &name})).fails(c, 400, "ResourceNotFoundException", "Event bus "+name+" does not exist.")
	}},
	{id: "events.bus.default", says: "the default bus is not deleted", source: recorded + "events/test_events.snapshot.json", run: func(c *call) {
		try(c.events.DeleteEventBus(c.ctx, &eb.DeleteEventBusInput{Name: ref("default")})).fails(c, 400, "ValidationException", "Cannot delete event bus default.")
	}},
	{id: "events.bus.separate", says: "a rule of one bus does not see the events of another", source: eventsGuide + "eb-event-bus.html", run: func(c *call) {
		bus, source, queue := c.bus(), c.name(), c.queue()
		rule := c.rule(`{"source":["` + source + `"],"detail":{"default":[true]}}`)
		c.target(rule, types.Target{Id: ref("q"), Arn: ref(c.queueARN(queue)), InputPath: ref("$.detail.n")})
		entry := func(bus, detail string) types.PutEventsRequestEntry {
			return types.PutEventsRequestEntry{Source: &source, DetailType: ref("t"), Detail: &detail, EventBusName: &bus}
		}
		try(c.events.PutEvents(c.ctx, &eb.PutEventsInput{Entries: []types.PutEventsRequestEntry{entry(bus, `{"default":true,"n":1}`), entry("default", `{"default":true,"n":2}`)}})).ok(c)
		equal(c, "message", str(c.message(queue).Body), "2")
	}},
	{id: "events.tags", says: "a rule's tags are set, listed and taken away", source: eventsAPI + "TagResource.html", run: func(c *call) {
		name := c.rule(`{"source":["x"]}`)
		c.dropRule(name)
		arn := c.arn("events", "rule/"+name)
		try(c.events.TagResource(c.ctx, &eb.TagResourceInput{ResourceARN: &arn, Tags: []types.Tag{{Key: ref("a"), Value: ref("1")}, {Key: ref("b"), Value: ref("2")}}})).ok(c)
		try(c.events.UntagResource(c.ctx, &eb.UntagResourceInput{ResourceARN: &arn, TagKeys: []string{"a"}})).ok(c)
		tags := try(c.events.ListTagsForResource(c.ctx, &eb.ListTagsForResourceInput{ResourceARN: &arn})).ok(c).Tags
		if len(tags) != 1 || *tags[0].Key != "b" {
			c.Errorf("tags: %+v", tags)
		}
	}},
}

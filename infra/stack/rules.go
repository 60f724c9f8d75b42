package stack

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/jsii-runtime-go"

	"github.com/millrace-ml/millrace/events"
)

func (s *millrace) rules() {
	groups := make([]any, len(s.props.Pipelines))
	for i, p := range s.props.Pipelines {
		groups[i] = p.Name
	}
	s.rule("uploads", "New objects in the data bucket", nil, events.ObjectCreatedPattern(s.data.BucketName()), newData)
	s.rule("jobs", "SageMaker jobs that ended", nil, events.JobStatePattern(), jobCompleted)
	s.rule("decisions", "Decisions in the model registry", nil, events.ModelPackagePattern(groups...), modelApproved)
	s.rule("approvals", "Decisions by others, through the approvals bus", s.approvals, events.ApprovalDecidedPattern(), modelApproved)
	s.rule("executions", "Runs that ended", nil, events.ExecutionEndedPattern(s.machineARN), runEnded)
	for _, p := range s.props.Pipelines {
		if p.Retrain.Schedule == "" {
			continue
		}
		r := awsevents.NewRule(s.stack, jsii.String("schedule-"+p.Name), &awsevents.RuleProps{
			RuleName:    jsii.String(events.ScheduleRulePrefix + p.Name),
			Description: jsii.String("The schedule of pipeline " + p.Name),
			Schedule:    awsevents.Schedule_Expression(jsii.String(p.Retrain.Schedule)),
		})
		r.AddTarget(s.target(newData))
	}
	daily := awsevents.NewRule(s.stack, jsii.String("daily"), &awsevents.RuleProps{
		RuleName:    jsii.String(events.DailyRule),
		Description: jsii.String("Looks after what was never told"),
		Schedule:    awsevents.Schedule_Expression(jsii.String("rate(1 day)")),
	})
	daily.AddTarget(s.target(newData))
	daily.AddTarget(s.target(modelApproved))
	s.notify()
}

// rule sends what matches a pattern to a function.
func (s *millrace) rule(name, description string, bus awsevents.IEventBus, pattern events.Pattern, target string) {
	r := awsevents.NewRule(s.stack, jsii.String("rule-"+name), &awsevents.RuleProps{
		RuleName: jsii.String("millrace-" + name), Description: jsii.String(description), EventBus: bus, EventPattern: eventPattern(pattern)})
	r.AddTarget(s.target(target))
}

func (s *millrace) target(name string) awseventstargets.LambdaFunction {
	return awseventstargets.NewLambdaFunction(s.functions[name].Function, &awseventstargets.LambdaFunctionProps{
		DeadLetterQueue: s.deadLetters,
		MaxEventAge:     awscdk.Duration_Hours(jsii.Number(24)),
		RetryAttempts:   jsii.Number(185),
	})
}

// notify sends to the topic what a person should hear of.
func (s *millrace) notify() {
	pattern := events.PublishedPattern()
	pattern["detail-type"] = []any{events.TypeApprovalRequested, events.TypeModelReleased, events.TypeRunFailed, events.TypeUploadRefused}
	r := awsevents.NewRule(s.stack, jsii.String("rule-notices"), &awsevents.RuleProps{
		RuleName: jsii.String("millrace-notices"), Description: jsii.String("What a person should hear of"), EventPattern: eventPattern(pattern)})
	r.AddTarget(awseventstargets.NewSnsTopic(s.notices, &awseventstargets.SnsTopicProps{DeadLetterQueue: s.deadLetters}))
}

func eventPattern(p events.Pattern) *awsevents.EventPattern {
	list := func(key string) *[]*string {
		var l []*string
		for _, v := range p[key].([]any) {
			l = append(l, jsii.String(v.(string)))
		}
		return &l
	}
	out := &awsevents.EventPattern{Source: list("source")}
	if p["detail-type"] != nil {
		out.DetailType = list("detail-type")
	}
	if d, ok := p["detail"].(map[string]any); ok {
		out.Detail = &d
	}
	return out
}

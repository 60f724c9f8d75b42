package stepfunctions

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/millrace-ml/millrace/localcloud/asl"
	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// job is what a .sync integration begins and awaits.
type job struct {
	describe, stop string // operations
	key            string // the member that names the job in requests
	status         string // the member of Describe that tells how it stands
	done           string // the status of success
	running        []string
	rule           string // AWS's managed rule, which the role must be allowed to make
	exists         string // the error's code when the name is taken
}

func sagemakerJob(kind string) *job {
	return &job{
		describe: "Describe" + kind + "Job", stop: "Stop" + kind + "Job", key: kind + "JobName", status: kind + "JobStatus",
		done: "Completed", running: []string{"InProgress", "Stopping"},
		rule: "StepFunctionsGetEventsForSageMaker" + kind + "JobsRule", exists: "ResourceInUse",
	}
}

// jobs are the integrations that offer .sync.
var jobs = map[string]*job{
	"sagemaker:createTrainingJob":   sagemakerJob("Training"),
	"sagemaker:createProcessingJob": sagemakerJob("Processing"),
	"sagemaker:createTransformJob":  sagemakerJob("Transform"),
	"states:startExecution": {
		describe: "DescribeExecution", stop: "StopExecution", key: "ExecutionArn", status: "Status",
		done: string(asl.Succeeded), running: []string{string(asl.Running)},
		rule: "StepFunctionsGetEventsForStepFunctionsExecutionRule", exists: "ExecutionAlreadyExists",
	},
}

func jobOf(r asl.Resource) *job { return jobs[r.Service+":"+r.Action] }

// checkManagedRules refuses, as AWS does, a role that may not make the rules by
// which Step Functions hears of the jobs that a definition awaits.
func (s *StepFunctions) checkManagedRules(m *asl.Machine, roleARN string) error {
	if s.o.Authorize == nil {
		return nil
	}
	ctx := wire.WithCaller(context.Background(), s.caller(asl.Info{RoleARN: roleARN, Name: "StepFunctions"}))
	for _, t := range m.Tasks() {
		j := jobOf(t.Resource)
		if j == nil || !t.Resource.AwaitsJob() {
			continue
		}
		for _, action := range []string{"events:PutTargets", "events:PutRule", "events:DescribeRule"} {
			rule := "arn:aws:events:" + s.o.Region + ":" + s.o.Account + ":rule/" + j.rule
			if err := s.o.Authorize(ctx, action, rule); err != nil {
				s.o.Log.Error("role may not make the managed rule that a .sync task needs", "role", roleARN, "action", action, "rule", rule, "location", t.Location)
				return wire.Errorf("AccessDeniedException", "'%s' is not authorized to create managed-rule.", roleARN)
			}
		}
	}
	return nil
}

// Of the tags that Step Functions gives the jobs it awaits.
const (
	tagExecution = "AWS_STEP_FUNCTIONS_EXECUTION_ARN"
	tagManaged   = "MANAGED_BY_AWS"
)

// tagJob adds Step Functions' tags to a request that awaits its job.
func tagJob(_ integration, c asl.Call, params map[string]any) (map[string]any, error) {
	if !c.Resource.AwaitsJob() {
		return params, nil
	}
	req := maps.Clone(params)
	tags, _ := params["Tags"].([]any)
	req["Tags"] = append(append([]any{}, tags...),
		map[string]any{"Key": tagExecution, "Value": c.Execution.ARN},
		map[string]any{"Key": tagManaged, "Value": "STARTED_BY_STEP_FUNCTIONS"})
	return req, nil
}

// startRequest makes text of the input, and a name that is the same when the
// call is made again.
func startRequest(in integration, c asl.Call, params map[string]any) (map[string]any, error) {
	req, err := verbatimText(in, c, params)
	if err != nil {
		return nil, err
	}
	if req["Input"] == nil {
		req["Input"] = "{}"
	}
	if _, named := req["Name"]; !named {
		req["Name"] = idOfToken(c.ID)
	}
	return req, nil
}

func startResult(_, out map[string]any, raw []byte, req request) (any, error) {
	return withMetadata(inMillis(recase(out)).(map[string]any), len(raw), json10, req), nil
}

// inMillis turns times into epoch milliseconds, as the results of .sync have them.
func inMillis(v any) any {
	return eachTime(v, func(seconds json.Number) any {
		r, ok := new(big.Rat).SetString(seconds.String())
		if !ok {
			return seconds
		}
		return json.Number(r.Mul(r, big.NewRat(1000, 1)).FloatString(0))
	})
}

// eachTime replaces the members that are times, told by their names.
func eachTime(v any, f func(seconds json.Number) any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if n, ok := e.(json.Number); ok && isTime(k) {
				v[k] = f(n)
				continue
			}
			v[k] = eachTime(e, f)
		}
	case []any:
		for i := range v {
			v[i] = eachTime(v[i], f)
		}
	}
	return v
}

// isTime tells from a member's name whether its number is a point in time. A
// test holds this against the types of all services.
func isTime(member string) bool {
	if known, ok := timeNames[member]; ok {
		return known
	}
	for _, end := range []string{"Time", "Date", "Timestamp", "timestamp", "Expiration"} {
		if strings.HasSuffix(member, end) {
			return true
		}
	}
	return false
}

// timeNames are the members whose names mislead.
var timeNames = map[string]bool{
	"CreatedAt": true, "ExtendedAt": true, "InvokedAt": true, "LastAuthenticated": true, "LastModified": true, "LastModifiedAt": true,
	"LastUpdated": true, "LatestHeartbeat": true, "LatestInference": true, "PasswordLastUsed": true, "ReportGenerated": true,
	"RequestedEndTimeBefore": true, "RequestedStartTimeAfter": true, "TimeCreated": true, "TimeStamp": true, "ValidUntil": true,
	"ModelSetupTime": false, "StartedTimestamp": false,
}

// adopt finds the job that an earlier process began for the same call and was
// not told of; its name is taken now.
func (r runner) adopt(ctx context.Context, c asl.Call, request map[string]any, cause error) (map[string]any, bool) {
	j := jobOf(c.Resource)
	if j == nil || !c.Again || !c.Resource.AwaitsJob() || !wire.HasCode(cause, j.exists) {
		return nil, false
	}
	if c.Resource.Service == "states" {
		machine, _ := request["StateMachineArn"].(string)
		name, _ := request["Name"].(string)
		arn := strings.Replace(machine, ":stateMachine:", ":execution:", 1) + ":" + name
		out, err := r.describe(ctx, c, j, arn)
		if err != nil || out["Input"] != request["Input"] {
			return nil, false
		}
		return map[string]any{"ExecutionArn": arn, "StartDate": out["StartDate"]}, true
	}
	name, _ := request[j.key].(string)
	out, err := r.describe(ctx, c, j, name)
	if err != nil {
		return nil, false
	}
	arnKey := strings.TrimSuffix(j.key, "Name") + "Arn"
	arn, _ := out[arnKey].(string)
	var tags struct{ Tags []struct{ Key, Value string } }
	if err := r.ask(ctx, c.Resource.Service, "ListTags", map[string]any{"ResourceArn": arn}, &tags); err != nil {
		return nil, false
	}
	for _, t := range tags.Tags {
		if t.Key == tagExecution && t.Value == c.Execution.ARN {
			return map[string]any{arnKey: arn}, true
		}
	}
	return nil, false
}

func (r runner) ask(ctx context.Context, service, operation string, input map[string]any, into any) error {
	body, err := json.Marshal(input)
	if err != nil {
		return fmt.Errorf("encode input of %s:%s: %w", service, operation, err)
	}
	raw, err := r.s.o.Call(ctx, service, operation, body)
	if err != nil {
		return err
	}
	return unmarshal(raw, into)
}

// describe asks how a job stands.
func (r runner) describe(ctx context.Context, c asl.Call, j *job, name string) (map[string]any, error) {
	key := j.key
	var out map[string]any
	if err := r.ask(ctx, c.Resource.Service, j.describe, map[string]any{key: name}, &out); err != nil {
		return nil, err
	}
	if c.Resource.Service == "states" {
		out = recase(out).(map[string]any)
	}
	return out, nil
}

// jobName is what the job of a submitted call is called in requests.
func jobName(c asl.Call, j *job) (string, error) {
	text := c.Parameters
	if j.key == "ExecutionArn" {
		text = c.Submission
	}
	var from map[string]any
	if err := unmarshal([]byte(text), &from); err != nil {
		return "", fmt.Errorf("find the job of %s: %w", c.State, err)
	}
	name, ok := from[j.key].(string)
	if !ok {
		return "", fmt.Errorf("find the job of %s: there is no %s", c.State, j.key)
	}
	return name, nil
}

// How often a job is looked at, in the machine's time: often at first, for what
// is short. Changed makes it sooner.
const (
	lookFirst = 50 * time.Millisecond
	lookMost  = 5 * time.Second
)

// Wait awaits the end of the job that c began.
func (r runner) Wait(ctx context.Context, c asl.Call) (string, error) {
	ctx = wire.WithCaller(ctx, r.s.caller(c.Execution))
	j := jobOf(c.Resource)
	if j == nil {
		return "", &asl.TaskError{Name: "States.Runtime", Cause: "nothing awaits " + c.Resource.ARN}
	}
	name, err := jobName(c, j)
	if err != nil {
		return "", err
	}
	changed, forget := r.s.watch.on(name)
	defer forget()
	for pause := lookFirst; ; pause = min(pause*3/2, lookMost) {
		out, err := r.describe(ctx, c, j, name)
		switch {
		case ctx.Err() != nil:
			return "", ctx.Err()
		case err == nil && !stillRuns(j, out):
			return r.jobResult(c, j, out)
		case err != nil && wire.AsError(err).HTTPStatus() < 500 && !wire.HasCode(err, "ThrottlingException"):
			in, _ := find(c.Resource)
			return "", in.taskError(err, uuid.NewString())
		case err != nil:
			r.s.o.Log.Warn("a job could not be described; trying again", "execution_arn", c.Execution.ARN, "job", name, "error", err)
		}
		r.pause(ctx, changed, pause, err == nil)
	}
}

// pause waits until a job is to be looked at again: when it changed, and in the
// machine's time, since that is in case a change was missed. A job that runs
// holds the clock by itself.
func (r runner) pause(ctx context.Context, changed <-chan func(), d time.Duration, runs bool) {
	resume := func() {}
	if runs {
		resume = clock.Rest(ctx)
	}
	defer resume()
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case release := <-changed:
		resume()
		release()
	case <-late.C:
	case <-ctx.Done():
	}
}

func stillRuns(j *job, out map[string]any) bool {
	for _, s := range j.running {
		if out[j.status] == s {
			return true
		}
	}
	return false
}

// jobResult is the result of a job's task, or its failure with the same as the cause.
func (r runner) jobResult(c asl.Call, j *job, out map[string]any) (string, error) {
	inMillis(out)
	switch {
	case c.Resource.Service != "states":
		var params map[string]any
		if err := unmarshal([]byte(c.Parameters), &params); err != nil {
			return "", fmt.Errorf("read parameters of %s: %w", c.State, err)
		}
		tags := map[string]any{tagExecution: c.Execution.ARN, tagManaged: "STARTED_BY_STEP_FUNCTIONS"}
		given, _ := params["Tags"].([]any)
		for _, t := range given {
			if tag, ok := t.(map[string]any); ok {
				tags[fmt.Sprint(tag["Key"])] = tag["Value"]
			}
		}
		out["Tags"] = tags
	case c.Resource.Pattern == "sync:2":
		for _, member := range []string{"Input", "Output"} {
			text, ok := out[member].(string)
			if !ok {
				continue
			}
			out[member] = json.RawMessage(text)
		}
	}
	text, err := encode(out)
	if err != nil {
		return "", fmt.Errorf("encode result of %s: %w", c.State, err)
	}
	if out[j.status] != j.done {
		return "", &asl.TaskError{Name: "States.TaskFailed", Cause: text}
	}
	return text, nil
}

// Cancel stops the job of a task that was given up, as well as it can: as on
// AWS, a job that cannot be stopped goes on.
func (r runner) Cancel(ctx context.Context, c asl.Call) {
	ctx = wire.WithCaller(ctx, r.s.caller(c.Execution))
	j := jobOf(c.Resource)
	if j == nil {
		return
	}
	name, err := jobName(c, j)
	if err == nil {
		err = r.ask(ctx, c.Resource.Service, j.stop, map[string]any{j.key: name}, &struct{}{})
	}
	if err != nil {
		r.s.o.Log.Warn("the job of a task that was given up was not stopped", "execution_arn", c.Execution.ARN, "state", c.State, "error", err)
	}
}

// Changed says that a job or an execution, by its name or ARN, may have ended:
// tasks that await it look at once. Without it they look now and then.
func (s *StepFunctions) Changed(name string) {
	s.watch.changed(name, func() func() {
		_, release := clock.Hold(context.Background(), s.o.Clock, "the end of "+name+" is told")
		return release
	})
}

// watchers are the waits for jobs, by the job's name. What they are sent holds
// the clock until they call it.
type watchers struct {
	mu  sync.Mutex
	all map[string]map[chan func()]bool
}

func (w *watchers) on(name string) (changed <-chan func(), forget func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := make(chan func(), 1)
	if w.all == nil {
		w.all = map[string]map[chan func()]bool{}
	}
	if w.all[name] == nil {
		w.all[name] = map[chan func()]bool{}
	}
	w.all[name][c] = true
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all[name], c)
		if len(w.all[name]) == 0 {
			delete(w.all, name)
		}
		select {
		case release := <-c:
			release()
		default:
		}
	}
}

func (w *watchers) changed(name string, hold func() (release func())) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.all[name] {
		release := hold()
		select {
		case c <- release:
		default:
			release() // it was told, and has not looked yet
		}
	}
}

// idOfToken is the unique part of a task's id.
func idOfToken(token string) string {
	if raw, ok := partsOfToken(token); ok {
		return raw[2]
	}
	return token
}

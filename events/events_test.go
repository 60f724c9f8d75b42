package events_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/events"
)

// envelopes are the functions' events, by function and name.
func envelopes(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../functions/*/testdata/*.json")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d envelopes, %v", len(files), err)
	}
	out := map[string][]byte{}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(filepath.Dir(filepath.Dir(f)))+"/"+strings.TrimSuffix(filepath.Base(f), ".json")] = raw
	}
	return out
}

func TestDecode(t *testing.T) {
	job := func(kind events.JobKind, name, status, reason string) events.JobStateChange {
		return events.JobStateChange{Kind: kind, Name: name, ARN: "arn:aws:sagemaker:us-east-1:000000000000:" + string(kind) + "-job/" + name, Status: status, FailureReason: reason}
	}
	stopped := events.Time{Time: time.UnixMilli(1772359500000).UTC()}
	execution := func(name, status, e, cause string) events.ExecutionStatusChange {
		return events.ExecutionStatusChange{ExecutionARN: "arn:aws:states:us-east-1:000000000000:execution:millrace-pipeline:" + name,
			StateMachineARN: "arn:aws:states:us-east-1:000000000000:stateMachine:millrace-pipeline", Name: name, Status: status, Stopped: stopped, Error: e, Cause: cause}
	}
	tests := map[string]any{
		"jobcompleted/processing-completed": job(events.Processing, "flights-1-prepare-0", "Completed", ""),
		"jobcompleted/processing-running":   job(events.Processing, "flights-1-prepare-0", "InProgress", ""),
		"jobcompleted/training-failed":      job(events.Training, "flights-1-train-0", "Failed", "AlgorithmError: see log"),
		"jobcompleted/transform-stopped":    job(events.Transform, "flights-1-score-0", "Stopped", ""),
		"runended/succeeded":                execution("flights-1", "SUCCEEDED", "", ""),
		"runended/failed":                   execution("flights-1", "FAILED", "DataRejected", "bad"),
		"runended/aborted":                  execution("flights-1", "ABORTED", "", ""),
		"newdata/schedule":                  events.Scheduled{Pipeline: "flights", Due: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)},
		"newdata/daily":                     events.Daily{Due: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)},
		"modelapproved/decided-by-bus":      events.ApprovalDecided{Pipeline: "flights", Version: 1, Decision: "Approved", By: "ann", Comment: "fine"},
		"modelapproved/approved": events.ModelPackageStateChange{Group: "flights", Version: 1, ARN: "arn:aws:sagemaker:us-east-1:000000000000:model-package/flights/1", Status: "Completed", Approval: "Approved",
			Description: "looks good", UpdatedFields: []string{"ModelApprovalStatus", "ApprovalDescription"}, LastModified: events.Time{Time: time.Date(2026, 3, 1, 10, 5, 0, 0, time.UTC)}},
	}
	all := envelopes(t)
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			e, got, err := events.Decode(all[name])
			if err != nil || !reflect.DeepEqual(got, want) || e.ID == "" || e.Time.IsZero() {
				t.Errorf("decode: %v\ngot  %+v\nwant %+v", err, got, want)
			}
		})
	}
	_, d, err := events.Decode(all["newdata/raw"])
	if o, ok := d.(events.ObjectCreated); err != nil || !ok || o.Bucket.Name != "millrace-data" || o.Object.Key != "flights/raw/2001-01.csv.gz" || o.Object.VersionID != "3HL4kqCxf3vjVBH40Nrjfkd" || o.Object.Size != 48123 {
		t.Errorf("an upload decodes to %+v, %v", d, err)
	}
	for name, raw := range all {
		if _, _, err := events.Decode(raw); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func envelope(source, detailType, detail string) string {
	return `{"version":"0","id":"1","source":"` + source + `","detail-type":"` + detailType + `","time":"2026-03-01T10:00:00Z","resources":["arn:aws:events:us-east-1:0:rule/other"],"detail":` + detail + `}`
}

func TestDecodeRefuses(t *testing.T) {
	good := `{"ProcessingJobName":"j","ProcessingJobStatus":"Completed"}`
	tests := map[string]struct {
		raw  string
		want error
	}{
		"no JSON":                     {`{`, events.ErrMalformed},
		"empty":                       {``, events.ErrMalformed},
		"a list":                      {`[]`, events.ErrMalformed},
		"unknown source":              {envelope("aws.ec2", events.TypeProcessingJob, good), events.ErrUnknown},
		"unknown detail-type":         {envelope(events.SourceSageMaker, "SageMaker Endpoint State Change", `{}`), events.ErrUnknown},
		"another version":             {strings.Replace(envelope(events.SourceSageMaker, events.TypeProcessingJob, good), `"version":"0"`, `"version":"1"`, 1), events.ErrUnknown},
		"somebody else's decision":    {envelope(events.SourceMillrace, events.TypeApprovalDecided, `{"pipeline":"p","version":1,"decision":"Approved","by":"x"}`), events.ErrUnknown},
		"a job without a name":        {envelope(events.SourceSageMaker, events.TypeProcessingJob, `{"ProcessingJobStatus":"Completed"}`), events.ErrMalformed},
		"a job without a status":      {envelope(events.SourceSageMaker, events.TypeTrainingJob, `{"TrainingJobName":"j","TrainingJobStatus":null}`), events.ErrMalformed},
		"a job of another kind":       {envelope(events.SourceSageMaker, events.TypeTransformJob, good), events.ErrMalformed},
		"detail is null":              {envelope(events.SourceS3, events.TypeObjectCreated, `null`), events.ErrMalformed},
		"detail is text":              {envelope(events.SourceS3, events.TypeObjectCreated, `"x"`), events.ErrMalformed},
		"an object without a key":     {envelope(events.SourceS3, events.TypeObjectCreated, `{"bucket":{"name":"b"},"object":{}}`), events.ErrMalformed},
		"an execution without a name": {envelope(events.SourceStates, events.TypeExecutionStatus, `{"executionArn":"a","status":"FAILED"}`), events.ErrMalformed},
		"a time that is none":         {envelope(events.SourceStates, events.TypeExecutionStatus, `{"executionArn":"a","name":"n","status":"FAILED","stopDate":"soon"}`), events.ErrMalformed},
		"a schedule of another rule":  {envelope(events.SourceSchedule, events.TypeScheduled, `{}`), events.ErrMalformed},
		"a decision that is none":     {envelope(events.SourceMillraceReview, events.TypeApprovalDecided, `{"pipeline":"p","version":1,"decision":"Maybe","by":"x"}`), events.ErrMalformed},
		"a decision by nobody":        {envelope(events.SourceMillraceReview, events.TypeApprovalDecided, `{"pipeline":"p","version":1,"decision":"Approved"}`), events.ErrMalformed},
		"a decision on no version":    {envelope(events.SourceMillraceReview, events.TypeApprovalDecided, `{"pipeline":"p","decision":"Approved","by":"x"}`), events.ErrMalformed},
		"a package without an ARN":    {envelope(events.SourceSageMaker, events.TypeModelPackage, `{"ModelApprovalStatus":"Approved"}`), events.ErrMalformed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, d, err := events.Decode([]byte(tt.raw)); !errors.Is(err, tt.want) || d != nil && errors.Is(err, events.ErrUnknown) {
				t.Errorf("decode gives %+v, %v, want %v", d, err, tt.want)
			}
		})
	}
}

func TestTimesAsAWSWritesThem(t *testing.T) {
	want := time.Date(2026, 3, 1, 10, 5, 0, 0, time.UTC)
	tests := map[string]time.Time{
		`1772359500000`: want, `"1772359500000"`: want, `1.7723595e12`: want, `1772359500`: want, `"1772359500.25"`: want.Add(250 * time.Millisecond),
		`"2026-03-01T10:05:00Z"`: want, `"2026-03-01T11:05:00+01:00"`: want, `"2026-03-01T10:05:00.5Z"`: want.Add(time.Second / 2), `null`: {}, `""`: {},
	}
	for raw, want := range tests {
		var got events.Time
		if err := json.Unmarshal([]byte(raw), &got); err != nil || !got.Equal(want) {
			t.Errorf("%s is %v, %v, want %v", raw, got, err, want)
		}
	}
	for _, raw := range []string{`"soon"`, `"12 o'clock"`, `-5`, `1e300`, `"NaN"`, `"Inf"`, `true`, `{}`} {
		var got events.Time
		if err := json.Unmarshal([]byte(raw), &got); err == nil {
			t.Errorf("%s is taken for %v", raw, got)
		}
	}
}

// TestApprovalChanged: any change of a package repeats its approval, and only the
// field list tells a decision from it.
func TestApprovalChanged(t *testing.T) {
	want := map[string]bool{"approved": true, "rejected": true, "metadata-changed": false, "created": false, "other-group": true}
	all := envelopes(t)
	for name, changed := range want {
		_, d, err := events.Decode(all["modelapproved/"+name])
		if p, ok := d.(events.ModelPackageStateChange); err != nil || !ok || p.ApprovalChanged() != changed {
			t.Errorf("%s: %+v, %v, want changed %v", name, d, err, changed)
		}
	}
}

// matches is EventBridge's matching, as far as the patterns here use it.
func matches(pattern, value any) bool {
	switch p := pattern.(type) {
	case map[string]any:
		v, _ := value.(map[string]any)
		for key, inner := range p {
			if key == "$or" {
				one := false
				for _, alternative := range inner.([]any) {
					one = one || matches(alternative, value)
				}
				if !one {
					return false
				}
				continue
			}
			if v == nil || !matches(inner, v[key]) {
				return false
			}
		}
		return true
	case []any:
		values, ok := value.([]any)
		if !ok {
			values = []any{value}
		}
		for _, want := range p {
			for _, v := range values {
				if v == want {
					return true
				}
			}
		}
	}
	return false
}

// TestPatterns: each rule's pattern lets through what its function acts on, and
// nothing else.
func TestPatterns(t *testing.T) {
	patterns := map[string]events.Pattern{
		"uploads": events.ObjectCreatedPattern("millrace-data"), "jobs": events.JobStatePattern(), "decisions": events.ModelPackagePattern("flights"),
		"approvals": events.ApprovalDecidedPattern(), "executions": events.ExecutionEndedPattern("arn:aws:states:us-east-1:000000000000:stateMachine:millrace-pipeline"),
		"published": events.PublishedPattern(),
	}
	want := map[string]string{
		"newdata/raw": "uploads", "newdata/score": "uploads", "newdata/unknown-pipeline": "uploads", "newdata/wrong-folder": "uploads", "newdata/no-version": "uploads", "newdata/folder": "uploads",
		"newdata/schedule": "", "newdata/daily": "", "modelapproved/daily": "", "jobcompleted/processing-completed": "jobs", "jobcompleted/processing-of-nobody": "jobs", "jobcompleted/training-failed": "jobs",
		"jobcompleted/transform-stopped": "jobs", "jobcompleted/processing-running": "", "modelapproved/approved": "decisions", "modelapproved/rejected": "decisions",
		"modelapproved/metadata-changed": "", "modelapproved/created": "", "modelapproved/other-group": "", "modelapproved/decided-by-bus": "approvals",
		"runended/succeeded": "executions", "runended/failed": "executions", "runended/aborted": "executions", "runended/by-hand": "executions", "runended/running": "",
	}
	for name, raw := range envelopes(t) {
		rule, known := want[name]
		if !known {
			t.Errorf("no rule is told for %s", name)
		}
		var e any
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		for p, pattern := range patterns {
			text, err := json.Marshal(pattern)
			if err != nil {
				t.Fatal(err)
			}
			var plain any
			if err := json.Unmarshal(text, &plain); err != nil {
				t.Fatal(err)
			}
			if got := matches(plain, e); got != (p == rule) {
				t.Errorf("pattern %s matches %s: %v", p, name, got)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, raw := range envelopes(f) {
		f.Add(raw)
	}
	f.Add([]byte(`{"version":"0","source":"aws.states","detail-type":"Step Functions Execution Status Change","detail":{"executionArn":"a","name":"n","status":"s","stopDate":1e18}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, d, err := events.Decode(raw)
		if err != nil && !errors.Is(err, events.ErrUnknown) && !errors.Is(err, events.ErrMalformed) {
			t.Errorf("an error of no class: %v", err)
		}
		if err == nil && d == nil {
			t.Error("neither detail nor error")
		}
		if x, ok := d.(events.ExecutionStatusChange); ok && err == nil {
			if out, err := json.Marshal(x); err != nil || !json.Valid(out) {
				t.Errorf("detail cannot be written: %v", err)
			}
		}
	})
}

package sagemaker_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/faults"
)

func lay(t *testing.T, all ...faults.Fault) *faults.Set {
	t.Helper()
	s := faults.New(slog.New(slog.DiscardHandler))
	for _, f := range all {
		if _, err := s.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestJobsFailAsTold(t *testing.T) {
	c := open(t, func(s *setup) {
		s.Faults = lay(t,
			faults.Fault{On: faults.OnJob, Match: faults.Match{Kind: "processing", Job: "p-*"}, Do: faults.Fail, Count: 1},
			faults.Fault{On: faults.OnJob, Match: faults.Match{Kind: "training"}, Do: faults.Fail, Message: "AlgorithmError: no luck, exit code: 3"})
	})
	for _, tt := range []struct{ name, status, reason string }{
		{"other", "Completed", ""},
		{"p-1", "Failed", "InternalServerError: We encountered an internal error. Please try again."},
		{"p-2", "Completed", ""},
	} {
		j, _ := c.runProcessing(t, processing(tt.name, "show"))
		if string(j.ProcessingJobStatus) != tt.status || aws.ToString(j.FailureReason) != tt.reason {
			t.Errorf("%s is %s: %s, want %s: %s", tt.name, j.ProcessingJobStatus, aws.ToString(j.FailureReason), tt.status, tt.reason)
		}
	}
	if _, err := c.CreateTrainingJob(t.Context(), training("t", "show")); err != nil {
		t.Fatal(err)
	}
	if e := c.ended("Training", "t"); e.Detail["TrainingJobStatus"] != "Failed" || e.Detail["FailureReason"] != "AlgorithmError: no luck, exit code: 3" {
		t.Errorf("the training job's event says %+v", e.Detail)
	}
}

func TestSlowJobsCanBeStopped(t *testing.T) {
	k := newSteps()
	c := open(t, func(s *setup) {
		s.Clock = k
		s.Faults = lay(t, faults.Fault{On: faults.OnJob, Do: faults.Slow, Seconds: 77})
	})
	for _, name := range []string{"waits", "stops"} {
		if _, err := c.CreateProcessingJob(t.Context(), processing(name, "show")); err != nil {
			t.Fatal(err)
		}
		if name == "waits" {
			k.fire(77 * time.Second)
		} else if _, err := c.StopProcessingJob(t.Context(), &sm.StopProcessingJobInput{ProcessingJobName: &name}); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"waits": "Completed", "stops": "Stopped"}[name]
		if e := c.ended("Processing", name); e.Detail["ProcessingJobStatus"] != want {
			t.Errorf("%s ended as %v, want %s", name, e.Detail["ProcessingJobStatus"], want)
		}
	}
}

// TestSlowJobsKeepTheirLimit: in the cloud's time, whatever clock the limits of
// programs follow.
func TestSlowJobsKeepTheirLimit(t *testing.T) {
	for name, k := range map[string]clock.Clock{"machine's": newSteps(), "virtual": clock.NewVirtual(clock.Real{})} {
		t.Run(name, func(t *testing.T) {
			c := open(t, func(s *setup) {
				s.Clock = k
				s.Faults = lay(t, faults.Fault{On: faults.OnJob, Do: faults.Slow, Seconds: 7200})
			})
			if _, err := c.CreateProcessingJob(t.Context(), processing("late", "show")); err != nil {
				t.Fatal(err)
			}
			if steps, ok := k.(*steps); ok {
				steps.fire(time.Hour)
			}
			e := c.ended("Processing", "late")
			if reason := fmt.Sprint(e.Detail["FailureReason"]); e.Detail["ProcessingJobStatus"] != "Stopped" || !strings.Contains(reason, "MaxRuntimeExceeded") {
				t.Errorf("it is %v: %s", e.Detail["ProcessingJobStatus"], reason)
			}
		})
	}
}

package sagemaker_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"github.com/millrace-ml/millrace/localcloud/clock"
)

// However fast the cloud's clock runs, a program has the machine's time.
func TestScaledClockLeavesJobsTheirTime(t *testing.T) {
	fast := clock.NewScaled(clock.MaxScale)
	c := open(t, func(s *setup) { s.Clock = fast })
	if _, err := c.CreateTrainingJob(t.Context(), training("job", "graceful")); err != nil {
		t.Fatal(err)
	}
	c.logs.wait("job/", "ready")
	for late := fast.Now().Add(10 * time.Hour); fast.Now().Before(late); { // the job may take one
		time.Sleep(time.Millisecond)
	}
	if _, err := c.StopTrainingJob(t.Context(), &sm.StopTrainingJobInput{TrainingJobName: aws.String("job")}); err != nil {
		t.Fatal(err)
	}
	if e := c.ended("Training", "job"); e.Detail["SecondaryStatus"] != "Stopped" {
		t.Errorf("it ended by itself: %v", e.Detail)
	}
}

// Nor does a virtual clock jump while a program runs.
func TestVirtualClockWaitsForJobs(t *testing.T) {
	begin := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	v := clock.NewVirtual(clock.Still{At: begin})
	c := open(t, func(s *setup) { s.Clock = v })
	if _, err := c.CreateTrainingJob(t.Context(), training("job", "graceful")); err != nil {
		t.Fatal(err)
	}
	v.AfterFunc(time.Hour, func() {})
	c.logs.wait("job/", "ready")
	if s := v.State(); len(s.Running) != 1 || s.Running[0] != "training job job" {
		t.Errorf("the clock waits for %q", s.Running)
	}
	if _, err := c.StopTrainingJob(t.Context(), &sm.StopTrainingJobInput{TrainingJobName: aws.String("job")}); err != nil {
		t.Fatal(err)
	}
	if err := v.Quiet(t.Context()); err != nil {
		t.Fatal(err)
	}
	j, err := c.DescribeTrainingJob(t.Context(), &sm.DescribeTrainingJobInput{TrainingJobName: aws.String("job")})
	if err != nil {
		t.Fatal(err)
	}
	if !j.TrainingEndTime.Equal(begin) || !v.Now().Equal(begin.Add(time.Hour)) {
		t.Errorf("the job ended at %s, and it is %s", j.TrainingEndTime, v.Now())
	}
}

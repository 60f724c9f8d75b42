package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/statemachine"
)

// machinesFiles is how many files are uploaded: not a multiple of the machines.
const machinesFiles = 5

// TestSeveralMachinesPrepareAsOne: from the same uploads, three machines prepare
// the same bytes as one, so that the model and the scores are the same, and they
// refuse the same file with the same words.
func TestSeveralMachinesPrepareAsOne(t *testing.T) {
	t.Parallel()
	all := map[int]prepared{}
	for _, count := range []int{1, 3} {
		if !t.Run(fmt.Sprintf("count %d", count), func(t *testing.T) { all[count] = preparedBy(t, count) }) {
			return
		}
	}
	one, three := all[1], all[3]
	if len(one.files) < 8 || len(one.model) < 3 || len(one.scores) != machinesFiles*100 {
		t.Fatalf("one machine prepared %v, the model is %v, %d scores", slices.Sorted(maps.Keys(one.files)), one.model, len(one.scores))
	}
	for _, name := range slices.Sorted(maps.Keys(one.files)) {
		if one.files[name] != three.files[name] {
			t.Errorf("%s differs, by one machine and by three: %s", name, firstDifference(one.files[name], three.files[name]))
		}
	}
	if len(one.files) != len(three.files) {
		t.Errorf("three machines wrote %v, one %v", slices.Sorted(maps.Keys(three.files)), slices.Sorted(maps.Keys(one.files)))
	}
	if !maps.Equal(one.model, three.model) {
		t.Errorf("the models differ: %v and %v", one.model, three.model)
	}
	if !maps.Equal(one.scores, three.scores) {
		t.Error("the scores differ")
	}
	if one.refusal != three.refusal || !strings.Contains(one.refusal, "flights/raw/bad.csv") {
		t.Errorf("the refusals differ: %q and %q", one.refusal, three.refusal)
	}
}

// firstDifference shows where two texts part, with what stands around it.
func firstDifference(a, b string) string {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	from := max(0, n-80)
	return fmt.Sprintf("%q and %q", a[from:min(len(a), n+40)], b[from:min(len(b), n+40)])
}

// prepared is what a cloud made with so many machines to prepare.
type prepared struct {
	files   map[string]string // that preparation wrote, by name below its prefix
	model   map[string]string // SHA-256 by file
	scores  map[string]string // by key
	refusal string            // of a bad file among the uploads
}

// preparedBy learns from and scores the same files with count machines.
func preparedBy(t *testing.T, count int) (p prepared) {
	bin, err := newBin(t.TempDir(), smallWith(t, "split:", fmt.Sprintf("prepare:  {count: %d}\nsplit:", count), "by: person", "by: policy", "quiet: 0s", "quiet: 1h"))
	if err != nil {
		t.Fatal(err)
	}
	k := clock.NewVirtual(clock.Real{})
	c := serveCloud(t, cloudOptions{bin: bin, clock: k})
	var versions []string // of the uploads, and what stands for each
	// upload uploads files in one quiet period, and gives their run.
	upload := func(folder string, rows int, extra ...string) int {
		k.Stop()
		for n := 1; n <= machinesFiles; n++ {
			key := fmt.Sprintf("flights/%s/%02d.csv", folder, n)
			versions = append(versions, c.uploadBytes(flightRows(rows, n), key), "version of "+key)
		}
		for _, key := range extra {
			c.uploadBytes([]byte("flight_id,departed_at\n1,2,3,4\n"), key)
		}
		run := c.begins()
		c.await("the causes are in the inbox", func() bool {
			train, err := c.ledger.PendingCauses(t.Context(), pipeline, statemachine.LaneTrain)
			if err != nil {
				t.Fatal(err)
			}
			serve, err := c.ledger.PendingCauses(t.Context(), pipeline, statemachine.LaneServe)
			if err != nil {
				t.Fatal(err)
			}
			return len(train)+len(serve) == machinesFiles+len(extra)
		})
		k.Go()
		return run
	}
	learn := upload("raw", 400)
	c.wantEnd(learn, statemachine.OutcomeReleased)
	c.wantMachines(learn, statemachine.StepPrepare, count)
	p.files = c.written(learn, statemachine.StepPrepare)
	// Two that ask for a run at once burn a number (shared/runs), so the run's may differ.
	versions = append(versions, fmt.Sprintf("%s/%d<", pipeline, learn), "the run<", fmt.Sprintf(`"run": %d,`, learn), `"run": N,`)
	for name, content := range p.files {
		p.files[name] = strings.NewReplacer(versions...).Replace(content)
	}
	train, _, _, err := c.ledger.Step(t.Context(), pipeline, learn, statemachine.StepTrain)
	if err != nil {
		t.Fatal(err)
	}
	p.model = c.model(train.Outputs["model"])
	score := upload("score", 100)
	c.wantEnd(score, statemachine.OutcomeScored)
	c.wantMachines(score, statemachine.StepPrepareScores, count)
	p.scores = c.scores(score)
	bad := upload("raw", 400, "flights/raw/bad.csv")
	end := c.waitRun(bad)
	if end.Error != statemachine.ErrDataRejected {
		t.Errorf("the run with a bad file ended as %+v", end)
	}
	p.refusal = end.Cause
	return p
}

// wantMachines holds a step's job to have had so many machines that ran.
func (c *testCloud) wantMachines(run int, step string, count int) {
	c.t.Helper()
	job := fmt.Sprintf("%s-%d-%s-0", pipeline, run, step)
	d, err := c.sagemaker.DescribeProcessingJob(c.t.Context(), &sagemaker.DescribeProcessingJobInput{ProcessingJobName: &job})
	if err != nil {
		c.t.Fatal(err)
	}
	logs, err := c.logs.DescribeLogStreams(c.t.Context(), &cloudwatchlogs.DescribeLogStreamsInput{
		LogGroupName: aws.String("/aws/sagemaker/ProcessingJobs"), LogStreamNamePrefix: aws.String(job + "/algo-")})
	if err != nil {
		c.t.Fatal(err)
	}
	if n := int(*d.ProcessingResources.ClusterConfig.InstanceCount); n != count || len(logs.LogStreams) != count {
		c.t.Errorf("job %s had %d machines and %d logs, want %d", job, n, len(logs.LogStreams), count)
	}
}

// written gives what a step's job wrote, by name, without what names the run.
func (c *testCloud) written(run int, step string) map[string]string {
	c.t.Helper()
	bucket, prefix := c.ledger.Bucket(), ledger.RunKey(pipeline, run, step)+"/"
	out, err := c.s3.ListObjectsV2(c.t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	if err != nil {
		c.t.Fatal(err)
	}
	files := map[string]string{}
	for _, o := range out.Contents {
		name := strings.TrimPrefix(aws.ToString(o.Key), prefix)
		if strings.HasPrefix(name, "config/") || name == "data.manifest" {
			continue
		}
		files[name], _ = c.get(bucket, aws.ToString(o.Key))
	}
	return files
}

package runs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/runs"
	"github.com/millrace-ml/millrace/statemachine"
)

func TestEndPage(t *testing.T) {
	train := ledger.Run{Kind: statemachine.KindTrain, Why: "1 upload: 1 file to learn from",
		Causes: []ledger.Cause{{Key: "trips/raw/jan.csv"}}, Left: []ledger.LeftOut{{Key: "trips/raw/bad.csv", Run: 2, Why: "line 3: no key"}}}
	failed := func(step, name string) []ledger.Step {
		return []ledger.Step{{Step: step, Job: "trips-3-" + step + "-0", Status: ledger.StepFailed, Error: name, Cause: "<b>why</b>", Outputs: map[string]string{"quality": "s3://l/q/"}}}
	}
	tests := map[string]struct {
		error string
		run   ledger.Run
		steps []ledger.Step
		want  []string
	}{
		"data":       {statemachine.ErrDataRejected, train, failed("prepare", "DataRejected"), []string{"upload it again under the same name", "s3://l/q/report.html"}},
		"job":        {statemachine.ErrJobFailed, train, failed("train", "JobFailed"), []string{"millrace logs trips/3 --step train", "Nothing is lost"}},
		"no time":    {statemachine.ErrJobStopped, train, failed("prepare-scores", "JobStopped"), []string{"max_runtime or instance in the pipeline&#39;s definition (prepare)"}},
		"no time 2":  {statemachine.ErrJobStopped, train, failed("score", "JobStopped"), []string{"definition (release)"}},
		"expired":    {statemachine.ErrApprovalExpired, train, nil, []string{"millrace approve trips/VERSION"}},
		"rejected":   {statemachine.ErrApprovalRejected, train, nil, []string{"What is in service stays as it is"}},
		"no plan":    {"Runtime.ExitError", ledger.Run{}, nil, []string{"No job was started", "millrace logs snapshot"}},
		"function":   {"Sandbox.Timedout", train, nil, []string{"millrace logs startjob"}},
		"register":   {statemachine.ErrUnexpected, train, []ledger.Step{{Step: "evaluate", Status: ledger.StepDone}}, []string{"millrace logs register"}},
		"aborted":    {"ABORTED", train, nil, []string{"Somebody stopped the execution"}},
		"files":      {statemachine.ErrJobFailed, train, nil, []string{"trips/raw/jan.csv", "trips/raw/bad.csv: left out, since run 2 refused it: line 3: no key"}},
		"unfinished": {"States.Timeout", train, []ledger.Step{{Step: "train", Status: ledger.StepWaiting}}, []string{"it had not ended when the run did"}},
		"nothing":    {"", ledger.Run{Kind: statemachine.KindNothing, Why: "run 1 has trained from the same data"}, nil, []string{"Completed", "run 1 has trained from the same data"}},
		"refused": {"", train, []ledger.Step{{Step: "prepare", Status: ledger.StepDone, ReusedOf: 2}, {Step: "evaluate", Status: ledger.StepDone, Facts: map[string]any{"promote": false, "why": "auc 0.5 < 0.6"}}},
			[]string{"the result of run 2 was used again", "The gate refused the model, so what is in service stays: auc 0.5 &lt; 0.6"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			end := ledger.End{Pipeline: "trips", Run: 3, Error: tt.error, Stopped: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
			if tt.error != "" {
				end.Cause = "<script>alert(1)</script>"
				tt.want = append(tt.want, "Failed: "+tt.error, "&lt;script&gt;alert(1)")
			}
			raw, err := runs.EndPage(end, tt.run, tt.steps)
			if err != nil {
				t.Fatal(err)
			}
			page := string(raw)
			for _, want := range append(tt.want, "Run trips/3", "ended 2026-01-02 03:04:05 UTC", "What to do next", "prefers-color-scheme: dark") {
				if !strings.Contains(page, want) {
					t.Errorf("the page does not say %q:\n%s", want, page[strings.Index(page, "<body>"):])
				}
			}
			for _, not := range []string{"<script", "<b>why", "http:", "https:", "src="} {
				if strings.Contains(page, not) {
					t.Errorf("the page holds %q", not)
				}
			}
		})
	}
}

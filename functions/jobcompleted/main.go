// Command jobcompleted is the Lambda function that hears of jobs that ended: it
// answers the state that waits for the job.
package main

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/millrace-ml/millrace/shared/bootstrap"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/runs"
)

func main() {
	bootstrap.Main(func(b *bootstrap.Base) func(context.Context, json.RawMessage) (any, error) {
		h := &handler{log: b.Log, steps: &runs.Steps{
			Ledger:  ledger.New(s3.NewFromConfig(b.AWS), b.Env(bootstrap.VarLedger)),
			Jobs:    sagemaker.NewFromConfig(b.AWS),
			Answers: sfn.NewFromConfig(b.AWS),
			Log:     b.Log,
		}}
		return h.handle
	}, bootstrap.VarLedger)
}

// Command startjob is the Lambda function that starts a step's job: it puts the
// task token into the ledger first, then starts the job under its own name.
package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/millrace-ml/millrace/shared/bootstrap"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/runs"
	"github.com/millrace-ml/millrace/statemachine"
)

func main() {
	bootstrap.Main(func(b *bootstrap.Base) func(context.Context, statemachine.StartJobInput) (any, error) {
		return (&handler{&runs.Steps{
			Ledger:  ledger.New(s3.NewFromConfig(b.AWS), b.Env(bootstrap.VarLedger)),
			Jobs:    sagemaker.NewFromConfig(b.AWS),
			Answers: sfn.NewFromConfig(b.AWS),
			Image:   b.Env(bootstrap.VarImage),
			Role:    b.Env(bootstrap.VarRole),
			Log:     b.Log,
		}}).handle
	}, bootstrap.VarLedger, bootstrap.VarImage, bootstrap.VarRole)
}

// Command snapshot is the Lambda function that pins a run's dataset and recipe
// and says what the run does.
package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/millrace-ml/millrace/shared/bootstrap"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/runs"
	"github.com/millrace-ml/millrace/statemachine"
)

func main() {
	bootstrap.Main(func(b *bootstrap.Base) func(context.Context, statemachine.SnapshotInput) (statemachine.SnapshotOutput, error) {
		client := s3.NewFromConfig(b.AWS)
		led := ledger.New(client, b.Env(bootstrap.VarLedger))
		p := &runs.Planner{
			Ledger:      led,
			Dataset:     &runs.Dataset{Ledger: led, Objects: client, Bucket: b.Env(bootstrap.VarData)},
			Definitions: b.MustPipelines().Find,
			Image:       b.Env(bootstrap.VarImage),
			Log:         b.Log,
		}
		return (&handler{p}).handle
	}, bootstrap.VarLedger, bootstrap.VarData, bootstrap.VarImage)
}

// Command newdata is the Lambda function that hears of uploads and schedules:
// it puts the cause in the inbox and asks for a run.
package main

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/millrace-ml/millrace/shared/bootstrap"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/runs"
)

func main() {
	bootstrap.Main(func(b *bootstrap.Base) func(context.Context, json.RawMessage) (any, error) {
		pipelines := b.MustPipelines()
		h := &handler{
			starter: &runs.Starter{
				Ledger:       ledger.New(s3.NewFromConfig(b.AWS), b.Env(bootstrap.VarLedger)),
				Executions:   sfn.NewFromConfig(b.AWS),
				StateMachine: b.Env(bootstrap.VarStateMachine),
				Definitions:  pipelines.Find,
				Log:          b.Log,
			},
			names: pipelines.Names(),
			bus:   eventbridge.NewFromConfig(b.AWS),
			to:    b.Env(bootstrap.VarBus),
			log:   b.Log,
		}
		return h.handle
	}, bootstrap.VarLedger, bootstrap.VarStateMachine, bootstrap.VarBus)
}

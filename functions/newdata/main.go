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
		pipelines, client := b.MustPipelines(), s3.NewFromConfig(b.AWS)
		led := ledger.New(client, b.Env(bootstrap.VarLedger))
		starter := &runs.Starter{Ledger: led, Executions: sfn.NewFromConfig(b.AWS), StateMachine: b.Env(bootstrap.VarStateMachine),
			Definitions: pipelines.Find, Log: b.Log}
		h := &handler{
			starter: starter,
			daily:   &runs.Daily{Starter: starter, Uploads: &runs.Dataset{Ledger: led, Objects: client, Bucket: b.Env(bootstrap.VarData)}, Log: b.Log},
			names:   pipelines.Names(),
			bus:     eventbridge.NewFromConfig(b.AWS),
			to:      b.Env(bootstrap.VarBus),
			log:     b.Log,
		}
		return h.handle
	}, bootstrap.VarLedger, bootstrap.VarData, bootstrap.VarStateMachine, bootstrap.VarBus)
}

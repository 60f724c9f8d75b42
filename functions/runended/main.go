// Command runended is the Lambda function that hears of executions that ended:
// it closes the run's books, frees its lease and starts the follow-up run.
package main

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/millrace-ml/millrace/shared/bootstrap"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/runs"
)

func main() {
	bootstrap.Main(func(b *bootstrap.Base) func(context.Context, json.RawMessage) (any, error) {
		h := &handler{log: b.Log, starter: &runs.Starter{
			Ledger:     ledger.New(s3.NewFromConfig(b.AWS), b.Env(bootstrap.VarLedger)),
			Executions: sfn.NewFromConfig(b.AWS), StateMachine: b.Env(bootstrap.VarStateMachine),
			Definitions: b.MustPipelines().Find, Log: b.Log}}
		return h.handle
	}, bootstrap.VarLedger, bootstrap.VarStateMachine)
}

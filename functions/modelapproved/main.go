// Command modelapproved is the Lambda function that hears of decisions on model
// versions: it resumes the run that waits, or asks for a release run.
package main

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/millrace-ml/millrace/shared/bootstrap"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/registry"
	"github.com/millrace-ml/millrace/shared/runs"
)

func main() {
	bootstrap.Main(func(b *bootstrap.Base) func(context.Context, json.RawMessage) (any, error) {
		led := ledger.New(s3.NewFromConfig(b.AWS), b.Env(bootstrap.VarLedger))
		reg := registry.New(sagemaker.NewFromConfig(b.AWS))
		states := sfn.NewFromConfig(b.AWS)
		pipelines := b.MustPipelines()
		h := &handler{
			versions: &runs.Versions{Ledger: led, Registry: reg, Answers: states, Log: b.Log},
			starter: &runs.Starter{Ledger: led, Executions: states, StateMachine: b.Env(bootstrap.VarStateMachine),
				Definitions: pipelines.Find, Log: b.Log},
			registry: reg,
			names:    pipelines.Names(),
			log:      b.Log,
		}
		return h.handle
	}, bootstrap.VarLedger, bootstrap.VarStateMachine)
}

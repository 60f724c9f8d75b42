// Command register is the Lambda function that makes a version of a trained
// model, waits for the decision on it, and puts it in service.
package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/millrace-ml/millrace/shared/bootstrap"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/registry"
	"github.com/millrace-ml/millrace/shared/runs"
	"github.com/millrace-ml/millrace/statemachine"
)

func main() {
	bootstrap.Main(func(b *bootstrap.Base) func(context.Context, statemachine.RegisterInput) (any, error) {
		client := s3.NewFromConfig(b.AWS)
		led := ledger.New(client, b.Env(bootstrap.VarLedger))
		return (&handler{&runs.Versions{
			Ledger:   led,
			Registry: registry.New(sagemaker.NewFromConfig(b.AWS)),
			Answers:  sfn.NewFromConfig(b.AWS),
			Dataset:  &runs.Dataset{Ledger: led, Objects: client, Bucket: b.Env(bootstrap.VarData)},
			Role:     b.Env(bootstrap.VarRole),
			Log:      b.Log,
		}}).handle
	}, bootstrap.VarLedger, bootstrap.VarData, bootstrap.VarRole)
}

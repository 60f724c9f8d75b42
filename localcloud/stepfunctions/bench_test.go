package stepfunctions_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/stepfunctions"
	"github.com/millrace-ml/millrace/localcloud/store"
)

// BenchmarkExecutionsOverTheWire starts three-state executions one after the
// other and reads how each ended; all is on disk.
func BenchmarkExecutionsOverTheWire(b *testing.B) {
	st, err := store.Open(filepath.Join(b.TempDir(), "state.db"), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	svc, err := stepfunctions.New(stepfunctions.Options{Account: account, Region: region, Clock: clock.Real{}, Store: st})
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(svc.Wire())
	defer func() { server.Close(); _ = svc.Close(); _ = st.Close() }()
	ctx := context.Background()
	client := sfn.New(sfn.Options{Region: region, BaseEndpoint: aws.String(server.URL), Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")})
	m, err := client.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{Name: aws.String("m"), Definition: aws.String(passes), RoleArn: aws.String(role)})
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		n++
		out, err := client.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: m.StateMachineArn, Name: aws.String(fmt.Sprint(n)), Input: aws.String(`{}`)})
		if err != nil {
			b.Fatal(err)
		}
		d, err := client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: out.ExecutionArn})
		if err != nil || d.Status != "SUCCEEDED" {
			b.Fatal(d, err)
		}
	}
}

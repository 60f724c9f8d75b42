package stepfunctions_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/service"
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
	svc, err := stepfunctions.New(stepfunctions.Options{Base: service.Base{Account: account, Region: region, Clock: clock.Real{}, Store: st, Log: slog.New(slog.DiscardHandler)}})
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

// hurried is a clock on which a second passes in ten milliseconds.
type hurried struct{ clock.Real }

func (hurried) AfterFunc(d time.Duration, f func()) func() bool {
	return clock.Real{}.AfterFunc(d/100, f)
}

// BenchmarkThousandExecutions runs 1,000 executions at once, each with ten
// waits and ten tasks, and tells the most memory that the process had from the
// system (with the tools of the test) and the goroutines left at the end.
func BenchmarkThousandExecutions(b *testing.B) {
	states := map[string]any{}
	for i := range 10 {
		states[fmt.Sprintf("W%d", i)] = map[string]any{"Type": "Wait", "Seconds": 1, "Next": fmt.Sprintf("T%d", i)}
		task := map[string]any{"Type": "Task", "Resource": fn}
		if i == 9 {
			task["End"] = true
		} else {
			task["Next"] = fmt.Sprintf("W%d", i+1)
		}
		states[fmt.Sprintf("T%d", i)] = task
	}
	definition, err := json.Marshal(map[string]any{"StartAt": "W0", "States": states})
	if err != nil {
		b.Fatal(err)
	}
	before := runtime.NumGoroutine()
	for b.Loop() {
		st, err := store.Open(filepath.Join(b.TempDir(), "state.db"), store.Options{})
		if err != nil {
			b.Fatal(err)
		}
		const all = 1000
		done := make(chan string, all)
		svc, err := stepfunctions.New(stepfunctions.Options{Base: service.Base{Account: account, Region: region, Clock: hurried{}, Store: st, Log: slog.New(slog.DiscardHandler)},
			Call: func(context.Context, string, string, []byte) ([]byte, error) {
				return json.Marshal(lambdaAnswer(`{"ok":true}`, false))
			},
			Emit: func(_ context.Context, _, _ string, _ []string, detail any) {
				raw, err := json.Marshal(detail)
				var d struct{ Status string }
				if err == nil && json.Unmarshal(raw, &d) == nil && d.Status != "RUNNING" {
					done <- d.Status
				}
			}})
		if err != nil {
			b.Fatal(err)
		}
		call := func(operation string, in, out any) {
			raw, err := json.Marshal(in)
			if err != nil {
				b.Fatal(err)
			}
			answer, err := svc.Wire().Call(context.Background(), operation, raw)
			if err != nil {
				b.Fatal(err)
			}
			if err := json.Unmarshal(answer, out); err != nil {
				b.Fatal(err)
			}
		}
		var m struct{ StateMachineArn string }
		call("CreateStateMachine", map[string]any{"Name": "m", "Definition": string(definition), "RoleArn": role}, &m)
		for range all {
			call("StartExecution", map[string]any{"StateMachineArn": m.StateMachineArn}, &struct{}{})
		}
		for range all {
			if status := <-done; status != "SUCCEEDED" {
				b.Fatalf("one ended %s", status)
			}
		}
		if err := svc.Close(); err != nil {
			b.Fatal(err)
		}
		if err := st.Close(); err != nil {
			b.Fatal(err)
		}
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	b.ReportMetric(float64(mem.Sys)/1e6, "MB")
	b.ReportMetric(float64(runtime.NumGoroutine()-before), "goroutines-left")
}

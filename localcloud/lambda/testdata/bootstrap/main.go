// The function of the tests: does what its event asks for.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Do   string `json:"do"`
	Text string `json:"text"`
	Size int    `json:"size"`
}

var calls int

func handle(ctx context.Context, e event) (any, error) {
	calls++
	lc, _ := lambdacontext.FromContext(ctx)
	switch e.Do {
	case "fail":
		return nil, errors.New("asked to fail: " + e.Text)
	case "panic":
		panic("asked to panic")
	case "exit":
		fmt.Println("about to exit")
		os.Exit(3)
	case "sleep":
		fmt.Print("no newline before sleeping")
		time.Sleep(time.Hour)
	case "child":
		c := exec.Command("sleep", "1000")
		if err := c.Start(); err != nil {
			return nil, err
		}
		return c.Process.Pid, nil
	case "big":
		return strings.Repeat("x", e.Size), nil
	case "wait-for": // until the file is there
		for {
			if _, err := os.Stat(e.Text); err == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
	case "touch":
		f, err := os.OpenFile(e.Text, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		if _, err := f.WriteString(lc.AwsRequestID + "\n"); err != nil {
			return nil, err
		}
		return nil, f.Close()
	case "touch-fail":
		f, err := os.OpenFile(e.Text, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		if _, err := f.WriteString(lc.AwsRequestID + "\n"); err != nil {
			return nil, err
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
		return nil, errors.New("touched and failed")
	case "touch-sleep":
		f, err := os.OpenFile(e.Text, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		if _, err := fmt.Fprintln(f, os.Getpid()); err != nil {
			return nil, err
		}
		time.Sleep(time.Hour)
	case "call": // as often as Size says, as the SDKs do it
		for range e.Size {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, os.Getenv("AWS_ENDPOINT_URL"), nil)
			if err != nil {
				return nil, err
			}
			req.Header.Set("X-Amzn-Trace-Id", os.Getenv("_X_AMZN_TRACE_ID"))
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return nil, err
			}
			resp.Body.Close()
		}
	case "env":
		wd, err := os.Getwd()
		deadline, _ := ctx.Deadline()
		return map[string]any{"env": os.Environ(), "cwd": wd, "left": time.Until(deadline).Seconds(), "arn": lc.InvokedFunctionArn}, err
	}
	fmt.Println("said", e.Text)
	return map[string]any{"echo": e.Text, "pid": os.Getpid(), "calls": calls}, nil
}

func main() {
	switch os.Getenv("INIT") {
	case "exit":
		fmt.Println("init goes wrong")
		os.Exit(7)
	case "hang":
		time.Sleep(time.Hour)
	}
	lambda.Start(handle)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"time"
)

// coldWithin is the limit of a function's start to its first answer.
const coldWithin = 60 * time.Millisecond

var functionNames = []string{"jobcompleted", "modelapproved", "newdata", "register", "runended", "snapshot", "startjob"}

// coldStarts measures each function's program from its start to its first answer.
func coldStarts(ctx context.Context, o options, w io.Writer) ([]line, error) {
	fmt.Fprintf(w, "cold starts: the program is started with an invocation waiting at the Runtime API, and timed until it has answered it\n"+
		"  (an error is an answer: nothing of AWS is there); %d starts each, one after the other, after one that brings the file into memory\n", o.starts)
	var lines []line
	for _, name := range functionNames {
		var times []time.Duration
		for i := range o.starts + 1 {
			took, err := coldStart(ctx, filepath.Join(o.bin, "functions", name))
			if err != nil {
				return lines, fmt.Errorf("start %s: %w", name, err)
			}
			if i > 0 {
				times = append(times, took)
			}
		}
		if len(times) == 0 {
			continue
		}
		worst := quantile(times, 1)
		lines = append(lines, line{what: "cold start of " + name + " (median, most)", got: ms(quantile(times, 0.5)) + ", " + ms(worst),
			limit: ms(coldWithin), missed: worst >= coldWithin})
	}
	return lines, nil
}

// answerWithin is how long a started function may take before it counts as broken.
const answerWithin = 20 * time.Second

// coldStart starts the program in a folder like Lambda's, and gives the time
// until its first answer.
func coldStart(ctx context.Context, folder string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	answered := make(chan error, 1)
	tell := func(err error) {
		select {
		case answered <- err:
		default:
		}
	}
	const v = "/2018-06-01/runtime"
	mux := http.NewServeMux()
	first := make(chan struct{}, 1)
	first <- struct{}{}
	mux.HandleFunc("GET "+v+"/invocation/next", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-first:
		case <-r.Context().Done():
			return
		}
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", "bench")
		w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(time.Minute).UnixMilli()))
		w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:bench")
		_, _ = io.WriteString(w, "{}")
	})
	for _, how := range []string{"response", "error"} {
		mux.HandleFunc("POST "+v+"/invocation/{id}/"+how, func(w http.ResponseWriter, _ *http.Request) {
			tell(nil)
			w.WriteHeader(http.StatusAccepted)
		})
	}
	mux.HandleFunc("POST "+v+"/init/error", func(_ http.ResponseWriter, r *http.Request) {
		why, _ := io.ReadAll(r.Body)
		tell(fmt.Errorf("it could not begin: %s", why))
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(ln) }()
	defer server.Close()

	cmd := exec.CommandContext(ctx, filepath.Join(folder, "bootstrap"))
	cmd.Dir, cmd.Env = folder, functionEnv(folder, ln.Addr().String())
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	go func() {
		if err := cmd.Wait(); err != nil {
			tell(fmt.Errorf("it ended before it answered: %w", err))
		} else {
			tell(errors.New("it ended before it answered"))
		}
	}()
	err = <-answered
	return time.Since(begun), err
}

// functionEnv is the environment that the template gives, and Lambda.
func functionEnv(folder, api string) []string {
	const account = "000000000000:"
	return []string{
		"AWS_LAMBDA_RUNTIME_API=" + api, "LAMBDA_TASK_ROOT=" + folder, "AWS_LAMBDA_FUNCTION_NAME=bench", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256",
		"AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_ENDPOINT_URL=http://" + api,
		"MILLRACE_LEDGER=ledger", "MILLRACE_DATA=data", "MILLRACE_BUS=default",
		"MILLRACE_STATE_MACHINE=arn:aws:states:us-east-1:" + account + "stateMachine:millrace-pipeline",
		"MILLRACE_WORKER_IMAGE=000000000000.dkr.ecr.us-east-1.amazonaws.com/millrace-worker@sha256:0000000000000000000000000000000000000000000000000000000000000000",
		"MILLRACE_JOB_ROLE=arn:aws:iam::" + account + "role/millrace-job",
	}
}

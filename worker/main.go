// Command worker is the program inside Millrace's SageMaker jobs.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/millrace-ml/millrace/worker/evaluate"
	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/prepare"
	"github.com/millrace-ml/millrace/worker/serve"
	"github.com/millrace-ml/millrace/worker/train"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	base := job.BaseFrom(os.Getenv("SAGEMAKER_BASE_DIR"))
	commands := map[string]func() error{
		"prepare":        func() error { return base.Process(func() error { return prepare.Run(ctx, base, log) }) },
		"prepare-scores": func() error { return base.Process(func() error { return prepare.RunScores(ctx, base, log) }) },
		"evaluate":       func() error { return base.Process(func() error { return evaluate.Run(ctx, base, log) }) },
		"train":          func() error { return train.Run(ctx, base, os.Stdout, log) },
		"serve":          func() error { return serve.Run(ctx, base, os.Getenv("SAGEMAKER_BIND_TO_PORT"), log) },
	}
	if len(os.Args) != 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: worker prepare | prepare-scores | train | evaluate | serve")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](); err != nil {
		log.Error("job failed", "step", os.Args[1], "error", err.Error())
		os.Exit(1)
	}
}

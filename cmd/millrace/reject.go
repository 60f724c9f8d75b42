package main

import (
	"context"

	"github.com/millrace-ml/millrace/events"
)

func runReject(ctx context.Context, c *cli, args []string) error {
	return decide(ctx, c, "reject", events.Rejected, "rejected", args)
}

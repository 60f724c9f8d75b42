package main

import (
	"context"
	"fmt"
	"io"
	"os/user"

	"github.com/millrace-ml/millrace/events"
)

// decide is approve and reject.
func decide(ctx context.Context, c *cli, name, approval, done string, args []string) error {
	fs := c.cloudFlags(name, "PIPELINE/VERSION", "Sets the version's approval in the model registry; the run that waits for it goes on by itself.")
	comment := fs.String("m", "", "why, for whoever reads it later")
	rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return &usageError{"which version?"}
	}
	pipeline, version, err := splitRef(rest[0])
	if err != nil {
		return err
	}
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	if err := s.known(pipeline); err != nil {
		return err
	}
	arn, found, err := s.registry.ARN(ctx, pipeline, version)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("%s has no version %d (hint: millrace models %s)", pipeline, version, pipeline)
	}
	text := done + " by " + whoAmI()
	if *comment != "" {
		text += ": " + *comment
	}
	if err := s.registry.Decide(ctx, arn, approval, text); err != nil {
		return err
	}
	return c.print(map[string]any{"pipeline": pipeline, "version": version, "approval": approval, "comment": text}, func(w io.Writer) {
		fmt.Fprintf(w, "%s/%d %s\n", pipeline, version, text)
	})
}

func runApprove(ctx context.Context, c *cli, args []string) error {
	return decide(ctx, c, "approve", events.Approved, "approved", args)
}

func whoAmI() string {
	u, err := user.Current()
	if err != nil || u.Username == "" {
		return "somebody"
	}
	return u.Username
}

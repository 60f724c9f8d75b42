package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// downWait is how long stopping may take.
const downWait = 15 * time.Second

func runDown(ctx context.Context, c *cli, args []string) error {
	fs_ := c.flags("down", "", "Stops the local cloud that runs in this folder. Its state is kept.")
	if err := parseNone(fs_, args); err != nil {
		return err
	}
	r, err := readRunning()
	if errors.Is(err, fs.ErrNotExist) {
		return c.print(map[string]any{"stopped": false}, func(writer) { c.say("no local cloud runs in this folder") })
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", runningFile(), err)
	}
	// The process of that number may be another one by now: only a cloud that
	// answers is told to stop.
	if r.answers(ctx) {
		if err := syscall.Kill(r.PID, syscall.SIGTERM); err != nil {
			return fmt.Errorf("stop local cloud (process %d): %w", r.PID, err)
		}
		return c.stopped(r, awaitDown(ctx, r))
	}
	// It was killed: what it left is tidied up.
	if err := os.Remove(runningFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", runningFile(), err)
	}
	return c.print(map[string]any{"stopped": false}, func(writer) { c.say("no local cloud runs in this folder any more") })
}

func (c *cli) stopped(r running, err error) error {
	if err != nil {
		return err
	}
	return c.print(map[string]any{"stopped": true}, func(writer) { c.say("stopped the local cloud at %s", r.Endpoint) })
}

// awaitDown waits until the cloud has let go of its state, which it says by
// removing the file.
func awaitDown(ctx context.Context, r running) error {
	ctx, cancel := context.WithTimeout(ctx, downWait)
	defer cancel()
	for {
		if now, err := readRunning(); errors.Is(err, fs.ErrNotExist) || err == nil && now.PID != r.PID {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stop local cloud: process %d has not ended %s after it was told to", r.PID, downWait)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

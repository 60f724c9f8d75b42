package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/millrace-ml/millrace/localcloud"
)

// clockTold is what a local cloud tells of its clock (localcloud.ClockPath).
type clockTold struct {
	Clock   string    `json:"clock"`
	Now     time.Time `json:"now"`
	Next    time.Time `json:"next"`
	Stopped bool      `json:"stopped"`
	Running []string  `json:"running"`
	Failed  string    `json:"failed"`
	Error   string    `json:"error"`
}

// sayEvery is how often an advance that takes long says where it is.
const sayEvery = 2 * time.Second

func runClock(ctx context.Context, c *cli, args []string) error {
	fs := c.cloudFlags("clock", "[advance DURATION | to TIME | stop | go]", `Shows the time of the local cloud and, of a virtual clock, what keeps it and what is due next.
advance goes on by a DURATION such as 7d, 36h or 90s, and to goes to a TIME such as 2027-01-31T00:00:00Z: through all that
is due until then. Both end when all that follows is done. After stop the clock jumps only where it is told to, until go.`)
	rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	body, err := clockRequest(rest)
	if err != nil {
		return err
	}
	endpoint, err := c.localEndpoint(ctx)
	if err != nil {
		return err
	}
	if body == nil {
		told, err := askClock(ctx, endpoint, nil)
		if err != nil {
			return err
		}
		return c.printClock(told)
	}
	type answer struct {
		told clockTold
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		told, err := askClock(ctx, endpoint, body)
		done <- answer{told, err}
	}()
	for {
		select {
		case a := <-done:
			if a.err != nil {
				return a.err
			}
			return c.printClock(a.told)
		case <-time.After(sayEvery):
			if told, err := askClock(ctx, endpoint, nil); err == nil {
				c.say("%s  %s", told.Now.Format(time.RFC3339), strings.Join(told.Running, ", "))
			}
		}
	}
}

// clockRequest is what to ask for; nil is the time only.
func clockRequest(args []string) (map[string]any, error) {
	what := strings.Join(args[:min(1, len(args))], "")
	switch {
	case len(args) == 0:
		return nil, nil
	case len(args) == 2 && what == "advance":
		if _, err := localcloud.ParseAdvance(args[1]); err != nil {
			return nil, &usageError{err.Error()}
		}
		return map[string]any{"advance": args[1]}, nil
	case len(args) == 2 && what == "to":
		at, err := time.Parse(time.RFC3339, args[1])
		if err != nil {
			return nil, &usageError{fmt.Sprintf("%q is not a time as 2027-01-31T00:00:00Z is", args[1])}
		}
		return map[string]any{"to": at}, nil
	case len(args) == 1 && (what == "stop" || what == "go"):
		return map[string]any{"stop": what == "stop"}, nil
	}
	return nil, &usageError{fmt.Sprintf("%q is not advance DURATION, to TIME, stop or go", strings.Join(args, " "))}
}

// localEndpoint is the URL of the local cloud that a command is about.
func (c *cli) localEndpoint(ctx context.Context) (string, error) {
	if c.endpoint != "" {
		return c.endpoint, nil
	}
	if url := os.Getenv("AWS_ENDPOINT_URL"); url != "" {
		return url, nil
	}
	if r, ok := findRunning(ctx); ok {
		return r.Endpoint, nil
	}
	return "", errors.New("no local cloud runs in this folder (hint: `millrace up --clock virtual`)")
}

// now is the time in the cloud: the machine's, but for a local cloud with a
// clock of its own.
func (s *session) now(ctx context.Context) time.Time {
	if s.cfg.BaseEndpoint != nil {
		if told, err := askClock(ctx, *s.cfg.BaseEndpoint, nil); err == nil {
			return told.Now
		}
	}
	return time.Now()
}

// askClock asks for the time, or for what is in body first.
func askClock(ctx context.Context, endpoint string, body map[string]any) (clockTold, error) {
	method, raw := http.MethodGet, []byte(nil)
	if body != nil {
		var err error
		method = http.MethodPost
		if raw, err = json.Marshal(body); err != nil {
			return clockTold{}, fmt.Errorf("ask for the time: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(endpoint, "/")+localcloud.ClockPath, bytes.NewReader(raw))
	if err != nil {
		return clockTold{}, fmt.Errorf("ask for the time: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return clockTold{}, fmt.Errorf("ask for the time: %w", err)
	}
	defer resp.Body.Close()
	var told clockTold
	if err := json.NewDecoder(resp.Body).Decode(&told); err != nil {
		return clockTold{}, fmt.Errorf("ask %s for the time: %s (hint: is it a local cloud?)", endpoint, resp.Status)
	}
	if told.Error != "" {
		return clockTold{}, errors.New(told.Error)
	}
	return told, nil
}

func (c *cli) printClock(told clockTold) error {
	type shown struct {
		Clock   string    `json:"clock"`
		Now     time.Time `json:"now"`
		Next    time.Time `json:"next,omitzero"`
		Stopped bool      `json:"stopped"`
		Running []string  `json:"running"`
	}
	v := shown{Clock: told.Clock, Now: told.Now, Next: told.Next, Stopped: told.Stopped, Running: append([]string{}, told.Running...)}
	return c.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s (%s clock)\n", told.Now.Format(time.RFC3339), told.Clock)
		if told.Clock != "virtual" {
			return
		}
		switch {
		case told.Failed != "":
			fmt.Fprintln(w, "it does not move: "+told.Failed)
		case len(told.Running) > 0:
			fmt.Fprintln(w, "it waits for "+strings.Join(told.Running, ", "))
		case told.Stopped:
			fmt.Fprintln(w, "it is stopped (millrace clock go)")
		}
		if !told.Next.IsZero() {
			fmt.Fprintf(w, "due next: %s\n", told.Next.Format(time.RFC3339))
		}
	})
}

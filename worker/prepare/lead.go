package prepare

import (
	"context"
	"errors"
	"log/slog"

	"github.com/millrace-ml/millrace/worker/job"
)

// lead runs a step on the machines of the job.
func lead(ctx context.Context, base job.Base, log *slog.Logger, step func(context.Context, *upload) (map[string]any, error)) (err error) {
	f, err := base.ProcessingFile()
	if err != nil {
		return err
	}
	if err := sortFiles(f); err != nil {
		return err
	}
	hosts := []host{&local{base: base, file: f}}
	var message []byte
	defer func() {
		for _, h := range hosts {
			err = errors.Join(err, h.finish(ctx, message))
		}
	}()
	u, err := begin(ctx, base, f, hosts)
	if err != nil {
		return err
	}
	facts, err := step(ctx, u)
	if err != nil {
		return err
	}
	m, err := u.conclude(facts, log)
	if err != nil {
		return err
	}
	message, err = m.MarshalJSON()
	return err
}

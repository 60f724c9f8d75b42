package prepare

import (
	"context"
	"log/slog"

	"github.com/millrace-ml/millrace/worker/job"
)

// lead runs a step on the machines of the job: it leads on the first of them, and
// follows on the others.
func lead(ctx context.Context, base job.Base, log *slog.Logger, step func(context.Context, *upload) (map[string]any, error)) (err error) {
	f, err := base.ProcessingFile()
	if err != nil {
		return err
	}
	if err := sortFiles(f); err != nil {
		return err
	}
	here := &local{base: base, file: f}
	c, err := readCluster(base)
	if err != nil {
		return err
	}
	if c.Current != c.Hosts[0] {
		return follow(ctx, base, c.Current, here, log)
	}
	hosts := []host{here}
	if len(c.Hosts) > 1 {
		digest, err := digestOf(base)
		if err != nil {
			return err
		}
		for _, name := range c.Hosts[1:] {
			hosts = append(hosts, &remote{name: name, digest: digest})
		}
	}
	var end ending
	defer func() {
		if err != nil {
			end = ending{Failed: err.Error()}
		}
		for _, h := range hosts {
			e := h.finish(ctx, end)
			if err == nil {
				err = e
			}
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
	end.Message, err = m.MarshalJSON()
	return err
}

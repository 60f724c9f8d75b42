package localcloud

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/store"
)

// ErrAhead says that a state folder had a clock which ran ahead of the machine's.
var ErrAhead = errors.New("on the machine's clock time would go back; a virtual one goes on, and one scaled by 1")

// openClock begins the cloud's time, which does not go back on a state folder.
// The clock does not jump before the cloud has started.
func (c *Cloud) openClock() error {
	times, err := store.NewTable[time.Duration](c.store, "clock")
	if err != nil {
		return err
	}
	const ahead = "ahead" // of the machine's clock
	was, _, err := times.Get(ahead)
	if err != nil {
		return err
	}
	kept, ok := c.o.Clock.(clock.Kept)
	switch {
	case ok:
		err := kept.Open(was, func(d time.Duration) error {
			if err := times.Put(ahead, d); err != nil {
				c.log.Error("time not kept", "error", err)
				return err
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("begin the time of %s: %w", c.dir, err)
		}
		c.onClose("clock", kept.Close)
	case was > 0:
		return fmt.Errorf("in state folder %s it is %s already: %w", c.dir, clock.Real{}.Now().Add(was).Format(time.RFC3339), ErrAhead)
	}
	_, c.settled = clock.Hold(context.Background(), c.o.Clock, "the cloud starts")
	return nil
}

package clock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/localcloud/clock"
)

func TestReal(t *testing.T) {
	if loc := (clock.Real{}).Now().Location(); loc != time.UTC {
		t.Errorf("time in %v", loc)
	}
	called := make(chan struct{})
	clock.Real{}.AfterFunc(0, func() { close(called) })
	<-called
	stop := clock.Real{}.AfterFunc(time.Hour, func() { t.Error("called early") })
	if !stop() || stop() {
		t.Error("stop does not tell whether it prevented the call")
	}
}

// stopped is a clock on which nothing comes to pass.
type stopped struct{ stops int }

func (s *stopped) Now() time.Time { return time.Unix(0, 0) }
func (s *stopped) AfterFunc(time.Duration, func()) func() bool {
	return func() bool { s.stops++; return true }
}

func TestSleep(t *testing.T) {
	if err := clock.Sleep(t.Context(), clock.Real{}, time.Nanosecond); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := &stopped{}
	if err := clock.Sleep(ctx, c, time.Hour); !errors.Is(err, context.Canceled) || c.stops != 1 {
		t.Errorf("sleep that ends with its context: %v, timer stopped %d times", err, c.stops)
	}
}

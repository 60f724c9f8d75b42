package clock_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
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

func TestStill(t *testing.T) {
	c := clock.Still{At: start}
	stop := c.AfterFunc(0, func() { t.Error("something came to pass") })
	if !c.Now().Equal(start) || !stop() || stop() {
		t.Error("it does not stand still")
	}
}

func TestParse(t *testing.T) {
	for name, want := range map[string]string{"real": "clock.Real", "virtual": "*clock.Virtual", "scaled:1": "*clock.Scaled", "scaled:1.5": "*clock.Scaled", "scaled:100000": "*clock.Scaled"} {
		if c, err := clock.Parse(name); err != nil || fmt.Sprintf("%T", c) != want {
			t.Errorf("%s: %T, %v, want %s", name, c, err, want)
		}
	}
	for _, name := range []string{"", "Real", "scaled", "scaled:", "scaled:0", "scaled:0.5", "scaled:-3", "scaled:NaN", "scaled:+Inf", "scaled:100001", "scaled:x", "virtual:2"} {
		if c, err := clock.Parse(name); err == nil || !strings.Contains(err.Error(), strconv.Quote(name)) {
			t.Errorf("%q: %T, %v", name, c, err)
		}
	}
}

func TestScaled(t *testing.T) {
	c := clock.NewScaled(clock.MaxScale)
	begin, called := c.Now(), make(chan time.Time)
	c.AfterFunc(time.Hour, func() { called <- c.Now() })
	if at := <-called; at.Sub(begin) < time.Hour {
		t.Errorf("an hour later it is %s", at.Sub(begin))
	}
	if off := time.Until(begin); off < -time.Minute || off > 24*time.Hour {
		t.Errorf("it begins %s off", off)
	}
}

// A scaled clock goes on from its latest time, however it ended.
func TestScaledIsKept(t *testing.T) {
	for name, end := range map[string]func(*clock.Scaled) error{"closed": (*clock.Scaled).Close, "killed": func(*clock.Scaled) error { return nil }} {
		t.Run(name, func(t *testing.T) {
			var kept atomic.Int64
			first := clock.NewScaled(1000)
			if err := first.Open(year, func(ahead time.Duration) error { kept.Store(int64(ahead)); return nil }); err != nil {
				t.Fatal(err)
			}
			if ahead := time.Until(first.Now()); ahead < year-time.Minute {
				t.Errorf("it begins %s ahead", ahead)
			}
			last := first.Now()
			if err := end(first); err != nil {
				t.Fatal(err)
			}
			second := clock.NewScaled(1)
			if err := second.Open(time.Duration(kept.Load()), func(time.Duration) error { return nil }); err != nil {
				t.Fatal(err)
			}
			if now := second.Now(); now.Before(last) || now.Sub(last) > time.Hour+2*time.Minute {
				t.Errorf("it goes on %s after it ended", now.Sub(last))
			}
			if err := second.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	full := errors.New("the disk is full")
	var kept atomic.Int64
	stuck := clock.NewScaled(clock.MaxScale)
	err := stuck.Open(0, func(ahead time.Duration) error {
		if kept.CompareAndSwap(0, int64(ahead)) {
			return nil
		}
		return full
	})
	if err != nil {
		t.Fatal(err)
	}
	// Once it has been kept for the last time it goes no further ahead.
	for time.Until(stuck.Now()) < time.Duration(kept.Load())-time.Second {
		time.Sleep(time.Millisecond)
	}
	if ahead := time.Until(stuck.Now()); ahead > time.Duration(kept.Load()) {
		t.Errorf("it is %s ahead, and %s was kept", ahead, time.Duration(kept.Load()))
	}
	if err := stuck.Close(); !errors.Is(err, full) {
		t.Errorf("close: %v", err)
	}
	if err := clock.NewScaled(2).Open(0, func(time.Duration) error { return full }); !errors.Is(err, full) {
		t.Errorf("a clock whose time cannot be kept: %v", err)
	}
}

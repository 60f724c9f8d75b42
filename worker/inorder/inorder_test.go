package inorder_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/worker/inorder"
)

type number struct{ n, square int }

// squares runs a sequence of n numbers, whose work takes the longer the earlier they are.
func squares(ctx context.Context, n int, work, fold func(*number) error) error {
	next := 0
	return inorder.Do(ctx, func() *number { return &number{} }, func(x *number) error {
		if next == n {
			return io.EOF
		}
		x.n = next
		next++
		return nil
	}, work, fold)
}

func square(x *number) error {
	time.Sleep(time.Duration(x.n%3) * 100 * time.Microsecond)
	x.square = x.n * x.n
	return nil
}

func TestResultsComeInOrder(t *testing.T) {
	want := 0
	err := squares(context.Background(), 500, square, func(x *number) error {
		if x.n != want || x.square != want*want {
			t.Fatalf("got %+v, want %d", *x, want)
		}
		want++
		return nil
	})
	if err != nil || want != 500 {
		t.Errorf("%d results: %v", want, err)
	}
}

func TestEnds(t *testing.T) {
	bad := errors.New("bad")
	at := func(n int, err error) func(*number) error {
		return func(x *number) error {
			if x.n == n {
				return err
			}
			return nil
		}
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	tests := map[string]struct {
		ctx        context.Context
		work, fold func(*number) error
		want       string
	}{
		"work fails":    {context.Background(), at(7, bad), at(-1, nil), "bad"},
		"fold fails":    {context.Background(), square, at(7, bad), "bad"},
		"fold has done": {context.Background(), square, at(7, inorder.ErrStop), ""},
		"work panics":   {context.Background(), func(x *number) error { return []error{nil}[x.n] }, at(-1, nil), "work failed: "},
		"cancelled":     {cancelled, square, at(-1, nil), "context canceled"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			folded := 0
			err := squares(tt.ctx, 100, tt.work, func(x *number) error {
				folded++
				return tt.fold(x)
			})
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
			if folded > 10 {
				t.Errorf("%d were folded", folded)
			}
		})
	}
}

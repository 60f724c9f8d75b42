package prepare

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/spill"
)

// greeting is how long a caller may take to say who it is.
const greeting = 30 * time.Second

// follower is this machine when another one leads.
type follower struct {
	local  *local
	digest []byte
	log    *slog.Logger
	done   chan error // how the orders ended
}

// follow does what the first machine says until it says that the job has ended.
func follow(ctx context.Context, base job.Base, self string, here *local, log *slog.Logger) error {
	digest, err := digestOf(base)
	if err != nil {
		return err
	}
	at := address(self)
	if at != self { // on a machine of its own, on all its interfaces
		at = net.JoinHostPort("", clusterPort)
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", at)
	if err != nil {
		return fmt.Errorf("listen for the leading machine: %w", err)
	}
	log.Info("another machine leads", "machine", self)
	f := &follower{local: here, digest: digest, log: log, done: make(chan error, 1)}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go f.accept(ctx, l)
	defer l.Close()
	select {
	case err = <-f.done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	return err
}

func (f *follower) accept(ctx context.Context, l net.Listener) {
	idle := time.AfterFunc(patience, func() { f.end(errors.New("the leading machine never called")) })
	defer idle.Stop()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			switch kind, err := f.greet(conn); {
			case err != nil:
				f.log.Warn("a call was refused", "from", conn.RemoteAddr().String(), "error", err.Error())
			case kind == callOrders:
				idle.Stop()
				var lost *lostError
				if err := f.obey(ctx, conn); errors.As(err, &lost) {
					time.AfterFunc(farewell, func() { f.end(err) }) // it may call again, to say why
				} else {
					f.end(err)
				}
			default:
				if err := f.stream(ctx, conn); err != nil {
					f.log.Warn("a stream was cut short", "error", err.Error())
				}
			}
		}()
	}
}

// end keeps the first reason to end.
func (f *follower) end(err error) {
	select {
	case f.done <- err:
	default:
	}
}

func (f *follower) greet(conn net.Conn) (kind byte, err error) {
	if err := conn.SetReadDeadline(time.Now().Add(greeting)); err != nil {
		return 0, err
	}
	hello := make([]byte, len(f.digest)+1)
	if _, err := io.ReadFull(conn, hello); err != nil {
		return 0, err
	}
	if !bytes.Equal(hello[:len(f.digest)], f.digest) {
		return 0, errors.New("the caller is of another job")
	}
	return hello[len(f.digest)], conn.SetReadDeadline(time.Time{})
}

// lostError says that the leading machine does not speak any more.
type lostError struct{ err error }

func (l *lostError) Error() string { return "the leading machine went away: " + l.err.Error() }
func (l *lostError) Unwrap() error { return l.err }

// obey takes orders until the last one.
func (f *follower) obey(ctx context.Context, conn net.Conn) error {
	enc, dec := gob.NewEncoder(conn), gob.NewDecoder(conn)
	for {
		var o order
		if err := dec.Decode(&o); err != nil {
			return &lostError{err}
		}
		a, err := f.do(ctx, o)
		if err != nil {
			a.Err = err.Error()
		}
		if e := enc.Encode(a); e != nil {
			return &lostError{errors.Join(e, err)}
		}
		if o.Finish.Failed != "" {
			return errors.New(o.Finish.Failed)
		}
		if err != nil || o.Do == "finish" {
			return err
		}
	}
}

func (f *follower) do(ctx context.Context, o order) (a answer, err error) {
	switch o.Do {
	case "held":
		a.Held, err = f.local.held(ctx)
	case "look":
		a.Looked, err = f.local.look(ctx, o.Look)
	case "infer":
		a.Inferred, err = f.local.infer(ctx, o.Infer)
	case "check":
		a.Checked, err = f.local.check(ctx, o.Check)
	case "write":
		err = f.local.write(ctx, o.Write)
	case "finish":
		err = f.local.finish(ctx, o.Finish)
	default:
		err = fmt.Errorf("the leading machine wants %q, which this version does not know", o.Do)
	}
	return a, err
}

// stream sends what was sorted.
func (f *follower) stream(ctx context.Context, conn net.Conn) error {
	var what int
	if err := gob.NewDecoder(conn).Decode(&what); err != nil {
		return err
	}
	s, err := f.local.sorted(ctx, what)
	if err != nil {
		return err
	}
	defer s.Close()
	w := spill.NewWriter(conn)
	for {
		key, value, err := s.Next()
		if errors.Is(err, io.EOF) {
			return w.Close()
		}
		if err == nil {
			err = w.Write(key, value)
		}
		if err != nil {
			return err
		}
	}
}

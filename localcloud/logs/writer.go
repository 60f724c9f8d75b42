package logs

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	flushAfter = 100 * time.Millisecond
	maxLine    = 256 << 10 // bytes; a longer line becomes several events
)

// Writer is a log stream to write lines to: each is an event, at the time when
// it was written. The group and the stream are made when there are none. Lines
// are on disk, and can be read, within a tenth of a second, or when the writer
// is closed. It may be used by several goroutines.
func (s *Logs) Writer(group, stream string) io.WriteCloser {
	return &writer{logs: s, group: group, name: stream}
}

// writer is guarded by Logs.mu.
type writer struct {
	logs        *Logs
	group, name string
	partial     []byte // a line whose end has not come yet
	closed      bool
}

// Write takes whole and partial lines.
func (w *writer) Write(p []byte) (int, error) {
	w.logs.mu.Lock()
	defer w.logs.mu.Unlock()
	if w.closed {
		return 0, fmt.Errorf("write log stream %s of %s: %w", w.name, w.group, io.ErrClosedPipe)
	}
	w.partial = append(w.partial, p...)
	var lines []string
	for {
		end := bytes.IndexByte(w.partial, '\n')
		size := end
		switch {
		case end > maxLine || end < 0 && len(w.partial) > maxLine:
			end, size = maxLine-1, maxLine
		case end < 0:
			w.partial = append([]byte(nil), w.partial...)
			return len(p), w.add(lines)
		}
		if line := strings.TrimSuffix(string(w.partial[:size]), "\r"); line != "" {
			lines = append(lines, strings.ToValidUTF8(line, "\uFFFD"))
		}
		w.partial = w.partial[end+1:]
	}
}

// add appends lines to the stream, to be written soon; needs Logs.mu.
func (w *writer) add(lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	s := w.logs
	st, err := w.open()
	if err != nil {
		return err
	}
	now := s.o.Clock.Now().UnixMilli()
	times := make([]int64, len(lines))
	for i := range times {
		times[i] = now
	}
	if err := s.append(st, times, lines); err != nil {
		return fmt.Errorf("write log stream %s of %s: %w", w.name, w.group, err)
	}
	if s.closed {
		return s.flush()
	}
	if s.timer == nil {
		// The machine's time, not the cloud's clock: this is about the disk.
		s.timer = time.AfterFunc(flushAfter, s.flushSoon)
	}
	return nil
}

func (s *Logs) flushSoon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer = nil
	if s.closed {
		return
	}
	if err := s.flush(); err != nil {
		s.o.Log.Error("write log events", "error", err)
		s.timer = time.AfterFunc(flushAfter, s.flushSoon)
	}
}

// open finds or makes the stream; needs Logs.mu.
func (w *writer) open() (*stream, error) {
	s := w.logs
	g, ok := s.byName[w.group]
	if !ok {
		if !groupForm.MatchString(w.group) {
			return nil, fmt.Errorf("open log group %q: the name is not valid", w.group)
		}
		var err error
		if g, err = s.makeGroup(groupRecord{Name: w.group}); err != nil {
			return nil, fmt.Errorf("make log group %s: %w", w.group, err)
		}
	}
	if st, ok := g.streams[w.name]; ok {
		return st, nil
	}
	if !streamForm.MatchString(w.name) {
		return nil, fmt.Errorf("open log stream %q of %s: the name is not valid", w.name, w.group)
	}
	st, err := s.makeStream(g, w.name)
	if err != nil {
		return nil, fmt.Errorf("make log stream %s of %s: %w", w.name, w.group, err)
	}
	return st, nil
}

// Close writes the last line, ended or not, and waits for the disk.
func (w *writer) Close() error {
	w.logs.mu.Lock()
	defer w.logs.mu.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	if len(w.partial) > 0 {
		line := strings.ToValidUTF8(strings.TrimSuffix(string(w.partial), "\r"), "\uFFFD")
		if err := w.add([]string{line}); err != nil {
			return err
		}
	}
	return w.logs.flush()
}

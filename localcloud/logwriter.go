package localcloud

import (
	"bytes"
	"io"
	"log/slog"
)

// logWriter opens a log stream of a function or a job: its lines go to the
// cloud's own log, at debug level.
func (c *Cloud) logWriter(group, stream string) io.WriteCloser {
	return &lines{log: c.log.With("log_group", group, "log_stream", stream)}
}

// lines cuts what is written into lines.
type lines struct {
	log  *slog.Logger
	rest []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		l.log.Debug("log", "line", string(line))
		l.rest = rest
	}
}

func (l *lines) Close() error {
	if len(l.rest) > 0 {
		l.log.Debug("log", "line", string(l.rest))
	}
	return nil
}

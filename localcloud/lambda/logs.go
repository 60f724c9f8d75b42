package lambda

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/millrace-ml/millrace/localcloud/clock"
)

// Bounds of a log stream, in bytes: a longer line is cut into several events.
const (
	maxLogLine = 256 << 10
	tailSize   = 4096
)

// logStream is the log of one process: what it prints, and Lambda's own lines.
// Output is read under the lock, and on demand, so that what a process printed
// before it answered is always before END.
type logStream struct {
	r, w  *os.File
	json  bool
	clock clock.Clock

	mu      sync.Mutex
	out     io.WriteCloser
	partial []byte
	recent  []byte
	closed  bool
	reader  chan struct{} // closed when the reading goroutine ended; nil before it began
}

func newLogStream(out io.WriteCloser, c *types.LoggingConfig, k clock.Clock) (*logStream, error) {
	r, w, err := os.Pipe()
	if err != nil {
		_ = out.Close()
		return nil, fmt.Errorf("create log pipe: %w", err)
	}
	return &logStream{r: r, w: w, out: out, clock: k, json: c != nil && c.LogFormat == types.LogFormatJson}, nil
}

// pipe is where the process writes.
func (s *logStream) pipe() *os.File { return s.w }

// started gives up our end of the pipe and begins to read.
func (s *logStream) started() {
	_ = s.w.Close()
	s.reader = make(chan struct{})
	conn, err := s.r.SyscallConn()
	if err != nil {
		close(s.reader)
		return
	}
	go func() {
		defer close(s.reader)
		eof := false
		for !eof {
			err := conn.Read(func(fd uintptr) bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				var got bool
				got, eof = s.readLocked(int(fd))
				return got || eof
			})
			if err != nil {
				return
			}
		}
	}()
}

// readLocked takes what the pipe holds now, without waiting.
func (s *logStream) readLocked(fd int) (got, eof bool) {
	buf := make([]byte, 16<<10)
	for {
		n, err := syscall.Read(fd, buf)
		switch {
		case n > 0:
			got = true
			_, _ = s.writeLocked(buf[:n])
		case err == syscall.EINTR:
		case n == 0 && err == nil:
			return got, true
		default: // nothing more for now, or a broken pipe
			return got, err != syscall.EAGAIN
		}
	}
}

// drain takes what the process has printed so far, a last line without a newline included.
func (s *logStream) drain() {
	conn, err := s.r.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.readLocked(int(fd))
		s.flushLocked()
	})
}

// Write takes output of the process.
func (s *logStream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writeLocked(p)
}

func (s *logStream) writeLocked(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		s.partial = append(s.partial, line...)
		p = rest
		if ended || len(s.partial) >= maxLogLine {
			s.flushLocked()
		}
	}
	return n, nil
}

func (s *logStream) flushLocked() {
	for len(s.partial) > 0 {
		cut := min(len(s.partial), maxLogLine)
		s.emitLocked(s.partial[:cut])
		s.partial = s.partial[cut:]
	}
	s.partial = nil
}

func (s *logStream) emitLocked(line []byte) {
	if s.closed {
		return
	}
	event := append(bytes.Clone(line), '\n')
	s.recent = append(s.recent, event...)
	if over := len(s.recent) - 2*tailSize; over > 0 {
		s.recent = append([]byte(nil), s.recent[over:]...)
	}
	// A full log is the log service's to report; the function must go on.
	_, _ = s.out.Write(event)
}

// line writes one of Lambda's own lines.
func (s *logStream) line(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushLocked()
	s.emitLocked([]byte(strings.TrimRight(text, "\n")))
}

// platform writes a line of Lambda's in the function's log format.
func (s *logStream) platform(kind, text string, record map[string]any) {
	if s.json {
		raw, err := json.Marshal(map[string]any{"time": s.clock.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "type": "platform." + kind, "record": record})
		if err == nil {
			text = string(raw)
		}
	}
	s.line(text)
}

func (s *logStream) invocationStarts(id string) {
	s.mu.Lock()
	s.recent = nil
	s.mu.Unlock()
	s.platform("start", "START RequestId: "+id+" Version: "+latest, map[string]any{"requestId": id, "version": latest})
}

// report is what the REPORT line says.
type report struct {
	duration, init time.Duration
	memory         int32 // MB configured
	used           int64 // MB, 0 when not known
	billed         bool
	status, kind   string
}

func (s *logStream) invocationEnds(id string, r report) {
	billed := int64(math.Ceil(milliseconds(r.duration + r.init)))
	if !s.json {
		s.line("END RequestId: " + id)
	}
	text := fmt.Sprintf("REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %d ms\tMemory Size: %d MB\tMax Memory Used: %d MB\t", id, milliseconds(r.duration), billed, r.memory, r.used)
	metrics := map[string]any{"durationMs": r.duration.Seconds() * 1e3, "billedDurationMs": billed, "memorySizeMB": r.memory, "maxMemoryUsedMB": r.used}
	record := map[string]any{"requestId": id, "metrics": metrics, "status": "success"}
	if r.init > 0 {
		text += fmt.Sprintf("Init Duration: %.2f ms\t", milliseconds(r.init))
		metrics["initDurationMs"] = milliseconds(r.init)
	}
	if r.status != "" {
		text += "Status: " + r.status
		record["status"] = r.status
	}
	if r.kind != "" {
		text += "\tError Type: " + r.kind
		record["errorType"] = r.kind
	}
	s.platform("report", text, record)
}

// tail is the log of the invocation that began last, its end at most.
func (s *logStream) tail() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.recent)
}

func (s *logStream) close() {
	_ = s.w.Close()
	if s.reader != nil {
		s.drain()
	}
	_ = s.r.Close()
	if s.reader != nil {
		<-s.reader
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.flushLocked()
	s.closed = true
	_ = s.out.Close()
}

// peakMemory is the most memory the process held, in MB; 0 when not known.
func (i *instance) peakMemory() int64 {
	if runtime.GOOS != "linux" {
		return 0
	}
	if !i.alive() {
		if use, ok := i.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			return (use.Maxrss + 1023) / 1024
		}
		return 0
	}
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(i.cmd.Process.Pid) + "/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(raw), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kb, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return 0
	}
	return (kb + 1023) / 1024
}

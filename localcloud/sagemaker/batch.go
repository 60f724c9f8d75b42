package sagemaker

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"golang.org/x/sync/errgroup"

	"github.com/millrace-ml/millrace/localcloud/clock"
)

// maxAnswer bounds one answer of a model, in bytes.
const maxAnswer = 512 << 20

// batch sends a transform job's records to a model and writes what comes back.
type batch struct {
	s      *SageMaker
	w      *workspace
	server *modelServer
	job    transformJob

	concurrent int   // requests at once
	payload    int64 // bytes of a request; 0 is no limit
	strategy   string
	retries    int
	timeout    time.Duration
	in, out    filter

	requests chan struct{} // one token per request under way
	log      io.Writer     // the job's data log
}

// request is some consecutive records of an object.
type request struct {
	records [][]byte // as read, without line ends
	body    []byte   // what is sent
}

// open prepares the data log, where AWS writes what became of the objects.
func (b *batch) open() {
	b.requests = make(chan struct{}, b.concurrent)
	b.log = steady{b.w.logs("/data-log")}
	b.note("MaxConcurrentTransforms=%d, MaxPayloadInMB=%d, BatchStrategy=%s", b.concurrent, b.payload>>20, b.strategy)
}

func (b *batch) note(format string, args ...any) {
	fmt.Fprintf(b.log, "%s:[sagemaker logs]: %s\n", b.s.now().Format("2006-01-02T15:04:05.000"), fmt.Sprintf(format, args...))
}

// run transforms all objects. An object that fails does not keep others from
// their outputs, but fails the job.
func (b *batch) run(ctx context.Context, objects []object) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // requests to a container that is gone are not waited for
		select {
		case <-b.server.p.exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	var mu sync.Mutex
	failures := map[string]error{}
	var group errgroup.Group
	group.SetLimit(b.concurrent)
	for _, o := range objects {
		group.Go(func() error {
			name := o.bucket + "/" + o.key
			if err := b.object(ctx, o); err != nil {
				b.note("%s: %v", name, err)
				mu.Lock()
				failures[name] = err
				mu.Unlock()
			}
			return nil
		})
	}
	_ = group.Wait()
	select {
	case <-b.server.p.exited:
		return &algorithmFailure{fmt.Sprintf("See job logs for more information. The primary container ended with exit code %d while it was in use.", b.server.p.code)}
	default:
	}
	for _, o := range objects {
		if err := failures[o.bucket+"/"+o.key]; err != nil {
			return b.worded(o, err, len(failures))
		}
	}
	return nil
}

// worded is the reason of a job some of whose objects failed: AWS's words, then the first failure.
func (b *batch) worded(o object, err error, n int) error {
	text := fmt.Sprintf("See job logs for more information. %d object(s) failed; the first was %s/%s: %v", n, o.bucket, o.key, err)
	var status *statusError
	if errors.As(err, &status) && status.code < 500 {
		return blame("%s", text)
	}
	var blamed *clientError
	if errors.As(err, &blamed) {
		return blame("%s", text)
	}
	return &algorithmFailure{text}
}

// object transforms one object into <its path>.out.
func (b *batch) object(ctx context.Context, o object) error {
	body, _, err := b.s.opt.Objects.Open(ctx, o.bucket, o.key, "")
	if err != nil {
		return download(o.bucket, o.key, err)
	}
	defer body.Close()
	var r io.Reader = contextReader{ctx, body}
	if b.job.Job.TransformInput.CompressionType == types.CompressionTypeGzip {
		if r, err = gzip.NewReader(r); err != nil {
			return blame("the object is not gzip: %v", err)
		}
	}
	f, err := b.w.temporary("out-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	out := bufio.NewWriter(f)
	if err := b.pump(ctx, r, out); err != nil {
		return err
	}
	if err := errors.Join(out.Flush(), f.Close()); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return b.s.put(ctx, f.Name(), joinURI(*b.job.Job.TransformOutput.S3OutputPath, o.rel+".out"))
}

// pump sends an object's requests, several at once, and writes the answers in order.
func (b *batch) pump(ctx context.Context, r io.Reader, out io.Writer) error {
	group, ctx := errgroup.WithContext(ctx)
	answers := make(chan chan []byte, b.concurrent)
	group.Go(func() error {
		defer close(answers)
		return b.split(ctx, r, func(q request) error {
			answer := make(chan []byte, 1)
			select {
			case answers <- answer:
			case <-ctx.Done():
				return ctx.Err()
			}
			group.Go(func() error {
				text, err := b.send(ctx, q)
				if err == nil {
					answer <- text
				}
				return err
			})
			return nil
		})
	})
	group.Go(func() error {
		for answer := range answers {
			select {
			case text := <-answer:
				if _, err := out.Write(text); err != nil {
					return fmt.Errorf("write output: %w", err)
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return group.Wait()
}

// lines reports whether objects are split into lines.
func (b *batch) lines() bool { return b.job.Job.TransformInput.SplitType == types.SplitTypeLine }

func (b *batch) csv() bool {
	return mediaType(aws.ToString(b.job.Job.TransformInput.ContentType)) == "text/csv"
}

// processed reports whether the answers are filtered or joined.
func (b *batch) joined() bool { return b.job.Job.DataProcessing.JoinSource == types.JoinSourceInput }

// split cuts an object into requests.
func (b *batch) split(ctx context.Context, r io.Reader, emit func(request) error) error {
	if !b.lines() {
		return b.whole(r, emit)
	}
	var q request
	flush := func() error {
		if len(q.records) == 0 {
			return nil
		}
		full := q
		q = request{}
		return emit(full)
	}
	in := bufio.NewReaderSize(r, 64<<10)
	for ctx.Err() == nil {
		line, err := in.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return blame("cannot read the object: %v", err)
		}
		if record := bytes.TrimRight(line, "\r\n"); len(record) > 0 {
			sent, ferr := b.filtered(record)
			if ferr != nil {
				return ferr
			}
			size := int64(len(sent) + 1)
			if b.payload > 0 && size > b.payload {
				return blame("a record of %d bytes is larger than the payload limit of %d MB", size, b.payload>>20)
			}
			if b.payload > 0 && int64(len(q.body))+size > b.payload {
				if err := flush(); err != nil {
					return err
				}
			}
			q.records = append(q.records, record)
			q.body = append(append(q.body, sent...), '\n')
			if b.strategy == "SINGLE_RECORD" {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		if err == io.EOF {
			return flush()
		}
	}
	return ctx.Err()
}

// whole sends an object as one request.
func (b *batch) whole(r io.Reader, emit func(request) error) error {
	limit := b.payload
	if limit == 0 {
		limit = maxAnswer
	}
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return blame("cannot read the object: %v", err)
	}
	if int64(len(body)) > limit {
		return blame("the object is larger than the payload limit of %d MB", limit>>20)
	}
	q := request{records: [][]byte{body}, body: body}
	if b.in.whole() && !b.csv() {
		return emit(q)
	}
	if b.csv() {
		q.records = textLines(body)
	}
	if !b.in.whole() {
		q.body = nil
		for _, rec := range q.records {
			sent, err := b.filtered(rec)
			if err != nil {
				return err
			}
			q.body = append(append(q.body, sent...), '\n')
		}
	}
	return emit(q)
}

// filtered applies the input filter to a record.
func (b *batch) filtered(record []byte) ([]byte, error) {
	if b.in.whole() {
		return record, nil
	}
	apply := b.in.json
	if b.csv() {
		apply = b.in.csv
	}
	sent, err := apply(record)
	if err != nil {
		return nil, blame("InputFilter %s: %v", *b.job.Job.DataProcessing.InputFilter, err)
	}
	return sent, nil
}

// textLines splits text into its lines that are not empty.
func textLines(text []byte) [][]byte {
	var lines [][]byte
	for line := range bytes.Lines(text) {
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			lines = append(lines, line)
		}
	}
	return lines
}

// send invokes the model, again when it may help, and processes the answer.
func (b *batch) send(ctx context.Context, q request) ([]byte, error) {
	select {
	case b.requests <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-b.requests }()
	for try := 0; ; try++ {
		answer, err := b.invoke(ctx, q.body)
		if err == nil {
			return b.assemble(q, answer)
		}
		var status *statusError
		final := errors.As(err, &status) && status.code < 500 && status.code != http.StatusTooManyRequests
		if final || try >= b.retries || ctx.Err() != nil {
			return nil, err
		}
		b.note("retry %d of %d: %v", try+1, b.retries, err)
		if err := clock.Sleep(ctx, clock.Machine(b.s.opt.Clock), 100*time.Millisecond<<try); err != nil {
			return nil, err
		}
	}
}

// statusError is an answer of the model that is not 200.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string {
	side := "ClientError"
	if e.code >= 500 {
		side = "AlgorithmError"
	}
	return strings.TrimSpace(fmt.Sprintf("%s: %d %s", side, e.code, e.text))
}

func (b *batch) invoke(ctx context.Context, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.server.url+"/invocations", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if t := aws.ToString(b.job.Job.TransformInput.ContentType); t != "" {
		req.Header.Set("Content-Type", t)
	}
	if t := aws.ToString(b.job.Job.TransformOutput.Accept); t != "" {
		req.Header.Set("Accept", t)
	}
	resp, err := b.server.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("invoke the model: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read the model's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &statusError{resp.StatusCode, clip(strings.ToValidUTF8(string(answer), "?"), 500)}
	}
	if len(answer) > maxAnswer {
		return nil, fmt.Errorf("the model's answer is larger than %d bytes", maxAnswer)
	}
	return answer, nil
}

// assemble joins and filters an answer, and ends its lines when asked to.
func (b *batch) assemble(q request, answer []byte) ([]byte, error) {
	line := b.job.Job.TransformOutput.AssembleWith == types.AssemblyTypeLine
	if !b.joined() && b.out.whole() {
		if line && len(answer) > 0 && answer[len(answer)-1] != '\n' {
			answer = append(answer, '\n')
		}
		return answer, nil
	}
	answers := [][]byte{answer}
	if b.lines() || b.csv() {
		answers = textLines(answer)
	}
	if b.joined() && len(answers) != len(q.records) {
		return nil, &algorithmFailure{fmt.Sprintf("the model answered %d records with %d predictions", len(q.records), len(answers))}
	}
	var out bytes.Buffer
	for i, a := range answers {
		record, err := b.record(q, i, a)
		if err != nil {
			return nil, err
		}
		out.Write(record)
		if line || i < len(answers)-1 {
			out.WriteByte('\n')
		}
	}
	return out.Bytes(), nil
}

// record is one record of the output.
func (b *batch) record(q request, i int, answer []byte) ([]byte, error) {
	record := answer
	apply := b.out.json
	var err error
	if b.csv() {
		apply = b.out.csv
		if b.joined() {
			record = bytes.Join([][]byte{q.records[i], answer}, []byte(","))
		}
	} else if b.joined() {
		if record, err = joinJSON(q.records[i], answer); err != nil {
			return nil, &algorithmFailure{err.Error()}
		}
	}
	if record, err = apply(record); err != nil {
		return nil, blame("OutputFilter %s: %v", *b.job.Job.DataProcessing.OutputFilter, err)
	}
	return record, nil
}

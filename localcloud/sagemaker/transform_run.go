package sagemaker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/millrace-ml/millrace/localcloud/clock"
)

const (
	pingEvery   = 10 * time.Millisecond // the pause between two GET /ping
	pingTimeout = 4 * time.Minute       // how long a model may take to answer it: AWS's
	maxUnpacked = 16 << 30              // bytes that a model.tar.gz may unpack to
)

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func (s *SageMaker) transformLife(j transformJob) life {
	name := key(j.Job.TransformJobName)
	return life{
		kind: "transform", name: name, role: j.Role, group: "/aws/sagemaker/TransformJobs",
		begin: func() error { return s.beginTransform(name) },
		work:  func(ctx, halt context.Context, w *workspace) outcome { return s.transform(ctx, halt, w, j) },
		end:   func(out outcome) error { return s.endTransform(name, out) },
	}
}

func (s *SageMaker) beginTransform(name string) error {
	j, err := s.batch.Patient(s.open).Update(name, func(j transformJob, _ bool) (transformJob, error) {
		if j.Job.TransformJobStatus == types.TransformJobStatusStopping {
			return j, errStop
		}
		now := s.now()
		j.Job.TransformStartTime, j.Modified = &now, now.UnixMilli()
		return j, nil
	})
	if err == nil {
		s.emitTransform(j)
	}
	return err
}

// transform does the work of a transform job: serves the model, and sends it
// the records of each input object.
func (s *SageMaker) transform(ctx, halt context.Context, w *workspace, j transformJob) outcome {
	m, err := s.findModel(j.Job.ModelName)
	if err != nil {
		return failure(blame("%v", err))
	}
	c, err := s.container(m)
	if err != nil {
		return failure(blame("%v", err))
	}
	source := j.Job.TransformInput.DataSource.S3DataSource
	objects, err := s.expand(halt, string(source.S3DataType), *source.S3Uri, j.Role)
	if err != nil {
		return failure(err)
	}
	if err := s.stageModel(halt, w, c); err != nil {
		return failure(err)
	}
	server, err := s.serve(halt, w, c, j)
	if err != nil {
		return failure(err)
	}
	defer server.stop(ctx, s)
	if err := server.ready(halt, s); err != nil {
		return failure(err)
	}
	b, err := s.newBatch(halt, w, server, j)
	if err != nil {
		return failure(err)
	}
	if err := b.run(halt, objects); err != nil {
		return failure(err)
	}
	return outcome{status: completed}
}

// stageModel puts a container's model under /opt/ml/model.
func (s *SageMaker) stageModel(ctx context.Context, w *workspace, c types.ContainerDefinition) error {
	if err := w.mkdir("/opt/ml/model"); err != nil {
		return err
	}
	data := modelData(c)
	if data == nil {
		return nil
	}
	dir := w.path("/opt/ml/model")
	bucket, name, err := parseS3(*data.S3Uri)
	if err != nil {
		return err
	}
	if data.S3DataType == types.S3ModelDataTypeS3Prefix {
		if data.CompressionType == types.ModelCompressionTypeGzip {
			return blame("CompressionType Gzip needs S3DataType S3Object: %s", *data.S3Uri)
		}
		objects, err := s.expand(ctx, "S3Prefix", *data.S3Uri, "")
		if err != nil {
			return err
		}
		return s.fetch(ctx, objects, dir)
	}
	if data.CompressionType == types.ModelCompressionTypeNone {
		return s.fetch(ctx, []object{{bucket, name, filepath.Base(name)}}, dir)
	}
	body, _, err := s.opt.Objects.Open(ctx, bucket, name, "")
	if err != nil {
		return download(bucket, name, err)
	}
	defer body.Close()
	if err := unpack(contextReader{ctx, body}, dir, maxUnpacked); err != nil {
		return blame(`Failed to extract model data archive from URL "%s": %v. The model data archive is likely corrupt. Please recreate your model data archive and try again.`, *data.S3Uri, err)
	}
	return nil
}

// modelServer is a running model container.
type modelServer struct {
	p      *process
	url    string
	client *http.Client
}

// serve starts a container as `serve`.
func (s *SageMaker) serve(_ context.Context, w *workspace, c types.ContainerDefinition, j transformJob) (*modelServer, error) {
	path, argv, err := s.images.command(*c.Image, nil, []string{"serve"})
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, fmt.Errorf("find a port: %w", err)
	}
	user := map[string]string{}
	for k, v := range c.Environment {
		user[k] = v
	}
	for k, v := range j.Job.Environment {
		user[k] = v
	}
	env := []string{"SAGEMAKER_BIND_TO_PORT=" + port, "SAGEMAKER_BATCH=true"}
	if v := j.Job.MaxPayloadInMB; v != nil {
		env = append(env, "SAGEMAKER_MAX_PAYLOAD_IN_MB="+strconv.Itoa(int(*v)))
	}
	if v := j.Job.MaxConcurrentTransforms; v != nil {
		env = append(env, "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS="+strconv.Itoa(int(*v)))
	}
	if v := j.Job.BatchStrategy; v != "" {
		env = append(env, "SAGEMAKER_BATCH_STRATEGY="+upperSnake(string(v)))
	}
	p, err := start(program{path: path, args: argv, dir: w.root, out: w.log, env: w.environ(user, env...)})
	if err != nil {
		return nil, blame("The container could not be started: %v", err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true}
	return &modelServer{p: p, url: "http://127.0.0.1:" + port, client: &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// freePort finds a TCP port that nothing listens on.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// upperSnake spells MultiRecord as MULTI_RECORD.
func upperSnake(strategy string) string {
	return strings.ToUpper(strings.ReplaceAll(strategy, "Record", "_Record"))
}

// ready waits until the container answers /ping with 200.
func (m *modelServer) ready(halt context.Context, s *SageMaker) error {
	ctx, cancel := context.WithCancel(halt)
	defer cancel()
	stop := clock.Machine(s.opt.Clock).AfterFunc(pingTimeout, cancel)
	defer stop()
	for {
		if status, _, err := m.get(ctx, "/ping"); err == nil && status == http.StatusOK {
			return nil
		}
		select {
		case <-m.p.exited:
			return &algorithmFailure{fmt.Sprintf("The primary container ended with exit code %d before it passed the ping health check. Please check CloudWatch logs for this job.", m.p.code)}
		case <-ctx.Done():
			if halt.Err() != nil {
				return halt.Err()
			}
			return &algorithmFailure{"The primary container did not pass the ping health check. Please check CloudWatch logs for this job."}
		case <-time.After(pingEvery):
		}
	}
}

// get fetches a short answer. Each try is bounded as AWS bounds a ping, by two seconds.
func (m *modelServer) get(ctx context.Context, path string) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url+path, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := m.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, body, err
}

func (m *modelServer) stop(ctx context.Context, s *SageMaker) {
	m.client.CloseIdleConnections()
	m.p.stop(ctx, clock.Machine(s.opt.Clock), s.opt.Grace)
}

// algorithmFailure is a failure that AWS blames on the container.
type algorithmFailure struct{ text string }

func (e *algorithmFailure) Error() string { return "AlgorithmError: " + e.text }

// executionParameters is what a container says about itself; all are optional.
type executionParameters struct {
	MaxConcurrentTransforms *int32
	BatchStrategy           *string
	MaxPayloadInMB          *int32
}

// newBatch settles a job's parameters: the request's, else the container's, else AWS's defaults.
func (s *SageMaker) newBatch(ctx context.Context, w *workspace, m *modelServer, j transformJob) (*batch, error) {
	var own executionParameters
	if status, body, err := m.get(ctx, "/execution-parameters"); err == nil && status == http.StatusOK {
		if err := json.Unmarshal(body, &own); err != nil {
			return nil, &algorithmFailure{fmt.Sprintf("GET /execution-parameters did not answer with the parameters as JSON: %v", err)}
		}
	}
	b := &batch{s: s, w: w, server: m, job: j, concurrent: 1, payload: 6 << 20, strategy: "MULTI_RECORD", retries: 3, timeout: 600 * time.Second}
	if v := pick(j.Job.MaxConcurrentTransforms, own.MaxConcurrentTransforms); v != nil && *v > 0 {
		b.concurrent = int(*v)
	}
	if v := pick(j.Job.MaxPayloadInMB, own.MaxPayloadInMB); v != nil {
		b.payload = int64(*v) << 20
	}
	if own.BatchStrategy != nil {
		b.strategy = *own.BatchStrategy
	}
	if v := j.Job.BatchStrategy; v != "" {
		b.strategy = upperSnake(string(v))
	}
	if c := j.Job.ModelClientConfig; c != nil {
		if c.InvocationsMaxRetries != nil {
			b.retries = int(*c.InvocationsMaxRetries)
		}
		if c.InvocationsTimeoutInSeconds != nil {
			b.timeout = time.Duration(*c.InvocationsTimeoutInSeconds) * time.Second
		}
	}
	var err error
	if b.in, err = parseFilter(aws.ToString(j.Job.DataProcessing.InputFilter)); err == nil {
		b.out, err = parseFilter(aws.ToString(j.Job.DataProcessing.OutputFilter))
	}
	if err != nil {
		return nil, blame("Invalid filter: %v", err)
	}
	b.open()
	return b, nil
}

func pick(first, second *int32) *int32 {
	if first != nil {
		return first
	}
	return second
}

// endTransform records and announces the end.
func (s *SageMaker) endTransform(name string, out outcome) error {
	j, err := s.batch.Patient(s.open).Update(name, func(j transformJob, _ bool) (transformJob, error) {
		now := s.now()
		j.Job.TransformJobStatus = types.TransformJobStatus(out.status)
		j.Job.TransformEndTime, j.Modified = &now, now.UnixMilli()
		if out.reason != "" {
			j.Job.FailureReason = aws.String(out.reason)
		}
		return j, nil
	})
	if err != nil {
		return fmt.Errorf("record job %s: %w", name, err)
	}
	return s.announceTransform(name, j)
}

// announceTransform emits a job's end and records that it did.
func (s *SageMaker) announceTransform(name string, j transformJob) error {
	s.emitTransform(j)
	_, err := s.batch.Patient(s.open).Update(name, func(j transformJob, _ bool) (transformJob, error) {
		j.Announced = true
		return j, nil
	})
	return err
}

// resumeTransform takes up the jobs of an earlier life of the cloud.
func (s *SageMaker) resumeTransform(context.Context) error {
	open, err := all(s.batch, "", func(j transformJob) bool { return !j.Announced })
	if err != nil {
		return err
	}
	for _, j := range open {
		name, status := key(j.Job.TransformJobName), string(j.Job.TransformJobStatus)
		switch {
		case terminal(status):
			err = s.announceTransform(name, j)
		case status == stopping:
			err = s.endTransform(name, outcome{status: stopped})
		case j.Job.TransformStartTime != nil:
			err = s.endTransform(name, outcome{status: failed, reason: interrupted})
		default:
			s.launch(s.transformLife(j))
		}
		if err != nil {
			return fmt.Errorf("resume transform job %s: %w", name, err)
		}
	}
	return nil
}

// temporary makes a file in a job's scratch folder.
func (w *workspace) temporary(pattern string) (*os.File, error) {
	dir := filepath.Join(w.root, "tmp")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, errors.Join(errors.New("make scratch file"), err)
	}
	return os.CreateTemp(dir, pattern)
}

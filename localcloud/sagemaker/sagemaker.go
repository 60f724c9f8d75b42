package sagemaker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/millrace-ml/millrace/localcloud/faults"
	"github.com/millrace-ml/millrace/localcloud/service"
	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
	awsmodel "github.com/millrace-ml/millrace/localcloud/wire/model"
)

// Objects is what jobs need of S3. The caller in ctx is the job's role.
// Errors are *wire.Error: NoSuchKey, NoSuchBucket, AccessDenied.
type Objects interface {
	// List returns the keys under prefix, sorted.
	List(ctx context.Context, bucket, prefix string) ([]string, error)
	// Open reads an object and tells its size in bytes; versionID "" is the newest.
	Open(ctx context.Context, bucket, key, versionID string) (io.ReadCloser, int64, error)
	// Put writes size bytes and returns the version made.
	Put(ctx context.Context, bucket, key string, body io.Reader, size int64) (string, error)
}

// Options say where SageMaker runs and what it reaches. Clock, Store, Dir,
// Objects, AssumeRole and LogWriter are required.
type Options struct {
	service.Base
	Dir     string // holds the folders of jobs and copies of images' programs
	Objects Objects
	// AssumeRole gives a job's process the credentials of its role; sourceARN is
	// the job's (aws:SourceArn to the role's trust policy).
	AssumeRole func(roleARN, session, sourceARN string) (accessKey, secretKey, token string, err error)
	// Emit puts an event of ours onto the default bus.
	Emit func(ctx context.Context, source, detailType string, resources []string, detail any)
	// LogWriter writes lines to a log stream.
	LogWriter func(group, stream string) io.WriteCloser
	// Images maps the repository name of an image URI to the program it runs.
	Images map[string]string
	// Endpoint is the URL of this cloud, for the processes.
	Endpoint func() string
	Faults   *faults.Set // nil: none

	Slots      int           // jobs running at once; 0 means the number of CPUs
	Grace      time.Duration // from SIGTERM to SIGKILL; 0 means AWS's 120 seconds
	KeepFailed int           // folders of failed jobs kept to look at; 0 means 5
}

// SageMaker is the service.
type SageMaker struct {
	opt      Options
	service  *wire.Service
	slots    *semaphore.Weighted
	images   *images
	training *store.Table[trainingJob]
	process  *store.Table[processingJob]
	batch    *store.Table[transformJob]
	models   *store.Table[model]
	groups   *store.Table[modelPackageGroup]
	packages *store.Table[modelPackage]
	tags     *store.Table[map[string]string]

	open  context.Context //nolint:containedctx // ends with Close: what became of a job is kept however long it takes
	close context.CancelFunc

	mu      sync.Mutex
	closed  bool
	running map[string]context.CancelCauseFunc // by kind/name
	wg      sync.WaitGroup
	pruning sync.Mutex
}

// New opens the service's state. Call Start once everything it reaches is up.
func New(o Options) (*SageMaker, error) {
	if err := complete(&o); err != nil {
		return nil, err
	}
	s := &SageMaker{opt: o, slots: semaphore.NewWeighted(int64(o.Slots)), running: map[string]context.CancelCauseFunc{}}
	s.open, s.close = context.WithCancel(context.Background())
	s.images = &images{programs: o.Images, dir: o.Dir}
	var errs [7]error
	s.training, errs[0] = store.NewTable[trainingJob](o.Store, "sagemaker/training-jobs")
	s.process, errs[1] = store.NewTable[processingJob](o.Store, "sagemaker/processing-jobs")
	s.batch, errs[2] = store.NewTable[transformJob](o.Store, "sagemaker/transform-jobs")
	s.models, errs[3] = store.NewTable[model](o.Store, "sagemaker/models")
	s.groups, errs[4] = store.NewTable[modelPackageGroup](o.Store, "sagemaker/model-package-groups")
	s.packages, errs[5] = store.NewTable[modelPackage](o.Store, "sagemaker/model-packages")
	s.tags, errs[6] = store.NewTable[map[string]string](o.Store, "sagemaker/tags")
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	s.service = &wire.Service{Name: "sagemaker", Protocol: wire.JSON11, Target: "SageMaker", Authorize: o.Authorize, Log: o.Log, Model: awsmodel.Of("sagemaker")}
	s.addTraining()
	s.addProcessing()
	s.addTransform()
	s.addModels()
	s.addGroups()
	s.addPackages()
	s.addTags()
	return s, nil
}

func complete(o *Options) error {
	if o.Slots <= 0 {
		o.Slots = runtime.NumCPU()
	}
	if o.Grace <= 0 {
		o.Grace = 120 * time.Second
	}
	if o.KeepFailed <= 0 {
		o.KeepFailed = 5
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fmt.Errorf("open sagemaker: %w", err)
	}
	return nil
}

// Wire is the service's table of operations.
func (s *SageMaker) Wire() *wire.Service { return s.service }

// Start takes up what an earlier life of the cloud left: jobs that waited for a
// slot wait again, jobs that ran are Failed, ends that were not announced are
// announced. Call it once, when events can be emitted.
func (s *SageMaker) Start(ctx context.Context) error {
	for _, resume := range []func(context.Context) error{s.resumeTraining, s.resumeProcessing, s.resumeTransform} {
		if err := resume(ctx); err != nil {
			return err
		}
	}
	s.prune()
	return nil
}

// Close kills the programs of running jobs and waits for them. The jobs' state
// stays, so that Start can tell what became of them.
func (s *SageMaker) Close() error {
	s.mu.Lock()
	s.closed = true
	s.close()
	for _, cancel := range s.running {
		cancel(errClosed)
	}
	s.mu.Unlock()
	s.wg.Wait()
	return nil
}

// op makes an operation whose input is checked against what is supported here
// before f sees it.
func op[In, Out any](s *SageMaker, name string, f func(context.Context, *In) (*Out, error)) wire.Operation {
	return wire.Op(name, func(ctx context.Context, in *In) (*Out, error) {
		if err := s.refuseUnsupported(name, in); err != nil {
			return nil, err
		}
		return f(ctx, in)
	})
}

// now is the time in AWS's precision, milliseconds.
func (s *SageMaker) now() time.Time { return s.opt.Clock.Now().UTC().Truncate(time.Millisecond) }

// arn names a resource as SageMaker does: in lower case.
func (s *SageMaker) arn(kind, name string) string {
	return "arn:aws:sagemaker:" + s.opt.Region + ":" + s.opt.Account + ":" + kind + "/" + strings.ToLower(name)
}

// allow asks for a permission beyond the operation's own.
func (s *SageMaker) allow(ctx context.Context, action, resource string) error {
	if s.opt.Authorize == nil {
		return nil
	}
	return s.opt.Authorize(ctx, action, resource)
}

// passRole checks that the caller may give the role to SageMaker, and that the
// role trusts SageMaker on behalf of sourceARN. Models act for the whole account:
// AWS gives their roles the ARN that ends in :*.
func (s *SageMaker) passRole(ctx context.Context, role, sourceARN string) error {
	if err := s.allow(ctx, "iam:PassRole", role); err != nil {
		return err
	}
	if _, _, _, err := s.opt.AssumeRole(role, "SageMaker", sourceARN); err != nil {
		return invalid("Could not assume role %s. Please ensure that the role exists and allows principal 'sagemaker.amazonaws.com' to assume the role. (%v)", role, err)
	}
	return nil
}

// invalid makes AWS's most common SageMaker error.
func invalid(format string, args ...any) *wire.Error {
	return wire.Errorf("ValidationException", format, args...)
}

// missing says that a required member that AWS's model does not mark was not given.
func missing(path string) *wire.Error {
	return invalid("1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", path)
}

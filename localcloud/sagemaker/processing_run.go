package sagemaker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// maxMessage is how much of /opt/ml/output/message becomes the ExitMessage, in bytes.
const maxMessage = 1024

func (s *SageMaker) processingLife(j processingJob) life {
	name := key(j.Job.ProcessingJobName)
	return life{
		kind: "processing", name: name, role: *j.Job.RoleArn, group: "/aws/sagemaker/ProcessingJobs",
		limit: time.Duration(*j.Job.StoppingCondition.MaxRuntimeInSeconds) * time.Second,
		begin: func() error { return s.beginProcessing(name) },
		work:  func(ctx, halt context.Context, w *workspace) outcome { return s.processData(ctx, halt, w, j) },
		end:   func(out outcome) error { return s.endProcessing(name, out) },
	}
}

func (s *SageMaker) beginProcessing(name string) error {
	j, err := s.process.Patient(s.open).Update(name, func(j processingJob, _ bool) (processingJob, error) {
		if j.Job.ProcessingJobStatus == types.ProcessingJobStatusStopping {
			return j, errStop
		}
		now := s.now()
		j.Job.ProcessingStartTime, j.Job.LastModifiedTime = &now, &now
		return j, nil
	})
	if err == nil {
		s.emitProcessing(j)
	}
	return err
}

// processData does the work of a processing job: a process for each instance.
func (s *SageMaker) processData(ctx, halt context.Context, w *workspace, j processingJob) outcome {
	app := j.Job.AppSpecification
	path, argv, err := s.images.command(*app.ImageUri, app.ContainerEntrypoint, app.ContainerArguments)
	if err != nil {
		return failure(err)
	}
	all, err := s.instances(halt, w, j)
	if err != nil {
		return failure(err)
	}
	together, giveUp := context.WithCancel(halt) // the others end with the first that fails
	defer giveUp()
	var running []*process
	for _, w := range all {
		p, err := start(program{path: path, args: argv, dir: w.root, out: w.log, env: w.environ(j.Job.Environment)})
		if err != nil {
			giveUp()
			for _, p := range running {
				p.wait(ctx, together, clock.Machine(s.opt.Clock), s.opt.Grace)
			}
			return failure(blame("The container could not be started: %v", err))
		}
		running = append(running, p)
	}
	var wait sync.WaitGroup
	for _, p := range running {
		wait.Go(func() {
			p.wait(ctx, together, clock.Machine(s.opt.Clock), s.opt.Grace)
			if p.code != 0 {
				giveUp()
			}
		})
	}
	wait.Wait()
	if ctx.Err() != nil {
		return outcome{}
	}
	out := s.gather(ctx, all, running, j)
	if halt.Err() != nil {
		out.status = stopped
	}
	return out
}

// gather uploads what the instances wrote, and says how they ended.
func (s *SageMaker) gather(ctx context.Context, all []*workspace, ended []*process, j processingJob) outcome {
	out := outcome{status: completed}
	for _, p := range ended {
		if p.code != 0 {
			out = outcome{status: failed, reason: "AlgorithmError: See job logs for more information"}
		}
	}
	for _, w := range all {
		if err := s.uploadProcessing(ctx, w, j); err != nil && out.status == completed {
			out = failure(err)
		}
		raw, err := readText(w.path("/opt/ml/output/message"), maxMessage)
		if err != nil || out.message != "" {
			continue
		}
		text, ok := exitMessage(raw)
		if !ok {
			out = failure(blame("The exit message in /opt/ml/output/message is not valid UTF-8"))
		}
		out.message = text
	}
	return out
}

// instances lays out the folders of all instances. One knows itself as algo-1, as
// on AWS. Several are one machine here, where neither names nor a port can be
// shared: each is called by an address with a free port of its own.
func (s *SageMaker) instances(ctx context.Context, first *workspace, j processingJob) ([]*workspace, error) {
	n := int(*j.Job.ProcessingResources.ClusterConfig.InstanceCount)
	hosts := []string{host}
	if n > 1 {
		hosts = nil
		for len(hosts) < n {
			port, err := freePort()
			if err != nil {
				return nil, err
			}
			if h := "127.0.0.1:" + port; !slices.Contains(hosts, h) {
				hosts = append(hosts, h)
			}
		}
		slices.Sort(hosts)
	}
	all := []*workspace{first}
	for i := range hosts {
		if i > 0 {
			w, err := first.instance(i + 1)
			if err != nil {
				return nil, err
			}
			all = append(all, w)
		}
		if err := s.stageProcessing(ctx, all[i], j, i, hosts); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// exitMessage is the text of a message file, without the character that the
// cut at maxMessage may have split; ok is false when it is not UTF-8.
func exitMessage(raw []byte) (text string, ok bool) {
	for cut := 0; cut < utf8.UTFMax; cut++ {
		if utf8.Valid(raw) {
			return string(raw), true
		}
		if len(raw)+cut != maxMessage || len(raw) == 0 {
			break
		}
		raw = raw[:len(raw)-1]
	}
	return "", false
}

// stageProcessing fills /opt/ml/config and the inputs' paths of an instance.
func (s *SageMaker) stageProcessing(ctx context.Context, w *workspace, j processingJob, instance int, hosts []string) error {
	if err := w.mkdir("/opt/ml/processing", "/opt/ml/output", "/opt/ml/config"); err != nil {
		return err
	}
	for _, p := range j.Job.ProcessingInputs {
		objects, err := s.expand(ctx, string(p.S3Input.S3DataType), *p.S3Input.S3Uri, *j.Job.RoleArn)
		if err != nil {
			return err
		}
		if p.S3Input.S3DataDistributionType == types.ProcessingS3DataDistributionTypeShardedbys3key {
			objects = share(objects, instance, len(hosts))
		}
		if err := s.fetch(ctx, objects, w.path(*p.S3Input.LocalPath)); err != nil {
			return err
		}
	}
	if j.Job.ProcessingOutputConfig != nil {
		for _, o := range j.Job.ProcessingOutputConfig.Outputs {
			if err := w.mkdir(*o.S3Output.LocalPath); err != nil {
				return err
			}
		}
	}
	config, err := wire.EncodeJSON(struct {
		ProcessingJobArn, ProcessingJobName *string
		AppSpecification                    *types.AppSpecification
		Environment                         map[string]string
		ProcessingInputs                    []types.ProcessingInput
		ProcessingOutputConfig              *types.ProcessingOutputConfig
		ProcessingResources                 *types.ProcessingResources
		RoleArn                             *string
		StoppingCondition                   *types.ProcessingStoppingCondition
	}{j.Job.ProcessingJobArn, j.Job.ProcessingJobName, j.Job.AppSpecification, j.Job.Environment, j.Job.ProcessingInputs,
		j.Job.ProcessingOutputConfig, j.Job.ProcessingResources, j.Job.RoleArn, j.Job.StoppingCondition}, false)
	if err != nil {
		return err
	}
	return errors.Join(
		w.writeJSON("/opt/ml/config/processingjobconfig.json", config),
		w.writeJSON("/opt/ml/config/resourceconfig.json", map[string]any{"current_host": hosts[instance], "hosts": hosts}),
	)
}

// share is an instance's part of objects that are sharded by their keys.
func share(objects []object, instance, of int) []object {
	var out []object
	for i, o := range objects {
		if i%of == instance {
			out = append(out, o)
		}
	}
	return out
}

func (s *SageMaker) uploadProcessing(ctx context.Context, w *workspace, j processingJob) error {
	if j.Job.ProcessingOutputConfig == nil {
		return nil
	}
	for _, o := range j.Job.ProcessingOutputConfig.Outputs {
		if err := s.upload(ctx, w.path(*o.S3Output.LocalPath), *o.S3Output.S3Uri); err != nil {
			return err
		}
	}
	return nil
}

// endProcessing records and announces the end.
func (s *SageMaker) endProcessing(name string, out outcome) error {
	j, err := s.process.Patient(s.open).Update(name, func(j processingJob, _ bool) (processingJob, error) {
		now := s.now()
		j.Job.ProcessingJobStatus = types.ProcessingJobStatus(out.status)
		j.Job.ProcessingEndTime, j.Job.LastModifiedTime = &now, &now
		if out.reason != "" {
			j.Job.FailureReason = aws.String(out.reason)
		}
		if out.message != "" {
			j.Job.ExitMessage = aws.String(out.message)
		}
		return j, nil
	})
	if err != nil {
		return fmt.Errorf("record job %s: %w", name, err)
	}
	return s.announceProcessing(name, j)
}

// announceProcessing emits a job's end and records that it did.
func (s *SageMaker) announceProcessing(name string, j processingJob) error {
	s.emitProcessing(j)
	_, err := s.process.Patient(s.open).Update(name, func(j processingJob, _ bool) (processingJob, error) {
		j.Announced = true
		return j, nil
	})
	return err
}

// resumeProcessing takes up the jobs of an earlier life of the cloud.
func (s *SageMaker) resumeProcessing(context.Context) error {
	open, err := all(s.process, "", func(j processingJob) bool { return !j.Announced })
	if err != nil {
		return err
	}
	for _, j := range open {
		name, status := key(j.Job.ProcessingJobName), string(j.Job.ProcessingJobStatus)
		switch {
		case terminal(status):
			err = s.announceProcessing(name, j)
		case status == stopping:
			err = s.endProcessing(name, outcome{status: stopped})
		case j.Job.ProcessingStartTime != nil:
			err = s.endProcessing(name, outcome{status: failed, reason: interrupted})
		default:
			s.launch(s.processingLife(j))
		}
		if err != nil {
			return fmt.Errorf("resume processing job %s: %w", name, err)
		}
	}
	return nil
}

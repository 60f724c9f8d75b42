package localcloud

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/cloudformation"
	"github.com/millrace-ml/millrace/localcloud/ecr"
	"github.com/millrace-ml/millrace/localcloud/eventbridge"
	"github.com/millrace-ml/millrace/localcloud/eventbridge/policy"
	"github.com/millrace-ml/millrace/localcloud/iam"
	"github.com/millrace-ml/millrace/localcloud/lambda"
	"github.com/millrace-ml/millrace/localcloud/logs"
	"github.com/millrace-ml/millrace/localcloud/s3"
	"github.com/millrace-ml/millrace/localcloud/sagemaker"
	"github.com/millrace-ml/millrace/localcloud/service"
	"github.com/millrace-ml/millrace/localcloud/sns"
	"github.com/millrace-ml/millrace/localcloud/sqs"
	"github.com/millrace-ml/millrace/localcloud/ssm"
	"github.com/millrace-ml/millrace/localcloud/stepfunctions"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// openServices opens every service and tells each of what it needs. What is
// opened later is closed earlier: those that deliver and start things stop
// before those that keep things.
func (c *Cloud) openServices() error {
	for _, open := range []func() error{c.openIAM, c.openS3, c.openSSM, c.openECR, c.openLogs, c.openSQS, c.openSNS, c.openLambda, c.openSageMaker, c.openStepFunctions, c.openEventBridge, c.openCloudFormation} {
		if err := open(); err != nil {
			return err
		}
	}
	return nil
}

// base is what every service is given.
func (c *Cloud) base(name string) service.Base {
	return service.Base{Account: c.o.Account, Region: c.o.Region, Clock: c.o.Clock, Store: c.store, Log: c.log.With("service", name), Authorize: c.iam.Authorize}
}

// opened puts a service into the routing table, starts it with the cloud, and
// closes it with the cloud when there is something to close.
func (c *Cloud) opened(s interface{ Wire() *wire.Service }, err error, start ...func(context.Context) error) error {
	if err != nil {
		return err
	}
	w := s.Wire()
	c.add(w)
	if s, ok := s.(io.Closer); ok {
		c.onClose(w.Name, s.Close)
	}
	c.starts = append(c.starts, start...)
	return nil
}

func (c *Cloud) openIAM() (err error) {
	c.iam, err = iam.New(iam.Options{Account: c.o.Account, Region: c.o.Region, Clock: c.o.Clock, Store: c.store, Log: c.log.With("service", "iam")})
	if err != nil {
		return err
	}
	c.add(c.iam.Wire())
	c.add(c.iam.STS())
	return nil
}

func (c *Cloud) openS3() (err error) {
	c.s3, err = s3.New(s3.Options{Dir: filepath.Join(c.dir, "s3"), NoSync: c.o.Ephemeral, Account: c.o.Account, Region: c.o.Region, Clock: c.o.Clock,
		Log: c.log.With("service", "s3"), SecretFor: c.iam.SecretFor, Evaluate: c.iam.Evaluate, Emit: c.Emit})
	return c.opened(c.s3, err)
}

func (c *Cloud) openSSM() error { return c.opened(ssm.New(c.base("ssm"))) }

func (c *Cloud) openECR() error { return c.opened(ecr.New(c.base("ecr"))) }

func (c *Cloud) openLogs() (err error) {
	c.logs, err = logs.New(c.base("logs"))
	return c.opened(c.logs, err)
}

func (c *Cloud) openSQS() error {
	return c.opened(sqs.New(sqs.Options{Base: c.base("sqs"), Endpoint: c.Endpoint, PolicyAllows: policy.Allows}))
}

func (c *Cloud) openSNS() error {
	s, err := sns.New(sns.Options{Base: c.base("sns"), Call: c.Call, PolicyAllows: policy.Allows})
	return c.opened(s, err, func(context.Context) error { return s.Start() })
}

// assume gives a service of AWS the credentials of the roles that trust it.
func (c *Cloud) assume(service string) func(roleARN, session, sourceARN string) (accessKey, secretKey, token string, err error) {
	return func(roleARN, session, sourceARN string) (string, string, string, error) {
		return c.iam.AssumeRoleAs(service, sourceARN, roleARN, session)
	}
}

// become makes a service of AWS the role that trusts it.
func (c *Cloud) become(service string) func(roleARN, session, sourceARN string) (wire.Caller, error) {
	assume := c.assume(service)
	return func(roleARN, session, sourceARN string) (wire.Caller, error) {
		key, _, _, err := assume(roleARN, session, sourceARN)
		if err != nil {
			return wire.Caller{}, err
		}
		_, _, caller, ok := c.iam.SecretFor(key)
		if !ok {
			return wire.Caller{}, fmt.Errorf("assume role %s: its session is gone", roleARN)
		}
		return caller, nil
	}
}

func (c *Cloud) openLambda() (err error) {
	var waits []time.Duration // seconds
	if _, ok := c.o.Clock.(clock.Kept); ok {
		waits = []time.Duration{time.Minute, 2 * time.Minute} // as on AWS, since nobody has to sit through them
	}
	c.lambda, err = lambda.New(lambda.Options{Base: c.base("lambda"), Dir: filepath.Join(c.dir, "lambda"), AsyncRetryWaits: waits,
		Call: c.Call, Objects: c.s3, AssumeRole: c.assume("lambda.amazonaws.com"), LogWriter: c.logs.Writer, Endpoint: c.Endpoint, Faults: c.faults})
	return c.opened(c.lambda, err, c.lambda.Resume)
}

func (c *Cloud) openSageMaker() error {
	s, err := sagemaker.New(sagemaker.Options{Base: c.base("sagemaker"), Dir: filepath.Join(c.dir, "jobs"), Objects: c.s3, AssumeRole: c.assume("sagemaker.amazonaws.com"),
		Emit: c.Emit, LogWriter: c.logs.Writer, Images: c.o.Images, Endpoint: c.Endpoint, Faults: c.faults})
	return c.opened(s, err, s.Start)
}

func (c *Cloud) openStepFunctions() error {
	s, err := stepfunctions.New(stepfunctions.Options{Base: c.base("states"), Call: c.Call, Emit: c.Emit, Serves: c.Serves, Members: c.Members})
	c.jobChanged = s.Changed
	return c.opened(s, err, s.Start)
}

func (c *Cloud) openEventBridge() error {
	s, err := eventbridge.New(eventbridge.Options{Base: c.base("events"), Call: c.Call, Faults: c.faults})
	c.emit = s.Emit
	return c.opened(s, err, func(context.Context) error { s.Start(); return nil })
}

func (c *Cloud) openCloudFormation() error {
	s, err := cloudformation.New(cloudformation.Options{Base: c.base("cloudformation"), Call: c.Call, Objects: c.s3, Assume: c.become("cloudformation.amazonaws.com")})
	return c.opened(s, err, s.Resume)
}

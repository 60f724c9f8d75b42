package localcloud

import (
	"context"
	"fmt"
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

func (c *Cloud) openIAM() (err error) {
	c.iam, err = iam.New(iam.Options{Account: c.o.Account, Region: c.o.Region, Clock: c.o.Clock, Store: c.store, Log: c.log.With("service", "iam")})
	if err != nil {
		return err
	}
	c.add(c.iam.Wire())
	c.add(c.iam.STS())
	c.onClose("iam", c.iam.Close)
	return nil
}

func (c *Cloud) openS3() (err error) {
	c.s3, err = s3.New(s3.Options{Dir: filepath.Join(c.dir, "s3"), NoSync: c.o.Ephemeral, Account: c.o.Account, Region: c.o.Region, Clock: c.o.Clock,
		Log: c.log.With("service", "s3"), SecretFor: c.iam.SecretFor, Evaluate: c.iam.Evaluate, Emit: c.Emit})
	if err != nil {
		return err
	}
	c.add(c.s3.Wire())
	c.onClose("s3", c.s3.Close)
	return nil
}

func (c *Cloud) openSSM() error {
	s, err := ssm.New(ssm.Options{Account: c.o.Account, Region: c.o.Region, Clock: c.o.Clock, Store: c.store, Log: c.log.With("service", "ssm"), Authorize: c.iam.Authorize})
	if err != nil {
		return err
	}
	c.add(s.Wire())
	c.onClose("ssm", s.Close)
	return nil
}

func (c *Cloud) openECR() error {
	s, err := ecr.New(ecr.Options{Account: c.o.Account, Region: c.o.Region, Clock: c.o.Clock, Store: c.store, Log: c.log.With("service", "ecr"), Authorize: c.iam.Authorize})
	if err != nil {
		return err
	}
	c.add(s.Wire())
	c.onClose("ecr", s.Close)
	return nil
}

func (c *Cloud) openLogs() (err error) {
	c.logs, err = logs.New(logs.Options{Account: c.o.Account, Region: c.o.Region, Clock: c.o.Clock, Store: c.store, Log: c.log.With("service", "logs"), Authorize: c.iam.Authorize})
	if err != nil {
		return err
	}
	c.add(c.logs.Wire())
	c.onClose("logs", c.logs.Close)
	return nil
}

func (c *Cloud) openSQS() error {
	s, err := sqs.New(sqs.Options{Account: c.o.Account, Region: c.o.Region, Clock: c.o.Clock, Store: c.store, Log: c.log.With("service", "sqs"),
		Authorize: c.iam.Authorize, Endpoint: c.Endpoint, PolicyAllows: policy.Allows})
	if err != nil {
		return err
	}
	c.add(s.Wire())
	c.onClose("sqs", s.Close)
	return nil
}

func (c *Cloud) openSNS() error {
	s, err := sns.New(sns.Options{Account: c.o.Account, Region: c.o.Region, Clock: c.o.Clock, Store: c.store, Log: c.log.With("service", "sns"),
		Authorize: c.iam.Authorize, Call: c.Call, PolicyAllows: policy.Allows})
	if err != nil {
		return err
	}
	c.add(s.Wire())
	c.onClose("sns", s.Close)
	c.onStart(func(context.Context) error { return s.Start() })
	return nil
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

func (c *Cloud) openLambda() error {
	var waits []time.Duration // seconds
	if _, ok := c.o.Clock.(clock.Kept); ok {
		waits = []time.Duration{time.Minute, 2 * time.Minute} // as on AWS, since nobody has to sit through them
	}
	s, err := lambda.New(lambda.Options{Dir: filepath.Join(c.dir, "lambda"), AsyncRetryWaits: waits, Account: c.o.Account, Region: c.o.Region, Clock: c.o.Clock, Store: c.store, Log: c.log.With("service", "lambda"),
		Authorize: c.iam.Authorize, Call: c.Call, Objects: c.s3, AssumeRole: c.assume("lambda.amazonaws.com"), LogWriter: c.logs.Writer, Endpoint: c.Endpoint, Faults: c.faults})
	if err != nil {
		return err
	}
	c.lambda = s
	c.add(s.Wire())
	c.onClose("lambda", s.Close)
	c.onStart(s.Resume)
	return nil
}

func (c *Cloud) openSageMaker() error {
	s, err := sagemaker.New(sagemaker.Options{Dir: filepath.Join(c.dir, "jobs"), Account: c.o.Account, Region: c.o.Region, Clock: c.o.Clock, Store: c.store, Log: c.log.With("service", "sagemaker"),
		Authorize: c.iam.Authorize, Objects: c.s3, AssumeRole: c.assume("sagemaker.amazonaws.com"), Emit: c.Emit, LogWriter: c.logs.Writer, Images: c.o.Images, Endpoint: c.Endpoint, Faults: c.faults})
	if err != nil {
		return err
	}
	c.add(s.Wire())
	c.onClose("sagemaker", s.Close)
	c.onStart(s.Start)
	return nil
}

func (c *Cloud) openStepFunctions() error {
	s, err := stepfunctions.New(stepfunctions.Options{Account: c.o.Account, Region: c.o.Region, Clock: c.o.Clock, Store: c.store, Log: c.log.With("service", "states"),
		Authorize: c.iam.Authorize, Call: c.Call, Emit: c.Emit, Serves: c.Serves, Members: c.Members})
	if err != nil {
		return err
	}
	c.add(s.Wire())
	c.jobChanged = s.Changed
	c.onClose("states", s.Close)
	c.onStart(s.Start)
	return nil
}

func (c *Cloud) openEventBridge() error {
	s, err := eventbridge.New(eventbridge.Options{Account: c.o.Account, Region: c.o.Region, Clock: c.o.Clock, Store: c.store, Log: c.log.With("service", "events"),
		Authorize: c.iam.Authorize, Call: c.Call, Faults: c.faults})
	if err != nil {
		return err
	}
	c.add(s.Wire())
	c.emit = s.Emit
	c.onClose("events", s.Close)
	c.onStart(func(context.Context) error { s.Start(); return nil })
	return nil
}

func (c *Cloud) openCloudFormation() error {
	s, err := cloudformation.New(cloudformation.Options{Account: c.o.Account, Region: c.o.Region, Clock: c.o.Clock, Store: c.store, Log: c.log.With("service", "cloudformation"),
		Authorize: c.iam.Authorize, Call: c.Call, Objects: c.s3, Assume: c.become("cloudformation.amazonaws.com")})
	if err != nil {
		return err
	}
	c.add(s.Wire())
	c.onClose("cloudformation", s.Close)
	c.onStart(s.Resume)
	return nil
}

// Package runstest is the Step Functions and the SageMaker that runs need, in
// memory and with faults. No program links it.
package runstest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/ledger/ledgertest"
)

func fail(code, message string) error { return &smithy.GenericAPIError{Code: code, Message: message} }

// Answer is what a task token was told.
type Answer struct {
	Output string // of a success
	Error  string // of a failure
	Cause  string
}

// States is Step Functions: executions by name, and task tokens.
type States struct {
	Faults *ledgertest.Faults
	// Told, when set, is called as soon as a token was told a success: what comes
	// after the waiting state may be under way before SendTaskSuccess returns.
	Told func(token string)

	mu         sync.Mutex
	executions map[string]string // input by name
	ended      map[string]events.ExecutionStatusChange
	open       map[string]bool // tokens; false: the wait is over
	answers    map[string]Answer
	tokens     int
}

// NewStates makes a Step Functions that runs nothing.
func NewStates() *States {
	return &States{executions: map[string]string{}, ended: map[string]events.ExecutionStatusChange{}, open: map[string]bool{}, answers: map[string]Answer{}}
}

func (s *States) do(name string, call func() error) error {
	return s.Faults.Do(name, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		return call()
	})
}

// StartExecution starts an execution; the same name again is the same one while
// it runs with the same input, and an error after.
func (s *States) StartExecution(_ context.Context, in *sfn.StartExecutionInput, _ ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error) {
	name := aws.ToString(in.Name)
	err := s.do("StartExecution "+name, func() error {
		input, there := s.executions[name]
		_, ended := s.ended[name]
		if there && (ended || input != aws.ToString(in.Input)) {
			return fail("ExecutionAlreadyExists", name)
		}
		s.executions[name] = aws.ToString(in.Input)
		return nil
	})
	return &sfn.StartExecutionOutput{ExecutionArn: aws.String("arn:aws:states:us-east-1:000000000000:execution:millrace-pipeline:" + name)}, err
}

// DescribeExecution tells how far an execution is, by its ARN.
func (s *States) DescribeExecution(_ context.Context, in *sfn.DescribeExecutionInput, _ ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error) {
	name := (*in.ExecutionArn)[strings.LastIndexByte(*in.ExecutionArn, ':')+1:]
	out := &sfn.DescribeExecutionOutput{ExecutionArn: in.ExecutionArn, Status: types.ExecutionStatusRunning}
	err := s.do("DescribeExecution "+name, func() error {
		if _, there := s.executions[name]; !there {
			return fail("ExecutionDoesNotExist", name)
		}
		if e, ended := s.ended[name]; ended {
			out.Status, out.StopDate = types.ExecutionStatus(e.Status), aws.Time(e.Stopped.Time)
			if e.Error != "" {
				out.Error, out.Cause = &e.Error, &e.Cause
			}
		}
		return nil
	})
	return out, err
}

// Executions are the names of the executions that were started, sorted.
func (s *States) Executions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.executions))
}

// Input is an execution's input.
func (s *States) Input(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.executions[name]
}

// End ends an execution, as the event of its end tells.
func (s *States) End(e events.ExecutionStatusChange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended[e.Name] = e
}

// Forget makes an execution one that never was.
func (s *States) Forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.executions, name)
	delete(s.ended, name)
}

// Token opens a wait and gives its token.
func (s *States) Token() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens++
	t := fmt.Sprintf("token-%d", s.tokens)
	s.open[t] = true
	return t
}

// Close ends a wait that nobody answered: it timed out, or its state tries again.
func (s *States) Close(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[token] = false
}

// Answer is what a token was told; ok is false while it waits.
func (s *States) Answer(token string) (a Answer, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok = s.answers[token]
	return a, ok
}

func (s *States) answer(token string, a Answer) error {
	open, known := s.open[token]
	if !known {
		return fail("InvalidToken", token)
	}
	if !open {
		return fail("TaskTimedOut", token)
	}
	s.open[token], s.answers[token] = false, a
	return nil
}

// SendTaskSuccess answers a token once.
func (s *States) SendTaskSuccess(_ context.Context, in *sfn.SendTaskSuccessInput, _ ...func(*sfn.Options)) (*sfn.SendTaskSuccessOutput, error) {
	err := s.do("SendTaskSuccess "+*in.TaskToken, func() error { return s.answer(*in.TaskToken, Answer{Output: *in.Output}) })
	if err == nil && s.Told != nil {
		s.Told(*in.TaskToken)
	}
	return &sfn.SendTaskSuccessOutput{}, err
}

// SendTaskFailure answers a token once.
func (s *States) SendTaskFailure(_ context.Context, in *sfn.SendTaskFailureInput, _ ...func(*sfn.Options)) (*sfn.SendTaskFailureOutput, error) {
	err := s.do("SendTaskFailure "+*in.TaskToken, func() error {
		return s.answer(*in.TaskToken, Answer{Error: *in.Error, Cause: *in.Cause})
	})
	return &sfn.SendTaskFailureOutput{}, err
}

package stepfunctions

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/millrace-ml/millrace/localcloud/asl"
	"github.com/millrace-ml/millrace/localcloud/service"
	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
	"github.com/millrace-ml/millrace/localcloud/wire/model"
)

// Options are what Step Functions needs of its surroundings.
type Options struct {
	service.Base
	// Call runs an operation of another service; the caller is in ctx.
	Call func(ctx context.Context, service, operation string, input []byte) ([]byte, error)
	// Emit puts an event of an AWS service onto the default bus; nil drops it.
	Emit func(ctx context.Context, source, detailType string, resources []string, detail any)
	// Serves tells whether an operation exists, so that a task that calls
	// another is refused at creation; nil says yes.
	Serves func(service, operation string) bool
	// Members names the members of an operation's input, where no service model
	// tells; nil leaves them unchecked.
	Members func(service, operation string) []string
}

// StepFunctions is the service.
type StepFunctions struct {
	o        Options
	svc      *wire.Service
	engine   *asl.Engine
	machines *store.Table[machineRecord]
	// executions holds records under "e/<arn>" and batches of their events under
	// "h/<arn>/<first id>", in one table so that one transaction writes both.
	executions  *store.Table[json.RawMessage]
	definitions *store.Table[string] // by digest
	versions    *store.Table[versionRecord]
	aliases     *store.Table[aliasRecord]

	mu     sync.Mutex // machines, and the names of executions
	parsed sync.Map   // digest → *asl.Machine
	news   *announcer
	watch  watchers
}

// New makes the service; Start takes up what a former process left.
func New(o Options) (*StepFunctions, error) {
	if o.Emit == nil {
		o.Emit = func(context.Context, string, string, []string, any) {}
	}
	if o.Call == nil {
		o.Call = func(_ context.Context, service, operation string, _ []byte) ([]byte, error) {
			return nil, wire.Errorf("UnknownOperationException", "no service answers %s:%s", service, operation)
		}
	}
	s := &StepFunctions{o: o}
	var err error
	if s.machines, err = store.NewTable[machineRecord](o.Store, "states/machines"); err != nil {
		return nil, err
	}
	if s.executions, err = store.NewTable[json.RawMessage](o.Store, "states/executions"); err != nil {
		return nil, err
	}
	if s.definitions, err = store.NewTable[string](o.Store, "states/definitions"); err != nil {
		return nil, err
	}
	if s.versions, err = store.NewTable[versionRecord](o.Store, "states/versions"); err != nil {
		return nil, err
	}
	if s.aliases, err = store.NewTable[aliasRecord](o.Store, "states/aliases"); err != nil {
		return nil, err
	}
	s.engine = asl.NewEngine(asl.EngineOptions{
		Clock: o.Clock, Log: o.Log, Keep: s.keep, Tasks: runner{s},
		Sources: asl.Sources{TaskID: s.newToken, UUID: uuid.NewString, Rand: mathrand.Float64},
	})
	s.news = newAnnouncer(s)
	s.svc = &wire.Service{Name: "states", Protocol: wire.JSON10, Target: "AWSStepFunctions", Lower: true, Authorize: o.Authorize, Log: o.Log, Model: model.Of("states")}
	s.addMachineOps()
	s.addExecutionOps()
	s.addTaskOps()
	s.addVersionOps()
	return s, nil
}

// Wire is the service's routing table.
func (s *StepFunctions) Wire() *wire.Service { return s.svc }

// Start resumes the executions that were running, and announces ends that were
// not announced. Call it once the other services answer.
func (s *StepFunctions) Start(ctx context.Context) error {
	var running, ended []execution
	err := s.executions.Scan("e/", func(_ string, raw json.RawMessage) bool {
		var e execution
		if json.Unmarshal(raw, &e) != nil {
			s.o.Log.Error("execution record is damaged and left alone")
			return true
		}
		switch {
		case e.Status == asl.Running:
			running = append(running, e)
		case !e.Announced:
			ended = append(ended, e)
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("start step functions: %w", err)
	}
	for _, e := range ended {
		s.news.add(e)
	}
	for _, e := range running {
		if err := ctx.Err(); err != nil {
			return err
		}
		m, err := s.machine(e.Digest)
		if err == nil {
			err = s.engine.Resume(m, e.Snapshot)
		}
		if err != nil {
			s.o.Log.Error("execution cannot be resumed and fails", "execution_arn", e.Info.ARN, "error", err)
			if err := s.giveUp(e, err); err != nil {
				return fmt.Errorf("start step functions: %w", err)
			}
			continue
		}
		s.o.Log.Info("execution resumed", "execution_arn", e.Info.ARN)
	}
	return nil
}

// giveUp fails an execution that cannot be resumed, so that it does not run for ever.
func (s *StepFunctions) giveUp(e execution, reason error) error {
	events, err := s.events(e.Info.ARN)
	if err != nil {
		s.o.Log.Error("history is damaged", "execution_arn", e.Info.ARN, "error", err)
	}
	f := asl.Failure{Error: "States.Runtime", Cause: "The local cloud could not take this execution up after a restart: " + reason.Error()}
	end := asl.Event{ID: 1, Time: s.o.Clock.Now(), Type: asl.ExecutionFailed, Error: &f.Error, Cause: &f.Cause}
	if len(events) > 0 {
		end.Previous = events[len(events)-1].ID
		end.ID = end.Previous + 1
	}
	return s.keep(asl.Update{Info: e.Info, Status: asl.Failed, Events: []asl.Event{end}, Failure: &f, At: end.Time})
}

// Close stops all executions where they are; Start of the next process takes
// them up.
func (s *StepFunctions) Close() error {
	s.engine.Close()
	s.news.close()
	return nil
}

// machine is a parsed definition by digest.
func (s *StepFunctions) machine(digest string) (*asl.Machine, error) {
	if m, ok := s.parsed.Load(digest); ok {
		return m.(*asl.Machine), nil
	}
	text, ok, err := s.definitions.Get(digest)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("definition %s is missing", digest)
	}
	m, err := asl.Parse([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("parse definition %s: %w", digest, err)
	}
	s.parsed.Store(digest, m)
	return m, nil
}

func (s *StepFunctions) arn(kind, rest string) string {
	return "arn:aws:states:" + s.o.Region + ":" + s.o.Account + ":" + kind + ":" + rest
}

// newToken makes a task token that names its execution, so that a closed task
// can be told from one that never was.
func (s *StepFunctions) newToken(executionARN string) string {
	return base64.StdEncoding.EncodeToString([]byte("1|" + executionARN + "|" + uuid.NewString()))
}

func executionOfToken(token string) (string, bool) {
	parts, ok := partsOfToken(token)
	if !ok {
		return "", false
	}
	return parts[1], true
}

func partsOfToken(token string) ([]string, bool) {
	raw, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return nil, false
	}
	parts := strings.Split(string(raw), "|")
	return parts, len(parts) == 3 && parts[0] == "1" && strings.Contains(parts[1], ":execution:")
}

// page cuts a list by AWS's maxResults and nextToken.
func page[T any](list []T, nameOf func(T) string, maxResults int32, most int, token *string) ([]T, *string, error) {
	n := int(maxResults)
	if n == 0 {
		n = most
	}
	part, next, ok := wire.Page(list, nameOf, n, token)
	if !ok {
		return nil, nil, wire.Errorf("InvalidToken", "Invalid Token: 'Invalid token'")
	}
	return part, next, nil
}

func validation(member, value, constraint string) *wire.Error {
	return wire.Errorf("ValidationException",
		"1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s", value, member, constraint)
}

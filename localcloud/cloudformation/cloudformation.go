package cloudformation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/millrace-ml/millrace/localcloud/service"
	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
	"github.com/millrace-ml/millrace/localcloud/wire/model"
)

// Objects is S3, for buckets and for templates in a bucket.
type Objects interface {
	List(ctx context.Context, bucket, prefix string) ([]string, error)
	Open(ctx context.Context, bucket, key, versionID string) (io.ReadCloser, int64, error)
	CreateBucket(ctx context.Context, bucket string) error
	DeleteBucket(ctx context.Context, bucket string) error
	SetVersioning(ctx context.Context, bucket string, on bool) error
	SetEventBridge(ctx context.Context, bucket string, on bool) error
	SetPolicy(ctx context.Context, bucket, policyJSON string) error
	HasBucket(ctx context.Context, bucket string) (bool, error)
	Tag(ctx context.Context, bucket string, tags map[string]string) error
}

// Options say what the service works with; Store, Clock, Call and Objects are needed.
type Options struct {
	service.Base
	// Call runs an operation of another service, as the caller in ctx.
	Call    func(ctx context.Context, service, operation string, input []byte) ([]byte, error)
	Objects Objects
	// Assume is who the service becomes with a role, for a stack; nil believes
	// every role.
	Assume func(roleARN, session, stackARN string) (wire.Caller, error)
}

// CloudFormation is the service.
type CloudFormation struct {
	o       Options
	stacks  *store.Table[stack]
	changes *store.Table[changeSet]
	events  *store.Table[event]
	svc     *wire.Service

	ctx    context.Context //nolint:containedctx // ends with Close; stack operations outlive their request
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex // held while an operation on a stack is begun
	closed bool
}

// New opens the service on its state; Resume takes up interrupted operations.
func New(o Options) (*CloudFormation, error) {
	c := &CloudFormation{o: o}
	var err error
	if c.stacks, err = store.NewTable[stack](o.Store, "cloudformation/stacks"); err != nil {
		return nil, err
	}
	if c.changes, err = store.NewTable[changeSet](o.Store, "cloudformation/changesets"); err != nil {
		return nil, err
	}
	if c.events, err = store.NewTable[event](o.Store, "cloudformation/events"); err != nil {
		return nil, err
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.svc = c.operations()
	return c, nil
}

// Wire is the service's table of operations.
func (c *CloudFormation) Wire() *wire.Service { return c.svc }

// Close interrupts running operations, between two resources where it can, and
// waits for them. What was interrupted is taken up by Resume of the next start.
func (c *CloudFormation) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
	return nil
}

func (c *CloudFormation) operations() *wire.Service {
	s := &wire.Service{
		Name: "cloudformation", Protocol: wire.Query, Version: "2010-05-15", Namespace: "http://cloudformation.amazonaws.com/doc/2010-05-15/",
		Log: c.o.Log, Authorize: c.o.Authorize, Model: model.Of("cloudformation"),
	}
	s.Add(
		wire.On(wire.Op("CreateStack", c.createStack), c.onCreate),
		wire.On(wire.Op("UpdateStack", c.updateStack), c.onUpdate),
		wire.On(wire.Op("DeleteStack", c.deleteStack), c.onDelete),
		wire.Op("DescribeStacks", c.describeStacks),
		wire.Op("ListStacks", c.listStacks),
		wire.Op("DescribeStackEvents", c.describeStackEvents),
		wire.Op("DescribeStackResource", c.describeStackResource),
		wire.Op("DescribeStackResources", c.describeStackResources),
		wire.Op("ListStackResources", c.listStackResources),
		wire.Op("GetTemplate", c.getTemplate),
		wire.Op("GetTemplateSummary", c.getTemplateSummary),
		wire.Op("ValidateTemplate", c.validateTemplate),
		wire.Op("CreateChangeSet", c.createChangeSet),
		wire.Op("DescribeChangeSet", c.describeChangeSet),
		wire.Op("ListChangeSets", c.listChangeSets),
		wire.Op("ExecuteChangeSet", c.executeChangeSet),
		wire.Op("DeleteChangeSet", c.deleteChangeSet),
		wire.Op("UpdateTerminationProtection", c.updateTerminationProtection),
		wire.Op("ListExports", c.listExports),
		wire.Op("ListImports", c.listImports),
	)
	return s
}

func invalid(format string, args ...any) *wire.Error {
	return wire.Errorf("ValidationError", format, args...)
}

// stack is what the store keeps of a stack. Resources change as an operation
// goes on; Prior is how everything was when an update began.
type stack struct {
	ID, Name       string
	Status         string
	Reason         string
	Created        time.Time
	Updated        time.Time
	Deleted        time.Time
	Template       string
	Description    string
	Parameters     map[string]string
	Fetched        map[string]string // of parameters that name one of the parameter store
	Tags           map[string]string
	Capabilities   []string
	Role           string
	Protected      bool
	OnFailure      string // ROLLBACK, DELETE or DO_NOTHING
	ExceptOnCreate bool   // a creation that is undone keeps nothing
	ChangeSet      string
	Outputs        []stackOutput
	Resources      map[string]*resourceRecord
	Prior          *generation
	RetainNow      []string // resources a DeleteStack leaves alone
	Imports        []string // resources that the operation takes into the stack
	ImportedValues []string // exports of other stacks that it uses, sorted
	Caller         wire.Caller
	Token          string
	Sequence       int // of its events

	patient bool // an operation goes on in the background: it waits where the disk is full
}

// generation is the part of a stack that an update changes.
type generation struct {
	Template     string
	Description  string
	Parameters   map[string]string
	Fetched      map[string]string
	Tags         map[string]string
	Capabilities []string
	Role         string
	Outputs      []stackOutput
	Resources    map[string]*resourceRecord
}

type stackOutput struct{ Key, Value, Description, Export string }

// resourceRecord is a resource that was created, or is being created.
type resourceRecord struct {
	Type       string
	Name       string // generated for resources that have or need a name
	ID         string // physical id; "" until it exists
	Ref        string
	Attributes map[string]string
	Properties values // resolved
	Attempted  values // what an update that has not succeeded set
	Status     string
	Reason     string
	Time       time.Time
	Generation int    // counts replacements
	Delete     string // DeletionPolicy
	Replace    string // UpdateReplacePolicy
	Metadata   string
	Order      int  // of creation
	Imported   bool // was there before the stack
}

// values are properties that keep their numbers' text in the store.
type values map[string]any

// UnmarshalJSON reads numbers as json.Number.
func (v *values) UnmarshalJSON(raw []byte) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return d.Decode((*map[string]any)(v))
}

type event struct {
	ID, Stack, StackName              string
	Logical, Physical, Type           string
	Status, Reason, Properties, Token string
	Time                              time.Time
}

func (s *stack) generation() *generation {
	g := &generation{Template: s.Template, Description: s.Description, Parameters: s.Parameters, Fetched: s.Fetched, Tags: s.Tags, Capabilities: s.Capabilities,
		Role: s.Role, Outputs: s.Outputs, Resources: map[string]*resourceRecord{}}
	for k, r := range s.Resources {
		copied := *r
		g.Resources[k] = &copied
	}
	return g
}

func (s *stack) revert(g *generation) {
	s.Template, s.Description, s.Parameters, s.Fetched, s.Tags = g.Template, g.Description, g.Parameters, g.Fetched, g.Tags
	s.Capabilities, s.Role, s.Outputs = g.Capabilities, g.Role, g.Outputs
}

func (s *stack) busy() bool {
	return strings.HasSuffix(s.Status, "_IN_PROGRESS") && s.Status != "REVIEW_IN_PROGRESS"
}

// find reads a stack by name (the living one) or id.
func (c *CloudFormation) find(nameOrID string) (*stack, error) {
	if strings.HasPrefix(nameOrID, "arn:") {
		s, ok, err := c.stacks.Get(nameOrID)
		if err != nil {
			return nil, err
		}
		if ok {
			return &s, nil
		}
	}
	var found *stack
	err := c.stacks.Scan("", func(_ string, s stack) bool {
		if s.Name == nameOrID && s.Status != "DELETE_COMPLETE" {
			found = &s
		}
		return found == nil
	})
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, invalid("Stack with id %s does not exist", nameOrID)
	}
	return found, nil
}

// named is find for the operations that say it in other words when there is none.
func (c *CloudFormation) named(nameOrID string) (*stack, error) {
	s, err := c.find(nameOrID)
	if err != nil && wire.HasCode(err, "ValidationError") {
		return nil, invalid("Stack [%s] does not exist", nameOrID)
	}
	return s, err
}

// save writes the stack; a state that cannot be written stops the operation loudly.
func (c *CloudFormation) save(s *stack) error {
	stacks := c.stacks
	if s.patient {
		stacks = stacks.Patient(c.ctx)
	}
	if err := stacks.Put(s.ID, *s); err != nil {
		return fmt.Errorf("save stack %s: %w", s.Name, err)
	}
	return nil
}

// note changes the status of the stack (logical "") or of a resource, writes
// the event of it, and saves.
func (c *CloudFormation) note(s *stack, logical, status, reason string) error {
	now := c.o.Clock.Now()
	e := event{Stack: s.ID, StackName: s.Name, Logical: s.Name, Physical: s.ID, Type: "AWS::CloudFormation::Stack",
		Status: status, Reason: reason, Time: now, Token: s.Token}
	if logical == "" {
		s.Status, s.Reason = status, reason
		if status == "UPDATE_IN_PROGRESS" || status == "UPDATE_ROLLBACK_IN_PROGRESS" || status == "ROLLBACK_IN_PROGRESS" {
			s.Updated = now
		}
		if status == "DELETE_COMPLETE" {
			s.Deleted = now
		}
		e.ID = uuid.NewString()
	} else {
		r := s.Resources[logical]
		r.Status, r.Reason, r.Time = status, reason, now
		e.Logical, e.Physical, e.Type = logical, r.ID, r.Type
		e.ID = fmt.Sprintf("%s-%s-%04d", logical, status, s.Sequence)
		if r.Properties != nil {
			e.Properties = canonical(r.Properties)
		}
	}
	s.Sequence++
	events := c.events
	if s.patient {
		events = events.Patient(c.ctx)
	}
	if err := events.Put(fmt.Sprintf("%s/%08d", s.ID, s.Sequence), e); err != nil {
		return fmt.Errorf("write event of stack %s: %w", s.Name, err)
	}
	level := slog.LevelDebug
	switch {
	case strings.HasSuffix(status, "_FAILED"):
		level = slog.LevelError
	case logical == "":
		level = slog.LevelInfo
	}
	c.o.Log.Log(c.ctx, level, "stack event", "stack", s.Name, "resource", logical, "status", status, "reason", reason)
	return c.save(s)
}

// Package ssm is the parameter store of AWS Systems Manager in the local cloud:
// plain parameters of the standard tier, with versions and tags. Secure
// parameters need KMS, and are refused; so are the advanced tier and policies.
package ssm

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/millrace-ml/millrace/localcloud/service"
	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
	"github.com/millrace-ml/millrace/localcloud/wire/model"
)

// SSM is the service.
type SSM struct {
	o          service.Base
	mu         sync.Mutex // held over reading and writing a parameter
	parameters *store.Table[parameter]
}

// parameter is a parameter as kept.
type parameter struct {
	Name        string
	Description string `json:",omitempty"`
	Pattern     string `json:",omitempty"`
	User        string
	Tags        map[string]string `json:",omitempty"`
	Versions    []version         // at most keptVersions, the oldest first
}

type version struct {
	Number   int64
	Type     string
	Value    string
	Modified time.Time
}

func (p *parameter) newest() version { return p.Versions[len(p.Versions)-1] }

// AWS's limits.
const (
	maxValue     = 4096 // bytes, in the standard tier
	maxName      = 1011 // characters
	maxLevels    = 15
	keptVersions = 100
	maxTags      = 50
)

// New opens the service on its state.
func New(o service.Base) (*SSM, error) {
	t, err := store.NewTable[parameter](o.Store, "ssm/parameters")
	if err != nil {
		return nil, err
	}
	return &SSM{o: o, parameters: t}, nil
}

// Wire is the service's table of operations.
func (s *SSM) Wire() *wire.Service {
	w := &wire.Service{Name: "ssm", Protocol: wire.JSON11, Target: "AmazonSSM", Authorize: s.o.Authorize, Log: s.o.Log, Model: model.Of("ssm")}
	on := func(names ...string) []string {
		arns := make([]string, len(names))
		for i, n := range names {
			name, _, _ := s.selected(n)
			arns[i] = s.arn(name)
		}
		return arns
	}
	w.Add(
		wire.On(wire.Op("PutParameter", s.put), func(in *awsssm.PutParameterInput) []string { return on(aws.ToString(in.Name)) }),
		wire.On(wire.Op("GetParameter", s.get), func(in *awsssm.GetParameterInput) []string { return on(aws.ToString(in.Name)) }),
		wire.On(wire.Op("GetParameters", s.getSeveral), func(in *awsssm.GetParametersInput) []string { return on(in.Names...) }),
		wire.On(wire.Op("DeleteParameter", s.remove), func(in *awsssm.DeleteParameterInput) []string { return on(aws.ToString(in.Name)) }),
		wire.On(wire.Op("DeleteParameters", s.removeSeveral), func(in *awsssm.DeleteParametersInput) []string { return on(in.Names...) }),
		wire.Op("DescribeParameters", s.describe),
		wire.On(wire.Op("AddTagsToResource", s.tag), func(in *awsssm.AddTagsToResourceInput) []string { return on(aws.ToString(in.ResourceId)) }),
		wire.On(wire.Op("RemoveTagsFromResource", s.untag), func(in *awsssm.RemoveTagsFromResourceInput) []string { return on(aws.ToString(in.ResourceId)) }),
		wire.On(wire.Op("ListTagsForResource", s.listTags), func(in *awsssm.ListTagsForResourceInput) []string { return on(aws.ToString(in.ResourceId)) }),
	)
	return w
}

func (s *SSM) arn(name string) string {
	return "arn:aws:ssm:" + s.o.Region + ":" + s.o.Account + ":parameter/" + strings.TrimPrefix(name, "/")
}

// selected takes a parameter's name, or its ARN, and the selector behind it apart.
func (s *SSM) selected(text string) (name, selector string, err error) {
	name = text
	if rest, ok := strings.CutPrefix(text, "arn:aws:ssm:"); ok {
		prefix := s.o.Region + ":" + s.o.Account + ":parameter/"
		if name, ok = strings.CutPrefix(rest, prefix); !ok {
			return text, "", wire.Errorf("ParameterNotFound", "Parameters of other accounts and regions are not in the local cloud: %s", text)
		}
		// Only a name with levels begins with a slash; the ARN does not tell.
		if bare, _, _ := strings.Cut(name, ":"); strings.Contains(bare, "/") {
			name = "/" + name
		}
	}
	name, selector, _ = strings.Cut(name, ":")
	if strings.Contains(name, "/") && !strings.HasPrefix(name, "/") || strings.Contains(name, "//") {
		return name, "", badPath()
	}
	return name, selector, nil
}

func badPath() error {
	return wire.Errorf("ValidationException", `Parameter name: can't be prefixed with "ssm" (case-insensitive). If formed as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 symbols .-_`)
}

// stored reads a parameter, of which a name without levels may begin with a slash.
func (s *SSM) stored(name string) (p parameter, ok bool, err error) {
	p, ok, err = s.parameters.Get(name)
	if bare := strings.TrimPrefix(name, "/"); err == nil && !ok && !strings.Contains(bare, "/") {
		if p, ok, err = s.parameters.Get(bare); !ok && err == nil {
			p, ok, err = s.parameters.Get("/" + bare)
		}
	}
	return p, ok, err
}

var nameSyntax = regexp.MustCompile(`^[a-zA-Z0-9_.\-/]+$`)

func checkName(name string) error {
	lower := strings.ToLower(strings.TrimPrefix(name, "/"))
	switch {
	case strings.Contains(name, "/") && !strings.HasPrefix(name, "/"):
		return wire.Errorf("ValidationException", "Parameter name must be a fully qualified name.")
	case strings.Contains(name, "//"):
		return badPath()
	case !nameSyntax.MatchString(name) || strings.HasSuffix(name, "/"):
		return wire.Errorf("ValidationException", `Invalid parameter name. Please use correct syntax for referencing a version/label  <name>:<version/label>`)
	case len(name) > maxName:
		return wire.Errorf("ValidationException", "Parameter name must have length less than or equal to %d.", maxName)
	case strings.HasPrefix(lower, "aws") || strings.HasPrefix(lower, "ssm"):
		return wire.Errorf("ValidationException", `Parameter name: can't be prefixed with "aws" or "ssm" (case-insensitive).`)
	case strings.Count(name, "/") > maxLevels:
		return wire.Errorf("HierarchyLevelLimitExceededException", "A parameter name can have at most %d levels.", maxLevels)
	}
	return nil
}

// refuse names what a parameter of this cloud cannot have.
func refuse(in *awsssm.PutParameterInput) error {
	switch {
	case in.Type == types.ParameterTypeSecureString || in.KeyId != nil:
		return wire.Errorf("UnsupportedParameterType", "the local cloud has no KMS: parameters of type SecureString are not supported")
	case in.Tier != "" && in.Tier != types.ParameterTierStandard:
		return wire.Errorf("ValidationException", "the local cloud has parameters of the Standard tier only, not of tier %s", in.Tier)
	case in.Policies != nil && *in.Policies != "" && *in.Policies != "[]":
		return wire.Errorf("IncompatiblePolicyException", "the local cloud does not support parameter policies, which need the Advanced tier")
	case in.DataType != nil && *in.DataType != "text":
		return wire.Errorf("ValidationException", "the local cloud supports the data type text only, not %s", *in.DataType)
	}
	return nil
}

func (s *SSM) put(ctx context.Context, in *awsssm.PutParameterInput) (*awsssm.PutParameterOutput, error) {
	name, value := aws.ToString(in.Name), aws.ToString(in.Value)
	if err := checkName(name); err != nil {
		return nil, err
	}
	if err := refuse(in); err != nil {
		return nil, err
	}
	switch {
	case value == "":
		return nil, wire.Errorf("ValidationException", "1 validation error detected: Value '' at 'value' failed to satisfy constraint: Member must have length greater than or equal to 1.")
	case len(value) > maxValue:
		return nil, wire.Errorf("ValidationException", "Standard tier parameters support a maximum parameter value of %d characters. To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier. For more information, see https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html", maxValue)
	case aws.ToBool(in.Overwrite) && len(in.Tags) > 0:
		return nil, wire.Errorf("ValidationException", "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, exists, err := s.stored(name)
	if err != nil {
		return nil, err
	}
	if exists && !aws.ToBool(in.Overwrite) {
		return nil, wire.Errorf("ParameterAlreadyExists", "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
	}
	kind := string(in.Type)
	switch {
	case !exists && kind == "":
		return nil, wire.Errorf("ValidationException", "A parameter type is required when you create a parameter.")
	case kind == "":
		kind = p.newest().Type
	}
	next := version{Number: 1, Type: kind, Value: value, Modified: s.o.Clock.Now().UTC()}
	if exists {
		next.Number = p.newest().Number + 1
	} else {
		p = parameter{Name: name}
		if p.Tags, err = merged(nil, in.Tags); err != nil {
			return nil, err
		}
	}
	if in.Description != nil {
		p.Description = *in.Description
	}
	p.Pattern, p.User = aws.ToString(in.AllowedPattern), wire.CallerFrom(ctx).ARN
	if err := p.matches(value); err != nil {
		return nil, err
	}
	p.Versions = append(p.Versions, next)
	p.Versions = p.Versions[max(0, len(p.Versions)-keptVersions):]
	if err := s.parameters.Put(p.Name, p); err != nil {
		return nil, err
	}
	return &awsssm.PutParameterOutput{Version: next.Number, Tier: types.ParameterTierStandard}, nil
}

func (p *parameter) matches(value string) error {
	if p.Pattern == "" {
		return nil
	}
	r, err := regexp.Compile(p.Pattern)
	if err != nil {
		return wire.Errorf("InvalidAllowedPatternException", "The request does not meet the regular expression requirement: %v", err)
	}
	if !r.MatchString(value) {
		return wire.Errorf("ParameterPatternMismatchException", "Parameter value, cannot be validated against allowedPattern: %s", p.Pattern)
	}
	return nil
}

// find reads a parameter by name, or ARN, and selector.
func (s *SSM) find(text string) (types.Parameter, error) {
	var none types.Parameter
	name, selector, err := s.selected(text)
	if err != nil {
		return none, err
	}
	p, ok, err := s.stored(name)
	if err != nil {
		return none, err
	}
	if !ok {
		return none, wire.Errorf("ParameterNotFound", "")
	}
	v := p.newest()
	if selector != "" {
		n, err := strconv.ParseInt(selector, 10, 64)
		i := slices.IndexFunc(p.Versions, func(v version) bool { return v.Number == n })
		if err != nil || i < 0 {
			return none, wire.Errorf("ParameterVersionNotFound", "Systems Manager could not find version %s of %s. Verify the version and try again.", selector, name)
		}
		v = p.Versions[i]
	}
	out := types.Parameter{Name: &name, ARN: aws.String(s.arn(p.Name)), Type: types.ParameterType(v.Type), Value: aws.String(v.Value), Version: v.Number,
		LastModifiedDate: aws.Time(v.Modified), DataType: aws.String("text")}
	if selector != "" {
		out.Selector = aws.String(":" + selector)
	}
	return out, nil
}

func (s *SSM) get(_ context.Context, in *awsssm.GetParameterInput) (*awsssm.GetParameterOutput, error) {
	p, err := s.find(aws.ToString(in.Name))
	if err != nil {
		return nil, err
	}
	return &awsssm.GetParameterOutput{Parameter: &p}, nil
}

func (s *SSM) getSeveral(_ context.Context, in *awsssm.GetParametersInput) (*awsssm.GetParametersOutput, error) {
	out := &awsssm.GetParametersOutput{Parameters: []types.Parameter{}, InvalidParameters: []string{}}
	for _, n := range in.Names {
		p, err := s.find(n)
		switch {
		case wire.HasCode(err, "ParameterNotFound") || wire.HasCode(err, "ParameterVersionNotFound"):
			out.InvalidParameters = append(out.InvalidParameters, n)
		case err != nil:
			return nil, err
		default:
			out.Parameters = append(out.Parameters, p)
		}
	}
	return out, nil
}

func (s *SSM) delete(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok, err := s.stored(name)
	if err != nil {
		return err
	}
	if !ok {
		return wire.Errorf("ParameterNotFound", "")
	}
	return s.parameters.Delete(p.Name)
}

func (s *SSM) remove(_ context.Context, in *awsssm.DeleteParameterInput) (*awsssm.DeleteParameterOutput, error) {
	return &awsssm.DeleteParameterOutput{}, s.delete(aws.ToString(in.Name))
}

func (s *SSM) removeSeveral(_ context.Context, in *awsssm.DeleteParametersInput) (*awsssm.DeleteParametersOutput, error) {
	out := &awsssm.DeleteParametersOutput{DeletedParameters: []string{}, InvalidParameters: []string{}}
	for _, n := range in.Names {
		err := s.delete(n)
		switch {
		case wire.HasCode(err, "ParameterNotFound"):
			out.InvalidParameters = append(out.InvalidParameters, n)
		case err != nil:
			return nil, err
		default:
			out.DeletedParameters = append(out.DeletedParameters, n)
		}
	}
	return out, nil
}

// merged adds tags to tags.
func merged(old map[string]string, add []types.Tag) (map[string]string, error) {
	out := map[string]string{}
	for k, v := range old {
		out[k] = v
	}
	for _, t := range add {
		k := aws.ToString(t.Key)
		if k == "" || len(k) > 128 || len(aws.ToString(t.Value)) > 256 {
			return nil, wire.Errorf("ValidationException", "tag key %q: a key has 1 to 128 characters, a value at most 256", k)
		}
		out[k] = aws.ToString(t.Value)
	}
	if len(out) > maxTags {
		return nil, wire.Errorf("TooManyTagsError", "a parameter can have at most %d tags", maxTags)
	}
	return out, nil
}

// tagged reads the parameter that a call about tags names.
func (s *SSM) tagged(kind types.ResourceTypeForTagging, id *string) (parameter, error) {
	if kind != types.ResourceTypeForTaggingParameter {
		return parameter{}, wire.Errorf("InvalidResourceType", "the local cloud has tags of resource type Parameter only, not of %q", kind)
	}
	p, ok, err := s.parameters.Get(aws.ToString(id))
	if err == nil && !ok {
		err = wire.Errorf("InvalidResourceId", "The resource ID %q is not valid. Verify the ID and try again.", aws.ToString(id))
	}
	return p, err
}

func (s *SSM) retag(kind types.ResourceTypeForTagging, id *string, f func(map[string]string) (map[string]string, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.tagged(kind, id)
	if err != nil {
		return err
	}
	if p.Tags, err = f(p.Tags); err != nil {
		return err
	}
	return s.parameters.Put(p.Name, p)
}

func (s *SSM) tag(_ context.Context, in *awsssm.AddTagsToResourceInput) (*awsssm.AddTagsToResourceOutput, error) {
	return &awsssm.AddTagsToResourceOutput{}, s.retag(in.ResourceType, in.ResourceId, func(t map[string]string) (map[string]string, error) { return merged(t, in.Tags) })
}

func (s *SSM) untag(_ context.Context, in *awsssm.RemoveTagsFromResourceInput) (*awsssm.RemoveTagsFromResourceOutput, error) {
	return &awsssm.RemoveTagsFromResourceOutput{}, s.retag(in.ResourceType, in.ResourceId, func(t map[string]string) (map[string]string, error) {
		for _, k := range in.TagKeys {
			delete(t, k)
		}
		return t, nil
	})
}

package lambda

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// statement is one statement of a function's resource policy, in IAM's JSON.
type statement struct {
	Sid       string                       `json:"Sid"`
	Effect    string                       `json:"Effect"`
	Principal any                          `json:"Principal"` // "*", {"Service": …} or {"AWS": …}
	Action    string                       `json:"Action"`
	Resource  string                       `json:"Resource"`
	Condition map[string]map[string]string `json:"Condition,omitempty"`
}

type policyDocument struct {
	Version   string      `json:"Version"`
	ID        string      `json:"Id"`
	Statement []statement `json:"Statement"`
}

var (
	accountID   = regexp.MustCompile(`^\d{12}$`)
	statementID = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,100}$`)
	// principalForm is an account, an ARN, anybody, or a service by its domain.
	principalForm = regexp.MustCompile(`^([*]|\d{12}|arn:.+|.+[.](amazonaws[.]com([.]cn)?|amazon[.]com))$`)
	lambdaAction  = regexp.MustCompile(`^(lambda:[*]|lambda:[a-zA-Z]+|[*])$`)
)

func (l *Lambda) addPermission(ctx context.Context, in *api.AddPermissionInput) (*api.AddPermissionOutput, error) {
	sid, action, principal := aws.ToString(in.StatementId), aws.ToString(in.Action), aws.ToString(in.Principal)
	switch {
	case !statementID.MatchString(sid):
		return nil, status(http.StatusBadRequest, "ValidationException", "statement id %q: 1 to 100 letters, digits, hyphens or underscores", sid)
	case !lambdaAction.MatchString(action):
		return nil, status(http.StatusBadRequest, "ValidationException", "action %q is not an action of Lambda", action)
	case !principalForm.MatchString(principal):
		return nil, invalid("The provided principal was invalid. Please check the principal and try again.")
	}
	err := refuse(map[string]bool{
		"EventSourceToken": in.EventSourceToken != nil, "FunctionUrlAuthType": in.FunctionUrlAuthType != "",
		"InvokedViaFunctionUrl": in.InvokedViaFunctionUrl != nil, "PrincipalOrgID": in.PrincipalOrgID != nil,
	})
	if err != nil {
		return nil, err
	}
	name, q, err := l.parse(in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	if q == latest {
		return nil, invalid("We currently do not support adding policies for $LATEST.")
	}
	st := statement{Sid: sid, Effect: "Allow", Action: action, Principal: principalOf(principal)}
	if in.SourceAccount != nil || in.SourceArn != nil {
		st.Condition = map[string]map[string]string{}
	}
	if in.SourceAccount != nil {
		st.Condition["StringEquals"] = map[string]string{"AWS:SourceAccount": *in.SourceAccount}
	}
	if in.SourceArn != nil {
		st.Condition["ArnLike"] = map[string]string{"AWS:SourceArn": *in.SourceArn}
	}
	_, err = l.change(ctx, "lambda:AddPermission", &name, &q, func(f *function) error {
		if err := checkPolicyRevision(f, in.RevisionId); err != nil {
			return err
		}
		if slices.ContainsFunc(f.Policy, func(s statement) bool { return s.Sid == sid }) {
			return status(http.StatusConflict, "ResourceConflictException", "The statement id (%s) provided already exists. Please provide a new statement id, or remove the existing statement.", sid)
		}
		st.Resource = f.arn()
		f.Policy = append(f.Policy, st)
		l.revised(f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(st)
	if err != nil {
		return nil, err
	}
	return &api.AddPermissionOutput{Statement: aws.String(string(raw))}, nil
}

func principalOf(p string) any {
	switch {
	case p == "*":
		return "*"
	case accountID.MatchString(p):
		return map[string]string{"AWS": "arn:aws:iam::" + p + ":root"}
	case strings.HasPrefix(p, "arn:"):
		return map[string]string{"AWS": p}
	}
	return map[string]string{"Service": p}
}

func (l *Lambda) removePermission(ctx context.Context, in *api.RemovePermissionInput) (*api.RemovePermissionOutput, error) {
	name, q, err := l.parse(in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	_, err = l.change(ctx, "lambda:RemovePermission", &name, &q, func(f *function) error {
		if len(f.Policy) == 0 {
			return status(http.StatusNotFound, "ResourceNotFoundException", "No policy is associated with the given resource.")
		}
		i := slices.IndexFunc(f.Policy, func(s statement) bool { return s.Sid == aws.ToString(in.StatementId) })
		if i < 0 {
			return status(http.StatusNotFound, "ResourceNotFoundException", "Statement %s is not found in resource policy.", aws.ToString(in.StatementId))
		}
		if err := checkPolicyRevision(f, in.RevisionId); err != nil {
			return err
		}
		f.Policy = slices.Delete(f.Policy, i, i+1)
		l.revised(f)
		return nil
	})
	if wire.HasCode(err, "ResourceNotFoundException") {
		if _, missing := l.load(name); missing != nil {
			return nil, status(http.StatusNotFound, "ResourceNotFoundException", "No policy found for: %s", l.functionARN(name))
		}
	}
	if err != nil {
		return nil, err
	}
	return &api.RemovePermissionOutput{}, nil
}

// checkPolicyRevision is checkRevision in the words of the operations on policies.
func checkPolicyRevision(f *function, want *string) error {
	if checkRevision(f, want) != nil {
		return status(http.StatusPreconditionFailed, "PreconditionFailedException", "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the latest Revision Id")
	}
	return nil
}

func (l *Lambda) getPolicy(ctx context.Context, in *api.GetPolicyInput) (*api.GetPolicyOutput, error) {
	f, err := l.find(ctx, "lambda:GetPolicy", in.FunctionName, in.Qualifier)
	if err != nil && !wire.HasCode(err, "ResourceNotFoundException") {
		return nil, err
	}
	if len(f.Policy) == 0 {
		return nil, status(http.StatusNotFound, "ResourceNotFoundException", "The resource you requested does not exist.")
	}
	raw, err := json.Marshal(policyDocument{Version: "2012-10-17", ID: "default", Statement: f.Policy})
	if err != nil {
		return nil, err
	}
	return &api.GetPolicyOutput{Policy: aws.String(string(raw)), RevisionId: f.Config.RevisionId}, nil
}

// mayInvoke decides who may invoke f: a service only by the resource policy,
// anyone else by their own policy or by the resource policy.
func (l *Lambda) mayInvoke(ctx context.Context, f *function) error {
	c := wire.CallerFrom(ctx)
	const action = "lambda:InvokeFunction"
	if c.Service != "" {
		if slices.ContainsFunc(f.Policy, func(s statement) bool { return s.allows(c, action) }) {
			return nil
		}
		return status(http.StatusForbidden, "AccessDeniedException",
			"User: %s is not authorized to perform: %s on resource: %s because no resource-based policy allows the %s action", c.Service, action, f.arn(), action)
	}
	err := l.allow(ctx, action, f.arn())
	if err != nil && slices.ContainsFunc(f.Policy, func(s statement) bool { return s.allows(c, action) }) {
		return nil
	}
	return err
}

// allows reports whether the statement lets c do action. The ARN of a calling
// service is that of the resource it calls for, e.g. the rule.
func (s statement) allows(c wire.Caller, action string) bool {
	if s.Action != action && s.Action != "lambda:*" && s.Action != "*" {
		return false
	}
	if !s.names(c) {
		return false
	}
	for op, kv := range s.Condition {
		for key, want := range kv {
			var got string
			switch key {
			case "AWS:SourceArn":
				got = c.ARN
			case "AWS:SourceAccount":
				got = c.Account
			}
			ok := got == want
			if op == "ArnLike" {
				ok = got != "" && arnLike(want, got)
			}
			if !ok {
				return false
			}
		}
	}
	return true
}

func (s statement) names(c wire.Caller) bool {
	var p map[string]string
	switch v := s.Principal.(type) {
	case string:
		return v == "*"
	case map[string]string:
		p = v
	case map[string]any: // as read from the store
		p = map[string]string{}
		for k, x := range v {
			p[k], _ = x.(string)
		}
	}
	if c.Service != "" {
		return p["Service"] == c.Service
	}
	arn := p["AWS"]
	return arn != "" && (arn == c.ARN || arn == c.RoleARN || arn == "arn:aws:iam::"+c.Account+":root")
}

// arnLike matches an ARN pattern as IAM's ArnLike: * and ? within each of the six parts.
func arnLike(pattern, arn string) bool {
	p, a := strings.SplitN(pattern, ":", 6), strings.SplitN(arn, ":", 6)
	if len(p) != 6 || len(a) != 6 {
		return pattern == "*" || pattern == arn
	}
	for i := range p {
		if !wildcard(p[i], a[i]) {
			return false
		}
	}
	return true
}

func wildcard(pattern, s string) bool {
	for pattern != "" {
		switch pattern[0] {
		case '*':
			for i := 0; i <= len(s); i++ {
				if wildcard(pattern[1:], s[i:]) {
					return true
				}
			}
			return false
		case '?':
			if s == "" {
				return false
			}
		default:
			if s == "" || s[0] != pattern[0] {
				return false
			}
		}
		pattern, s = pattern[1:], s[1:]
	}
	return s == ""
}

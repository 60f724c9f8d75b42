package iam_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/localcloud/iam"
	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

const account = "000000000000"

// fakeClock stands until it is moved.
type fakeClock struct{ now time.Time }

func (c *fakeClock) Now() time.Time                              { return c.now }
func (c *fakeClock) AfterFunc(time.Duration, func()) func() bool { panic("no timers here") }

type service struct {
	*iam.IAM
	clock *fakeClock
	log   *bytes.Buffer
	path  string
}

func start(t *testing.T, path string) *service {
	t.Helper()
	st, err := store.Open(path, store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	s := &service{clock: &fakeClock{time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)}, log: &bytes.Buffer{}, path: path}
	s.IAM, err = iam.New(iam.Options{Account: account, Region: "us-east-1", Clock: s.clock, Store: st, Log: slog.New(slog.NewTextHandler(s.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func root() context.Context {
	return wire.WithCaller(context.Background(), wire.Caller{Account: account, ARN: "arn:aws:iam::" + account + ":root", UserID: account})
}

// call runs an operation and returns its output as a map.
func (s *service) call(ctx context.Context, w *wire.Service, name string, in map[string]any) (map[string]any, error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	out, err := w.Call(ctx, name, raw)
	if err != nil {
		return nil, err
	}
	var m map[string]any
	return m, json.Unmarshal(out, &m)
}

func (s *service) do(t *testing.T, name string, in map[string]any) map[string]any {
	t.Helper()
	out, err := s.call(root(), s.Wire(), name, in)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out
}

const lambdaTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

func TestRoles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := start(t, path)
	made := s.do(t, "CreateRole", map[string]any{"RoleName": "r", "Path": "/service-role/", "AssumeRolePolicyDocument": lambdaTrust, "Tags": []any{map[string]any{"Key": "k", "Value": "v"}}})["Role"].(map[string]any)
	if made["Arn"] != "arn:aws:iam::000000000000:role/service-role/r" || !strings.HasPrefix(made["RoleId"].(string), "AROA") || made["MaxSessionDuration"] != nil {
		t.Errorf("made %+v", made)
	}
	if got := s.do(t, "GetRole", map[string]any{"RoleName": "r"})["Role"].(map[string]any); got["MaxSessionDuration"] != 3600.0 {
		t.Errorf("read again %+v", got)
	}
	if none := s.do(t, "ListRolePolicies", map[string]any{"RoleName": "r"})["PolicyNames"]; none == nil {
		t.Error("a list of no policies is not there")
	}
	if doc, err := url.PathUnescape(made["AssumeRolePolicyDocument"].(string)); err != nil || doc != lambdaTrust {
		t.Errorf("trust policy: %s, %v", doc, err)
	}
	s.do(t, "PutRolePolicy", map[string]any{"RoleName": "r", "PolicyName": "b", "PolicyDocument": document(`{"Effect":"Allow","Action":"a:B","Resource":"*"}`)})
	s.do(t, "PutRolePolicy", map[string]any{"RoleName": "r", "PolicyName": "a", "PolicyDocument": document(`{"Effect":"Allow","Action":"c:D","Resource":"*"}`)})
	s.do(t, "AttachRolePolicy", map[string]any{"RoleName": "r", "PolicyArn": "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"})
	names, _ := json.Marshal(s.do(t, "ListRolePolicies", map[string]any{"RoleName": "r"})["PolicyNames"])
	if string(names) != `["a","b"]` {
		t.Errorf("policies: %s", names)
	}
	got := s.do(t, "GetRolePolicy", map[string]any{"RoleName": "r", "PolicyName": "b"})
	if doc, _ := url.PathUnescape(got["PolicyDocument"].(string)); !strings.Contains(doc, "a:B") {
		t.Errorf("policy: %v", got)
	}
	for name, tc := range map[string]struct {
		operation string
		in        map[string]any
		want      string
	}{
		"create again":         {"CreateRole", map[string]any{"RoleName": "r", "AssumeRolePolicyDocument": lambdaTrust}, "EntityAlreadyExists"},
		"bad name":             {"CreateRole", map[string]any{"RoleName": "a b", "AssumeRolePolicyDocument": lambdaTrust}, "ValidationError"},
		"bad trust":            {"CreateRole", map[string]any{"RoleName": "x", "AssumeRolePolicyDocument": "{}"}, "MalformedPolicyDocument"},
		"boundary":             {"CreateRole", map[string]any{"RoleName": "x", "AssumeRolePolicyDocument": lambdaTrust, "PermissionsBoundary": "arn:aws:iam::aws:policy/X"}, "InvalidInput"},
		"bad policy":           {"PutRolePolicy", map[string]any{"RoleName": "r", "PolicyName": "c", "PolicyDocument": document(cond(`"Fancy":{"k":"v"}`))}, "MalformedPolicyDocument"},
		"policy of nobody":     {"PutRolePolicy", map[string]any{"RoleName": "x", "PolicyName": "c", "PolicyDocument": document(cond(``))}, "NoSuchEntity"},
		"too large":            {"PutRolePolicy", map[string]any{"RoleName": "r", "PolicyName": "c", "PolicyDocument": document(`{"Effect":"Allow","Action":"a:B","Resource":"arn:` + strings.Repeat("x", 10240) + `"}`)}, "LimitExceeded"},
		"unknown managed":      {"AttachRolePolicy", map[string]any{"RoleName": "r", "PolicyArn": "arn:aws:iam::aws:policy/PowerUserAccess"}, "NoSuchEntity"},
		"detach what is not":   {"DetachRolePolicy", map[string]any{"RoleName": "r", "PolicyArn": "arn:aws:iam::aws:policy/PowerUserAccess"}, "NoSuchEntity"},
		"get nobody":           {"GetRole", map[string]any{"RoleName": "x"}, "NoSuchEntity"},
		"get no policy":        {"GetRolePolicy", map[string]any{"RoleName": "r", "PolicyName": "x"}, "NoSuchEntity"},
		"delete with policies": {"DeleteRole", map[string]any{"RoleName": "r"}, "DeleteConflict"},
		"no such operation":    {"CreateUser", map[string]any{"UserName": "x"}, "UnknownOperationException"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.call(root(), s.Wire(), tc.operation, tc.in); !wire.HasCode(err, tc.want) {
				t.Errorf("%v, want %s", err, tc.want)
			}
		})
	}
	if !strings.Contains(s.log.String(), "PowerUserAccess") {
		t.Error("an unknown managed policy was not said aloud")
	}
	s.do(t, "DeleteRolePolicy", map[string]any{"RoleName": "r", "PolicyName": "a"})
	s.do(t, "DeleteRolePolicy", map[string]any{"RoleName": "r", "PolicyName": "b"})
	s.do(t, "DetachRolePolicy", map[string]any{"RoleName": "r", "PolicyArn": "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"})
	s.do(t, "DeleteRole", map[string]any{"RoleName": "r"})
	for _, n := range []string{"c", "a", "b"} {
		s.do(t, "CreateRole", map[string]any{"RoleName": n, "AssumeRolePolicyDocument": lambdaTrust})
	}
	page := s.do(t, "ListRoles", map[string]any{"MaxItems": 2})
	if len(page["Roles"].([]any)) != 2 || page["IsTruncated"] != true || page["Marker"] == nil {
		t.Errorf("page: %+v", page)
	}
	if rest := s.do(t, "ListRoles", map[string]any{"Marker": page["Marker"]}); len(rest["Roles"].([]any)) != 1 {
		t.Errorf("rest: %+v", rest)
	}
}

func TestAssumeRole(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "state.db"))
	s.do(t, "CreateRole", map[string]any{"RoleName": "fn", "AssumeRolePolicyDocument": lambdaTrust})
	s.do(t, "PutRolePolicy", map[string]any{"RoleName": "fn", "PolicyName": "p", "PolicyDocument": document(
		`{"Effect":"Allow","Action":"states:StartExecution","Resource":"arn:aws:states:us-east-1:000000000000:stateMachine:m"},
		 {"Effect":"Allow","Action":"iam:PassRole","Resource":"arn:aws:iam::000000000000:role/*","Condition":{"StringEquals":{"iam:PassedToService":"sagemaker.amazonaws.com"}}}`)})
	const role = "arn:aws:iam::000000000000:role/fn"
	key, secret, token, err := s.AssumeRoleAs("lambda.amazonaws.com", "", role, "fn")
	if err != nil {
		t.Fatal(err)
	}
	if again, _, _, _ := s.AssumeRoleAs("lambda.amazonaws.com", "", role, "fn"); again != key {
		t.Error("the same session got other credentials")
	}
	foundSecret, foundToken, caller, ok := s.SecretFor(key)
	if !ok || foundSecret != secret || foundToken != token || caller.ARN != "arn:aws:sts::000000000000:assumed-role/fn/fn" || caller.RoleARN != role {
		t.Errorf("caller %+v, %v", caller, ok)
	}
	for name, tc := range map[string]struct{ service, role string }{
		"not trusted":        {"sagemaker.amazonaws.com", role},
		"no such role":       {"lambda.amazonaws.com", "arn:aws:iam::000000000000:role/other"},
		"of another account": {"lambda.amazonaws.com", "arn:aws:iam::111111111111:role/fn"},
		"not a role":         {"lambda.amazonaws.com", "fn"},
		"under another path": {"lambda.amazonaws.com", "arn:aws:iam::000000000000:role/x/fn"},
	} {
		if _, _, _, err := s.AssumeRoleAs(tc.service, "", tc.role, "s"); !wire.HasCode(err, "AccessDenied") {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx := wire.WithCaller(context.Background(), caller)
	s.do(t, "CreateRole", map[string]any{"RoleName": "job", "AssumeRolePolicyDocument": strings.Replace(lambdaTrust, "lambda", "sagemaker", 1)})
	for name, tc := range map[string]struct{ action, resource, want string }{
		"granted":                       {"states:StartExecution", "arn:aws:states:us-east-1:000000000000:stateMachine:m", ""},
		"another machine":               {"states:StartExecution", "arn:aws:states:us-east-1:000000000000:stateMachine:n", "AccessDeniedException"},
		"pass a role to its service":    {"iam:PassRole", "arn:aws:iam::000000000000:role/job", ""},
		"pass a role to another":        {"iam:PassRole", role, "AccessDeniedException"},
		"pass a role that is not there": {"iam:PassRole", "arn:aws:iam::000000000000:role/none", "AccessDeniedException"},
	} {
		err := s.Authorize(ctx, tc.action, tc.resource)
		if (tc.want == "") != (err == nil) || (tc.want != "" && !wire.HasCode(err, tc.want)) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	err = s.Authorize(ctx, "sns:Publish", "arn:aws:sns:us-east-1:000000000000:t")
	const want = "User: arn:aws:sts::000000000000:assumed-role/fn/fn is not authorized to perform: sns:Publish on resource: arn:aws:sns:us-east-1:000000000000:t because no identity-based policy allows the sns:Publish action"
	if err == nil || wire.AsError(err).Message != want {
		t.Errorf("denial: %v", err)
	}
	if !wire.HasCode(s.Authorize(context.Background(), "sns:Publish", "*"), "MissingAuthenticationTokenException") {
		t.Error("nobody was allowed")
	}
	if err := s.Authorize(wire.WithCaller(context.Background(), wire.Caller{Account: account, Service: "events.amazonaws.com"}), "sqs:SendMessage", "*"); err != nil {
		t.Errorf("a service of AWS: %v", err)
	}
	s.do(t, "DeleteRolePolicy", map[string]any{"RoleName": "fn", "PolicyName": "p"})
	if err := s.Authorize(ctx, "states:StartExecution", "arn:aws:states:us-east-1:000000000000:stateMachine:m"); err == nil {
		t.Error("a policy that is gone still allows")
	}
	s.do(t, "DeleteRole", map[string]any{"RoleName": "fn"})
	if _, _, _, ok := s.SecretFor(key); ok {
		t.Error("the session outlived its role")
	}
}

func TestManagedPolicies(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "state.db"))
	for policy, want := range map[string]map[string]bool{
		"AdministratorAccess":             {"s3:DeleteBucket": true, "iam:CreateRole": true, "anything:Else": true},
		"AWSCloudFormationReadOnlyAccess": {"cloudformation:DescribeStacks": true, "cloudformation:CreateStack": false, "s3:GetObject": false},
		"ReadOnlyAccess":                  {"s3:GetObject": true, "ssm:GetParameter": true, "states:StartExecution": false, "lambda:InvokeFunction": false},
	} {
		arn := "arn:aws:iam::000000000000:role/" + policy
		s.do(t, "CreateRole", map[string]any{"RoleName": policy, "AssumeRolePolicyDocument": lambdaTrust})
		s.do(t, "AttachRolePolicy", map[string]any{"RoleName": policy, "PolicyArn": "arn:aws:iam::aws:policy/" + policy})
		for action, may := range want {
			if allowed, denied := s.Evaluate(wire.Caller{Account: account, RoleARN: arn}, action, "*", nil); allowed != may || denied {
				t.Errorf("%s: %s is allowed: %v, denied: %v", policy, action, allowed, denied)
			}
		}
	}
}

func TestResourcesAreTheAccounts(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "state.db"))
	s.do(t, "CreateRole", map[string]any{"RoleName": "r", "AssumeRolePolicyDocument": lambdaTrust})
	s.do(t, "PutRolePolicy", map[string]any{"RoleName": "r", "PolicyName": "p", "PolicyDocument": `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{"StringEquals":{"aws:ResourceAccount":["000000000000"]}}},
		{"Effect":"Allow","Action":"s3:PutObject","Resource":"*","Condition":{"StringNotEquals":{"s3:ResourceAccount":"000000000000"}}}]}`})
	for action, may := range map[string]bool{"s3:GetObject": true, "s3:PutObject": false} {
		if allowed, _ := s.Evaluate(wire.Caller{Account: account, RoleARN: "arn:aws:iam::000000000000:role/r"}, action, "arn:aws:s3:::b/k", nil); allowed != may {
			t.Errorf("%s: %v", action, allowed)
		}
	}
}

func TestSTS(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "state.db"))
	trust := func(principal string) string {
		return document(`{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"sts:AssumeRole","Condition":{"StringEqualsIfExists":{"sts:ExternalId":"x"}}}`)
	}
	s.do(t, "CreateRole", map[string]any{"RoleName": "mine", "AssumeRolePolicyDocument": trust("arn:aws:iam::000000000000:root")})
	s.do(t, "CreateRole", map[string]any{"RoleName": "theirs", "AssumeRolePolicyDocument": trust("arn:aws:iam::111111111111:root")})
	arn := "arn:aws:iam::000000000000:role/mine"
	out, err := s.call(root(), s.STS(), "AssumeRole", map[string]any{"RoleArn": arn, "RoleSessionName": "me", "DurationSeconds": 900})
	if err != nil {
		t.Fatal(err)
	}
	key := out["Credentials"].(map[string]any)["AccessKeyId"].(string)
	_, _, caller, ok := s.SecretFor(key)
	if !ok || !strings.HasPrefix(key, "ASIA") {
		t.Fatalf("key %s is not known", key)
	}
	who, err := s.call(wire.WithCaller(context.Background(), caller), s.STS(), "GetCallerIdentity", nil)
	if err != nil || who["Arn"] != "arn:aws:sts::000000000000:assumed-role/mine/me" || who["Account"] != account || !strings.HasSuffix(who["UserId"].(string), ":me") {
		t.Errorf("identity %v, %v", who, err)
	}
	who, err = s.call(root(), s.STS(), "GetCallerIdentity", nil)
	if err != nil || who["Arn"] != "arn:aws:iam::000000000000:root" || who["UserId"] != account {
		t.Errorf("root's identity %v, %v", who, err)
	}
	for name, tc := range map[string]struct {
		ctx  context.Context
		in   map[string]any
		want string
	}{
		"not trusted":            {root(), map[string]any{"RoleArn": "arn:aws:iam::000000000000:role/theirs", "RoleSessionName": "me"}, "AccessDenied"},
		"wrong external id":      {root(), map[string]any{"RoleArn": arn, "RoleSessionName": "me", "ExternalId": "yy"}, "AccessDenied"},
		"role without the right": {wire.WithCaller(context.Background(), caller), map[string]any{"RoleArn": arn, "RoleSessionName": "me"}, "AccessDenied"},
		"no ARN":                 {root(), map[string]any{"RoleArn": "arn:aws::::role/something", "RoleSessionName": "me"}, "ValidationError"},
		"bad session name":       {root(), map[string]any{"RoleArn": arn, "RoleSessionName": "a b"}, "ValidationError"},
		"too long":               {root(), map[string]any{"RoleArn": arn, "RoleSessionName": "me", "DurationSeconds": 7200}, "ValidationError"},
		"session policy":         {root(), map[string]any{"RoleArn": arn, "RoleSessionName": "me", "Policy": "{}"}, "ValidationError"},
	} {
		if _, err := s.call(tc.ctx, s.STS(), "AssumeRole", tc.in); !wire.HasCode(err, tc.want) {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	s.clock.now = s.clock.now.Add(901 * time.Second)
	if _, _, _, ok := s.SecretFor(key); ok {
		t.Error("the session did not end")
	}
}

func TestRolesSurviveRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	st, err := store.Open(path, store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	o := iam.Options{Account: account, Region: "us-east-1", Clock: &fakeClock{time.Unix(0, 0)}, Store: st, Log: slog.New(slog.DiscardHandler)}
	one, err := iam.New(o)
	if err != nil {
		t.Fatal(err)
	}
	first := &service{IAM: one}
	first.do(t, "CreateRole", map[string]any{"RoleName": "kept", "AssumeRolePolicyDocument": lambdaTrust})
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	s := start(t, path)
	if _, _, _, err := s.AssumeRoleAs("lambda.amazonaws.com", "", "arn:aws:iam::000000000000:role/kept", "a strange/session name"); err != nil {
		t.Errorf("assume a role of an earlier run: %v", err)
	}
}

package iam

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
	"github.com/millrace-ml/millrace/localcloud/wire/model"
)

func (s *IAM) stsService() *wire.Service {
	// Who one is may always be asked, and roles are assumed by their trust: no authorization in front.
	w := &wire.Service{Name: "sts", Protocol: wire.Query, Version: "2011-06-15", Namespace: "https://sts.amazonaws.com/doc/2011-06-15/", Log: s.o.Log, Model: model.Of("sts")}
	w.Add(wire.Op("GetCallerIdentity", s.getCallerIdentity), wire.Op("AssumeRole", s.assumeRole))
	return w
}

func (s *IAM) getCallerIdentity(ctx context.Context, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	c := wire.CallerFrom(ctx)
	return &sts.GetCallerIdentityOutput{Account: &c.Account, Arn: &c.ARN, UserId: &c.UserID}, nil
}

// assumeRole opens a session that ends. The caller must be trusted by the role;
// the account's owner stands for all whom the account's own policies would allow.
func (s *IAM) assumeRole(ctx context.Context, in *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
	caller, arn, name := wire.CallerFrom(ctx), aws.ToString(in.RoleArn), aws.ToString(in.RoleSessionName)
	if in.Policy != nil || len(in.PolicyArns) > 0 || len(in.Tags) > 0 {
		return nil, wire.Errorf("ValidationError", "session policies and session tags are not supported by the local cloud")
	}
	if parts := strings.SplitN(arn, ":", 6); len(parts) < 6 || slices.Contains([]string{parts[0], parts[1], parts[2], parts[5]}, "") {
		return nil, invalid("%s is invalid", arn)
	}
	c, ok := s.byARN(arn)
	if !ok || !s.mayAssume(ctx, caller, c, arn, in.ExternalId) {
		return nil, s.mayNotAssume(caller.ARN, arn)
	}
	seconds := int32(3600)
	if in.DurationSeconds != nil {
		seconds = *in.DurationSeconds
	}
	if seconds < 900 || seconds > c.MaxSession {
		return nil, invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role, or is below 900.")
	}
	ends := s.o.Clock.Now().UTC().Truncate(time.Second).Add(time.Duration(seconds) * time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	key := s.open(c, name, ends)
	opened := s.sessions[key]
	return &sts.AssumeRoleOutput{
		AssumedRoleUser: &types.AssumedRoleUser{Arn: aws.String(opened.caller.ARN), AssumedRoleId: aws.String(opened.caller.UserID)},
		Credentials:     &types.Credentials{AccessKeyId: &key, SecretAccessKey: aws.String(opened.secret), SessionToken: aws.String(opened.token), Expiration: &ends},
	}, nil
}

func (s *IAM) mayAssume(ctx context.Context, caller wire.Caller, c *compiled, arn string, external *string) bool {
	conditions := s.conditions(caller)
	if external != nil {
		conditions["sts:externalid"] = []string{*external}
	}
	r := Request{Action: "sts:AssumeRole", Conditions: conditions}
	if c.trust.Trusts("AWS", []string{caller.ARN, caller.RoleARN}, r) {
		return true
	}
	// A trust in the account leaves it to the account's own policies.
	account := []string{caller.Account, "arn:aws:iam::" + caller.Account + ":root"}
	return c.trust.Trusts("AWS", account, r) && s.Authorize(ctx, "sts:AssumeRole", arn) == nil
}

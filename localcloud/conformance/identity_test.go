package conformance_test

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const (
	iamAPI = "https://docs.aws.amazon.com/IAM/latest/APIReference/API_"
	stsAPI = "https://docs.aws.amazon.com/STS/latest/APIReference/API_"
)

func trust(principal string) *string {
	return ref(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"sts:AssumeRole"}]}`)
}

// ownRole makes a role that the account trusts, with one policy if one is given.
func (c *call) ownRole(policy string) (name, arn string) {
	c.Helper()
	name = c.name()
	arn = *try(c.iam.CreateRole(c.ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: trust(`{"AWS":"arn:aws:iam::` + c.account + `:root"}`)})).ok(c).Role.Arn
	c.after(func(ctx context.Context) error {
		_, _ = c.iam.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &name, PolicyName: ref("p")})
		_, err := c.iam.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &name})
		return err
	})
	if policy != "" {
		try(c.iam.PutRolePolicy(c.ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: ref("p"), PolicyDocument: &policy})).ok(c)
	}
	return name, arn
}

// as is the settings of a session of a role.
func (c *call) as(arn string) aws.Config {
	c.Helper()
	var out *sts.AssumeRoleOutput
	c.eventually("the role is assumed", func() bool {
		var err error
		out, err = c.sts.AssumeRole(c.ctx, &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: ref("session")})
		return err == nil
	})
	cfg := c.cfg.Copy()
	cfg.Credentials = credentials.NewStaticCredentialsProvider(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
	return cfg
}

var identityBehaviours = []behaviour{
	{id: "iam.list-roles", says: "a role is listed among the roles, and its own policies by name", source: iamAPI + "ListRoles.html", run: func(c *call) {
		name, arn := c.ownRole(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"*"}]}`)
		equal(c, "policies", try(c.iam.ListRolePolicies(c.ctx, &iam.ListRolePoliciesInput{RoleName: &name})).ok(c).PolicyNames, "[p]")
		c.eventually("the role is listed", func() bool {
			pages := iam.NewListRolesPaginator(c.iam, &iam.ListRolesInput{PathPrefix: ref("/")})
			for pages.HasMorePages() {
				for _, r := range try(pages.NextPage(c.ctx)).ok(c).Roles {
					if *r.Arn == arn {
						return true
					}
				}
			}
			return false
		})
	}},
	{id: "iam.attach", says: "a managed policy is attached, listed and detached; one that is not attached is NoSuchEntity", source: iamAPI + "AttachRolePolicy.html", run: func(c *call) {
		name, _ := c.ownRole("")
		managed := ref("arn:aws:iam::aws:policy/ReadOnlyAccess")
		try(c.iam.AttachRolePolicy(c.ctx, &iam.AttachRolePolicyInput{RoleName: &name, PolicyArn: managed})).ok(c)
		try(c.iam.DeleteRole(c.ctx, &iam.DeleteRoleInput{RoleName: &name})).fails(c, 409, "DeleteConflict", "Cannot delete entity, must detach all policies first.")
		attached := try(c.iam.ListAttachedRolePolicies(c.ctx, &iam.ListAttachedRolePoliciesInput{RoleName: &name})).ok(c).AttachedPolicies
		if len(attached) != 1 || *attached[0].PolicyArn != *managed || *attached[0].PolicyName != "ReadOnlyAccess" {
			c.Errorf("attached: %+v", attached)
		}
		try(c.iam.DetachRolePolicy(c.ctx, &iam.DetachRolePolicyInput{RoleName: &name, PolicyArn: managed})).ok(c)
		try(c.iam.DetachRolePolicy(c.ctx, &iam.DetachRolePolicyInput{RoleName: &name, PolicyArn: managed})).fails(c, 404, "NoSuchEntity")
	}},
	{id: "iam.list-role-tags.pages", says: "a role's tags come in pages", source: iamAPI + "ListRoleTags.html", run: func(c *call) {
		name, _ := c.ownRole("")
		try(c.iam.TagRole(c.ctx, &iam.TagRoleInput{RoleName: &name, Tags: []types.Tag{{Key: ref("a"), Value: ref("1")}, {Key: ref("b"), Value: ref("2")}, {Key: ref("c"), Value: ref("3")}}})).ok(c)
		first := try(c.iam.ListRoleTags(c.ctx, &iam.ListRoleTagsInput{RoleName: &name, MaxItems: aws.Int32(2)})).ok(c)
		equal(c, "first", []any{len(first.Tags), first.IsTruncated, first.Marker != nil}, []any{2, true, true})
		second := try(c.iam.ListRoleTags(c.ctx, &iam.ListRoleTagsInput{RoleName: &name, MaxItems: aws.Int32(2), Marker: first.Marker})).ok(c)
		equal(c, "second", []any{len(second.Tags), second.IsTruncated}, []any{1, false})
	}},
	{id: "iam.update", says: "a role's description and trust are changed", source: iamAPI + "UpdateRole.html", run: func(c *call) {
		name, _ := c.ownRole("")
		try(c.iam.UpdateRole(c.ctx, &iam.UpdateRoleInput{RoleName: &name, Description: ref("new")})).ok(c)
		try(c.iam.UpdateAssumeRolePolicy(c.ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: &name, PolicyDocument: trust(`{"Service":"lambda.amazonaws.com"}`)})).ok(c)
		got := try(c.iam.GetRole(c.ctx, &iam.GetRoleInput{RoleName: &name})).ok(c).Role
		if str(got.Description) != "new" || !strings.Contains(*got.AssumeRolePolicyDocument, "lambda.amazonaws.com") {
			c.Errorf("role: %+v", got)
		}
	}},
	{id: "sts.get-caller-identity", says: "who asks hears account, ARN and id", source: stsAPI + "GetCallerIdentity.html", run: func(c *call) {
		out := try(c.sts.GetCallerIdentity(c.ctx, nil)).ok(c)
		if len(str(out.Account)) != 12 || !strings.HasPrefix(str(out.Arn), "arn:aws:") || !strings.Contains(*out.Arn, *out.Account) || out.UserId == nil {
			c.Errorf("identity: %+v", out)
		}
	}},
	{id: "sts.get-caller-identity.role", says: "a session's ARN names its role and itself, its id the role's and the session", source: stsAPI + "GetCallerIdentity.html", need: needCost, run: func(c *call) {
		name, arn := c.ownRole("")
		out := try(sts.NewFromConfig(c.as(arn)).GetCallerIdentity(c.ctx, nil)).ok(c)
		equal(c, "arn", str(out.Arn), "arn:aws:sts::"+c.account+":assumed-role/"+name+"/session")
		if !strings.HasPrefix(str(out.UserId), "AROA") || !strings.HasSuffix(*out.UserId, ":session") {
			c.Errorf("id %s", *out.UserId)
		}
	}},
	{id: "sts.get-caller-identity.unknown", says: "a key that nobody has is InvalidClientTokenId", source: "https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html", run: func(c *call) {
		cfg := c.cfg.Copy()
		cfg.Credentials = credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "x", "")
		try(sts.NewFromConfig(cfg).GetCallerIdentity(c.ctx, nil)).fails(c, 403, "InvalidClientTokenId", "The security token included in the request is invalid.")
	}},
	{id: "sts.assume-role.denied", says: "a role that does not trust the caller is AccessDenied", source: stsAPI + "AssumeRole.html", run: func(c *call) {
		arn := "arn:aws:iam::" + c.account + ":role/" + c.name()
		try(c.sts.AssumeRole(c.ctx, &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: ref("session")})).fails(c, 403, "AccessDenied", "is not authorized to perform: sts:AssumeRole on resource: "+arn)
	}},
	{id: "iam.get-role.last-used", says: "GetRole tells of a role that was not used yet that it was not", source: recorded + "iam/test_iam.snapshot.json", need: needRole, run: func(c *call) {
		name := c.roleARN()
		name = name[strings.LastIndex(name, "/")+1:]
		if r := try(c.iam.GetRole(c.ctx, &iam.GetRoleInput{RoleName: &name})).ok(c).Role; r.RoleLastUsed == nil {
			c.Errorf("role %+v", r)
		}
	}},
	{id: "iam.create-role.exists", says: "a role of a name that is taken is EntityAlreadyExists", source: iamAPI + "CreateRole.html", run: func(c *call) {
		name, _ := c.ownRole("")
		try(c.iam.CreateRole(c.ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: trust(`{"Service":"lambda.amazonaws.com"}`)})).fails(c, 409, "EntityAlreadyExists", "Role with name "+name+" already exists.")
	}},
	{id: "iam.create-role.malformed", says: "a trust policy that is none is MalformedPolicyDocument", source: iamAPI + "CreateRole.html", run: func(c *call) {
		try(c.iam.CreateRole(c.ctx, &iam.CreateRoleInput{RoleName: ref(c.name()), AssumeRolePolicyDocument: ref("{}")})).fails(c, 400, "MalformedPolicyDocument")
	}},
	{id: "iam.get-role.missing", says: "a role that is not there is NoSuchEntity", source: iamAPI + "GetRole.html", run: func(c *call) {
		name := c.name()
		try(c.iam.GetRole(c.ctx, &iam.GetRoleInput{RoleName: &name})).fails(c, 404, "NoSuchEntity", "The role with name "+name+" cannot be found.")
	}},
	{id: "iam.get-role.document", says: "a trust policy comes back URL-encoded", source: iamAPI + "GetRole.html", run: func(c *call) {
		name, arn := c.ownRole("")
		role := try(c.iam.GetRole(c.ctx, &iam.GetRoleInput{RoleName: &name})).ok(c).Role
		if !strings.HasPrefix(str(role.AssumeRolePolicyDocument), "%7B") || str(role.Arn) != arn || str(role.Path) != "/" || !strings.HasPrefix(str(role.RoleId), "AROA") || num(role.MaxSessionDuration) != 3600 {
			c.Errorf("role: %+v", role)
		}
	}},
	{id: "iam.delete-role.conflict", says: "a role with a policy is not deleted: DeleteConflict", source: iamAPI + "DeleteRole.html", run: func(c *call) {
		name, _ := c.ownRole(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"*"}]}`)
		try(c.iam.DeleteRole(c.ctx, &iam.DeleteRoleInput{RoleName: &name})).fails(c, 409, "DeleteConflict", "Cannot delete entity, must delete policies first.")
	}},
	{id: "iam.role-policy.missing", says: "a policy that a role has not is NoSuchEntity", source: iamAPI + "GetRolePolicy.html", run: func(c *call) {
		name, _ := c.ownRole("")
		try(c.iam.GetRolePolicy(c.ctx, &iam.GetRolePolicyInput{RoleName: &name, PolicyName: ref("none")})).fails(c, 404, "NoSuchEntity", "The role policy with name none cannot be found.")
	}},
	{id: "iam.role-tags", says: "a role's tags are set, listed and taken away", source: iamAPI + "TagRole.html", run: func(c *call) {
		name, _ := c.ownRole("")
		try(c.iam.TagRole(c.ctx, &iam.TagRoleInput{RoleName: &name, Tags: []types.Tag{{Key: ref("a"), Value: ref("1")}, {Key: ref("b"), Value: ref("2")}}})).ok(c)
		try(c.iam.UntagRole(c.ctx, &iam.UntagRoleInput{RoleName: &name, TagKeys: []string{"a"}})).ok(c)
		tags := try(c.iam.ListRoleTags(c.ctx, &iam.ListRoleTagsInput{RoleName: &name})).ok(c).Tags
		if len(tags) != 1 || *tags[0].Key != "b" {
			c.Errorf("tags: %+v", tags)
		}
	}},
	{id: "iam.allow", says: "a session may do what its role's policy allows, and nothing else", source: "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html", need: needCost, run: func(c *call) {
		b := c.bucket()
		c.fill(b, "in/k", "out/k")
		name, arn := c.ownRole(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + b + `/in/*"}]}`)
		session := s3.NewFromConfig(c.as(arn))
		c.eventually("the policy holds", func() bool {
			_, err := session.GetObject(c.ctx, &s3.GetObjectInput{Bucket: &b, Key: ref("in/k")})
			return err == nil
		})
		try(session.GetObject(c.ctx, &s3.GetObjectInput{Bucket: &b, Key: ref("out/k")})).fails(c, 403, "AccessDenied")
		try(session.PutObject(c.ctx, &s3.PutObjectInput{Bucket: &b, Key: ref("in/k"), Body: strings.NewReader("x")})).fails(c, 403, "AccessDenied",
			"arn:aws:sts::"+c.account+":assumed-role/"+name+"/session is not authorized to perform: s3:PutObject")
	}},
	{id: "iam.deny", says: "a Deny outdoes an Allow", source: "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html", need: needCost, run: func(c *call) {
		b := c.bucket()
		c.fill(b, "in/k", "in/secret")
		_, arn := c.ownRole(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Deny","Action":"s3:Get*","Resource":"arn:aws:s3:::` + b + `/in/secret"}]}`)
		session := s3.NewFromConfig(c.as(arn))
		c.eventually("the policy holds", func() bool {
			_, err := session.GetObject(c.ctx, &s3.GetObjectInput{Bucket: &b, Key: ref("in/k")})
			return err == nil
		})
		try(session.GetObject(c.ctx, &s3.GetObjectInput{Bucket: &b, Key: ref("in/secret")})).fails(c, 403, "AccessDenied")
	}},
}

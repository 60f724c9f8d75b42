package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// The stack that the CDK CLI puts into an account once, and its version whose
// resources the deployed template needs.
const (
	toolkitStack     = "CDKToolkit"
	bootstrapVersion = "30"
)

// deployToolkit makes as much of the CDK's bootstrap stack as a deployment from
// here needs: the bucket of assets and the parameters that the template reads.
// They have the logical ids of the CDK's own template, so that `cdk bootstrap`
// takes the stack for an older one and updates it. One that is there stays.
func deployToolkit(ctx context.Context, cfn *cloudformation.Client, bucket string, template []byte) error {
	if bucket == "" {
		return nil
	}
	status, err := settledStatus(ctx, cfn, toolkitStack)
	if err != nil || completed(status) {
		return err
	}
	var t struct {
		Parameters map[string]struct {
			Type    string
			Default any
		}
	}
	if err := json.Unmarshal(template, &t); err != nil {
		return fmt.Errorf("read template: %w", err)
	}
	resources := map[string]any{"StagingBucket": map[string]any{
		"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain",
		"Properties": map[string]any{"BucketName": bucket, "VersioningConfiguration": map[string]any{"Status": "Enabled"}},
	}}
	for _, p := range t.Parameters {
		if name, _ := p.Default.(string); p.Type == "AWS::SSM::Parameter::Value<String>" && strings.HasPrefix(name, "/cdk-bootstrap/") {
			resources["CdkBootstrapVersion"] = map[string]any{"Type": "AWS::SSM::Parameter",
				"Properties": map[string]any{"Type": "String", "Name": name, "Value": bootstrapVersion}}
		}
	}
	body, err := json.Marshal(map[string]any{
		"Description": "What deployments into the local cloud need; cdk bootstrap adds the rest.",
		"Resources":   resources,
		"Outputs": map[string]any{ // by which the CDK CLI knows its stack
			"BucketName":       map[string]any{"Value": map[string]any{"Ref": "StagingBucket"}},
			"BucketDomainName": map[string]any{"Value": map[string]any{"Fn::GetAtt": []string{"StagingBucket", "RegionalDomainName"}}},
			"BootstrapVersion": map[string]any{"Value": bootstrapVersion},
		},
	})
	if err != nil {
		return fmt.Errorf("write template of stack %s: %w", toolkitStack, err)
	}
	return deployStack(ctx, cfn, stackInput{name: toolkitStack, body: aws.String(string(body))})
}

// stackInput is what a stack is to become.
type stackInput struct {
	name         string
	body, url    *string // one of them
	parameters   []types.Parameter
	capabilities []types.Capability
}

// changeSetName is that of the changes which are made here.
const changeSetName = "millrace-up"

// deployStack creates or updates a stack, and waits for its end. A stack whose
// creation never came to an end is made anew; what was kept of it, or of a
// deleted one, becomes the stack's again.
func deployStack(ctx context.Context, cfn *cloudformation.Client, in stackInput) error {
	status, err := settledStatus(ctx, cfn, in.name)
	if err != nil {
		return err
	}
	kind := types.ChangeSetTypeUpdate
	if !completed(status) && !strings.HasPrefix(string(status), "UPDATE_") {
		kind = types.ChangeSetTypeCreate
		if err := removeStack(ctx, cfn, in.name, status); err != nil {
			return err
		}
	} else if _, err := cfn.DeleteChangeSet(ctx, &cloudformation.DeleteChangeSetInput{StackName: &in.name, ChangeSetName: aws.String(changeSetName)}); err != nil {
		return fmt.Errorf("deploy stack %s: remove what an interrupted deployment left: %w", in.name, err)
	}
	made, err := cfn.CreateChangeSet(ctx, &cloudformation.CreateChangeSetInput{
		StackName: &in.name, ChangeSetName: aws.String(changeSetName), ChangeSetType: kind, ImportExistingResources: aws.Bool(true),
		TemplateBody: in.body, TemplateURL: in.url, Parameters: in.parameters, Capabilities: in.capabilities,
	})
	if err != nil {
		return fmt.Errorf("deploy stack %s: %w", in.name, err)
	}
	planned, err := cfn.DescribeChangeSet(ctx, &cloudformation.DescribeChangeSetInput{ChangeSetName: made.Id})
	if err != nil {
		return fmt.Errorf("deploy stack %s: %w", in.name, err)
	}
	if planned.Status == types.ChangeSetStatusFailed { // it is only so where nothing changes
		_, err := cfn.DeleteChangeSet(ctx, &cloudformation.DeleteChangeSetInput{ChangeSetName: made.Id})
		return err
	}
	if _, err := cfn.ExecuteChangeSet(ctx, &cloudformation.ExecuteChangeSetInput{ChangeSetName: made.Id}); err != nil {
		return fmt.Errorf("deploy stack %s: %w", in.name, err)
	}
	status, err = settledStatus(ctx, cfn, in.name)
	if err == nil && !completed(status) {
		err = fmt.Errorf("deploy stack %s: it ended as %s: %s", in.name, status, whyFailed(ctx, cfn, in.name))
	}
	return err
}

// completed reports whether a stack is what its template says.
func completed(s types.StackStatus) bool {
	return s == types.StackStatusCreateComplete || s == types.StackStatusUpdateComplete
}

// settledStatus is a stack's status once nothing changes it any more; "" where
// there is no stack.
func settledStatus(ctx context.Context, cfn *cloudformation.Client, name string) (types.StackStatus, error) {
	for {
		out, err := cfn.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
		if hasCode(err, "ValidationError") && strings.Contains(err.Error(), "does not exist") {
			return "", nil
		}
		if err != nil {
			return "", fmt.Errorf("wait for stack %s: %w", name, err)
		}
		status := out.Stacks[0].StackStatus
		if !strings.HasSuffix(string(status), "_IN_PROGRESS") || status == types.StackStatusReviewInProgress {
			return status, nil
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// removeStack removes a stack that was never completed, if there is one.
func removeStack(ctx context.Context, cfn *cloudformation.Client, name string, status types.StackStatus) error {
	if status == "" {
		return nil
	}
	if _, err := cfn.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &name}); err != nil {
		return fmt.Errorf("delete stack %s, which is %s: %w", name, status, err)
	}
	left, err := settledStatus(ctx, cfn, name)
	if err == nil && left != "" {
		err = fmt.Errorf("delete stack %s, which was %s: it ended as %s: %s", name, status, left, whyFailed(ctx, cfn, name))
	}
	return err
}

// whyFailed finds the first failure among the stack's events.
func whyFailed(ctx context.Context, cfn *cloudformation.Client, name string) string {
	out, err := cfn.DescribeStackEvents(ctx, &cloudformation.DescribeStackEventsInput{StackName: &name})
	if err != nil {
		return "and its events cannot be read: " + err.Error()
	}
	why := "its events do not say why"
	for _, e := range out.StackEvents { // newest first: the last found is the first that failed
		if strings.HasSuffix(string(e.ResourceStatus), "_FAILED") {
			why = aws.ToString(e.LogicalResourceId) + ": " + aws.ToString(e.ResourceStatusReason)
		}
	}
	return why
}

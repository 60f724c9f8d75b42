package ecr_test

import (
	"errors"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/smithy-go"

	"github.com/millrace-ml/millrace/localcloud/ecr"
	"github.com/millrace-ml/millrace/localcloud/service"
	"github.com/millrace-ml/millrace/localcloud/store"
)

// fixedClock stands still.
type fixedClock struct{}

var now = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

func (fixedClock) Now() time.Time                              { return now }
func (fixedClock) AfterFunc(time.Duration, func()) func() bool { panic("no timers here") }

func client(t *testing.T) *awsecr.Client {
	t.Helper()
	st, err := store.Open(filepath.Join(t.TempDir(), "state.db"), store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	s, err := ecr.New(service.Base{Account: "000000000000", Region: "us-east-1", Clock: fixedClock{}, Store: st, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Wire())
	t.Cleanup(func() {
		server.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return awsecr.New(awsecr.Options{Region: "us-east-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""), RetryMaxAttempts: 3})
}

func wantCode(t *testing.T, what string, err error, want string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}

const arn = "arn:aws:ecr:us-east-1:000000000000:repository/team/images"

var name = aws.String("team/images")

func made(t *testing.T) *awsecr.Client {
	t.Helper()
	c := client(t)
	out, err := c.CreateRepository(t.Context(), &awsecr.CreateRepositoryInput{RepositoryName: name, ImageTagMutability: types.ImageTagMutabilityImmutable, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}}})
	if err != nil {
		t.Fatal(err)
	}
	r := out.Repository
	if *r.RepositoryArn != arn || *r.RepositoryUri != "000000000000.dkr.ecr.us-east-1.amazonaws.com/team/images" || !r.CreatedAt.Equal(now) || r.ImageTagMutability != types.ImageTagMutabilityImmutable {
		t.Errorf("made %+v", r)
	}
	return c
}

func TestRepositories(t *testing.T) {
	c, ctx := made(t), t.Context()
	_, err := c.CreateRepository(ctx, &awsecr.CreateRepositoryInput{RepositoryName: name})
	wantCode(t, "again", err, "RepositoryAlreadyExistsException")
	if _, err := c.CreateRepository(ctx, &awsecr.CreateRepositoryInput{RepositoryName: aws.String("other")}); err != nil {
		t.Fatal(err)
	}
	var names []string
	pages := awsecr.NewDescribeRepositoriesPaginator(c, &awsecr.DescribeRepositoriesInput{MaxResults: aws.Int32(1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Repositories {
			names = append(names, *r.RepositoryName)
		}
	}
	if len(names) != 2 || names[0] != "other" || names[1] != *name {
		t.Errorf("listed %v", names)
	}
	images, err := c.DescribeImages(ctx, &awsecr.DescribeImagesInput{RepositoryName: name})
	if err != nil || len(images.ImageDetails) != 0 {
		t.Errorf("images %v, %v", images, err)
	}
	_, err = c.DescribeImages(ctx, &awsecr.DescribeImagesInput{RepositoryName: name, ImageIds: []types.ImageIdentifier{{ImageTag: aws.String("v1")}}})
	wantCode(t, "an image", err, "ImageNotFoundException")
	if _, err := c.DeleteRepository(ctx, &awsecr.DeleteRepositoryInput{RepositoryName: name}); err != nil {
		t.Fatal(err)
	}
	_, err = c.DescribeRepositories(ctx, &awsecr.DescribeRepositoriesInput{RepositoryNames: []string{*name}})
	wantCode(t, "deleted", err, "RepositoryNotFoundException")
	_, err = c.DescribeRepositories(ctx, &awsecr.DescribeRepositoriesInput{RepositoryNames: []string{"other"}, RegistryId: aws.String("111111111111")})
	wantCode(t, "another registry's", err, "RepositoryNotFoundException")
}

func TestPoliciesAndTags(t *testing.T) {
	c, ctx := made(t), t.Context()
	text := aws.String(`{"Version":"2012-10-17","Statement":[]}`)
	lifecycle := `{"rules":[]}` + strings.Repeat(" ", 100) // AWS takes no text of under 100 characters
	_, err := c.GetRepositoryPolicy(ctx, &awsecr.GetRepositoryPolicyInput{RepositoryName: name})
	wantCode(t, "no policy", err, "RepositoryPolicyNotFoundException")
	_, err = c.GetLifecyclePolicy(ctx, &awsecr.GetLifecyclePolicyInput{RepositoryName: name})
	wantCode(t, "no lifecycle policy", err, "LifecyclePolicyNotFoundException")
	if _, err := c.SetRepositoryPolicy(ctx, &awsecr.SetRepositoryPolicyInput{RepositoryName: name, PolicyText: text}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PutLifecyclePolicy(ctx, &awsecr.PutLifecyclePolicyInput{RepositoryName: name, LifecyclePolicyText: &lifecycle}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.GetRepositoryPolicy(ctx, &awsecr.GetRepositoryPolicyInput{RepositoryName: name}); err != nil || *got.PolicyText != *text {
		t.Errorf("policy %+v, %v", got, err)
	}
	if got, err := c.GetLifecyclePolicy(ctx, &awsecr.GetLifecyclePolicyInput{RepositoryName: name}); err != nil || *got.LifecyclePolicyText != lifecycle {
		t.Errorf("lifecycle policy %+v, %v", got, err)
	}
	if got, err := c.DeleteRepositoryPolicy(ctx, &awsecr.DeleteRepositoryPolicyInput{RepositoryName: name}); err != nil || *got.PolicyText != *text {
		t.Errorf("deleted policy %+v, %v", got, err)
	}
	_, err = c.DeleteRepositoryPolicy(ctx, &awsecr.DeleteRepositoryPolicyInput{RepositoryName: name})
	wantCode(t, "deleted twice", err, "RepositoryPolicyNotFoundException")
	if _, err := c.PutImageTagMutability(ctx, &awsecr.PutImageTagMutabilityInput{RepositoryName: name, ImageTagMutability: types.ImageTagMutabilityMutable}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PutImageScanningConfiguration(ctx, &awsecr.PutImageScanningConfigurationInput{RepositoryName: name, ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: true}}); err != nil {
		t.Fatal(err)
	}
	got, err := c.DescribeRepositories(ctx, &awsecr.DescribeRepositoriesInput{RepositoryNames: []string{*name}})
	if err != nil || got.Repositories[0].ImageTagMutability != types.ImageTagMutabilityMutable || !got.Repositories[0].ImageScanningConfiguration.ScanOnPush {
		t.Errorf("changed: %+v, %v", got, err)
	}
	if _, err := c.TagResource(ctx, &awsecr.TagResourceInput{ResourceArn: aws.String(arn), Tags: []types.Tag{{Key: aws.String("b"), Value: aws.String("2")}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.UntagResource(ctx, &awsecr.UntagResourceInput{ResourceArn: aws.String(arn), TagKeys: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	tags, err := c.ListTagsForResource(ctx, &awsecr.ListTagsForResourceInput{ResourceArn: aws.String(arn)})
	if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Key != "b" {
		t.Errorf("tags %+v, %v", tags, err)
	}
}

func TestRefused(t *testing.T) {
	c, ctx := made(t), t.Context()
	for what, in := range map[string]awsecr.CreateRepositoryInput{
		"letters":    {RepositoryName: aws.String("Upper")},
		"short":      {RepositoryName: aws.String("a")},
		"KMS":        {RepositoryName: aws.String("new"), EncryptionConfiguration: &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKms}},
		"exclusions": {RepositoryName: aws.String("new"), ImageTagMutability: "IMMUTABLE_WITH_EXCLUSION"},
		"registry":   {RepositoryName: aws.String("new"), RegistryId: aws.String("111111111111")},
	} {
		_, err := c.CreateRepository(ctx, &in)
		wantCode(t, what, err, "InvalidParameterException")
	}
	_, err := c.SetRepositoryPolicy(ctx, &awsecr.SetRepositoryPolicyInput{RepositoryName: name, PolicyText: aws.String("no")})
	wantCode(t, "no policy", err, "InvalidParameterException")
	_, err = c.PutLifecyclePolicy(ctx, &awsecr.PutLifecyclePolicyInput{RepositoryName: name, LifecyclePolicyText: aws.String("[]")})
	wantCode(t, "no lifecycle policy", err, "InvalidParameterException")
	_, err = c.SetRepositoryPolicy(ctx, &awsecr.SetRepositoryPolicyInput{RepositoryName: aws.String("none"), PolicyText: aws.String("{}")})
	wantCode(t, "of nothing", err, "RepositoryNotFoundException")
	_, err = c.GetAuthorizationToken(ctx, &awsecr.GetAuthorizationTokenInput{})
	wantCode(t, "push and pull", err, "UnknownOperationException")
}

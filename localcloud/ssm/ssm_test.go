package ssm_test

import (
	"errors"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"

	"github.com/millrace-ml/millrace/localcloud/service"
	"github.com/millrace-ml/millrace/localcloud/ssm"
	"github.com/millrace-ml/millrace/localcloud/store"
)

// fixedClock stands still.
type fixedClock struct{}

var now = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

func (fixedClock) Now() time.Time                              { return now }
func (fixedClock) AfterFunc(time.Duration, func()) func() bool { panic("no timers here") }

// open starts the service on a state file, and gives a client to it.
func open(t *testing.T, path string) (client *awsssm.Client, stop func()) {
	t.Helper()
	st, err := store.Open(path, store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssm.New(service.Base{Account: "000000000000", Region: "us-east-1", Clock: fixedClock{}, Store: st, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Wire())
	stop = func() {
		server.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}
	return awsssm.New(awsssm.Options{Region: "us-east-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""), RetryMaxAttempts: 3}), stop
}

func client(t *testing.T) *awsssm.Client {
	t.Helper()
	c, stop := open(t, filepath.Join(t.TempDir(), "state.db"))
	t.Cleanup(stop)
	return c
}

func put(t *testing.T, c *awsssm.Client, name, value string) {
	t.Helper()
	if _, err := c.PutParameter(t.Context(), &awsssm.PutParameterInput{Name: &name, Value: &value, Type: types.ParameterTypeString}); err != nil {
		t.Fatal(err)
	}
}

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

func TestParameters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	c, stop := open(t, path)
	ctx := t.Context()
	put(t, c, "/cdk-bootstrap/x/version", "29")
	over, err := c.PutParameter(ctx, &awsssm.PutParameterInput{Name: aws.String("/cdk-bootstrap/x/version"), Value: aws.String("30"), Overwrite: aws.Bool(true), Description: aws.String("what is there")})
	if err != nil || over.Version != 2 || over.Tier != types.ParameterTierStandard {
		t.Fatalf("overwritten: %+v, %v", over, err)
	}
	stop()
	c, stop = open(t, path) // all is kept
	defer stop()
	const arn = "arn:aws:ssm:us-east-1:000000000000:parameter/cdk-bootstrap/x/version"
	for name, want := range map[string]struct {
		value    string
		version  int64
		selector string
	}{
		"/cdk-bootstrap/x/version":   {"30", 2, ""},
		"/cdk-bootstrap/x/version:1": {"29", 1, ":1"},
		arn:                          {"30", 2, ""},
		arn + ":1":                   {"29", 1, ":1"},
	} {
		got, err := c.GetParameter(ctx, &awsssm.GetParameterInput{Name: &name})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p := got.Parameter
		if *p.Value != want.value || p.Version != want.version || aws.ToString(p.Selector) != want.selector || *p.ARN != arn || p.Type != types.ParameterTypeString || !p.LastModifiedDate.Equal(now) || *p.DataType != "text" {
			t.Errorf("%s: %+v", name, p)
		}
	}
	several, err := c.GetParameters(ctx, &awsssm.GetParametersInput{Names: []string{"/none", "/cdk-bootstrap/x/version", "/cdk-bootstrap/x/version:7"}})
	if err != nil || len(several.Parameters) != 1 || !slices.Equal(several.InvalidParameters, []string{"/none", "/cdk-bootstrap/x/version:7"}) {
		t.Errorf("several: %+v, %v", several, err)
	}
	if _, err := c.DeleteParameter(ctx, &awsssm.DeleteParameterInput{Name: aws.String("/cdk-bootstrap/x/version")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetParameter(ctx, &awsssm.GetParameterInput{Name: aws.String("/cdk-bootstrap/x/version")}); code(err) != "ParameterNotFound" {
		t.Errorf("after its deletion: %v", err)
	}
}

// A name without levels is the same with a slash before it; answers have the one asked for.
func TestNamesWithoutLevels(t *testing.T) {
	c, ctx := client(t), t.Context()
	put(t, c, "plain", "v")
	for _, name := range []string{"plain", "/plain"} {
		got, err := c.GetParameter(ctx, &awsssm.GetParameterInput{Name: &name})
		if err != nil || *got.Parameter.Name != name || *got.Parameter.Value != "v" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := c.PutParameter(ctx, &awsssm.PutParameterInput{Name: aws.String("/plain"), Value: aws.String("w"), Type: types.ParameterTypeString}); code(err) != "ParameterAlreadyExists" {
		t.Errorf("made again with a slash: %v", err)
	}
	for _, name := range []string{"a/b", "/a//b"} {
		if _, err := c.GetParameter(ctx, &awsssm.GetParameterInput{Name: &name}); code(err) != "ValidationException" || !strings.Contains(err.Error(), "sub-paths divided by slash symbol") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.DeleteParameter(ctx, &awsssm.DeleteParameterInput{Name: aws.String("/plain")}); err != nil {
		t.Error(err)
	}
	if _, err := c.GetParameter(ctx, &awsssm.GetParameterInput{Name: aws.String("plain")}); code(err) != "ParameterNotFound" {
		t.Errorf("after its deletion: %v", err)
	}
}

func TestRefused(t *testing.T) {
	c := client(t)
	put(t, c, "there", "v")
	text := func(in awsssm.PutParameterInput) awsssm.PutParameterInput {
		if in.Name == nil {
			in.Name = aws.String("new")
		}
		if in.Value == nil {
			in.Value = aws.String("v")
		}
		if in.Type == "" {
			in.Type = types.ParameterTypeString
		}
		return in
	}
	for name, tc := range map[string]struct {
		in   awsssm.PutParameterInput
		want string
	}{
		"there already":       {text(awsssm.PutParameterInput{Name: aws.String("there")}), "ParameterAlreadyExists"},
		"no type":             {awsssm.PutParameterInput{Name: aws.String("new"), Value: aws.String("v")}, "ValidationException"},
		"another type":        {text(awsssm.PutParameterInput{Type: "Text"}), "ValidationException"},
		"secret":              {text(awsssm.PutParameterInput{Type: types.ParameterTypeSecureString}), "UnsupportedParameterType"},
		"key":                 {text(awsssm.PutParameterInput{KeyId: aws.String("k")}), "UnsupportedParameterType"},
		"advanced":            {text(awsssm.PutParameterInput{Tier: types.ParameterTierAdvanced}), "ValidationException"},
		"policies":            {text(awsssm.PutParameterInput{Policies: aws.String(`[{"Type":"Expiration"}]`)}), "IncompatiblePolicyException"},
		"image":               {text(awsssm.PutParameterInput{DataType: aws.String("aws:ec2:image")}), "ValidationException"},
		"not full":            {text(awsssm.PutParameterInput{Name: aws.String("a/b")}), "ValidationException"},
		"letters":             {text(awsssm.PutParameterInput{Name: aws.String("a b")}), "ValidationException"},
		"AWS's own":           {text(awsssm.PutParameterInput{Name: aws.String("/AwsThing")}), "ValidationException"},
		"deep":                {text(awsssm.PutParameterInput{Name: aws.String(strings.Repeat("/a", 16))}), "HierarchyLevelLimitExceededException"},
		"empty":               {text(awsssm.PutParameterInput{Value: aws.String("")}), "ValidationException"},
		"long":                {text(awsssm.PutParameterInput{Value: aws.String(strings.Repeat("x", 4097))}), "ValidationException"},
		"pattern":             {text(awsssm.PutParameterInput{AllowedPattern: aws.String(`^\d+$`)}), "ParameterPatternMismatchException"},
		"bad pattern":         {text(awsssm.PutParameterInput{AllowedPattern: aws.String(`(`)}), "InvalidAllowedPatternException"},
		"tags over something": {text(awsssm.PutParameterInput{Name: aws.String("there"), Overwrite: aws.Bool(true), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}), "ValidationException"},
	} {
		if _, err := c.PutParameter(t.Context(), &tc.in); code(err) != tc.want {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	if _, err := c.GetParameter(t.Context(), &awsssm.GetParameterInput{Name: aws.String("new")}); code(err) != "ParameterNotFound" {
		t.Errorf("a refused parameter: %v", err)
	}
	if _, err := c.GetParameter(t.Context(), &awsssm.GetParameterInput{Name: aws.String("arn:aws:ssm:us-east-1:111111111111:parameter/x")}); code(err) != "ParameterNotFound" {
		t.Errorf("another account's: %v", err)
	}
	if _, err := c.GetParametersByPath(t.Context(), &awsssm.GetParametersByPathInput{Path: aws.String("/")}); code(err) != "UnknownOperationException" {
		t.Errorf("an operation that is not here: %v", err)
	}
}

func TestDescribe(t *testing.T) {
	c := client(t)
	for _, n := range []string{"/a/x", "/a/y/z", "/b", "plain"} {
		put(t, c, n, "v")
	}
	list := aws.String("StringList")
	if _, err := c.PutParameter(t.Context(), &awsssm.PutParameterInput{Name: aws.String("list"), Value: aws.String("a,b"), Type: types.ParameterType(*list)}); err != nil {
		t.Fatal(err)
	}
	filter := func(key, option string, values ...string) []types.ParameterStringFilter {
		f := types.ParameterStringFilter{Key: &key, Values: values}
		if option != "" {
			f.Option = &option
		}
		return []types.ParameterStringFilter{f}
	}
	for name, tc := range map[string]struct {
		filters []types.ParameterStringFilter
		want    []string
	}{
		"all":       {nil, []string{"/a/x", "/a/y/z", "/b", "list", "plain"}},
		"name":      {filter("Name", "", "/b", "plain"), []string{"/b", "plain"}},
		"begins":    {filter("Name", "BeginsWith", "/a"), []string{"/a/x", "/a/y/z"}},
		"contains":  {filter("Name", "Contains", "i"), []string{"list", "plain"}},
		"type":      {filter("Type", "", "StringList"), []string{"list"}},
		"one level": {filter("Path", "", "/a"), []string{"/a/x"}},
		"recursive": {filter("Path", "Recursive", "/a/"), []string{"/a/x", "/a/y/z"}},
	} {
		var got []string
		pages := awsssm.NewDescribeParametersPaginator(c, &awsssm.DescribeParametersInput{ParameterFilters: tc.filters, MaxResults: aws.Int32(2)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if len(page.Parameters) > 2 {
				t.Errorf("%s: a page of %d", name, len(page.Parameters))
			}
			for _, p := range page.Parameters {
				got = append(got, *p.Name)
			}
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
	for want, f := range map[string][]types.ParameterStringFilter{"InvalidFilterKey": filter("Tier", "", "x"), "InvalidFilterOption": filter("Path", "Equals", "/"), "InvalidFilterValue": filter("Name", "")} {
		if _, err := c.DescribeParameters(t.Context(), &awsssm.DescribeParametersInput{ParameterFilters: f}); code(err) != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestTags(t *testing.T) {
	c := client(t)
	ctx, id := t.Context(), aws.String("p")
	_, err := c.PutParameter(ctx, &awsssm.PutParameterInput{Name: id, Value: aws.String("v"), Type: types.ParameterTypeString, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}}})
	if err != nil {
		t.Fatal(err)
	}
	const kind = types.ResourceTypeForTaggingParameter
	if _, err := c.AddTagsToResource(ctx, &awsssm.AddTagsToResourceInput{ResourceType: kind, ResourceId: id, Tags: []types.Tag{{Key: aws.String("b"), Value: aws.String("2")}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RemoveTagsFromResource(ctx, &awsssm.RemoveTagsFromResourceInput{ResourceType: kind, ResourceId: id, TagKeys: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	got, err := c.ListTagsForResource(ctx, &awsssm.ListTagsForResourceInput{ResourceType: kind, ResourceId: id})
	if err != nil || len(got.TagList) != 1 || *got.TagList[0].Key != "b" || *got.TagList[0].Value != "2" {
		t.Errorf("tags %+v, %v", got, err)
	}
	if _, err := c.ListTagsForResource(ctx, &awsssm.ListTagsForResourceInput{ResourceType: kind, ResourceId: aws.String("x")}); code(err) != "InvalidResourceId" {
		t.Errorf("of nothing: %v", err)
	}
	if _, err := c.ListTagsForResource(ctx, &awsssm.ListTagsForResourceInput{ResourceType: types.ResourceTypeForTaggingDocument, ResourceId: id}); code(err) != "InvalidResourceType" {
		t.Errorf("of a document: %v", err)
	}
}

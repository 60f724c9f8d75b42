package conformance_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The way to an account is gone with a local cloud of another process as the
// account: it has to be the one that was named, what is left out is told, and
// nothing stays that was made.
func TestAccount(t *testing.T) {
	if *account != "" {
		t.Skip("this is an account already")
	}
	w := open(t)
	role := try(w.makeRole()).ok(w.call(t))
	for name, tc := range map[string]struct {
		flags      []string
		fails      bool
		want, none []string
	}{
		"all":             {[]string{"-test.run=^TestConformance$", "-test.v", "-account=" + w.account, "-role=" + role, "-image=" + w.call(t).image(), "-spend"}, false, []string{"--- PASS: TestConformance"}, []string{"--- SKIP"}},
		"without a role":  {[]string{"-test.run=^TestConformance$/^(lambda|sagemaker|states)", "-test.v", "-account=" + w.account}, false, []string{"needs a role: give -role", "needs a role, an image, and money or minutes: give -role and -image and -spend"}, nil},
		"another account": {[]string{"-test.run=^TestConformance$", "-test.v", "-account=210987654321"}, true, []string{"are of the account " + w.account + ": nothing was tried"}, []string{"=== RUN   TestConformance/"}},
		"not told":        {[]string{"-test.run=^TestConformance$", "-account=" + w.account}, true, []string{"-account wants -v"}, []string{"=== RUN   TestConformance/"}},
	} {
		t.Run(name, func(t *testing.T) {
			program, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), program, append(tc.flags, "-test.parallel=32")...)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "AWS_ENDPOINT_URL=" + *w.cfg.BaseEndpoint, "AWS_REGION=" + w.cfg.Region,
				"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_EC2_METADATA_DISABLED=true"}
			raw, err := cmd.CombinedOutput()
			out := string(raw)
			if (err != nil) != tc.fails {
				t.Errorf("%v\n%s", err, out)
			}
			for _, part := range tc.want {
				if !strings.Contains(out, part) {
					t.Errorf("%q was not told:\n%s", part, out)
				}
			}
			for _, part := range tc.none {
				if strings.Contains(out, part) {
					t.Errorf("%q should not be there:\n%s", part, out)
				}
			}
			if left := w.left(t, w.prefix); len(left) > 0 {
				t.Errorf("left behind: %s", strings.Join(left, "\n"))
			}
		})
	}
}

var made = regexp.MustCompile(`millrace-conformance-[0-9a-f]{8}[-0-9a-z]*`)

// left names what was made and is there still, but for what begins with but.
// Jobs and deleted stacks stay listed on AWS too.
func (w *world) left(t *testing.T, but string) []string {
	t.Helper()
	ctx := t.Context()
	var left []string
	for kind, list := range map[string]func() (any, error){
		"bucket":        func() (any, error) { return w.s3.ListBuckets(ctx, nil) },
		"event bus":     func() (any, error) { return w.events.ListEventBuses(ctx, nil) },
		"rule":          func() (any, error) { return w.events.ListRules(ctx, nil) },
		"function":      func() (any, error) { return w.lambda.ListFunctions(ctx, nil) },
		"log group":     func() (any, error) { return w.logs.DescribeLogGroups(ctx, nil) },
		"model":         func() (any, error) { return w.sm.ListModels(ctx, nil) },
		"package group": func() (any, error) { return w.sm.ListModelPackageGroups(ctx, nil) },
		"topic":         func() (any, error) { return w.sns.ListTopics(ctx, nil) },
		"subscription":  func() (any, error) { return w.sns.ListSubscriptions(ctx, nil) },
		"queue":         func() (any, error) { return w.sqs.ListQueues(ctx, nil) },
		"role":          func() (any, error) { return w.iam.ListRoles(ctx, nil) },
		"parameter":     func() (any, error) { return w.ssm.DescribeParameters(ctx, nil) },
		"state machine": func() (any, error) { return w.states.ListStateMachines(ctx, nil) },
		"repository":    func() (any, error) { return w.ecr.DescribeRepositories(ctx, nil) },
		"stack":         func() (any, error) { return w.stacks.DescribeStacks(ctx, nil) },
	} {
		answer, err := list()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range made.FindAllString(string(raw), -1) {
			if !strings.HasPrefix(name, but) {
				left = append(left, kind+" "+name)
			}
		}
	}
	slices.Sort(left)
	return slices.Compact(left)
}

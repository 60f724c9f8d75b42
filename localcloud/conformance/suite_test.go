package conformance_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	update  = flag.Bool("update", false, "write docs/conformance.md anew")
	account = flag.String("account", "", "try the behaviours on this account, of 12 digits, with the usual AWS settings, instead of a local cloud; it must be the one that these belong to")
	roleARN = flag.String("role", "", "with -account: a role that Lambda, Step Functions and SageMaker may assume; without it cases that need one are left out")
	image   = flag.String("image", "", "with -account: an image that jobs may run; it does what program in program_test.go does")
	spend   = flag.Bool("spend", false, "with -account: try what costs money, or takes many minutes, too")
)

// need is what a case takes on an account beyond permission to call.
type need string

const (
	nothing   need = ""
	needRole  need = "a role"
	needImage need = "a role and an image"
	needCost  need = "a role, an image, and money or minutes"
)

// missing are the flags that were not given and that n takes.
func (n need) missing() []string {
	var flags []string
	if n != nothing && *roleARN == "" {
		flags = append(flags, "-role")
	}
	if (n == needImage || n == needCost) && *image == "" {
		flags = append(flags, "-image")
	}
	if n == needCost && !*spend {
		flags = append(flags, "-spend")
	}
	return flags
}

// behaviour is one thing that AWS does.
type behaviour struct {
	id     string // service, operation, what: "s3.put.if-none-match.412"
	says   string // the behaviour, in a line
	source string // the page of AWS that says so, or how it was recorded
	run    func(c *call)
	need   need
}

// areas are the behaviours by service, in the order of the document.
var areas = []struct {
	name string
	all  []behaviour
}{
	{"S3", slices.Concat(s3Buckets, s3Conditions, s3Objects, s3Ranges, s3Checksums, s3Versions, s3Deletes, s3Lists, s3Multipart, s3Copies, s3Tags, s3Presigned, s3Events, s3Refused, s3Forms)},
	{"EventBridge", slices.Concat(patternBehaviours, eventBehaviours)},
	{"Step Functions", slices.Concat(statesBehaviours, aliasBehaviours)},
	{"Lambda", lambdaBehaviours},
	{"CloudFormation", stackBehaviours},
	{"SageMaker", slices.Concat(jobBehaviours, registryBehaviours)},
	{"CloudWatch Logs", logsBehaviours},
	{"SQS", slices.Concat(sqsBehaviours, queueBehaviours)},
	{"SNS", slices.Concat(snsBehaviours, topicBehaviours)},
	{"ECR", ecrBehaviours},
	{"STS and IAM", identityBehaviours},
	{"Systems Manager's parameters", parameterBehaviours},
}

// TestConformance tries every behaviour.
func TestConformance(t *testing.T) {
	w := open(t)
	var all, run int
	t.Cleanup(func() { // when the last of them has ended
		if run == all {
			w.holes(t)
		}
	})
	for _, a := range areas {
		all += len(a.all)
		for _, b := range a.all {
			t.Run(b.id, func(t *testing.T) {
				run++ // not parallel yet
				if missing := b.need.missing(); len(missing) > 0 && *account != "" {
					t.Skipf("needs %s: give %s", b.need, strings.Join(missing, " and "))
				}
				t.Parallel()
				b.run(w.call(t))
			})
		}
	}
}

// TestBehavioursAreTold holds ids and sources to their form, and the document to
// the behaviours.
func TestBehavioursAreTold(t *testing.T) {
	form := regexp.MustCompile(`^[a-z0-9]+(\.[a-z0-9-]+)+$`)
	seen := map[string]bool{}
	var doc strings.Builder
	n := 0
	for _, a := range areas {
		n += len(a.all)
	}
	fmt.Fprintf(&doc, `# How AWS behaves, and the local cloud with it

%d behaviours, each tried through the real SDK by `+"`go test ./localcloud/conformance`"+`, against the local cloud, or with `+"`-account`"+`
against an account (package documentation there). Made from the cases by `+"`go test ./localcloud/conformance -run Told -update`"+`; a test
holds it equal. A source is the page of AWS's documentation that says so.
`, n)
	for _, a := range areas {
		fmt.Fprintf(&doc, "\n## %s\n\n| id | behaviour | source |\n|---|---|---|\n", a.name)
		for _, b := range a.all {
			if !form.MatchString(b.id) || seen[b.id] {
				t.Errorf("the id %q is given twice, or is not of the form service.what", b.id)
			}
			seen[b.id] = true
			if b.source == "" || b.says == "" || strings.Contains(b.says, "|") {
				t.Errorf("%s has no sentence and source that go into a table", b.id)
			}
			source := b.source
			if strings.HasPrefix(source, "https://") {
				source = "[" + source[strings.LastIndex(source, "/")+1:] + "](" + source + ")"
			}
			fmt.Fprintf(&doc, "| `%s` | %s | %s |\n", b.id, b.says, source)
		}
	}
	const file = "../../docs/conformance.md"
	if *update {
		if err := os.WriteFile(file, []byte(doc.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(file); err != nil || string(have) != doc.String() {
		t.Errorf("%s is not what the cases say (%v): run `go test ./localcloud/conformance -run Told -update` and commit it", file, err)
	}
}

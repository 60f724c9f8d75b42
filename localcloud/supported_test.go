package localcloud_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/localcloud"
	"github.com/millrace-ml/millrace/localcloud/wire/model"
)

var update = flag.Bool("update", false, "write docs/supported-operations.md anew")

// TestSupportedOperations holds the document equal to the routing tables.
func TestSupportedOperations(t *testing.T) {
	c, err := localcloud.New(context.Background(), localcloud.Options{Ephemeral: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	var b strings.Builder
	b.WriteString(`# What the local cloud supports

Made from the routing tables by ` + "`go test ./localcloud -run Supported -update`" + `; a test holds it equal. An operation that is not
here is answered with an AWS-shaped error, and a line in the log. So is a member, a resource type or a feature that would
change what an operation does and is not supported.
`)
	for _, name := range c.Services() {
		fmt.Fprintf(&b, "\n## %s\n\n", name)
		for _, op := range c.Operations(name) {
			fmt.Fprintf(&b, "- %s\n", op)
			if m := model.Of(name); name != "s3" && (m == nil || m.Operations[op] == "") {
				t.Errorf("what AWS asks of the input of %s:%s is not known: run localcloud/wire/model/gen (its package comment says how)", name, op)
			}
		}
	}
	b.WriteString("\n## Tasks of a state machine\n\n")
	for _, r := range localcloud.TaskResources() {
		fmt.Fprintf(&b, "- `%s`\n", r)
	}
	const file = "../docs/supported-operations.md"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != b.String() {
		t.Errorf("%s is not what the routing tables say; run `go test ./localcloud -run Supported -update` and commit it", file)
	}
}

package bootstrap_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/smithy-go"

	"github.com/millrace-ml/millrace/shared/bootstrap"
	"github.com/millrace-ml/millrace/statemachine"
)

func failures() map[string]struct {
	err  error
	name string
	says string
} {
	return map[string]struct {
		err  error
		name string
		says string
	}{
		"a named failure":         {statemachine.Failf(statemachine.ErrInvalid, "run %d is not there", 3), statemachine.ErrInvalid, "run 3 is not there"},
		"a wrapped named failure": {fmt.Errorf("do it: %w", statemachine.Failf(statemachine.ErrTransient, "busy")), statemachine.ErrTransient, "do it: TransientError: busy"},
		"a joined named failure":  {errors.Join(statemachine.Failf(statemachine.ErrNoModel, "none")), statemachine.ErrNoModel, "none"},
		"throttled":               {fmt.Errorf("write: %w", &smithy.GenericAPIError{Code: "ThrottlingException", Message: "slow"}), statemachine.ErrTransient, "slow"},
		"a deadline":              {context.DeadlineExceeded, statemachine.ErrTransient, "deadline"},
		"access denied":           {&smithy.GenericAPIError{Code: "AccessDeniedException", Message: "no"}, statemachine.ErrUnexpected, "no"},
		"anything else":           {errors.New("boom"), statemachine.ErrUnexpected, "boom"},
	}
}

// TestErrorsHaveNamesOnTheWire: what Retry and Catch see is what the runtime
// reports, so this goes through the runtime's own encoding.
func TestErrorsHaveNamesOnTheWire(t *testing.T) {
	for name, tt := range failures() {
		t.Run(name, func(t *testing.T) {
			if got := bootstrap.ErrorName(tt.err); got != tt.name {
				t.Errorf("the name is %s, want %s", got, tt.name)
			}
			var log bytes.Buffer
			h := bootstrap.Named(slog.New(slog.NewJSONHandler(&log, nil)), func(context.Context, map[string]any) (any, error) { return nil, tt.err })
			_, err := lambda.NewHandler(h).Invoke(context.Background(), []byte(`{}`))
			var wire messages.InvokeResponse_Error
			if !errors.As(err, &wire) || wire.Type != tt.name || !strings.Contains(wire.Message, tt.says) {
				t.Errorf("on the wire it is %#v, want type %s and %q", err, tt.name, tt.says)
			}
			var line map[string]any
			if err := json.Unmarshal(log.Bytes(), &line); err != nil || line["error_name"] != tt.name || line["level"] != "ERROR" {
				t.Errorf("the log says %s, %v", log.String(), err)
			}
		})
	}
}

func TestAnswersPassUnchanged(t *testing.T) {
	h := bootstrap.Named(slog.New(slog.DiscardHandler), func(_ context.Context, in map[string]int) (map[string]int, error) {
		return map[string]int{"n": in["n"] + 1}, nil
	})
	out, err := lambda.NewHandler(h).Invoke(context.Background(), []byte(`{"n":1}`))
	if err != nil || strings.TrimSpace(string(out)) != `{"n":2}` {
		t.Errorf("the answer is %s, %v", out, err)
	}
}

// TestMissingVariablesAreNamedTogether, in a process of its own, since Main ends it.
func TestMissingVariablesAreNamedTogether(t *testing.T) {
	if os.Getenv("BOOTSTRAP_TEST_MAIN") != "" {
		bootstrap.Main(func(*bootstrap.Base) func(context.Context, any) (any, error) { panic("wired without its variables") },
			bootstrap.VarLedger, bootstrap.VarData, bootstrap.VarRole)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestMissingVariablesAreNamedTogether$")
	cmd.Env = []string{"BOOTSTRAP_TEST_MAIN=1", bootstrap.VarData + "=there"}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), bootstrap.VarLedger+", "+bootstrap.VarRole) {
		t.Errorf("it ends with %v and says %s", err, out)
	}
}

func TestEnvIsOnlyWhatWasRequired(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a variable that was not required is given")
		}
	}()
	(&bootstrap.Base{}).Env(bootstrap.VarLedger)
}

func TestPipelinesAreReadBesideTheCode(t *testing.T) {
	good, err := os.ReadFile("../../pipelines/flights/pipeline.yaml")
	if err != nil {
		t.Fatal(err)
	}
	write := func(root, name string, src []byte) {
		dir := filepath.Join(root, bootstrap.PipelinesFolder, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "pipeline.yaml"), src, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root := t.TempDir()
	t.Setenv("LAMBDA_TASK_ROOT", root)
	write(root, "flights", good)
	p, err := bootstrap.LoadPipelines()
	if err != nil {
		t.Fatal(err)
	}
	d, err := p.Find("flights")
	if err != nil || d == nil || d.Name != "flights" || len(p.Names()) != 1 {
		t.Errorf("flights is %+v, %v, among %v", d, err, p.Names())
	}
	if d, err := p.Find("trains"); d != nil || err != nil {
		t.Errorf("trains is %+v, %v", d, err)
	}
	write(root, "bad", []byte("name: bad\n"))
	write(root, "worse", []byte("{"))
	if _, err := bootstrap.LoadPipelines(); err == nil || !strings.Contains(err.Error(), "bad") || !strings.Contains(err.Error(), "worse") {
		t.Errorf("wrong definitions give %v, which must name both", err)
	}
}

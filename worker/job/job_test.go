package job_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/worker/job"
)

func TestMessageFits(t *testing.T) {
	tests := map[string]struct {
		text string
		cut  bool
	}{
		"short":       {"all is well", false},
		"none":        {"", false},
		"long":        {strings.Repeat("word ", 1000), true},
		"quotes":      {strings.Repeat(`"`, 3000), true},
		"html":        {strings.Repeat("<", 3000), true},
		"runes":       {strings.Repeat("日本", 1000), true},
		"not UTF-8":   {"a\xffb", false},
		"at the edge": {strings.Repeat("x", 985), true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			raw, err := job.Message{Error: job.DataRejected, Message: tt.text, Facts: map[string]any{"rows": 12}}.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			if len(raw) > job.MaxMessage {
				t.Errorf("%d bytes", len(raw))
			}
			var got struct {
				OK      bool
				Error   string
				Message string
				Rows    int
			}
			if err := json.Unmarshal(raw, &got); err != nil {
				t.Fatal(err)
			}
			if got.OK || got.Error != job.DataRejected || got.Rows != 12 {
				t.Errorf("message is %+v", got)
			}
			if strings.HasSuffix(got.Message, "…") != tt.cut {
				t.Errorf("text ends %q", got.Message[max(0, len(got.Message)-10):])
			}
			if tt.cut && len(raw) < job.MaxMessage/2 {
				t.Errorf("cut to %d bytes, more than needed", len(raw))
			}
		})
	}
}

func TestMessageOfTooManyFacts(t *testing.T) {
	_, err := job.Message{OK: true, Facts: map[string]any{"x": strings.Repeat("y", 2000)}}.MarshalJSON()
	if err == nil {
		t.Error("no error")
	}
}

func TestFailureFile(t *testing.T) {
	b := job.Base(t.TempDir())
	if err := b.WriteFailure(errors.New(strings.Repeat("é", 2000))); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(string(b), "output", "failure"))
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > job.MaxFailure || !strings.HasSuffix(string(raw), "é…") {
		t.Errorf("%d bytes: …%q", len(raw), raw[len(raw)-10:])
	}
}

func TestBase(t *testing.T) {
	if got := job.BaseFrom("").Input("data"); got != "/opt/ml/processing/input/data" {
		t.Errorf("input is %s", got)
	}
	if got := job.BaseFrom("/r/opt/ml").Channel("train"); got != "/r/opt/ml/input/data/train" {
		t.Errorf("channel is %s", got)
	}
}

func TestProcessAlwaysLeavesAMessage(t *testing.T) {
	b := job.Base(t.TempDir())
	cause := errors.New("no such file")
	if err := b.Process(func() error { return cause }); !errors.Is(err, cause) {
		t.Errorf("error is %v", err)
	}
	raw, err := os.ReadFile(filepath.Join(string(b), "output", "message"))
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"error":"JobFailed","message":"no such file","ok":false}`; string(raw) != want {
		t.Errorf("message is %s, want %s", raw, want)
	}
}

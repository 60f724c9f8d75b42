package jobfile_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
)

func sample() *jobfile.File {
	return &jobfile.File{
		Pipeline: "flights", Run: 3, Step: "evaluate", Attempt: 1,
		Definition: definition.Definition{
			Name:    "flights",
			Data:    definition.Data{Format: "csv", Key: "flight_id", Window: 90 * 24 * time.Hour},
			Train:   definition.Train{Algorithm: "builtin", Seed: 7, Resources: definition.Resources{Instance: "ml.m5.xlarge"}},
			Approve: definition.Approve{By: "person", Within: time.Hour},
		},
		Dataset:  &jobfile.Dataset{Files: []jobfile.DataFile{{Key: "flights/raw/a.csv", VersionID: "v1", SHA256: "ab", Size: 3, Path: "ab/a.csv"}}},
		Champion: &jobfile.Champion{Version: 2, Metrics: map[string]float64{"auc": 0.75, "logloss": 0.4}},
		Recipe:   "cafe",
	}
}

func TestRoundTrip(t *testing.T) {
	want := sample()
	raw, err := want.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := jobfile.Read(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read back\n%+v\nwant\n%+v", got, want)
	}
	again, err := got.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(raw, again) {
		t.Errorf("encoding is not stable:\n%s\n%s", raw, again)
	}
}

func TestReadRefuses(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"not json":        {`{`, "decode job.json"},
		"no pipeline":     {`{"run":1,"step":"train"}`, "pipeline is empty"},
		"run zero":        {`{"pipeline":"a","definition":{"name":"a"},"step":"train"}`, "run is 0"},
		"other pipeline":  {`{"pipeline":"a","run":1,"step":"train","definition":{"name":"b"}}`, `definition is of "b"`},
		"no step":         {`{"pipeline":"a","run":1,"definition":{"name":"a"}}`, "step is empty"},
		"file has no key": {`{"pipeline":"a","run":1,"step":"prepare","definition":{"name":"a"},"dataset":{"files":[{"path":"x"}]}}`, "dataset.files[0]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := jobfile.Read(strings.NewReader(tt.in))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want it to say %q", err, tt.want)
			}
		})
	}
}

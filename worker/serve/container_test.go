package serve_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/worker/bundle"
	"github.com/millrace-ml/millrace/worker/serve"
)

// trained lays out what XGBoost's container leaves: one file, of that name, and nothing else.
func trained(t *testing.T, model string) http.Handler {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "gbdt", "testdata", model))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, bundle.ModelFile), raw, 0o644); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.FromDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return serve.New(b, slog.New(slog.DiscardHandler))
}

func post(h http.Handler, contentType, body string) *httptest.ResponseRecorder {
	in := httptest.NewRequest(http.MethodPost, "/invocations", strings.NewReader(body))
	in.Header.Set("Content-Type", contentType)
	out := httptest.NewRecorder()
	h.ServeHTTP(out, in)
	return out
}

// expected is what XGBoost itself said of its model.
type expected struct {
	Rows       [][]*float64 `json:"rows"`
	Prediction []float64    `json:"prediction"` // of each class, row by row
}

// csv writes the rows often enough to be scored as a block, if asked.
func (e expected) csv(times int) string {
	var b strings.Builder
	for range times {
		for _, row := range e.Rows {
			for i, v := range row {
				if i > 0 {
					b.WriteByte(',')
				}
				if v != nil {
					b.WriteString(strconv.FormatFloat(*v, 'g', -1, 64))
				}
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// TestModelsOfTheManagedContainer: what XGBoost's container trained, ours serves, with
// XGBoost's own numbers.
func TestModelsOfTheManagedContainer(t *testing.T) {
	files, err := filepath.Glob("../gbdt/testdata/xgboost-*.expected.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d models, %v", len(files), err)
	}
	for _, file := range files {
		model := strings.TrimSuffix(filepath.Base(file), ".expected.json")
		ext := ".json"
		if strings.Contains(model, "-ubj-") {
			ext = ".ubj"
		}
		t.Run(model, func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want expected
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
			h, width := trained(t, model+ext), len(want.Prediction)/len(want.Rows)
			for _, times := range []int{1, 5} {
				got := post(h, "text/csv", want.csv(times))
				lines := strings.Fields(got.Body.String())
				if got.Code != http.StatusOK || len(lines) != times*len(want.Rows) {
					t.Fatalf("%d, %d lines of %d", got.Code, len(lines), times*len(want.Rows))
				}
				for r, line := range lines {
					cells := strings.Split(line, ",")
					if len(cells) != width {
						t.Fatalf("row %d is %q, want %d numbers", r, line, width)
					}
					for k, cell := range cells {
						v, err := strconv.ParseFloat(cell, 32)
						if w := want.Prediction[(r*width+k)%len(want.Prediction)]; err != nil || math.Abs(v-w) > 1e-6*max(1, math.Abs(w)) {
							t.Fatalf("row %d, number %d is %s, XGBoost says %v", r, k, cell, w)
						}
					}
				}
			}
		})
	}
}

func TestAnswersOfTheManagedContainersModels(t *testing.T) {
	named, classes := trained(t, "xgboost-1.7.6-logistic.json"), trained(t, "xgboost-3.2.0-softmax.json")
	straight := post(named, "text/csv", "0.5,,-1\n").Body.String()
	for name, c := range map[string]struct {
		h                 http.Handler
		contentType, body string
		status            int
		want              string
	}{
		"columns in another order": {named, "text/csv", "c,a,b\n-1,0.5,\n", 200, straight},
		"a column short":           {named, "text/csv", "c,a\n-1,0.5\n", 400, `the column "b" is missing`},
		"the first column short":   {named, "text/csv", "c,b\n-1,0.5\n", 400, `the column "a" is missing`},
		"JSON":                     {named, "application/json", `{"a":0.5,"b":null,"c":-1}`, 200, fmt.Sprintf(`{"predictions":[{"score":%s}]}`, strings.TrimSpace(straight))},
		"JSON, first column short": {named, "application/json", `{"b":null,"c":-1}`, 400, `the column "a" is missing`},
		"an unknown column":        {named, "application/json", `{"a":1,"b":2,"c":3,"d":4}`, 400, `the model has no column "d"; its columns are a, b, c`},
		"too many values":          {named, "text/csv", "1,2,3,4\n", 400, "4 values, want 3: a, b, c"},
		"text":                     {named, "text/csv", "1,x,3\n", 400, `row 1, column "b"`},
		"classes":                  {classes, "application/json", `{"instances":[{"a":1,"b":2,"c":3}]}`, 200, `{"predictions":[{"class":"`},
		"sparse":                   {named, "text/libsvm", "0 1:2", 415, "text/csv or application/json"},
		"sparse, as AWS says":      {named, "text/x-libsvm", "0 1:2", 415, `"text/x-libsvm" is not supported`},
		"records":                  {named, "application/x-recordio-protobuf", "x", 415, `"application/x-recordio-protobuf" is not supported`},
		"lines of JSON":            {named, "application/jsonlines", `{"a":1}`, 415, `"application/jsonlines" is not supported`},
		"Parquet":                  {named, "application/x-parquet", "PAR1", 415, `"application/x-parquet" is not supported`},
	} {
		t.Run(name, func(t *testing.T) {
			got := post(c.h, c.contentType, c.body)
			if got.Code != c.status || !strings.Contains(got.Body.String(), c.want) {
				t.Errorf("%d %q, want %d and %q", got.Code, got.Body, c.status, c.want)
			}
		})
	}
	var answer struct{ Predictions []serve.Prediction }
	body := post(classes, "application/json", `{"a":1,"b":2,"c":3}`).Body.Bytes()
	if err := json.Unmarshal(body, &answer); err != nil || len(answer.Predictions) != 1 {
		t.Fatalf("%s, %v", body, err)
	}
	p, sum := answer.Predictions[0], 0.0
	for _, v := range p.Probabilities {
		sum += float64(v)
		if v > p.Score {
			t.Errorf("%v is not the largest of %v", p.Score, p.Probabilities)
		}
	}
	if math.Abs(sum-1) > 1e-6 || len(p.Probabilities) != 3 || p.Probabilities[p.Class] != p.Score {
		t.Errorf("prediction %+v", p)
	}
}

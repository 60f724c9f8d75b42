package gbdt_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/worker/gbdt"
)

// partners finds Pythons that have XGBoost, by version: those in MILLRACE_XGBOOST_PYTHONS
// (a list as PATH is one), else python3. With MILLRACE_TEST_CLIENTS=required, as in CI,
// there must be one of XGBoost 1.7, one of 2 and one of 3.
func partners(t *testing.T) map[string]string {
	t.Helper()
	required := os.Getenv("MILLRACE_TEST_CLIENTS") == "required"
	pythons := filepath.SplitList(os.Getenv("MILLRACE_XGBOOST_PYTHONS"))
	if len(pythons) == 0 {
		pythons = []string{"python3"}
	}
	found := map[string]string{}
	var missing []string
	for _, python := range pythons {
		out, err := exec.Command(python, "-W", "ignore", "testdata/partner.py", "version").CombinedOutput()
		if err != nil {
			missing = append(missing, fmt.Sprintf("%s: %v\n%s", python, err, out))
			continue
		}
		found[strings.TrimSpace(string(out))] = python
	}
	if required {
		for _, wanted := range []string{"1.7.", "2.", "3."} {
			there := false
			for version := range found {
				there = there || strings.HasPrefix(version, wanted)
			}
			if !there {
				missing = append(missing, "there is no XGBoost "+wanted+"x")
			}
		}
		if len(missing) > 0 {
			t.Fatalf("XGBoost 1.7, 2 and 3 are required (MILLRACE_XGBOOST_PYTHONS lists Pythons that have them):\n%s", strings.Join(missing, "\n"))
		}
	}
	if len(found) == 0 {
		t.Skipf("left out, since there is no XGBoost: pip install xgboost-cpu, or list Pythons that have it in MILLRACE_XGBOOST_PYTHONS\n%s",
			strings.Join(missing, "\n"))
	}
	return found
}

// exchanged is one objective's part of what a partner is asked.
type exchanged struct {
	Name   string         `json:"name"`
	Rounds int            `json:"rounds"`
	Params map[string]any `json:"params"`

	objective string
	classes   int
	sample    sample
	model     *gbdt.Model
	margin    []float32
}

func saveFloats(file string, values []float32) error {
	raw := make([]byte, 4*len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(v))
	}
	return os.WriteFile(file, raw, 0o644)
}

func loadFloats(file string) ([]float32, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	values := make([]float32, len(raw)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return values, nil
}

func writeFloats(t *testing.T, file string, values []float32) {
	t.Helper()
	if err := saveFloats(file, values); err != nil {
		t.Fatal(err)
	}
}

func readFloats(t *testing.T, file string, n int) []float32 {
	t.Helper()
	values, err := loadFloats(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(values) != n {
		t.Fatalf("%s has %d values, want %d", filepath.Base(file), len(values), n)
	}
	return values
}

func (c *exchanged) margins(m *gbdt.Model) []float32 {
	outputs := max(1, m.NumClasses())
	margin, unused := make([]float32, outputs*c.sample.x.Rows), make([]float32, outputs*c.sample.x.Rows)
	predict(m, c.sample.x, margin, unused)
	return margin
}

// loss is the mean loss of margins from row first.
func (c *exchanged) loss(margin []float32, first int) float64 {
	sum, outputs := 0.0, max(1, c.classes)
	for r := first; r < c.sample.x.Rows; r++ {
		row, y := margin[r*outputs:(r+1)*outputs], float64(c.sample.label[r])
		switch c.objective {
		case gbdt.SquaredError:
			sum += (float64(row[0]) - y) * (float64(row[0]) - y)
		case gbdt.Logistic:
			sum += math.Log1p(math.Exp(float64(row[0]))) - y*float64(row[0])
		default:
			total := 0.0
			for _, v := range row {
				total += math.Exp(float64(v))
			}
			sum += math.Log(total) - float64(row[int(y)])
		}
	}
	return sum / float64(c.sample.x.Rows-first)
}

const (
	exchangeRows  = 100_000
	exchangeTrain = 60_000
)

// prepareExchange trains our models and writes what the partner needs into folder.
func prepareExchange(t *testing.T, folder string) []*exchanged {
	t.Helper()
	cases := []*exchanged{
		{Name: "logistic", objective: gbdt.Logistic}, {Name: "squared", objective: gbdt.SquaredError},
		{Name: "softmax", objective: gbdt.Softmax, classes: 4},
	}
	for i, c := range cases {
		c.sample = withOneHot(classes(generate(exchangeRows, 6, 5, c.objective), c.classes), 6, 12)
		c.sample.x.Names = make([]string, c.sample.x.Cols)
		for f := range c.sample.x.Names { // as categories are, which may have any character
			c.sample.x.Names[f] = fmt.Sprintf("shop=R&D > \"%d\" é", f)
		}
		if i == 0 {
			writeFloats(t, filepath.Join(folder, "data.f32"), c.sample.x.Data)
		}
		writeFloats(t, filepath.Join(folder, c.Name+".label.f32"), c.sample.label)
		p := params(c.objective, func(p *gbdt.Params) {
			p.Rounds, p.Eta, p.NumClass, p.Threads, p.EarlyStoppingRounds = 60, 0.2, c.classes, 2, 50
		})
		c.Rounds = p.Rounds
		c.Params = map[string]any{"objective": c.objective, "eta": p.Eta, "max_depth": p.MaxDepth, "nthread": 1}
		if c.classes > 0 {
			c.Params["num_class"] = c.classes
		}
		train, valid := splitAt(c.sample, exchangeTrain)
		var err error
		if c.model, err = gbdt.Train(context.Background(), p, gbdt.Rows{X: train.x, Label: train.label}, &gbdt.Rows{X: valid.x, Label: valid.label}, nil); err != nil {
			t.Fatal(err)
		}
		c.margin = c.margins(c.model)
		file := filepath.Join(folder, c.Name, "xgboost-model")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, modelBytes(t, c.model), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	request, err := json.Marshal(map[string]any{
		"rows": exchangeRows, "cols": cases[0].sample.x.Cols, "train_rows": exchangeTrain, "cases": cases,
		"names": cases[0].sample.x.Names,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "request.json"), request, 0o644); err != nil {
		t.Fatal(err)
	}
	return cases
}

// Models go both ways between us and the real XGBoost, in both of its formats, and give
// the same bits on 100,000 rows; and with the same parameters both learn as well.
func TestExchangesModelsWithXGBoost(t *testing.T) {
	for version, python := range partners(t) {
		t.Run(version, func(t *testing.T) {
			folder := t.TempDir()
			cases := prepareExchange(t, folder)
			partner := exec.Command(python, "-W", "ignore", "testdata/partner.py", "exchange", folder)
			partner.Env = append(os.Environ(), "OMP_NUM_THREADS=1") // its threads wait by spinning
			if out, err := partner.CombinedOutput(); err != nil {
				t.Fatalf("XGBoost %s: %v\n%s", version, err, out)
			}
			for _, c := range cases {
				t.Run(c.Name, func(t *testing.T) {
					file := func(name string) string { return filepath.Join(folder, c.Name, name) }
					ours := readFloats(t, file("ours.margin"), len(c.margin))
					sameBits(t, "our model in XGBoost", ours, c.margin)
					theirs := readFloats(t, file("theirs.margin"), len(c.margin))
					for name, want := range map[string][]float32{
						"again.json": c.margin, "again.ubj": c.margin, "theirs.json": theirs, "theirs.ubj": theirs,
					} {
						raw, err := os.ReadFile(file(name))
						if err != nil {
							t.Fatal(err)
						}
						m, err := gbdt.ReadModel(bytes.NewReader(raw))
						if err != nil {
							t.Fatalf("%s: %v", name, err)
						}
						sameBits(t, name, c.margins(m), want)
					}
					checkContainerModel(t, version, c, file("container/xgboost-model"), theirs)
					a, b := c.loss(c.margin, exchangeTrain), c.loss(theirs, exchangeTrain)
					t.Logf("loss on the rows held out: %.5f, XGBoost %.5f", a, b)
					if a > 1.01*b {
						t.Errorf("loss %v, XGBoost has %v", a, b)
					}
				})
			}
		})
	}
}

// checkContainerModel reads what AWS's container leaves behind, a file without an ending:
// UBJSON since 2.1, and before that the old binary format, which is refused by name.
func checkContainerModel(t *testing.T, version string, c *exchanged, file string, want []float32) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := gbdt.ReadModel(bytes.NewReader(raw))
	if strings.HasPrefix(version, "1.") {
		if err == nil || !strings.Contains(err.Error(), "old binary format") {
			t.Errorf("XGBoost %s without an ending: %v", version, err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	sameBits(t, "the container's file", c.margins(m), want)
}

func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Errorf("%s: margin %d is %v, want %v", what, i, got[i], want[i])
			return
		}
	}
}

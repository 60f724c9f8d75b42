package gbdt_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/millrace-ml/millrace/worker/gbdt"
)

// 200k rows x 8 features, 200 trees of depth 6: the shape of the flights.
func benchmarkData() (gbdt.Params, sample) {
	p := params(gbdt.Logistic, func(p *gbdt.Params) {
		p.Rounds = 200
		p.Eta = 0.1
	})
	return p, generate(200_000, 8, 1, gbdt.Logistic)
}

func BenchmarkTrain(b *testing.B) {
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			p, s := benchmarkData()
			p.Threads = threads
			for b.Loop() {
				train(b, p, s)
			}
		})
	}
}

func BenchmarkPredict(b *testing.B) {
	p, s := benchmarkData()
	p.Threads = 2
	m := train(b, p, s)
	out := make([]float32, s.x.Rows)
	b.Run("matrix", func(b *testing.B) {
		for b.Loop() {
			m.Predict(s.x, out)
		}
		b.ReportMetric(float64(s.x.Rows*b.N)/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("core", func(b *testing.B) { // of a matrix, on one thread
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		for b.Loop() {
			m.Predict(s.x, out)
		}
		b.ReportMetric(float64(s.x.Rows*b.N)/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("row", func(b *testing.B) {
		var rows [512][]float32
		for r := range rows {
			rows[r] = rowOf(s.x, r)
		}
		for r := 0; b.Loop(); r++ {
			m.PredictRow(rows[r%len(rows)])
		}
	})
}

// 200k rows of 4 numbers and three one-hot encoded columns of 5, 120 and 220 values.
func BenchmarkTrainOneHot(b *testing.B) {
	p, s := benchmarkData()
	p.Threads = 2
	p.Rounds = 50
	s = withOneHot(s, 4, 5, 120, 220)
	for b.Loop() {
		train(b, p, s)
	}
}

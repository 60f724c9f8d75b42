package traps

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/millrace-ml/millrace/worker/metrics"
)

func twoSided(t, df float64) float64 {
	return 2 * distuv.StudentsT{Sigma: 1, Nu: df}.CDF(-math.Abs(t))
}

// Limits of what a single feature is asked.
const (
	mostBins = 256
	binRows  = 20 // at least so many rows a bin, on average
)

// Alone is how well one feature predicts the label without the others: the area
// under the ROC curve of a yes or no (of at least 0.5), R² of a number, and of
// several classes the share that it gets right of what the most frequent class does
// not. Each row is predicted by the mean label, or most frequent class, of the
// other rows with about the same value; missing ones are a value of their own. A
// feature that is in order with the label needs no such help, and is also taken as it is.
func Alone(kind metrics.Kind, classes int, label []float32, values []float64) float64 {
	if len(label) < 2 {
		return math.NaN()
	}
	bins := binned(values)
	said := make([]float64, len(label))
	// Two halves, each predicted by the other: chance must not count as knowledge.
	half := make([]bool, len(label))
	for i, at := range rand.New(rand.NewPCG(1, 2)).Perm(len(label)) {
		half[at] = i%2 == 0
	}
	for _, own := range []bool{false, true} {
		if kind == metrics.Multiclass {
			sayClass(said, classes, label, bins, half, own)
		} else {
			sayMean(said, label, bins, half, own)
		}
	}
	switch kind {
	case metrics.Binary:
		direct := area(label, values)
		return max(area(label, said), direct, 1-direct)
	case metrics.Regression:
		return max(explained(label, said), correlation(label, values))
	}
	right := 0.0
	most := make([]float64, classes)
	for i, y := range label {
		most[int(y)]++
		if float64(y) == said[i] {
			right++
		}
	}
	n, top := float64(len(label)), slices.Max(most)
	if top == n {
		return math.NaN()
	}
	return (right - top) / (n - top)
}

func same(a, b float64) bool { return a == b || a != a && b != b }

// binned puts values into bins: of about as many rows, equal values together, and
// missing ones in a bin of their own. Few different values are a bin each.
func binned(values []float64) []int {
	order := ranked(values)
	distinct := 1
	for i := 1; i < len(order); i++ {
		if !same(values[order[i-1]], values[order[i]]) {
			distinct++
		}
	}
	each := max(binRows, len(values)/mostBins)
	if distinct <= mostBins && distinct*binRows <= len(values) {
		each = 1
	}
	bins := make([]int, len(values))
	bin, size := 0, 0
	for i, at := range order {
		if i > 0 {
			last := values[order[i-1]]
			if !same(last, values[at]) && (size >= each || last != last) {
				bin, size = bin+1, 0
			}
		}
		bins[at] = bin
		size++
	}
	return bins
}

// sayMean predicts the rows of one half by the mean of their bin in the other,
// drawn towards the mean of all as if by one more row.
func sayMean(said []float64, label []float32, bins []int, half []bool, own bool) {
	n := slices.Max(bins) + 1
	sum, rows := make([]float64, n), make([]float64, n)
	all, count := 0.0, 0.0
	for i, y := range label {
		if half[i] != own {
			sum[bins[i]] += float64(y)
			rows[bins[i]]++
			all, count = all+float64(y), count+1
		}
	}
	mean := all / max(1, count)
	for i := range label {
		if half[i] == own {
			said[i] = (sum[bins[i]] + mean) / (rows[bins[i]] + 1)
		}
	}
}

func sayClass(said []float64, classes int, label []float32, bins []int, half []bool, own bool) {
	rows := make([]int, (slices.Max(bins)+1)*classes)
	all := make([]int, classes)
	for i, y := range label {
		if half[i] != own {
			rows[bins[i]*classes+int(y)]++
			all[int(y)]++
		}
	}
	for i := range label {
		if half[i] != own {
			continue
		}
		own := rows[bins[i]*classes : (bins[i]+1)*classes]
		if slices.Max(own) == 0 {
			own = all
		}
		said[i] = float64(slices.Index(own, slices.Max(own)))
	}
}

// area is the AUC of values; missing ones count as the lowest.
func area(label []float32, values []float64) float64 {
	scores := make([]float32, len(values))
	rank := 0
	order := ranked(values)
	for i, at := range order { // ranks: float32 would make different values equal
		if i > 0 && !same(values[at], values[order[i-1]]) {
			rank++
		}
		scores[at] = float32(rank)
	}
	return metrics.AUC(label, scores)
}

// explained is R².
func explained(label []float32, said []float64) float64 {
	mean, n := 0.0, float64(len(label))
	for _, y := range label {
		mean += float64(y) / n
	}
	left, spread := 0.0, 0.0
	for i, y := range label {
		left += (float64(y) - said[i]) * (float64(y) - said[i])
		spread += (float64(y) - mean) * (float64(y) - mean)
	}
	if spread == 0 {
		return math.NaN()
	}
	return 1 - left/spread
}

// correlation is Pearson's, squared: R² of the best straight line; 0 when values
// are missing.
func correlation(label []float32, values []float64) float64 {
	n := float64(len(label))
	my, mx := 0.0, 0.0
	for i, y := range label {
		if values[i] != values[i] {
			return 0
		}
		my, mx = my+float64(y)/n, mx+values[i]/n
	}
	xy, xx, yy := 0.0, 0.0, 0.0
	for i, y := range label {
		dx, dy := values[i]-mx, float64(y)-my
		xy, xx, yy = xy+dx*dy, xx+dx*dx, yy+dy*dy
	}
	if xx == 0 || yy == 0 {
		return 0
	}
	return xy * xy / (xx * yy)
}

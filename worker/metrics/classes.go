package metrics

import (
	"fmt"
	"math"
)

// Positions in a block's sums of several classes; then come, of each class, the
// rows rightly said to be of it, all said to be, and all that are.
const (
	classN = iota
	classLoss
	classRight
	classFirst
)

func classSums(classes int) int { return classFirst + 3*classes }

func (j *Judged) judgeClasses(scores []float32) error {
	s, k := j.sample, j.sample.Classes
	if k < 2 {
		return fmt.Errorf("judge scores: %d classes are too few", k)
	}
	n := classSums(k)
	j.perBlock = make([]float64, s.Blocks*n)
	for i, y := range s.Label {
		class := int(y)
		if float32(class) != y || class < 0 || class >= k {
			return fmt.Errorf("judge scores: the label of row %d is %v, not a class below %d", i, y, k)
		}
		row, b := scores[i*k:(i+1)*k], j.perBlock[int(s.Block[i])*n:][:n]
		said := Likeliest(row)
		b[classN]++
		b[classLoss] -= math.Log(min(max(float64(row[class]), tiny), 1-tiny))
		b[classFirst+3*said+1]++
		b[classFirst+3*class+2]++
		if said == class {
			b[classRight]++
			b[classFirst+3*said]++
		}
	}
	j.classes = make([][]uint32, k)
	own := make([]float32, len(s.Label))
	for c := range k {
		for i := range own {
			own[i] = scores[i*k+c]
		}
		j.classes[c] = j.rank(own, float32(c))
	}
	return nil
}

// Likeliest is the class with the highest score, the first of equals.
func Likeliest(scores []float32) int {
	best := 0
	for c, p := range scores {
		if p > scores[best] {
			best = c
		}
	}
	return best
}

// classMetrics are those of Of(Multiclass). The means leave out classes that
// neither occur nor are said, and of areas those that have no rest.
func (j *Judged) classMetrics(t, weights []float64) []float64 {
	area := math.NaN()
	if j.only == "" || j.only == "ovr_auc" {
		areaSum, areaCount := 0.0, 0.0
		for _, ranked := range j.classes {
			if a, _ := areas(ranked, weights); a == a {
				areaSum, areaCount = areaSum+a, areaCount+1
			}
		}
		area = ratio(areaSum, areaCount)
	}
	f1, count := 0.0, 0.0
	for c := range j.sample.Classes {
		right, said, are := t[classFirst+3*c], t[classFirst+3*c+1], t[classFirst+3*c+2]
		if said+are > 0 {
			f1, count = f1+2*right/(said+are), count+1
		}
	}
	return []float64{area, t[classLoss] / t[classN], t[classRight] / t[classN], ratio(f1, count)}
}

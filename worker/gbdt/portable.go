package gbdt

import "github.com/millrace-ml/millrace/worker/exact"

// sigmoid32 is XGBoost's float32 logistic function.
func sigmoid32(margin float32) float32 {
	x := -margin
	if x > 88.7 {
		x = 88.7
	}
	return 1 / (1 + float32(exact.Exp(float64(x))))
}

// softmax32 turns the margins of one row into probabilities in XGBoost's way.
func softmax32(row []float32) {
	most := row[0]
	for _, v := range row {
		most = max(most, v)
	}
	sum := 0.0
	for k, v := range row {
		row[k] = float32(exact.Exp(float64(v - most)))
		sum += float64(row[k])
	}
	for k := range row {
		row[k] /= float32(sum)
	}
}

// logit32 is the margin XGBoost derives from a base score in (0, 1).
func logit32(p float32) float32 {
	odds := float32(1/p) - 1
	return float32(-exact.Log(float64(odds)))
}

// hash64 mixes a seed and two counters into 64 random-looking bits (SplitMix64's finalizer).
func hash64(seed, a, b uint64) uint64 {
	return mix64(mix64(mix64(seed+0x9e3779b97f4a7c15)^a+0x9e3779b97f4a7c15) ^ b)
}

func mix64(z uint64) uint64 {
	z ^= z >> 30
	z *= 0xbf58476d1ce4e5b9
	z ^= z >> 27
	z *= 0x94d049bb133111eb
	return z ^ z>>31
}

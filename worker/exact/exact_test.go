package exact_test

import (
	"hash/fnv"
	"math"
	"testing"

	"github.com/millrace-ml/millrace/worker/exact"
)

// ulps is how many doubles lie between two values.
func ulps(a, b float64) float64 {
	d := int64(math.Float64bits(a)) - int64(math.Float64bits(b))
	return math.Abs(float64(d))
}

func TestAgreesWithTheStandardLibrary(t *testing.T) {
	for i := -7000; i <= 7000; i++ {
		x := float64(i) / 10.37
		if d := ulps(exact.Exp(x), math.Exp(x)); d > 2 {
			t.Fatalf("exp(%v) is %v, %v units from %v", x, exact.Exp(x), d, math.Exp(x))
		}
		y := math.Ldexp(1+float64(i+7000)/14001, i/8)
		if got, want := exact.Log(y), math.Log(y); math.Abs(got-want) > 1e-15*math.Max(math.Abs(want), 0.25) {
			t.Fatalf("log(%v) is %v, want %v", y, got, want)
		}
	}
	for name, c := range map[string]struct{ got, want float64 }{
		"exp 0":    {exact.Exp(0), 1},
		"log 1":    {exact.Log(1), 0},
		"exp -inf": {exact.Exp(math.Inf(-1)), math.Exp(-708)},
		"exp +inf": {exact.Exp(math.Inf(1)), math.Exp(709)},
	} {
		if ulps(c.got, c.want) > 2 {
			t.Errorf("%s is %v, want %v", name, c.got, c.want)
		}
	}
	if v := exact.Exp(math.NaN()); v == v {
		t.Errorf("exp(NaN) is %v", v)
	}
}

// The hash holds on every CPU kind.
func TestSameBits(t *testing.T) {
	h := fnv.New64a()
	var b [8]byte
	add := func(v float64) {
		bits := math.Float64bits(v)
		for i := range b {
			b[i] = byte(bits >> (8 * i))
		}
		_, _ = h.Write(b[:])
	}
	for i := range 100_000 {
		x := float64(i-50_000) / 77.7
		add(exact.Exp(x))
		add(exact.Log(math.Abs(x) + 1e-300))
	}
	if got := h.Sum64(); got != 0x2386a49f8b8c89ca {
		t.Errorf("hash is %#x", got)
	}
}

// Package exact has the few functions of mathematics that training needs, with the same
// bits on every CPU: no assembly, and no product that the compiler could fuse with a
// sum, which it may do unless a product is wrapped in float64().
package exact

import "math"

const (
	invLn2 = 1.44269504088896338700e+00
	ln2Hi  = 6.93147180369123816490e-01
	ln2Lo  = 1.90821492927058770002e-10
	// RoundMagic rounds a double below 2^51 to an integer when added, half to even.
	RoundMagic = 0x1.8p52
)

// Exp returns e**x to within about one unit in the last place. Arguments are
// clamped to [-708, 709], where the result is a normal number.
func Exp(x float64) float64 {
	if !(x > -708) {
		if x != x {
			return x
		}
		x = -708
	}
	if x > 709 {
		x = 709
	}
	t := float64(x*invLn2) + RoundMagic
	k := t - RoundMagic
	r := x - float64(k*ln2Hi)
	r -= float64(k * ln2Lo)
	// Taylor to r^13 (|r| <= 0.35: remainder 4e-18), in Estrin's order for speed.
	r2 := r * r
	r4 := r2 * r2
	r8 := r4 * r4
	p01 := 1 + r
	p23 := 1.0/2 + float64(r*(1.0/6))
	p45 := 1.0/24 + float64(r*(1.0/120))
	p67 := 1.0/720 + float64(r*(1.0/5040))
	p89 := 1.0/40320 + float64(r*(1.0/362880))
	pab := 1.0/3628800 + float64(r*(1.0/39916800))
	pcd := 1.0/479001600 + float64(r*(1.0/6227020800))
	low := (p01 + float64(r2*p23)) + float64(r4*(p45+float64(r2*p67)))
	high := (p89 + float64(r2*pab)) + float64(r4*pcd)
	p := low + float64(r8*high)
	return float64(p * math.Float64frombits(uint64(int64(k)+1023)<<52))
}

// Log returns the natural logarithm of a positive, normal x (FreeBSD's e_log.c).
func Log(x float64) float64 {
	bits := math.Float64bits(x)
	k := int64(bits>>52) - 1022
	f1 := math.Float64frombits(bits&(1<<52-1) | 1022<<52) // [0.5, 1)
	if f1 < math.Sqrt2/2 {
		f1 *= 2
		k--
	}
	f := f1 - 1
	kf := float64(k)
	s := f / (2 + f)
	s2 := s * s
	s4 := s2 * s2
	t1 := float64(s2 * (6.666666666666735130e-01 + float64(s4*(2.857142874366239149e-01+
		float64(s4*(1.818357216161805012e-01+float64(s4*1.479819860511658591e-01)))))))
	t2 := float64(s4 * (3.999999999940941908e-01 + float64(s4*(2.222219843214978396e-01+
		float64(s4*1.531383769920937332e-01)))))
	hfsq := float64(0.5 * f * f)
	inner := float64(s*(hfsq+t1+t2)) + float64(kf*ln2Lo)
	return float64(kf*ln2Hi) - ((hfsq - inner) - f)
}

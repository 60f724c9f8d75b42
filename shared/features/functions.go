package features

import (
	"math"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// ofTime are the functions from a time, in UTC, to a whole number.
var ofTime = map[string]func(unix float64) float64{
	"hour":          func(t float64) float64 { return math.Floor(secondOfDay(t) / 3600) },
	"minute_of_day": func(t float64) float64 { return math.Floor(secondOfDay(t) / 60) },
	"weekday":       weekday,
	"day":           func(t float64) float64 { _, _, d := date(t); return float64(d) },
	"month":         func(t float64) float64 { _, m, _ := date(t); return float64(m) },
	"year":          func(t float64) float64 { y, _, _ := date(t); return float64(y) },
}

// ofNumber are the functions from a number to a number. Each is exact, or made
// of exact operations only, so that every CPU gives the same bits.
var ofNumber = map[string]func(float64) float64{
	"abs":   math.Abs,
	"floor": math.Floor,
	"sqrt":  math.Sqrt,
	"log1p": log1p,
}

// Functions lists what an expression may call, with its use in a line.
func Functions() []string {
	return []string{
		"abs(x)", "column(\"name\")", "day(t)", "floor(x)", "hour(t)", "is_missing(x)", "log1p(x)", "lower(text)", "max(x, y, …)",
		"min(x, y, …)", "minute_of_day(t)", "month(t)", "sqrt(x)", "weekday(t)", "year(t)",
	}
}

func functionList() []string {
	var names []string
	for _, f := range Functions() {
		name, _, _ := strings.Cut(f, "(")
		names = append(names, name)
	}
	return names
}

func functionNames() string { return strings.Join(functionList(), ", ") }

func (c *compiler) call(name string, args []ast.Node, at int) node {
	if name == "column" {
		if len(args) == 1 {
			if s, ok := args[0].(*ast.StringNode); ok {
				return c.column(s.Value, at)
			}
		}
		return c.fail(at, `write column("Its Name")`, "column needs one name in quotes")
	}
	known := false
	for _, f := range functionList() {
		known = known || f == name
	}
	if !known {
		for _, a := range args {
			c.compile(a) // its own problems are worth telling too
		}
		return c.unknownFunction(name, at)
	}
	var xs []node
	for _, a := range args {
		xs = append(xs, c.compile(a))
	}
	if name == "min" || name == "max" {
		return c.extreme(name, xs, at)
	}
	if len(xs) != 1 {
		return c.fail(at, "", "%s takes one argument, not %d", name, len(xs))
	}
	x := xs[0]
	if f := ofTime[name]; f != nil {
		out := node{typ: Integer, at: at}
		if c.want(x, Time, name) {
			out.num = apply(f, x.num)
		}
		return out
	}
	if f := ofNumber[name]; f != nil {
		out := node{typ: Number, at: at}
		if name == "floor" || name == "abs" && x.typ == Integer {
			out.typ = Integer
		}
		if c.wantNumber(x, name) {
			out.num = apply(f, x.num)
		}
		return out
	}
	if name == "lower" {
		out := node{typ: Text, at: at}
		if c.want(x, Text, name) {
			f := x.text
			out.text = func(row []Value) Value {
				v := f(row)
				v.Text = strings.ToLower(v.Text)
				return v
			}
		}
		return out
	}
	return isMissing(x, at)
}

// apply keeps a missing argument missing.
func apply(f func(float64) float64, x func([]Value) float64) func([]Value) float64 {
	return func(row []Value) float64 {
		v := x(row)
		if v != v {
			return v
		}
		return f(v)
	}
}

func isMissing(x node, at int) node {
	out := node{typ: Boolean, at: at}
	if x.typ == Text {
		f := x.text
		out.num = func(row []Value) float64 { return number(f(row).IsMissing()) }
		return out
	}
	f := x.num
	out.num = func(row []Value) float64 {
		v := f(row)
		return number(v != v)
	}
	return out
}

func (c *compiler) extreme(name string, xs []node, at int) node {
	out := node{typ: Integer, at: at}
	if len(xs) < 2 {
		return c.fail(at, "", "%s takes two or more numbers", name)
	}
	ok := true
	var fs []func([]Value) float64
	for _, x := range xs {
		ok = c.wantNumber(x, name) && ok
		if x.typ != Integer {
			out.typ = Number
		}
		fs = append(fs, x.num)
	}
	if !ok {
		return out
	}
	sign := 1.0
	if name == "max" {
		sign = -1
	}
	out.num = func(row []Value) float64 {
		best := fs[0](row)
		for _, f := range fs[1:] {
			v := f(row)
			if v != v || sign*v < sign*best {
				best = v
			}
			if best != best {
				return best
			}
		}
		return best
	}
	return out
}

func secondOfDay(t float64) float64 { return t - float64(86400*math.Floor(t/86400)) }

// weekday counts from Monday 0 to Sunday 6; 1970-01-01 was a Thursday.
func weekday(t float64) float64 {
	days := int64(math.Floor(t / 86400))
	return float64(((days+3)%7 + 7) % 7)
}

func date(t float64) (y, m, d int64) { return civilFromDays(int64(math.Floor(t / 86400))) }

// log1p is log(1+x) after FreeBSD's s_log1p.c, as in package math, but with every
// product rounded by itself: the compiler must not fuse it with a sum, and no
// CPU's assembly takes its place.
//
// Copyright (C) 1993 by Sun Microsystems, Inc. All rights reserved. Developed at
// SunPro, a Sun Microsystems, Inc. business. Permission to use, copy, modify, and
// distribute this software is freely granted, provided that this notice is preserved.
func log1p(x float64) float64 {
	const (
		sqrt2M1     = 4.142135623730950488017e-01
		sqrt2HalfM1 = -2.928932188134524755992e-01
		small       = 1.0 / (1 << 29)
		tiny        = 1.0 / (1 << 54)
		two53       = 1 << 53
	)
	switch {
	case x < -1 || x != x:
		return nan
	case x == -1:
		return math.Inf(-1)
	case math.IsInf(x, 1):
		return x
	}
	absx := math.Abs(x)
	var f float64
	var iu uint64
	k := 1
	if absx < sqrt2M1 {
		if absx < small {
			if absx < tiny {
				return x
			}
			return x - float64(float64(x*x)*0.5)
		}
		if x > sqrt2HalfM1 {
			k, f, iu = 0, x, 1
		}
	}
	var c float64
	if k != 0 {
		var u float64
		if absx < two53 {
			u = 1.0 + x
			iu = math.Float64bits(u)
			k = int((iu >> 52) - 1023)
			if k > 0 {
				c = 1.0 - (u - x)
			} else {
				c = x - (u - 1.0)
			}
			c /= u
		} else {
			u = x
			iu = math.Float64bits(u)
			k = int((iu >> 52) - 1023)
		}
		iu &= 1<<52 - 1
		if iu < 0x0006a09e667f3bcd { // the mantissa of sqrt(2)
			u = math.Float64frombits(iu | 0x3ff0000000000000)
		} else {
			k++
			u = math.Float64frombits(iu | 0x3fe0000000000000)
			iu = (1<<52 - iu) >> 2
		}
		f = u - 1.0
	}
	return log1pTail(f, c, k, iu == 0)
}

// log1pTail is log(2^k * (1+f)) with the correction c; near: |f| < 2^-20.
func log1pTail(f, c float64, k int, near bool) float64 {
	const (
		ln2Hi = 6.93147180369123816490e-01
		ln2Lo = 1.90821492927058770002e-10
		lp1   = 6.666666666666735130e-01
		lp2   = 3.999999999940941908e-01
		lp3   = 2.857142874366239149e-01
		lp4   = 2.222219843214978396e-01
		lp5   = 1.818357216161805012e-01
		lp6   = 1.531383769920937332e-01
		lp7   = 1.479819860511658591e-01
	)
	hfsq := float64(float64(0.5*f) * f)
	fk := float64(k)
	if near {
		if f == 0 {
			if k == 0 {
				return 0
			}
			c += float64(fk * ln2Lo)
			return float64(fk*ln2Hi) + c
		}
		r := float64(hfsq * (1.0 - float64(0.66666666666666666*f)))
		if k == 0 {
			return f - r
		}
		return float64(fk*ln2Hi) - ((r - (float64(fk*ln2Lo) + c)) - f)
	}
	s := f / (2.0 + f)
	z := float64(s * s)
	r := lp6 + float64(z*lp7)
	for _, lp := range [...]float64{lp5, lp4, lp3, lp2, lp1} {
		r = lp + float64(z*r)
	}
	r = float64(z * r)
	if k == 0 {
		return f - (hfsq - float64(s*(hfsq+r)))
	}
	return float64(fk*ln2Hi) - ((hfsq - (float64(s*(hfsq+r)) + (float64(fk*ln2Lo) + c))) - f)
}

package main

import (
	"context"
	"fmt"
	"io"
)

// goBenchmarks runs the other benchmarks of the parts whose speed people feel:
// features of a row, training.
func goBenchmarks(ctx context.Context, o options, w io.Writer) ([]line, error) {
	if !o.goes {
		return nil, nil
	}
	fmt.Fprintln(w, "Go benchmarks:")
	return nil, benchmarks(ctx, w, func(string, map[string]float64) {}, "-bench", ".", "-skip", "Beside", "-benchtime", "300ms", "-benchmem",
		"./shared/features", "./worker/gbdt")
}

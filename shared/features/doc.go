// Package features turns a row of an upload into the numbers a model reads.
// Preparation and serving run the same code, so that a model is asked the
// questions it was trained on.
//
// A feature is an expression over the columns of one row, and an encoding. The
// life of a Program is
//
//	Check      pipeline.yaml alone: syntax, functions, types as far as they are declared
//	Compile    with the type of every column known (declared or inferred from data)
//	NewFit     over the training rows: the categories of onehot and ordinal features
//	Spec       what serving.json holds; FromSpec and Load make the fitted Program of it again
//	Row        one row of Values to float32 numbers; safe for concurrent use, allocates nothing
//
// Missing values propagate: a feature that reads a missing cell is missing
// (NaN), unless is_missing asks, or "and", "or" or ?: do not need the cell.
// The arithmetic is float64 and gives the same bits on every kind of CPU.
//
// There is no randomness, clock, file or network in an expression, no loop, and
// no way to fail while a row is computed: what can be wrong is found by Compile.
// Aggregates over other rows are not features of this package.
package features

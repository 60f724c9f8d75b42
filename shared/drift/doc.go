// Package drift describes columns of data and compares such descriptions.
//
// A Profile is filled row by row and becomes an entry of statistics.json; from
// statistics, constraints are suggested. Both files have the formats of
// SageMaker Model Monitor (and so of Deequ, its engine), so that either side's
// files can be used by the other. Distances are Deequ's, exactly.
//
// Everything here is pure and deterministic: the same rows in the same order
// give the same bytes, on every kind of CPU.
package drift

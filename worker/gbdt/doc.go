// Package gbdt trains and applies histogram gradient-boosted trees, in pure Go,
// for binary classification (binary:logistic), regression (reg:squarederror) and
// several classes (multi:softprob), with XGBoost's parameter names. Models are written
// in XGBoost's JSON, and read in its JSON and UBJSON.
//
// The same data and parameters give the same model, byte for byte, on every run,
// with any number of threads and on every kind of CPU. Three decisions make that so:
//
//   - Gradients are rounded once per round to 32-bit fixed point, and histograms
//     are int64 sums of them. Integer sums do not depend on their order, so work
//     can be cut up freely, and a sibling's histogram is an exact difference.
//   - exp and log are our own, and every product that feeds a sum is wrapped in
//     float64(), because the standard library has assembly for some CPUs and the
//     compiler may fuse a*b+c on others.
//   - Random choices are hashes of (seed, round, row or column), not a stream.
//
// Margins are float32 sums in tree order starting from the base margin, as in
// XGBoost: a model loaded there gives bit-equal margins.
//
// Not here: ranking, categorical splits, monotone constraints, DART.
// Parameters and model files that ask for them are refused.
package gbdt

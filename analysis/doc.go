// Package analysis computes the capacity measures of a ReLU network: pure
// functions from a dag.Network, and labelled data where a measure needs it, to
// numbers.
//
// Measures gives a Report; Registry says what each measure is: formula, source,
// cost, and whether rescaling changes it. Values carry an exponent of their own
// (package scaled), since path norms and products over layers leave float64.
//
// Terms. A layer is one linear map with stored weights, after
// BatchNormalization and constant factors behind it are folded in; W is its
// effective weight matrix, out x in. A convolution's W has one row an output
// channel and one column an input channel and kernel position, the shared
// weights once; with groups it is block diagonal. The units of a layer are its
// rows. Everything starts after the input preamble and ends before the head.
// Where functions stand between layers, path norms are those of each segment
// (Report.Segments).
//
// Bias policy. Under IncludeBias a bias is one more incoming weight of its unit
// in group norms, path norms and kappa. Everything that works on W (Frobenius,
// spectral, nuclear, products over layers, distances, bounds) leaves biases
// out, and its entries say so.
package analysis

// Package kernel holds the loops over weights that everything else is built
// on, and the split of such loops over goroutines.
//
// Weights are float32 or float64; sums are float64, but for those of training (Multiply, Total,
// Dot, Taps), which are of their operands' type. On amd64 with AVX2 and FMA the loops run in Go
// assembly, elsewhere and with the build tag purego in Go. Both keep what the functions promise:
// the terms are the same, in another order of addition, so that a sum of n terms differs by at
// most n*2^-52 of its value (all terms are non-negative; of sums in float32, by n*2^-23 of the sum
// of magnitudes). On one machine the result depends on the arguments alone, never on the time or
// the number of goroutines.
package kernel

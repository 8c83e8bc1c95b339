// Package tensor computes with the constants of a graph: shapes and broadcasting, the
// arithmetic of each element type, and products, of which all a file's own types decide
// the rounding. The batch size, which no file need fix, is a number that passes through
// unchanged or stops the computation.
package tensor

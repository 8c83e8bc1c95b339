// Package source says where the numbers of a network sit in its file: stored tensors with
// the operands that read them, and bounds of caps. Reading notes it, writing goes by it.
package source

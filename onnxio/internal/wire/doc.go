// Package wire indexes the bytes of an ONNX file and rewrites its payloads. It
// knows the protocol buffer encoding and the field numbers of ONNX, and nothing
// of networks.
//
// [Open] maps a file and records where everything lies: nodes, attributes,
// initializers with their dims, element types, encodings and payloads. Payloads
// are not read until asked for, and then without a copy where that is possible.
// [Patch] writes the same file again with some payloads exchanged: every byte
// that an edit does not concern is kept, unknown fields, field order and
// unusual varints included, and without an edit the output is the input.
// [Build] writes a new model.
//
// A hostile file cannot make the package panic, recurse without bound, or take
// more memory than a small multiple of its own size. That a mapped file is not
// truncated by another process while it is open cannot be checked.
package wire

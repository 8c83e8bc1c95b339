// Package onnxio turns ONNX files into networks and networks into ONNX files.
//
// A file's bytes are indexed (internal/wire) and its wiring is decoded
// (internal/topology). Each operator is then lowered (internal/lower), by domain, name
// and opset, to nodes of a dag.Network: constants are folded in the file's own
// types, rearrangements of weights are resolved to views of the stored tensor,
// and biases, scales and batch normalizations become stages of the layer before
// them. What is not positively homogeneous becomes a function of the network,
// and so does an operator that relupath does not know: such a function is not
// evaluated. A graph that breaks the rules of ONNX, or whose shapes are not
// known, is refused in one error that lists every obstacle.
//
// An edited network is written (internal/write) by patching the bytes that it
// was read from, so that everything else of the file stays as it is; without an
// edit it comes out byte for byte. docs/onnx.md lists the operators.
package onnxio

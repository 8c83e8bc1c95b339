// Package topology tells how the nodes of an ONNX graph are wired: which values
// a node reads and writes, who produces and who consumes a value, and in which
// order the nodes can be computed.
//
// The graph is decoded by onnx-go (github.com/owulveryck/onnx-go), which hands
// it to a multigraph as values, edges between them, and one operation a node
// in file order. What it says is joined with the index of the file by the
// node's position, and compared with it: a disagreement is an error. onnx-go is
// fed the skeleton of the model, since it loses or refuses much of the rest:
// its decoder of tensors fails on float16, external data and hostile dims, and
// it keeps neither the names nor the domains of nodes.
package topology

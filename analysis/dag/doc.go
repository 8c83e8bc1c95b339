// Package dag holds the type that everything in relupath works on: a
// validated directed acyclic graph of layers, positively homogeneous but for
// the functions in it, and the edits that keep its function.
//
// The papers reason about a graph of units with one weight an edge (Neyshabur,
// Tomioka, Srebro, Norm-based capacity control in neural networks, COLT 2015).
// A Network stores layers of units instead: 784-4000-4000-10 has 19 million
// edges and six nodes here, and its weights stay where the file has them.
//
//	Input       a value given by the caller
//	*Linear     W x + b: a Map (Dense, Conv, Diagonal, Average; nil: a constant)
//	            and stages a unit (bias, scale, BatchNormalization)
//	*Activation ReLU, LeakyReLU, PReLU, |x|, identity: z or slope*z
//	*Add        skip connections: identity edges
//	*Concat     operands strung together
//	*Select     any reindexing: reshape, transpose, slice, split, pad
//	*Pool       the maximum over windows or operands
//	*Cap        bounds of each element: ReLU6, Clip, a threshold
//	*Func       anything else: a sigmoid, a softmax, a product of two values
//
// Functions may stand anywhere. They separate the body of the network into
// segments, each positively homogeneous (Network.Segments); those without
// weights behind them are its head.
//
// Nodes are in topological order, and every computation is a pass over them:
// path norms forward, Path-SGD's kappa forward and backward, the evaluator on
// a batch. A node's value has a shape for one sample; batches are outside.
//
// A Param is one stored tensor, a Use the place where a layer takes numbers
// from it. Rescaling gives one positive factor to each group of tied units
// (Network.Groups) and edits Params (Network.Rescale); the source is never
// touched. A Network is immutable and safe for concurrent use.
package dag

// Package paths runs the path programmes of a ReLU network: dynamic programmes
// over its layers that sum over all paths without listing them.
//
// The path vector pi(w) of a network has one entry for each path from an input
// to an output, the product of the weights along it. Its p-norm needs one
// forward pass (Neyshabur, Tomioka, Srebro, Norm-based capacity control in
// neural networks, COLT 2015, section 3; Neyshabur, Salakhutdinov, Srebro,
// Path-SGD, NeurIPS 2015, section 3):
//
//	g_in(v) = sum_{u->v} |w_{u->v}|^p g_in(u),   1 at inputs and the constant unit
//	||pi||_p^p = sum of g_in over the outputs
//
// and Path-SGD's kappa one backward pass more:
//
//	g_out(u) = sum_{u->v} |w_{u->v}|^p g_out(v), 1 at outputs
//	kappa(u->v) = (g_in(u) g_out(v))^(2/p)
//
// All programmes carry h = g^(1/p) with an exponent of its own (package
// scaled), so that no depth and no p leaves the range, and p = Inf is a maximum
// in place of a sum. In these terms kappa = (h_in(u) h_out(v))^2 for every p.
//
// How the other nodes act on h: an activation of slopes (1, a) multiplies it by
// max(1, |a|); an addition and a maximum (pooling) are the p-norm of their
// operands' h, so that every path counts (Gonon et al., A path-norm toolkit for
// modern networks, ICLR 2024); average pooling and convolutions are linear maps
// with shared weights, one edge a position. A bias is an edge from a constant
// unit of value 1. Values of the preamble count as inputs, h = 1, except
// padding, whose h is 0. Programmes end where the body ends: at the nodes of
// dag.Network.Boundary.
package paths

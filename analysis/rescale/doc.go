// Package rescale finds rescaling factors: one positive number for each group
// of tied units, by which the unit's incoming weights and bias are multiplied
// and its outgoing weights divided. The function of the network does not change
// (Neyshabur, Salakhutdinov, Srebro, Path-SGD, NeurIPS 2015, section 2).
//
// Run balances a network by one of five methods, each with an objective of its
// own over the class of rescaling equivalent networks:
//
//	Path            the largest incoming p-norm of a unit, mu_{p,inf}
//	EqualNorm       the sum of |weight|^p, biases included
//	CrossLayer      the largest |weight| of each unit, before and after it
//	PathConditioned the conditioning of the path Gram matrix
//	Unbalance       none: the experiment's opposite, random large factors
//
// Options.Exact rounds the factors to powers of two, which change no bit of an
// output. Equivalent asks whether two networks are rescalings of each other, up to
// the order of hidden units too.
//
// Objectives see the network as it computes: BatchNormalization and constant
// multiples folded into the layer before, a shared tensor once for each use. A
// unit is live when a path of non-zero weights from an input or a bias to an
// output passes through it. Objectives run over edges between live units; other
// units keep the factor 1, and so do pinned groups (dag.Groups).
//
// Factors are found as logarithms and may span many decades.
package rescale

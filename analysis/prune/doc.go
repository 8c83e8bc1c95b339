// Package prune sets weights to zero: those of the smallest score.
//
// The score by paths is |w| d||pi||_1/d|w|, the sum over the paths through w of the product
// of their |weights|: what ||pi||_1 loses when w alone becomes zero. Rescaling changes it for
// no weight, so equivalent networks lose the same weights; with factors that are powers of
// two the scores are equal bit by bit, as long as nothing over- or underflows. The score by
// magnitude is |w|, of the weights with what is folded into them (BatchNormalization).
//
// Sources: Gonon, Brisebarre, Riccietti, Gribonval, A rescaling-invariant Lipschitz bound
// based on path-metrics for modern ReLU network parameterizations, arXiv 2405.15006 (the
// score, and what pruning changes at most); Han et al., Learning both weights and
// connections, NeurIPS 2015 (magnitude).
package prune

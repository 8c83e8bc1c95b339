// Package tail describes the spectrum of a weight matrix as weightwatcher does: a power
// law fitted to its largest eigenvalues, and the Marchenko-Pastur law fitted to the bulk.
//
// Both are the algorithms of weightwatcher 0.7.7 with its default options, so that the
// numbers are those that people compare; what is odd about them is said where it is done.
// Sources: Martin, Mahoney, Implicit self-regularization in deep neural networks, JMLR
// 2021; Martin, Peng, Mahoney, Predicting trends in the quality of state-of-the-art neural
// networks, Nature Communications 2021; for the choice of x_min Clauset, Shalizi, Newman,
// Power-law distributions in empirical data, SIAM Review 2009.
package tail

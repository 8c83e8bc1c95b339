package analysis

import "strings"

// sentences say what measures are; those over the margin and of flattened kernels follow from
// them.
var sentences = map[string]string{
	"path_norm":                         "The p-norm of all paths from an input to an output, each the product of its weights.",
	"path_norm_max_output":              "The path norm of the output that has the largest.",
	"path_norm_output":                  "The path norm of one output.",
	"path_2":                            "The squared path norm of order 2.",
	"lipschitz_path":                    "A bound of how fast the outputs change with the inputs, in sum, by paths and the slopes of curves.",
	"lipschitz_path_max_output":         "The same bound for the output that has the largest.",
	"lipschitz_path_maxpool":            "The same bound in sum, in which a maximum passes on its largest operand alone.",
	"lipschitz_path_maxpool_max_output": "The same for the output that has the largest.",
	"pac_bayes_init":                    "A PAC-Bayes bound's complexity term, by the distance to the reference.",
	"pac_bayes_orig":                    "A PAC-Bayes bound's complexity term, by the size of the weights.",
	"pac_bayes_mag_init":                "A PAC-Bayes bound's complexity term with noise in proportion to the weights, by the distance to the reference.",
	"pac_bayes_mag_orig":                "A PAC-Bayes bound's complexity term with noise in proportion to the weights, by their size.",
	"parameter_count":                   "The number of stored weights and biases.",
	"group_norm":                        "The q-norm over all units of the p-norms of their incoming weights.",
	"product_group_norm":                "The product over the layers of their group norms.",
	"frobenius":                         "The Euclidean norm of the weights.",
	"product_frobenius":                 "The product over the layers of their Euclidean norms.",
	"sum_frobenius_squared":             "The sum of the squared weights.",
	"sum_log_frobenius_squared":         "The logarithm of the squared product of the layers' Euclidean norms.",
	"sum_of_frobenius":                  "The geometric mean of the layers' squared Euclidean norms, times their number.",
	"max_abs":                           "The largest magnitude of a weight.",
	"zero_share":                        "The share of the weights that are zero.",
	"spectral":                          "How much a layer stretches a vector at most.",
	"stable_rank":                       "How many directions carry a layer's weights, between 1 and its rank.",
	"schatten":                          "The p-norm of the singular values.",
	"product_schatten":                  "The product over the layers of the p-norms of their singular values.",
	"spectral_operator":                 "How much a layer stretches its whole operand at most, padding and stride included.",
	"spectral_circular":                 "The same for a convolution with periodic ends, which is at least as much.",
	"product_spectral_operator":         "The product over the layers of how much each stretches its whole operand.",
	"product_spectral_circular":         "The product over the layers of how much each stretches with periodic ends.",
	"nuclear":                           "The sum of a layer's singular values.",
	"product_spectral":                  "The product over the layers of their spectral norms, a bound of how much the network stretches.",
	"sum_log_spectral_squared":          "The logarithm of the squared product of the layers' spectral norms.",
	"sum_of_spectral":                   "The geometric mean of the layers' squared spectral norms, times their number.",
	"fro_over_spec":                     "The sum over the layers of their stable ranks.",
	"spec_orig":                         "The squared product of spectral norms times the sum of stable ranks, the heart of a margin bound.",
	"alpha":                             "The exponent of the power law of the largest eigenvalues: small for heavy tails.",
	"alpha_weighted":                    "The exponent of the tail, weighted by the logarithm of the largest eigenvalue.",
	"log_alpha_norm":                    "The logarithm of the Schatten norm whose order the tail's exponent says.",
	"log_spectral_norm":                 "The logarithm of the largest eigenvalue.",
	"alpha_xmin":                        "The eigenvalue from which on the power law is fitted.",
	"alpha_distance":                    "How far the eigenvalues are from the fitted power law.",
	"alpha_tail":                        "How many eigenvalues the power law is fitted to.",
	"mp_spikes":                         "How many eigenvalues stand out of what random weights would have.",
	"mp_edge":                           "The largest eigenvalue that random weights of this variance would have.",
	"mp_softrank":                       "The edge of the random part as a share of the largest eigenvalue: 1 for random weights.",
	"esd_stable_rank":                   "The sum of the eigenvalues over the largest.",
	"distance_frobenius":                "How far the weights are from those of the reference.",
	"distance_spectral":                 "How far the weights are from those of the reference, by spectral norms.",
	"spec_init":                         "The squared product of spectral norms times the sum of squared distances to the reference over squared spectral norms.",
	"balance_spread":                    "How far units are from having equal norms in and out: 0 in a balanced network.",
	"kappa_spread":                      "How differently steps of Path-SGD scale the weights.",
	"margin":                            "How far the score of the right class lies above the best of the others.",
	"inverse_margin_squared":            "The inverse of the squared margin.",
	"bound_l1_inf":                      "A bound of the generalization error by the largest 1-norms of units.",
	"bound_frobenius":                   "A bound of the generalization error by Euclidean norms.",
	"bound_l3_15":                       "A bound of the generalization error by group norms of orders 3 and 1.5.",
	"bound_spectral_l21":                "A bound of the generalization error by spectral norms and distances in the norm (2,1).",
	"bound_spectral_frobenius":          "A bound of the generalization error by spectral norms and Euclidean distances.",
	"bound_spectral_frobenius_theorem":  "The same bound of the weights themselves, as the theorem has it.",
	"bound_path_g24":                    "A bound of the generalization error by the path norm of order 1.",
	"bound_path_g24_sharpened":          "The same bound with a smaller sum of logarithms, which counts poolings on a path alone.",
	"pac_bayes_flatness":                "How sensitive the error is to noise in the weights.",
	"pac_bayes_magnitude_flatness":      "How sensitive the error is to noise in proportion to the weights.",
	"sharpness_flatness":                "How sensitive the error is to the worst change of the weights.",
	"sharpness_magnitude_flatness":      "How sensitive the error is to the worst change in proportion to the weights.",
	"sharpness_init":                    "A PAC-Bayes bound's complexity term by the worst change, and the distance to the reference.",
	"sharpness_orig":                    "A PAC-Bayes bound's complexity term by the worst change, and the size of the weights.",
	"sharpness_mag_init":                "A PAC-Bayes bound's complexity term by the worst change in proportion to the weights, and the distance to the reference.",
	"sharpness_mag_orig":                "A PAC-Bayes bound's complexity term by the worst change in proportion to the weights, and their size.",
}

// sentenceOf returns the sentence of a measure.
func sentenceOf(name string) string {
	if base, ok := strings.CutSuffix(name, "_over_margin"); ok {
		return sentences[base] + " Over the margin."
	}
	if base, ok := strings.CutSuffix(name, "_flattened"); ok {
		return sentences[base] + " Kernels are taken as one matrix."
	}
	return sentences[name]
}

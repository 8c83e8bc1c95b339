package analysis

import "strings"

// PublishedCode names the code that Info.Code compares the papers with. Jiang et al. published none.
const PublishedCode = "Dziugaite et al., In search of robust measures of generalization, NeurIPS 2020 (robust-generalization-measures)"

// What the code does with most of its numbers at the end.
const (
	codeRoot    = "It reports the square root of it over m."
	codeHalf    = "It reports half the logarithm of it over m."
	codeKernels = "It takes kernels as matrices, and once more by their transform on the grid without padding, which is none of the three readings here."
	codeNoise   = "Its noise has the deviation sigma^2, so that its sigma is the root of the paper's; it looks for an error that differs by 0.1 either way, to within 0.01, from 10 draws, with sigma at most 2."
	codeMargin  = "Its margin is the k-th smallest without its sign, k = m/10 rounded down: --published."
	codeNone    = "It leaves it out; what is here is the paper's."
)

// departures say where the published code of the measures of Jiang et al. departs from the paper or
// from what is measured here.
var departures = map[string]string{
	"parameter_count":              "It counts weights and no biases. " + codeRoot,
	"path_2":                       "It takes the network's output for ones with squared weights, where max-pooling passes on its largest operand, not the sum. " + codeRoot,
	"sum_frobenius_squared":        codeRoot,
	"sum_log_frobenius_squared":    "It reports half of it less ln m.",
	"sum_of_frobenius":             codeHalf,
	"sum_log_spectral_squared":     codeKernels + " It reports half of it less ln m.",
	"sum_of_spectral":              codeKernels + " " + codeHalf,
	"fro_over_spec":                codeKernels + " " + codeRoot,
	"spec_orig":                    codeKernels + " " + codeHalf,
	"spec_init":                    codeKernels + " " + codeHalf,
	"distance_frobenius":           "It sums squares over the layers. " + codeRoot,
	"distance_spectral":            "It sums squares over the layers. " + codeKernels + " " + codeRoot,
	"inverse_margin_squared":       codeMargin + " " + codeRoot,
	"pac_bayes_flatness":           codeNoise + " " + codeRoot,
	"pac_bayes_magnitude_flatness": "Its noise has the deviation sigma^2 w^2 + epsilon^2, where that is the paper's variance, with epsilon = 1e-3: --published has the variance. " + codeRoot,
	"pac_bayes_init":               "Its sigma is the root of the paper's. " + codeRoot,
	"pac_bayes_orig":               "Its sigma is the root of the paper's. " + codeRoot,
	"pac_bayes_mag_init":           "Its sigma is that of its own noise. " + codeRoot,
	"pac_bayes_mag_orig":           "It has the distances w_i - w0_i below the fraction here too, which is followed. Its sigma is that of its own noise. " + codeRoot,
	"sharpness_flatness":           codeNone,
	"sharpness_magnitude_flatness": codeNone,
	"sharpness_init":               codeNone,
	"sharpness_orig":               codeNone,
	"sharpness_mag_init":           codeNone,
	"sharpness_mag_orig":           codeNone,
}

// departureOf returns what the code does otherwise for a measure, empty for none.
func departureOf(name string) string {
	base, over := strings.CutSuffix(name, "_over_margin")
	s := departures[base]
	if over && s != "" {
		return codeMargin + " " + s
	}
	return s
}

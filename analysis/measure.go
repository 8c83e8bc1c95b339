package analysis

import (
	"math"
	"math/big"
	"strconv"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/scaled"
)

// Bias says whether biases count as incoming weights.
type Bias = paths.Bias

// The bias policies.
const (
	IncludeBias = paths.Include
	ExcludeBias = paths.Exclude
)

// PQ names a group norm: p within the incoming weights of a unit, q over the
// units, each in [1, Inf].
type PQ struct{ P, Q float64 }

// Options says what to measure. The zero value measures everything that one
// pass over the weights gives.
type Options struct {
	// P lists the orders of the path norms, in [1, Inf]. Default: 1, 2, Inf.
	P []float64
	// Groups lists the group norms. Default: (1,Inf), (2,Inf), (1,1), (2,1),
	// (2,2).
	Groups []PQ
	// Names lists measures of Registry, or "fast": those that one pass over the
	// weights gives, "tails": those of the tails of spectra, and "all", which has no
	// Schatten norms and no spectral norms of whole convolutions. Each leaves out what needs a reference or data
	// that are not given. Default: fast.
	Names []string
	// Bias is the bias policy. Default: IncludeBias.
	Bias Bias
	// Threads is the number of goroutines. Default: 1.
	Threads int
	// Reference is the network at initialisation, of the same architecture.
	// Default: none.
	Reference *dag.Network
	// Data is for margins, bounds and flatness. Default: none.
	Data *Labelled
	// Percentile of the margins that normalised measures and bounds use, in (0,
	// 100]. Default: 5.
	Percentile float64
	// Published takes the conventions of the code of Dziugaite et al. 2020, who measured what
	// Jiang et al. define: gamma is |the k-th smallest margin|, k a tenth of the examples
	// rounded down, in place of a percentile; noise in proportion to the weights has the
	// variance sigma^2 w^2 + epsilon^2 with epsilon 1e-3, not 0. Default: ours.
	Published bool
	// Differentiate prepares the derivatives of the cross-entropy by some tensors of a network,
	// for batches of up to so many examples, with so many goroutines: finetune.Differentiate, which
	// the sharpness measures need. Its error is the reason why they are undefined. Default: none.
	Differentiate func(n *dag.Network, scores int, params []*dag.Param, batch, threads int) (Derivatives, error)
	// FlatnessError is the relative standard error that the flatness measures are
	// drawn for, as far as 200 draws reach. Default: 0.1.
	FlatnessError float64
	// Open says why the extents of inputs are not known, where the network was read with
	// assumed ones: what paths are counted for is undefined then, for that reason.
	// Default: they are known.
	Open string
	// Seed makes random numbers (of flatness and of the starts of iterations).
	Seed uint64
	// WeightsRead is called after the one pass over the weights when what is asked
	// for usually needs no other: the pages of a mapped file can be given up beside
	// the rest of the work. The weights must stay readable, for a network with dead
	// units or NaN is read again. Default: nothing.
	WeightsRead func()
	// Progress is called before each stage of what takes long, and as parts of it are
	// done, of all; all is 0 where the stage has no parts. Default: nothing.
	Progress func(stage string, done, all int)
	// Uncounted leaves out Report.Paths, a number with as many digits as the network
	// has layers, and Report.Segments.
	Uncounted bool
}

// Labelled is a set of examples with their classes.
type Labelled struct {
	// Inputs has one row-major (Batch x elements) slice for each network input.
	Inputs [][]float64
	// Read gives the rows [lo, hi) of each input instead, so that they need not be in
	// memory all at once. Default: those of Inputs.
	Read func(lo, hi int) [][]float64
	// Scores is the node whose values are the scores of the classes. Default (0): the
	// only one at which the homogeneous part ends.
	Scores int
	// Apart are instead the nodes with the score of one class each, in the order of the classes,
	// as of one classifier for each class: their only value, or the second of two less the first.
	Apart []int
	// Batch is the number of examples.
	Batch int
	// Labels has the class of each example, an index into the output.
	Labels []int
}

// Report is what Measures gives.
type Report struct {
	// Parameters is the number of stored scalars: see the function of that name.
	Parameters int
	// HiddenUnits is the number of units (channels) whose value enters an
	// activation: the sum behind a skip connection is one.
	HiddenUnits int
	// Depth is the largest number of layers on a path.
	Depth int
	// Paths is the exact number of paths: see paths.Count. Nil where there are several
	// segments, and under Uncounted.
	Paths *big.Int
	// Measures has the whole network's, in the order of the registry.
	Measures []Measure
	// Layers has each layer's.
	Layers []Layer
	// Segments has the parts of the network between functions, where there are
	// several, but not under Uncounted: see dag.Network.Segments. Path norms are of each of them then, and of
	// the whole there are none: Apart says why.
	Segments []Segment
	Apart    string
	// Warnings say what is not as one would expect, such as NaN in a weight.
	Warnings []string
}

// Segment is one positively homogeneous part of a network.
type Segment struct {
	// Starts, Ends and Layers name the inputs and functions that it reads, the values
	// that functions or nothing read, and its layers.
	Starts, Ends, Layers []string
	// Paths is the exact number of paths from its starts, and from biases, to its ends.
	Paths *big.Int
	// Measures has its path norms.
	Measures []Measure
}

// Layer is one linear layer of a report.
type Layer struct {
	// Name is the node's (dag.Node.Ref), Op the operators it was read from.
	Name, Op string
	// Inputs and Outputs are the numbers of columns (input units or channels)
	// and of units.
	Inputs, Outputs int
	Measures        []Measure
	// Spectra has the eigenvalues that measures of tails were computed from, one for each
	// reading of convolutions that was asked for; nil where none was, or they are too few.
	Spectra []Spectrum
}

// Spectrum has the eigenvalues of a layer's W^T W and the laws fitted to them, as the
// measures of tails describe them.
type Spectrum struct {
	// Flattened says that a convolution is read as W, and not as one matrix a kernel position.
	Flattened bool
	// Eigenvalues are in increasing order.
	Eigenvalues []float64
	// Alpha is the exponent of the power law, which begins at XMin with Tail eigenvalues;
	// all are 0 where none fits.
	Alpha, XMin float64
	Tail        int
	// Edge is the upper end of the Marchenko-Pastur law, and Spikes the number of eigenvalues
	// above it and its fluctuations; 0 where it does not fit.
	Edge   float64
	Spikes int
}

// Measure is one measured value.
type Measure struct {
	// Name is the measure's name in the registry.
	Name string
	// P and Q are the orders of a norm: "1", "2.5", "inf"; empty where there are
	// none.
	P, Q string
	// Output names one element of the network's output: "y[3]".
	Output string
	// Bias is the policy that the value follows: include or exclude.
	Bias string
	// Percentile is that of the margin in the value; 0 where there is none.
	Percentile float64
	Value      scaled.Num
	// StandardError is that of a value that is estimated from random draws; zero
	// for others.
	StandardError scaled.Num
	// Defined is false where the value is no number: NaN or Inf in a weight, the
	// logarithm of a zero, a margin that is not positive, a network that is not
	// homogeneous as a whole, unknown extents. Reason says which.
	Defined bool
	Reason  string
	// Invariant says that rescaling does not change the value.
	Invariant bool
	// Symbols are the values that the formula is made of, so that a reader can
	// compute it again.
	Symbols []Symbol
}

// Symbol is a letter of a formula and its value.
type Symbol struct {
	Name  string
	Value scaled.Num
}

// order writes an order as reports do.
func order(p float64) string {
	if math.IsInf(p, 1) {
		return "inf"
	}
	return strconv.FormatFloat(p, 'g', -1, 64)
}

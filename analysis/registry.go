package analysis

// Cost says what a measure needs.
type Cost uint8

// The costs, in the order of what they take.
const (
	// OnePass needs one read of the weights, which all such measures share.
	OnePass Cost = iota
	// TwoPasses needs a second read.
	TwoPasses
	// Spectral needs the largest singular value: some tens of reads.
	Spectral
	// AllSingular needs every singular value.
	AllSingular
	// Evaluations needs the network's outputs on the data many times over.
	Evaluations
)

// String returns the cost in words.
func (c Cost) String() string {
	return [...]string{"one pass", "two passes", "largest singular value", "all singular values", "many evaluations"}[c]
}

// Scope says what a measure is about.
type Scope uint8

// The scopes.
const (
	// OfNet is a measure of the whole network.
	OfNet Scope = 1 << iota
	// OfLayer is a measure of each layer.
	OfLayer
	// OfBoth is both.
	OfBoth = OfNet | OfLayer
)

// String returns net, layer, or both.
func (s Scope) String() string {
	return map[Scope]string{OfNet: "net", OfLayer: "layer", OfBoth: "net and layer"}[s]
}

// Need is what a measure needs besides the network.
type Need uint8

// The needs; they combine.
const (
	// NeedsData is labelled data.
	NeedsData Need = 1 << iota
	// NeedsReference is a reference (initial) network.
	NeedsReference
)

// String lists the needs.
func (n Need) String() string {
	return [...]string{"", "data", "reference", "data and reference"}[n]
}

// Info is what is known about a measure.
type Info struct {
	// Name is stable; Params are the fields of Measure that tell its entries
	// apart.
	Name   string
	Params []string
	// Says is what it is, in a sentence of plain words.
	Says string
	// Formula is in plain text, LaTeX the same for papers.
	Formula, LaTeX string
	// Source is the paper that defines or uses it.
	Source string
	// Code says where published code departs from that paper, or from this; empty without such code.
	// It is PublishedCode.
	Code string
	// Unit says what kind of number it is: "norm" (homogeneous of degree 1 in
	// each layer's weights or in all), "count", "share", "log", "pure".
	Unit string
	// Invariant says that rescaling does not change it.
	Invariant bool
	Cost      Cost
	Needs     Need
	Scope     Scope
	// Policy says that the bias policy matters; elsewhere biases are left out.
	Policy bool
}

// The sources.
const (
	n15a  = "Neyshabur, Tomioka, Srebro, Norm-based capacity control in neural networks, COLT 2015"
	n15b  = "Neyshabur, Salakhutdinov, Srebro, Path-SGD, NeurIPS 2015"
	n17   = "Neyshabur, Bhojanapalli, McAllester, Srebro, Exploring generalization in deep learning, NeurIPS 2017"
	n18   = "Neyshabur, Bhojanapalli, Srebro, PAC-Bayesian spectrally-normalized margin bounds, ICLR 2018"
	b17   = "Bartlett, Foster, Telgarsky, Spectrally-normalized margin bounds, NeurIPS 2017"
	j20   = "Jiang et al., Fantastic generalization measures, ICLR 2020"
	g24   = "Gonon et al., A path-norm toolkit for modern networks, ICLR 2024"
	s19   = "Stock et al., Equi-normalization of neural networks, ICLR 2019"
	la    = "Golub, Van Loan, Matrix computations, 4th edition, section 2.3"
	mm21  = "Martin, Mahoney, Implicit self-regularization in deep neural networks, JMLR 2021 (weightwatcher 0.7.7)"
	mpm21 = "Martin, Peng, Mahoney, Predicting trends in the quality of state-of-the-art neural networks, Nature Communications 2021 (weightwatcher 0.7.7)"
	csn09 = "Clauset, Shalizi, Newman, Power-law distributions in empirical data, SIAM Review 2009 (weightwatcher 0.7.7)"
	sgl19 = "Sedghi, Gupta, Long, The singular values of convolutional layers, ICLR 2019"
	b97   = "Bhatia, Matrix analysis, 1997, section IV.2"
	rv07  = "Rudelson, Vershynin, Sampling from large matrices, JACM 2007"
)

package rescale

import (
	"context"
	"fmt"
	"math"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/scaled"
)

// Method names a way to choose factors.
type Method string

// The methods.
const (
	// Path minimises mu_{p,inf}, the largest incoming p-norm of a unit, biases
	// included and identity edges left out. Source: Neyshabur, Tomioka, Srebro,
	// Norm-based capacity control in neural networks, COLT 2015, section 3.
	Path Method = "path"
	// EqualNorm minimises sum |theta|^p over weights and biases. Source: Stock,
	// Graham, Gribonval, Jegou, Equi-normalization of neural networks, ICLR 2019.
	EqualNorm Method = "enorm"
	// CrossLayer makes each unit's largest incoming |weight| equal to its largest
	// outgoing one, biases left out. Source: Nagel et al., Data-free quantization
	// through weight equalization and bias correction, ICCV 2019, section 4.1.
	CrossLayer Method = "cle"
	// PathConditioned minimises n ln sum_e kappa_e - sum_e ln kappa_e over the n
	// live edges, kappa the diagonal of the path Gram matrix for p = 2. Source: Lebeurrier, Vayer, Gribonval, Path-conditioned training,
	// arXiv 2602.19799.
	PathConditioned Method = "pathcond"
	// Unbalance multiplies random units by large factors: for each layer of h
	// units, h/4 draws with replacement, each times 10 e^N(0,1). Source:
	// Neyshabur, Salakhutdinov, Srebro, Path-SGD, NeurIPS 2015, section 5.
	Unbalance Method = "unbalance"
)

// Options says how to balance. The zero value works.
type Options struct {
	// P is the order of the norms of Path, in [1, Inf], and of EqualNorm, finite.
	// Default: 2. The other methods have no order.
	P float64
	// Bias says whether biases count in the objective of Path, EqualNorm and
	// PathConditioned. Default: they do.
	Bias paths.Bias
	// Threads is the number of goroutines. Default: 1.
	Threads int
	// Seed is the seed of Unbalance.
	Seed uint64
	// Tolerance ends EqualNorm, PathConditioned and CrossLayer when
	// Result.Residual is no larger. Default: 1e-12.
	Tolerance float64
	// MaxSweeps bounds the reads of the weights. Default: 10000.
	MaxSweeps int
}

func (o Options) withDefaults() Options {
	if o.P == 0 {
		o.P = 2
	}
	if o.Threads < 1 {
		o.Threads = 1
	}
	if o.Tolerance == 0 {
		o.Tolerance = 1e-12
	}
	if o.MaxSweeps == 0 {
		o.MaxSweeps = 10000
	}
	return o
}

// Objective is what a method makes small.
type Objective struct {
	// Name names it: see Objectives.
	Name string
	// Before and After are its values for the given and for the rescaled network.
	Before, After scaled.Num
}

// Result holds factors and how they were found.
type Result struct {
	// Groups are the groups of tied units, Factors one positive number each;
	// pinned groups and dead units have 1.
	Groups  *dag.Groups
	Factors []float64
	// Objective is the method's objective; Trace its value after each sweep of an
	// iterative method.
	Objective Objective
	Trace     []scaled.Num
	// Sweeps counts the reads of all weights.
	Sweeps int
	// Residual is how far the factors are from optimal. EqualNorm: the largest
	// |in - out|/(in + out) of a group, in and out its incoming and outgoing sums
	// of |theta|^p. PathConditioned: the same of the objective's derivative.
	// CrossLayer: the largest |ln(in/out)| of a group's largest weights, in and
	// out. Path: the relative difference of c and the largest incoming norm.
	Residual float64
	// Infimum says that the minimum is reached only by factors beyond the range
	// of the stored types: the factors reach it up to the factor 1 + Delta.
	Infimum bool
	Delta   float64
	// Warnings says in sentences what is worth knowing.
	Warnings []string

	method Method
	opt    Options
	net    *dag.Network
	view   *view
	// program is PathConditioned's.
	program *program
}

// Run chooses factors for a network. The network must hold finite numbers.
// Errors: an unknown method, an order outside its range, NaN or infinite
// weights, a cancelled context. The result depends on the class of equivalent
// networks only (up to rounding): Factors lead from any of its members to the
// same weights. Cost: Path reads the weights twice, more often when units are
// tied; EqualNorm and CrossLayer read them some tens of times; PathConditioned
// three times.
func Run(ctx context.Context, m Method, n *dag.Network, opt Options) (*Result, error) {
	opt = opt.withDefaults()
	if !(opt.P >= 1) || m == EqualNorm && math.IsInf(opt.P, 1) {
		return nil, fmt.Errorf("rescale: order p = %v: want a number of at least 1%s", opt.P,
			map[bool]string{true: " (for p = inf, cle is the limit)", false: ", or Inf"}[m == EqualNorm])
	}
	r := &Result{Groups: n.Groups(), method: m, opt: opt, net: n}
	var err error
	switch m {
	case Path:
		err = r.path(ctx)
	case EqualNorm:
		err = r.equalNorm(ctx)
	case CrossLayer:
		err = r.crossLayer(ctx)
	case PathConditioned:
		err = r.pathConditioned(ctx)
	case Unbalance:
		err = r.unbalance()
	default:
		return nil, fmt.Errorf("rescale: method %q: want path, enorm, cle, pathcond or unbalance", m)
	}
	if err != nil {
		return nil, err
	}
	for _, c := range r.Factors {
		if math.IsNaN(c) {
			return nil, fmt.Errorf("rescale: %s: the weights span too wide a range: no factors found", m)
		}
	}
	if m != Path && !(r.Residual <= 1e-6) {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the factors are not optimal: the residual is %.3g after %d reads of the weights", r.Residual, r.Sweeps))
	}
	r.guard()
	return r, nil
}

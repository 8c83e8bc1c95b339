package rescale

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
)

// Method names a way to choose factors: see Methods.
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
	// PathConditioned minimises n ln sum_e kappa_e - sum_e ln kappa_e over the n live edges, kappa
	// the diagonal of the path Gram matrix for p = 2. Source: Lebeurrier, Vayer, Gribonval,
	// Path-conditioned training, arXiv 2602.19799.
	PathConditioned Method = "pathcond"
	// Unbalance multiplies random units by large factors: for each layer of h
	// units, h/4 draws with replacement, each times 10 e^N(0,1), until a factor is beyond 10^6. Source:
	// Neyshabur, Salakhutdinov, Srebro, Path-SGD, NeurIPS 2015, section 5.
	Unbalance Method = "unbalance"
)

// Options says how to balance. The zero value works.
type Options struct {
	// P is the order of the norms of Path, in [1, Inf], and of EqualNorm, finite.
	// Default: 2. The other methods have no order: see Info.MaxP.
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
	// Exact rounds every factor to a power of two, so that rescaled weights have
	// the bits of the old ones but for the exponent and outputs are identical in
	// every bit, unless values between the layers leave the normal range of the
	// arithmetic. Of several roundings, log2 c + t rounded down for t in steps of
	// 1/8, the one with the least objective is taken. Where that is more than
	// Objective.Before, the factors are 1, with a warning. Where a stored number
	// would overflow, or lose bits among the subnormal ones, the exponents of the
	// factors on either side of it are halved until none does; a warning counts
	// these groups. Eight more reads of the weights. Default: factors are real.
	Exact bool
}

func (o Options) withDefaults() Options {
	o.P, o.Threads = cmp.Or(o.P, 2), max(o.Threads, 1)
	o.Tolerance, o.MaxSweeps = cmp.Or(o.Tolerance, 1e-12), cmp.Or(o.MaxSweeps, 10000)
	return o
}

// Objective is what a method makes small.
type Objective struct {
	// Name is Info.Objective.
	Name string
	// Before and After are its values for the given and for the rescaled network.
	Before, After scaled.Num
	// Optimum is what real factors reach. Options.Exact makes After more than
	// that: less than twice as much for the norms of Path and CrossLayer. So do
	// bounds of several sizes that are stored in a smaller type than the weights.
	Optimum scaled.Num
}

// Result holds factors and how they were found.
type Result struct {
	// Groups are the groups of tied units, Factors one positive number each;
	// pinned groups and dead units have 1.
	Groups  *dag.Groups
	Factors []float64
	// Objective is the method's objective; Trace its value after each sweep of
	// EqualNorm and PathConditioned.
	Objective Objective
	Trace     []scaled.Num
	// Sweeps counts the reads of all weights.
	Sweeps int
	// Residual is how far the factors are from optimal. EqualNorm: the largest |in - out|/(in +
	// out) of a group, in and out its incoming and outgoing sums of |theta|^p. PathConditioned:
	// the same of the objective's derivative. CrossLayer: the largest |ln(in/out)| of a group's
	// largest weights, in and out, and by how much ln |weight| of an edge is more than balance
	// allows. Path: the relative difference of c and the largest incoming norm.
	Residual float64
	// Infimum says that the minimum is reached only by factors beyond the range
	// of the stored types: the factors reach it up to the factor 1 + Delta.
	Infimum bool
	Delta   float64
	// Warnings says in sentences what is worth knowing.
	Warnings []string
}

// Info is what is known about a method.
type Info struct {
	Method Method
	// Help says what it makes of a network, in one line.
	Help string
	// Objective is the name of what it makes small.
	Objective string
	// MaxP is the largest order that it takes; 0 for a method without one.
	MaxP float64
}

// Methods lists the methods.
func Methods() []Info {
	return lists.Map(methods(), func(m method) Info { return m.Info })
}

// CheckOrder returns an error for an order that a method does not take.
func (m Method) CheckOrder(p float64) error {
	i := slices.IndexFunc(Methods(), func(i Info) bool { return i.Method == m })
	switch {
	case !(p >= 1):
		return fmt.Errorf("order p = %v: want a number of at least 1, or Inf", p)
	case i >= 0 && p > Methods()[i].MaxP && Methods()[i].MaxP > 0:
		return fmt.Errorf("order p = %v: %s wants a finite order; cle is its limit", p, m)
	}
	return nil
}

// method is a row of the table of methods.
type method struct {
	Info
	// find chooses the factors of a search.
	find func(*search, context.Context) error
	// objective is that of the network rescaled by c.
	objective func(s *search, c []float64) scaled.Num
}

// methods is the table.
func methods() []method {
	return []method{
		{
			Info{Path, "the smallest largest incoming p-norm of a unit", "mu_p_inf", math.Inf(1)},
			(*search).path,
			func(s *search, c []float64) scaled.Num { return s.view.mu(s.opt.P, c, s.opt.Threads) },
		},
		{
			Info{EqualNorm, "the smallest sum of |weight|^p", "sum_abs_power", math.MaxFloat64},
			(*search).equalNorm,
			func(s *search, c []float64) scaled.Num { return s.view.power(s.opt.P, c, s.opt.Threads) },
		},
		{
			Info{CrossLayer, "equal ranges of the weights before and after each unit", "max_abs_weight", 0},
			(*search).crossLayer,
			func(s *search, c []float64) scaled.Num { return s.view.mu(math.Inf(1), c, s.opt.Threads) },
		},
		{
			Info{PathConditioned, "the best conditioned path Gram matrix", "path_condition", 0},
			(*search).pathConditioned,
			(*search).kappaObjective,
		},
		{
			Info{Unbalance, "the opposite: some units of each layer by large random factors", "sum_abs_power", 0},
			(*search).unbalance,
			func(s *search, c []float64) scaled.Num { return s.view.power(2, c, s.opt.Threads) },
		},
	}
}

// search is a method at work on a network.
type search struct {
	Result
	method method
	opt    Options
	net    *dag.Network
	view   *view
	// problem is PathConditioned's.
	problem *problem
}

func (s *search) objective(c []float64) scaled.Num { return s.method.objective(s, c) }

// Run chooses factors for a network. The network must hold finite numbers.
// Errors: an unknown method, an order outside its range, NaN or infinite
// weights, a cancelled context. The result depends on the class of equivalent
// networks only (up to rounding): Factors lead from any of its members to the
// same weights. Cost: Path reads the weights twice, more often when units are
// tied; EqualNorm reads them some tens of times, CrossLayer about ten; PathConditioned
// three times.
func Run(ctx context.Context, m Method, n *dag.Network, opt Options) (*Result, error) {
	opt = opt.withDefaults()
	if err := m.CheckOrder(opt.P); err != nil {
		return nil, fmt.Errorf("rescale: %w", err)
	}
	var names []string
	for _, row := range methods() {
		if row.Method == m {
			return (&search{method: row, opt: opt, net: n}).run(ctx)
		}
		names = append(names, string(row.Method))
	}
	return nil, fmt.Errorf("rescale: method %q: want one of %s", m, strings.Join(names, ", "))
}

func (s *search) run(ctx context.Context) (*Result, error) {
	s.Groups, s.Objective.Name = s.net.Groups(), s.method.Objective
	if err := s.method.find(s, ctx); err != nil {
		return nil, err
	}
	m := s.method.Method
	if slices.ContainsFunc(s.Factors, math.IsNaN) {
		return nil, fmt.Errorf("rescale: %s: the weights span too wide a range: no factors found", m)
	}
	if m != Path && !(s.Residual <= 1e-6) {
		s.warn("the factors are not optimal: the residual is %.3g after %s of the weights", s.Residual, words.Count(s.Sweeps, "read"))
	}
	s.limit()
	s.guard()
	s.Objective.Optimum = s.Objective.After
	s.fitBounds()
	if s.opt.Exact {
		s.exact()
	}
	return &s.Result, nil
}

func (s *search) warn(format string, args ...any) {
	s.Warnings = append(s.Warnings, fmt.Sprintf(format, args...))
}

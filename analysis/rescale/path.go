package rescale

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/sums"
	"github.com/relupath/relupath/analysis/scaled"
)

// path minimises mu_{p,inf}, the largest incoming p-norm of a live unit.
//
// With b_v = 1/c_v, 1 for pinned units, and ||x||_p the norm over a unit's
// incoming edges, factors give mu_{p,inf} <= c iff for every unit
//
//	||w_{u->v} b_u||_p <= c b_v.
//
// The least b for a given c has equality at every unit alone in its group, so
// that b_v = (sum_k (phi_{v,k} c^-k)^p)^(1/p) with phi_{v,k} the p-norm of the
// products along paths of k edges that end in v. The minimum c* is the largest
// root, over the pinned units, of sum_k (phi_{j,k} c^-k)^p = 1. Without biases
// and skips all paths are of length d, and c*^d = max_j phi_j (Neyshabur,
// Tomioka, Srebro, COLT 2015, theorem 5; Neyshabur, Salakhutdinov, Srebro,
// NeurIPS 2015, section 3). Groups of several units: see tied.
//
// The minimum is attained: along the path that makes a unit live, b is bounded
// from below by the inputs and from above by the outputs.
func (r *search) path(ctx context.Context) error {
	r.view = newLightView(r.net, r.Groups, r.opt.P, r.opt)
	v := r.view
	if !v.alone() {
		if err := v.begin(r.opt.P, r.opt.Threads); err != nil {
			return err
		}
		r.Sweeps = 2
	}
	var lnC float64
	var z []float64
	if v.alone() {
		var ok bool
		lnC, z, r.Objective.Before, ok = v.graded(r.opt.P, r.opt.Threads)
		r.Sweeps++
		if !ok && r.Objective.Before.IsFinite() {
			d := deep{view: v, p: r.opt.P, threads: r.opt.Threads}
			var err error
			if lnC, z, err = d.solve(ctx, r.Objective.Before.Ln()); err != nil {
				return err
			}
			r.Sweeps += d.sweeps
		}
	} else {
		r.Objective.Before = v.mu(r.opt.P, r.Groups.Ones(), r.opt.Threads)
		t := newTied(v, r.opt.P)
		if err := t.solve(ctx); err != nil {
			return err
		}
		lnC, z = t.mu, t.logs()
		r.Sweeps += 1 + t.sweeps()
		r.Infimum, r.Delta = t.infimum, t.delta
	}
	if !r.Objective.Before.IsFinite() {
		if err := v.begin(r.opt.P, r.opt.Threads); err != nil {
			return err // names the layer
		}
		return fmt.Errorf("rescale: NaN or infinite weights")
	}
	r.Factors = v.factors(z)
	if len(v.active) == 0 {
		// Nothing can change.
		r.Objective.After = r.Objective.Before
		return nil
	}
	r.Objective.After = v.mu(r.opt.P, r.Factors, r.opt.Threads)
	r.Sweeps++
	r.Residual = math.Abs(math.Expm1(r.Objective.After.Ln() - lnC))
	return nil
}

// mu is mu_{p,inf} of the network rescaled by c.
func (v *view) mu(p float64, c []float64, threads int) scaled.Num {
	var top scaled.Num
	for _, y := range v.layers {
		for _, x := range y.rowNorms(p, c, threads) {
			top = scaled.Max(top, x)
		}
	}
	return top
}

// alone reports whether every active group has one row with incoming edges, those that
// meet others in a product, which no edges leave, left out.
func (v *view) alone() bool {
	rows := make([]int, len(v.active))
	for _, y := range v.layers {
		for _, id := range y.rows {
			if id != dag.NoGroup && v.index[id] >= 0 && !v.paired(v.index[id]) {
				if rows[v.index[id]]++; rows[v.index[id]] > 1 {
					return false
				}
			}
		}
	}
	return true
}

// lengths is phi of a unit by the number of edges of a path: at k for first + k edges.
type lengths struct {
	first int
	phi   []scaled.Num
}

// at returns phi of paths of k edges.
func (t lengths) at(k int) scaled.Num {
	if k -= t.first; k >= 0 && k < len(t.phi) {
		return t.phi[k]
	}
	return scaled.Num{}
}

// maxLengths bounds how many lengths of paths are told apart at a unit. Beyond it
// a search for the root reads the weights less often: see deep.
const maxLengths = 64

// graded solves the case of groups of one unit. It reads the weights once, with
// phi of the columns' groups graded by the number of edges, and returns ln c*,
// the logarithms of the active groups' factors and mu of the network as it is. It is
// not ok, and has mu alone, where paths to some unit have too many lengths.
func (v *view) graded(p float64, threads int) (lnC float64, z []float64, before scaled.Num, ok bool) {
	phi := make([]lengths, len(v.active))
	pairs := map[int32]*pathEnd{}
	lnC = math.Inf(-1)
	// meets takes an end in, where c is not large enough for it yet.
	meets := func(e pathEnd) {
		if e.sum(p, lnC) > 0 {
			lnC = e.root(p)
		}
	}
	for _, y := range v.layers {
		terms, norms, ok := v.terms(y, phi, p, threads)
		if !ok {
			return 0, nil, v.mu(p, v.g.Ones(), threads), false
		}
		for i, id := range y.rows {
			if id == dag.NoGroup {
				continue
			}
			before = scaled.Max(before, norms[i])
			switch k := v.index[id]; {
			case k < 0:
				meets(pathEnd{a: terms[i : i+1]})
			case !v.paired(k):
				phi[k] = terms[i]
			default:
				if pairs[k] == nil {
					pairs[k] = &pathEnd{}
				}
				side := &pairs[k].b
				if v.sign[id] > 0 {
					side = &pairs[k].a
				}
				*side = append(*side, terms[i])
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(pairs)) {
		if e := pairs[k]; e.a != nil {
			meets(*e)
		}
	}
	z = make([]float64, len(phi))
	for k, t := range phi {
		switch e := pairs[int32(k)]; {
		case e != nil && e.a != nil: // both sides the same norm
			a, _ := longest(e.a, p, lnC)
			b, _ := longest(e.b, p, lnC)
			z[k] = (b - a) / 2
		default:
			z[k] = -t.sum(p, lnC)
		}
	}
	return lnC, z, before, true
}

// pathEnd is where paths end: a pinned unit, with b = 1, or the rows of two groups that
// meet in a product, whose b are inverse: some b satisfies both sides iff the product of
// the norms is at most c^2.
type pathEnd struct{ a, b []lengths }

// longest is the largest sum of rows, and which has it.
func longest(rows []lengths, p, lnC float64) (top float64, at int) {
	top = math.Inf(-1)
	for k, t := range rows {
		if x := t.sum(p, lnC); x > top {
			top, at = x, k
		}
	}
	return top, at
}

// sum is at most 0 where ln c is feasible for the end: the mean of both sides'
// logarithms.
func (e *pathEnd) sum(p, lnC float64) float64 {
	a, _ := longest(e.a, p, lnC)
	if e.b == nil {
		return a
	}
	b, _ := longest(e.b, p, lnC)
	return (a + b) / 2
}

// root returns the least feasible ln c. The sum is convex and falls with ln c, so that
// Newton's method rises to it from the left, after the first step from anywhere.
func (e *pathEnd) root(p float64) float64 {
	if e.b == nil && len(e.a) == 1 {
		return e.a[0].root(p)
	}
	// Left of the root: where one side alone is 1, the larger; there the other's sum
	// may be below 0, so that the smaller of the two starts.
	x := math.Inf(1)
	for _, rows := range [][]lengths{e.a, e.b} {
		top := math.Inf(-1)
		for _, t := range rows {
			top = math.Max(top, t.root(p))
		}
		x = math.Min(x, top)
	}
	for range 200 {
		f, slope := 0.0, 0.0
		for _, rows := range [][]lengths{e.a, e.b} {
			v, at := longest(rows, p, x)
			f += v / 2
			slope += rows[at].fall(p, x, v) / 2
		}
		next := x + f/slope
		if !(next > x) {
			break
		}
		x = next
	}
	return x
}

// terms returns, for each row of a layer, phi by the number of edges, and its
// norm as it stands; not ok where there are more than maxLengths.
func (v *view) terms(y *layer, phi []lengths, p float64, threads int) (terms []lengths, norms []scaled.Num, ok bool) {
	of := make([]lengths, len(y.cols))
	live := make([]scaled.Num, len(y.cols))
	first, end := math.MaxInt, 0
	for j, id := range y.cols {
		if id == dag.NoGroup {
			continue
		}
		live[j] = scaled.One
		of[j] = start
		if k := v.index[id]; k >= 0 {
			of[j] = phi[k]
		}
		if n := len(of[j].phi); n > 0 {
			first, end = min(first, of[j].first), max(end, of[j].first+n)
		}
	}
	if y.bias != nil {
		first, end = 0, max(end, 1)
	}
	n := max(0, end-first)
	if n > maxLengths {
		return nil, nil, false
	}
	// The last programme is the plain norm, which shares the read.
	req := make([]sums.Path, n+1)
	for k := range n {
		h := make([]scaled.Num, len(y.cols))
		for j, t := range of {
			h[j] = t.at(first + k)
		}
		req[k] = sums.Path{P: p, H: h}
	}
	req[n] = sums.Path{P: p, H: live}
	sums := y.incoming(req, threads)
	norms = sums[n]
	terms = make([]lengths, len(y.rows))
	phis := make([]scaled.Num, n*len(y.rows))
	for i := range terms {
		t := lengths{first: first + 1, phi: phis[i*n : (i+1)*n]}
		for k := range n {
			t.phi[k] = sums[k][i]
		}
		if y.bias != nil {
			b := scaled.New(y.bias[i])
			t.phi[0] = scaled.Plus(t.phi[0], b, p)
			norms[i] = scaled.Plus(norms[i], b, p)
		}
		terms[i] = t
	}
	return terms, norms, true
}

// start is phi of inputs and other pinned units: the path without edges.
var start = lengths{phi: []scaled.Num{scaled.One}}

// sum returns ln (sum_k (phi_k c^-k)^p)^(1/p) for ln c, -Inf for no paths.
func (t lengths) sum(p, lnC float64) float64 {
	top := math.Inf(-1)
	term := func(k int) float64 {
		if t.phi[k].IsZero() {
			return math.Inf(-1)
		}
		return t.phi[k].Ln() - float64(t.first+k)*lnC
	}
	for k := range t.phi {
		top = math.Max(top, term(k))
	}
	if math.IsInf(top, 0) || math.IsInf(p, 1) {
		return top
	}
	var s float64
	for k := range t.phi {
		s += math.Exp(p * (term(k) - top))
	}
	return top + math.Log(s)/p
}

// root returns ln c with sum_k (phi_k c^-k)^p = 1, of phi with some path. The
// logarithm of the sum is convex and falls with ln c, so that Newton's method
// rises to the root from the left, where one term alone is 1.
func (t lengths) root(p float64) float64 {
	x := math.Inf(-1)
	for k, f := range t.phi {
		if !f.IsZero() {
			x = math.Max(x, f.Ln()/float64(t.first+k))
		}
	}
	if math.IsInf(p, 1) {
		return x
	}
	for range 100 {
		f := t.sum(p, x)
		next := x + f/t.fall(p, x, f)
		if !(next > x) {
			break
		}
		x = next
	}
	return x
}

// fall is how fast the sum, f at ln c = x, falls.
func (t lengths) fall(p, x, f float64) (slope float64) {
	for k, s := range t.phi {
		if s.IsZero() {
			continue
		}
		edges := float64(t.first + k)
		if l := s.Ln() - edges*x; !math.IsInf(p, 1) {
			slope += edges * math.Exp(p*(l-f))
		} else if l >= f-1e-13*math.Max(1, math.Abs(f)) {
			slope = math.Max(slope, edges) // of several, the steepest does not pass the root
		}
	}
	return slope
}

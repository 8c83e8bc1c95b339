package analysis

import (
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/spectral"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/internal/words"
)

// referenceEntries are the measures of the way from a reference network W0.
func referenceEntries() []*entry {
	return []*entry{
		{
			Info: Info{
				Name:    "distance_frobenius",
				Formula: "||W - W0||_F; whole net: the square root of the sum of squares over layers",
				LaTeX:   `\lVert W-W^0\rVert_F`, Source: j20 + " (frob-distance)", Unit: "norm",
				Needs: NeedsReference, Scope: OfBoth,
			},
			overMargin: linear,
			net:        func(r *run) []Measure { return one(scaled.Norm(r.each(r.distance), 2)) },
			layer:      func(r *run, l *layer) []Measure { return one(r.distance(l)) },
		},
		{
			Info: Info{
				Name:    "distance_spectral",
				Formula: "sigma_1(W - W0); whole net: the square root of the sum of squares over layers",
				LaTeX:   `\sigma_1(W-W^0)`, Source: j20 + " (dist-spec-init)", Unit: "norm",
				Cost: Spectral, Needs: NeedsReference, Scope: OfBoth,
			},
			overMargin: linear,
			net:        func(r *run) []Measure { return one(scaled.Norm(r.each(r.spectralDistance), 2)) },
			layer:      func(r *run, l *layer) []Measure { return one(r.spectralDistance(l)) },
		},
		{
			Info: Info{
				Name:    "spec_init",
				Formula: "prod_l sigma_1(W_l)^2 * sum_l ||W_l - W0_l||_F^2 / sigma_1(W_l)^2",
				LaTeX:   `\prod_l\sigma_1(W_l)^2\sum_l\lVert W_l-W^0_l\rVert_F^2/\sigma_1(W_l)^2`,
				Source:  j20 + " (spec-init)", Unit: "norm squared",
				Cost: Spectral, Needs: NeedsReference, Scope: OfNet,
			},
			rows: []float64{math.Inf(1)}, overMargin: squared,
			net: func(r *run) []Measure {
				return one(r.product(r.spectral).Pow(2).Mul(r.froOverSpec(r.distance)))
			},
		},
	}
}

// pair takes the layers of the network in its normal form, with those of the
// reference. Where constants fit the units of one of the two alone, and their
// normal forms differ, both are taken as they are read.
func (r *run) pair() error {
	r.take(normal(r.file))
	ref := r.opt.Reference
	if ref == nil || r.attach(normal(ref)) == nil {
		return nil
	}
	r.take(r.file)
	return r.attach(ref)
}

// measured returns the layers but for constants between functions.
func measured(n *dag.Network) []int {
	weighted := n.Weighted()
	return slices.DeleteFunc(n.Layers(), func(i int) bool { return !weighted[i] })
}

func (r *run) take(n *dag.Network) {
	r.net, r.layers = n, nil
	for _, i := range measured(n) {
		r.layers = append(r.layers, &layer{node: &n.Nodes[i], op: n.Nodes[i].Op.(*dag.Linear), index: i})
	}
}

// attach pairs the layers with those of the reference.
func (r *run) attach(ref *dag.Network) error {
	other := measured(ref)
	if len(other) != len(r.layers) {
		return fmt.Errorf("the reference has %s, the network %d: give the initial state of the same architecture",
			words.Count(len(other), "layer"), len(r.layers))
	}
	for k, l := range r.layers {
		nd := &ref.Nodes[other[k]]
		l.ref = nd.Op.(*dag.Linear)
		if got, want := shapeOf(l.ref), shapeOf(l.op); got != want {
			return fmt.Errorf("layer %d: the reference's %s is %s, the network's %s is %s: give the initial state of the same architecture",
				k+1, nd.Label(), got, l.node.Label(), want)
		}
	}
	return nil
}

// shapeOf describes what two layers must agree in for their difference to be
// taken.
func shapeOf(l *dag.Linear) string {
	switch {
	case l.Map == nil:
		return fmt.Sprintf("Constant %d", l.Rows())
	case l.Map.Weight() != nil && len(l.Matrices()) > 1:
		return fmt.Sprintf("%v, %s", l.Map, words.Count(len(l.Matrices()), "group"))
	}
	return l.Map.String()
}

// differences returns W - W0 of a layer block by block, rows being units. A
// Diagonal's has one column.
func (r *run) differences(l *layer) []spectral.Matrix {
	if d, ok := l.op.Map.(*dag.Diagonal); ok {
		factor := func(l *dag.Linear) spectral.Matrix {
			return spectral.Matrix{Rows: d.Axis.N, Cols: 1, Read: func(dst []float64, lo, _ int) { copy(dst, factors(l)[lo:]) }}
		}
		return []spectral.Matrix{difference(factor(l.op), factor(l.ref), r.opt.Threads)}
	}
	a, b := l.op.Matrices(), l.ref.Matrices()
	out := make([]spectral.Matrix, len(a))
	for k := range a {
		out[k] = difference(matrixOf(a[k]), matrixOf(b[k]), r.opt.Threads)
	}
	return out
}

// differenceRows returns the 2-norm of each row of W - W0.
func (r *run) differenceRows(l *layer) []scaled.Num {
	if l.diff != nil {
		return l.diff
	}
	l.diff = []scaled.Num{}
	for _, m := range r.differences(l) {
		tiles(&m, func(tile []float64, lo, hi int) {
			for i := range hi - lo {
				l.diff = append(l.diff, norm2(tile[i*m.Cols:][:m.Cols]))
			}
		})
	}
	return l.diff
}

// norm2 is the 2-norm of a row, in float64 where that is safe.
func norm2(w []float64) scaled.Num {
	var s float64
	for _, x := range w {
		s += x * x
	}
	if s > 1e-270 && s < 1e300 {
		return scaled.New(math.Sqrt(s))
	}
	var acc scaled.Accumulator
	acc.Reset(2)
	for _, x := range w {
		acc.Add(scaled.New(x))
	}
	return acc.Norm()
}

func (r *run) distance(l *layer) scaled.Num { return scaled.Norm(r.differenceRows(l), 2) }

func (r *run) spectralDistance(l *layer) scaled.Num {
	if l.diffSigma != nil {
		return *l.diffSigma
	}
	rows := r.differenceRows(l)
	// The largest row norm is as good a size as the largest entry.
	x := scaled.Norm(rows, math.Inf(1))
	if _, ok := l.op.Map.(*dag.Diagonal); !ok {
		var err error
		if x, err = r.largest(r.differences(l), x, r.opt.Threads); err != nil {
			r.err = err
		}
	}
	l.diffSigma = &x
	return x
}

// Package fold says how constants become part of layers: what multiplies each element of a value by
// a constant and adds another (batch normalisation, constants of products and sums) is part of a layer
// beside it where the layer has room for it.
//
// A layer has a factor and a constant for each of its units. It takes those of its elements if
//
//   - it has weights of its own, or constants alone (Takes);
//   - nothing else reads it, or whatever does asks the same (the caller knows the readers);
//   - all elements of a unit ask the same (Units); where they agree in the factors alone, those can go
//     ahead and leave the constants behind.
//
// That is the direction of both who fold, towards the layer before. Package analysis keeps to it, for
// the norms of a layer are those of its own units. The normal form of package rescale, which has no
// layers to keep, puts what the layer before does not take into the one behind, whose columns it
// multiplies and whose biases it adds to.
package fold

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
)

// Affine takes element or unit e, x, of a value to Scale[e] x + Shift[e]. A nil Scale is 1, a nil Shift 0.
type Affine struct{ Scale, Shift []float64 }

// Of is what the stages of a layer do to each of its units.
func Of(l *dag.Linear) Affine { return Affine{l.Scale(), l.Bias()} }

// At returns the factor and the constant of element e.
func (m Affine) At(e int) (scale, shift float64) {
	if scale = 1; m.Scale != nil {
		scale = m.Scale[e]
	}
	if m.Shift != nil {
		shift = m.Shift[e]
	}
	return scale, shift
}

// Then is m and then next, for n elements.
func (m Affine) Then(next Affine, n int) Affine {
	out := Affine{make([]float64, n), make([]float64, n)}
	for e := range n {
		s, t := m.At(e)
		by, plus := next.At(e)
		out.Scale[e], out.Shift[e] = s*by, plus+t*by
	}
	return out
}

// Over is m of units for the elements of their axis.
func (m Affine) Over(a dag.Axis) Affine {
	spread := func(x []float64) []float64 {
		if x == nil {
			return nil
		}
		out := make([]float64, a.Len())
		for e := range out {
			out[e] = x[a.At(e)]
		}
		return out
	}
	return Affine{spread(m.Scale), spread(m.Shift)}
}

// Takes reports whether a layer can take a factor and a constant for each of its units: an average,
// which has no weights, cannot.
func Takes(l *dag.Linear) bool {
	_, average := l.Map.(*dag.Average)
	return !average
}

// Units is what elements ask of the units that they belong to.
type Units struct {
	// Scale and Shift say whether all elements of every unit ask for the same factor and constant.
	Scale, Shift bool
	asked        []bool
	of           Affine
}

// NewUnits asks nothing yet of n units.
func NewUnits(n int) *Units {
	return &Units{true, true, make([]bool, n), Affine{make([]float64, n), make([]float64, n)}}
}

// Ask asks for a factor and a constant of unit u.
func (q *Units) Ask(u int, scale, shift float64) {
	if !q.asked[u] {
		q.asked[u], q.of.Scale[u], q.of.Shift[u] = true, scale, shift
	}
	q.Scale = q.Scale && q.of.Scale[u] == scale
	q.Shift = q.Shift && q.of.Shift[u] == shift
}

// Affine is what is asked of each unit. One of which nothing is asked gets what the others agree on,
// else a factor of 1 and no constant.
func (q *Units) Affine() Affine {
	return Affine{q.filled(q.of.Scale, 1), q.filled(q.of.Shift, 0)}
}

func (q *Units) filled(x []float64, none float64) []float64 {
	out := slices.Clone(x)
	first, same := slices.Index(q.asked, true), true
	for u, v := range x {
		same = same && (!q.asked[u] || v == x[first])
	}
	if same && first >= 0 {
		none = x[first]
	}
	for u, asked := range q.asked {
		if !asked {
			out[u] = none
		}
	}
	return out
}

// Package sums reads the weights of one layer for several sums at once: norms of
// its rows and columns, and the layer's step of path programmes. Values are those
// of package grid, one number a cell, so that a convolution costs as many
// products as it has weights and different positions.
package sums

import (
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/grid"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/analysis/scaled"
)

// Request asks one read of a layer's weights for several sums.
type Request struct {
	// Powers lists the p of the row norms (sum_j |w_ij|^p)^(1/p).
	Powers []float64
	// Columns lists the p of the column norms (sum_i |w_ij|^p)^(1/p).
	Columns []float64
	// Forward lists path programmes from an operand with the layout From. Bias, one
	// number a unit or nil, adds an edge from a constant unit to them.
	Forward []Path
	From    *grid.Layout
	Bias    []float64
	// Backward lists path programmes from a value with the layout To.
	Backward []Path
	To       *grid.Layout
	// Zeros asks for the number of zeros.
	Zeros bool
	// Threads is the number of goroutines; 0 is one. It changes no result.
	Threads int
	// Memory is where the numbers of Forward and Backward lie.
	Memory *Memory
}

// Sums is what a Request gives, of the effective weights diag(Scale) W, biases
// left out.
type Sums struct {
	// Rows has, for each of Powers, the p-norm of each row (unit), not to be written to.
	// Shared weights of a convolution count once.
	Rows [][]scaled.Num
	// Columns has, for each of Columns, the p-norm of each column (input unit or
	// channel), not to be written to. Shared weights of a convolution count once.
	Columns [][]scaled.Num
	// Forward has, for each programme, (sum_u (|w_{u->v}| h_u)^p)^(1/p) for
	// each cell v of the layer's value, whose layout is Value.
	Forward []Path
	Value   *grid.Layout
	// Backward has, for each programme, (sum_v (|w_{u->v}| h_v)^p)^(1/p) for
	// each cell u of the operand, whose layout is Operand.
	Backward []Path
	Operand  *grid.Layout
	// Zeros counts the effective weights that are zero if the request has Zeros,
	// Weights all of them; fixed weights do not count.
	Zeros, Weights int
}

// Of reads a layer's weights once for norms and once for each programme of a
// convolution. NaN and infinite weights come out as NaN and infinite sums. It
// panics when a path has a wrong length.
func Of(l *dag.Linear, q Request) *Sums {
	s := &Sums{}
	for _, p := range q.Forward {
		if l.Map != nil {
			mustLen("forward", p, q.From)
		}
	}
	for _, p := range q.Backward {
		mustLen("backward", p, q.To)
	}
	q.Threads = max(q.Threads, 1)
	if d, ok := l.Map.(*dag.Diagonal); ok {
		diagonal(l, d, q, s)
		return s
	}
	for range q.Powers {
		s.Rows = append(s.Rows, make([]scaled.Num, l.Rows()))
	}
	switch m := l.Map.(type) {
	case nil:
		s.Value = grid.Uniform(l.Units)
		for _, p := range q.Forward {
			s.Forward = append(s.Forward, Constant(p.P, s.Value.Cells(), scaled.Num{}))
		}
		s.Value, s.Forward = Affine(s.Value, s.Forward, l.Out(), nil, q.Bias, q.Threads, q.Memory)
		return s
	case *dag.Dense:
		dense(l, m, q, s)
	case *dag.Conv:
		convolution(l, m, q, s)
	case *dag.Average:
		average(l, m, q, s)
	}
	scale := l.Scale()
	for k := range s.Rows {
		for i, f := range scale {
			s.Rows[k][i] = s.Rows[k][i].MulFloat(math.Abs(f))
		}
	}
	if s.Value != nil {
		s.Value, s.Forward = Affine(s.Value, s.Forward, l.Out(), scale, q.Bias, q.Threads, q.Memory)
	}
	return s
}

// mustLen panics unless a path has one number a cell.
func mustLen(what string, p Path, l *grid.Layout) {
	if p.Len() != l.Cells() {
		panic(fmt.Sprintf("sums: %s path of %d numbers, want %d", what, p.Len(), l.Cells()))
	}
}

// scaledPaths multiplies what leaves a layer's value by the rows' factors: the
// value before them.
func scaledPaths(l *dag.Linear, q Request) (*grid.Layout, []Path) {
	if len(q.Backward) == 0 {
		return q.To, nil
	}
	return Affine(q.To, q.Backward, l.Out(), l.Scale(), nil, q.Threads, q.Memory)
}

// columnPaths are the column norms of a request, as backward programmes at one
// position: a row's factor is what leaves it.
func columnPaths(l *dag.Linear, q Request) []Path {
	var out []Path
	for _, p := range q.Columns {
		h := make([]scaled.Num, l.Rows())
		for i := range h {
			h[i] = scaled.One
			if s := l.Scale(); s != nil {
				h[i] = scaled.New(math.Abs(s[i]))
			}
		}
		out = append(out, Path{P: p, H: h})
	}
	return out
}

// zeros makes n lists of size zeros.
func zeros(n, size int) [][]scaled.Num {
	out := make([][]scaled.Num, n)
	for k := range out {
		out[k] = make([]scaled.Num, size)
	}
	return out
}

// around returns the cells before, of and after axis k of a layout.
func around(l *grid.Layout, k int) bundle {
	b := bundle{1, l.Classes(k), 1}
	for q := range l.Dims {
		switch {
		case q < k:
			b.outer *= l.Classes(q)
		case q > k:
			b.inner *= l.Classes(q)
		}
	}
	return b
}

func dense(l *dag.Linear, d *dag.Dense, q Request, s *Sums) {
	w := d.W.Param
	if f := w.Float64s(); f != nil {
		denseOf(l, d, f, q, s)
	} else {
		denseOf(l, d, w.Float32s(), q, s)
	}
}

func denseOf[T kernel.Float](l *dag.Linear, d *dag.Dense, w []T, q Request, s *Sums) {
	in, out := d.In(), d.Out()
	var byRow, byCol []*series
	var forward, backward [][]scaled.Num
	for k, p := range q.Powers {
		byRow = append(byRow, newSeries(p, nil, s.Rows[k], index))
	}
	if len(q.Forward) > 0 {
		from, k, origin := q.From.Units(in.Outer, in.N, in.Inner)
		a := around(from, k)
		b := bundle{a.outer, d.Rows, a.inner}
		s.Value = from.Replace(k, d.Rows)
		forward = zeros(len(q.Forward), s.Value.Cells())
		byRow = append(byRow, allSeries(gather(q.Forward, origin, q.Memory), forward, a, b)...)
	}
	if len(q.Backward) > 0 {
		to, paths := scaledPaths(l, q)
		to, k, origin := to.Units(out.Outer, out.N, out.Inner)
		a := around(to, k)
		s.Operand = to.Replace(k, d.Cols)
		backward = zeros(len(paths), s.Operand.Cells())
		byCol = append(byCol, allSeries(gather(paths, origin, q.Memory), backward, a, bundle{a.outer, d.Cols, a.inner})...)
	}
	s.Columns = zeros(len(q.Columns), d.Cols)
	byCol = append(byCol, allSeries(columnPaths(l, q), s.Columns, bundle{1, d.Rows, 1}, bundle{1, d.Cols, 1})...)
	m := &matrixSums[T]{w: w, rows: d.Rows, cols: d.Cols, across: byRow, down: byCol, zeros: q.Zeros}
	if d.InOut {
		m.rows, m.cols, m.across, m.down = m.cols, m.rows, byCol, byRow
	}
	s.Weights = m.rows * m.cols
	s.Zeros = m.run(q.Threads)
	for k, h := range forward {
		s.Forward = append(s.Forward, Pack(q.Forward[k].P, h))
	}
	for k, h := range backward {
		s.Backward = append(s.Backward, Pack(q.Backward[k].P, h))
	}
	if q.Zeros {
		s.Zeros += zeroed(l, d.Cols, d.At)
	} else {
		s.Zeros = 0 // which some loops count in passing
	}
}

func index(i int) int { return i }

// zeroed counts the weights that are not zero of rows whose factor is.
func zeroed(l *dag.Linear, cols int, at func(i, j int) float64) int {
	n := 0
	for i, f := range l.Scale() {
		for j := 0; f == 0 && j < cols; j++ {
			if at(i, j) != 0 {
				n++
			}
		}
	}
	return n
}

// diagonal has one weight a row and a column, the norm of both for every p, which all
// of them share.
func diagonal(l *dag.Linear, d *dag.Diagonal, q Request, s *Sums) {
	if len(q.Powers)+len(q.Columns) > 0 {
		norms := slices.Repeat([]scaled.Num{scaled.One}, l.Rows())
		for i, f := range l.Scale() {
			norms[i] = scaled.New(math.Abs(f))
		}
		s.Rows = slices.Repeat([][]scaled.Num{norms}, len(q.Powers))
		s.Columns = slices.Repeat([][]scaled.Num{norms}, len(q.Columns))
	}
	s.Operand, s.Backward = scaledPaths(l, q)
	if s.Value, s.Forward = q.From, q.Forward; s.Value != nil {
		s.Value, s.Forward = Affine(s.Value, s.Forward, d.Axis, l.Scale(), q.Bias, q.Threads, q.Memory)
	}
}

// average is a sum over windows, and a factor for each position.
func average(l *dag.Linear, v *dag.Average, q Request, s *Sums) {
	// The row sums of a channel are those of its fullest position.
	taps := make([]float64, len(v.Weights))
	v.Window.Taps(func(out, _, _ int) { taps[out]++ })
	for k, p := range q.Powers {
		var best scaled.Num
		for o, w := range v.Weights {
			x := scaled.New(w)
			if !math.IsInf(p, 1) {
				x = x.MulFloat(math.Pow(taps[o], 1/p))
			}
			best = scaled.Max(best, x)
		}
		for i := range s.Rows[k] {
			s.Rows[k][i] = best
		}
	}
	// A column's sums are not asked of fixed weights; they are those of identity
	// edges.
	for range q.Columns {
		h := slices.Repeat([]scaled.Num{scaled.One}, v.Channels)
		s.Columns = append(s.Columns, h)
	}
	by, weights := Elements(v.Weights, v.Window.Out())
	by = by.Lead(v.Channels)
	if len(q.Forward) > 0 {
		s.Value, s.Forward = Windows(&v.Window, v.Channels, false, q.From, q.Forward, q.Threads, q.Memory)
		s.Value, s.Forward = Times(s.Value, s.Forward, by, weights, q.Memory)
	}
	if len(q.Backward) > 0 {
		to, paths := scaledPaths(l, q)
		to, paths = Times(to, paths, by, weights, q.Memory)
		s.Operand, s.Backward = Windows(&v.Window, v.Channels, true, to, paths, q.Threads, q.Memory)
	}
}

// safeSum reports whether a sum of p-th powers in float64 lost nothing: it is
// far from the largest and the smallest numbers. Zero is unsafe, since the terms
// may have underflowed, and NaN, since a power may have overflowed and met a
// zero factor.
func safeSum(s float64) bool { return s > 1e-270 && s < 1e300 }

// rowSlow returns (sum_j (|w_j| h_j)^p)^(1/p) times 2^exp for terms whose
// powers may leave the range of float64: it divides by the largest before it
// raises to p. h nil is all ones; hs is h as given, for a range that float64
// cannot hold (ok false).
func rowSlow[T kernel.Float](w []T, p float64, h []float64, exp int64, ok bool, hs []scaled.Num) scaled.Num {
	term := func(j int) float64 {
		t := math.Abs(float64(w[j]))
		if h != nil {
			t *= h[j]
		}
		return t
	}
	var m float64
	least := math.Inf(1)
	for j, x := range w {
		t := term(j)
		if t-t != 0 {
			return rowExact(w, p, hs)
		}
		m = max(m, t)
		if x != 0 && (h == nil || h[j] != 0 || hs[j].Frac != 0) {
			least = min(least, t)
		}
	}
	if math.IsInf(least, 1) {
		return scaled.Num{} // every term is zero
	}
	if !ok || !safeSum(least) {
		return rowExact(w, p, hs)
	}
	if math.IsInf(p, 1) {
		return scaled.New(m).Scale(exp)
	}
	var s float64
	r := 1 / m
	for j := range w {
		s += scaled.Power(term(j)*r, p)
	}
	return scaled.New(m).MulFloat(math.Pow(s, 1/p)).Scale(exp)
}

// rowExact works with an exponent a term: right for any range.
func rowExact[T kernel.Float](w []T, p float64, hs []scaled.Num) scaled.Num {
	var acc scaled.Accumulator
	acc.Reset(p)
	for j, x := range w {
		t := scaled.New(float64(x))
		if hs != nil {
			t = t.Mul(hs[j])
		}
		acc.Add(t)
	}
	return acc.Norm()
}

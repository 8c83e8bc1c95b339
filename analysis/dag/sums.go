package dag

import (
	"fmt"
	"math"

	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/analysis/scaled"
)

// Path is one path programme at a layer: the p-norms H = g^(1/p) of the path
// vectors that reach the elements of its operand (forward) or that leave the
// elements of its value (backward), p in [1, Inf].
type Path struct {
	P float64
	H []scaled.Num
}

// SumRequest asks one read of a layer's weights for several sums.
type SumRequest struct {
	// Powers lists the p of the row norms (sum_j |w_ij|^p)^(1/p).
	Powers []float64
	// Columns lists the p of the column norms (sum_i |w_ij|^p)^(1/p).
	Columns []float64
	// Forward and Backward list path programmes.
	Forward, Backward []Path
	// Zeros asks for the number of zeros.
	Zeros bool
	// Threads is the number of goroutines; 0 is one.
	Threads int

	// columns is Columns with each row's factor as H.
	columns []Path
}

// Sums is what a SumRequest gives, of the effective weights diag(Scale) W,
// biases left out.
type Sums struct {
	// Rows has, for each of Powers, the p-norm of each row (unit). Shared
	// weights of a convolution count once.
	Rows [][]scaled.Num
	// Columns has, for each of Columns, the p-norm of each column (input unit or
	// channel). Shared weights of a convolution count once.
	Columns [][]scaled.Num
	// Forward has, for each programme, (sum_u (|w_{u->v}| H_u)^p)^(1/p) for
	// each element v of the layer's value.
	Forward [][]scaled.Num
	// Backward has, for each programme, (sum_v (|w_{u->v}| H_v)^p)^(1/p) for
	// each element u of the operand.
	Backward [][]scaled.Num
	// Zeros counts the effective weights that are zero if the request has Zeros,
	// Weights all of them; fixed weights do not count.
	Zeros, Weights int
}

// Sums reads the layer's weights once. Cost: one pass over the weights for p
// in {1, 2, Inf}, a power a weight for each other p. NaN and infinite weights
// come out as NaN and infinite sums. It panics when a path has a wrong length.
func (l *Linear) Sums(q SumRequest) *Sums {
	s := &Sums{}
	for range q.Powers {
		s.Rows = append(s.Rows, make([]scaled.Num, l.Rows()))
	}
	if l.Map == nil {
		for range q.Forward {
			s.Forward = append(s.Forward, make([]scaled.Num, l.Units))
		}
		for range q.Backward {
			s.Backward = append(s.Backward, nil)
		}
		for range q.Columns {
			s.Columns = append(s.Columns, nil)
		}
		return s
	}
	if q.Threads < 1 {
		q.Threads = 1
	}
	in, out := l.Map.In(), l.Map.Out()
	for _, p := range q.Forward {
		mustLen("forward path", len(p.H), in.Len())
		s.Forward = append(s.Forward, make([]scaled.Num, out.Len()))
	}
	q.columns = nil
	for _, p := range q.Columns {
		s.Columns = append(s.Columns, make([]scaled.Num, in.N))
		h := make([]scaled.Num, out.N)
		for i := range h {
			h[i] = scaled.One
			if l.Scale() != nil {
				h[i] = scaled.New(math.Abs(l.Scale()[i]))
			}
		}
		q.columns = append(q.columns, Path{p, h})
	}
	back := make([]Path, len(q.Backward))
	for k, p := range q.Backward {
		mustLen("backward path", len(p.H), out.Len())
		s.Backward = append(s.Backward, make([]scaled.Num, in.Len()))
		back[k] = p
		if l.Scale() != nil {
			back[k].H = make([]scaled.Num, len(p.H))
			for e, h := range p.H {
				back[k].H[e] = h.MulFloat(math.Abs(l.Scale()[out.At(e)]))
			}
		}
	}
	q.Backward = back
	l.Map.sums(&q, s)
	if !q.Zeros {
		s.Zeros = 0 // which some loops count in passing
	}
	if l.Scale() == nil {
		return s
	}
	for i, f := range l.Scale() {
		if f == 0 && q.Zeros {
			s.Zeros += l.nonzeros(i)
		}
	}
	for k := range s.Rows {
		for i := range s.Rows[k] {
			s.Rows[k][i] = s.Rows[k][i].MulFloat(math.Abs(l.Scale()[i]))
		}
	}
	for k := range s.Forward {
		scaleRows(s.Forward[k], l.Scale(), out, q.Threads)
	}
	return s
}

// scaleRows multiplies the elements of each row by the magnitude of its factor.
func scaleRows(h []scaled.Num, factor []float64, out Axis, threads int) {
	kernel.Parallel(out.Outer*out.N, threads, max(1, 1<<12/max(out.Inner, 1)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			f := scaled.New(math.Abs(factor[i%out.N]))
			for e, x := range h[i*out.Inner:][:out.Inner] {
				h[i*out.Inner+e] = x.Mul(f)
			}
		}
	})
}

// nonzeros counts the stored weights of row i that are not zero.
func (l *Linear) nonzeros(i int) int {
	n := 0
	count := func(w float64) {
		if w != 0 {
			n++
		}
	}
	switch m := l.Map.(type) {
	case *Dense:
		for j := range m.Cols {
			count(m.At(i, j))
		}
	case *Conv:
		m.row(i, count)
	}
	return n
}

func mustLen(what string, got, want int) {
	if got != want {
		panic(fmt.Sprintf("dag: %s of %d elements, want %d", what, got, want))
	}
}

func errLength(what string, got, want int) error {
	return fmt.Errorf("%s: %d values, want %d", what, got, want)
}

// safeSum reports whether a sum of p-th powers in float64 lost nothing: it is
// far from the largest and the smallest numbers. Zero is unsafe, since the terms
// may have underflowed, and NaN, since a power may have overflowed and met a
// zero factor.
func safeSum(s float64) bool { return s > 1e-270 && s < 1e300 }

// rowNorm returns (sum_j |w_j|^p)^(1/p) of one row.
func rowNorm(w []float64, p float64) scaled.Num {
	s := newSeries(p, nil, nil, nil)
	var x float64
	if plain(p) {
		var r kernel.Row
		kernel.Add(&r, w)
		x = normOf(&r, p)
	} else {
		for _, v := range w {
			x += power(math.Abs(v), p)
		}
	}
	if r, ok := s.finish(x); ok {
		return r
	}
	return rowSlow(w, p, nil, 0, true, nil)
}

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
		s += power(term(j)*r, p)
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

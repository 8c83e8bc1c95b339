package sums

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/analysis/scaled"
)

// series is one sum (sum_k (|w_k| h_k)^p)^(1/p) for every row, or for every
// column, of a stored matrix.
type series struct {
	p   float64
	hs  []scaled.Num // as given; nil is all ones
	h   []float64    // over 2^exp
	g   []float64    // h^p (h itself for p = 1 and Inf), what the loops multiply by
	exp int64
	ok  bool // h holds all of hs
	// fast says that g holds all of hs too.
	fast bool
	dst  []scaled.Num
	at   func(i int) int // row or column -> element of dst
}

func newSeries(p float64, hs, dst []scaled.Num, at func(int) int) *series {
	s := &series{p: p, hs: hs, ok: true, fast: true, dst: dst, at: at}
	if !ones(hs) {
		s.h, s.exp, s.ok = scaled.Common(hs)
		s.g = s.h // which are not negative
		if s.p != 1 && !math.IsInf(s.p, 1) {
			s.g = make([]float64, len(s.h))
		}
		// A factor that lost bits to underflow may meet a large weight.
		s.fast = raise(s.g, s.h, 1, p) > 1e-290 && s.ok
	} else {
		s.hs = nil
	}
	return s
}

func ones(h []scaled.Num) bool {
	return !slices.ContainsFunc(h, func(x scaled.Num) bool { return x != scaled.One })
}

// bundle says how units lie among cells: those of one unit are every Inner of
// Outer blocks.
type bundle struct{ outer, n, inner int }

// allSeries splits path programmes into one series a cell of the positions.
func allSeries(paths []Path, dst [][]scaled.Num, from, to bundle) []*series {
	var out []*series
	for k, pr := range paths {
		all := pr.Nums()
		for a := range from.outer {
			for b := range from.inner {
				h := all
				if from.outer != 1 || from.inner != 1 {
					h = make([]scaled.Num, from.n)
					for i := range h {
						h[i] = all[(a*from.n+i)*from.inner+b]
					}
				}
				out = append(out, newSeries(pr.P, h, dst[k], func(i int) int { return (a*to.n+i)*to.inner + b }))
			}
		}
	}
	return out
}

// The loops run over tiles of the stored matrix: rows are read from end to end
// (parts of pages defeat the hardware's prefetching and cost twice the time),
// but parts of at most sumCols columns meet all their factors while they are in
// the nearest caches.
const (
	sumRows = 8
	sumCols = 8192
)

// matrixSums is one read of a stored rows x cols matrix.
type matrixSums[T kernel.Float] struct {
	w            []T
	rows, cols   int
	across, down []*series // sums along rows, sums along columns
	zeros        bool      // whether to count them
}

// run computes all series and returns the number of zeros. Goroutines take chunks
// of rows as they are ready for them, so that one that is held up keeps no other
// waiting; sums are joined in the order of the chunks.
func (m *matrixSums[T]) run(threads int) int {
	chunk := m.chunk()
	chunks := max(1, (m.rows+chunk-1)/chunk)
	threads = max(1, min(threads, chunks))
	usual := m.usual()
	sums := &columnSums{series: m.down, cols: m.cols, waiting: map[int][][]float64{}}
	var next, zeros atomic.Int64
	kernel.Parallel(threads, threads, 1, func(_, _ int) {
		part, rows := make([]float64, len(m.across)*sumRows), make([]kernel.RowPaths, sumRows)
		for k := int(next.Add(1)) - 1; k < chunks; k = int(next.Add(1)) - 1 {
			acc := sums.take()
			end := min(m.rows, (k+1)*chunk)
			for i := k * chunk; i < end; i += sumRows {
				zeros.Add(int64(m.tile(i, min(i+sumRows, end), acc, usual, rows, part)))
			}
			sums.give(k, acc)
		}
	})
	for k, s := range m.down {
		kernel.Parallel(m.cols, threads, 1<<10, func(lo, hi int) {
			for j := lo; j < hi; j++ {
				r, ok := s.finish(sums.total[k][j])
				if !ok {
					r = m.column(j, s)
				}
				s.dst[s.at(j)] = r
			}
		})
	}
	return int(zeros.Load())
}

// chunk returns the number of rows that a goroutine takes at a time: whole tiles,
// few enough that no goroutine waits long for the last one, and enough weights
// to be worth a list of sums along columns. It depends on the matrix alone, and
// so do the sums then.
func (m *matrixSums[T]) chunk() int {
	const most, least = 64, 1 << 16 // rows, weights
	n := max(min(m.rows/32, most), least/max(m.cols, 1))
	return max((n+sumRows-1)/sumRows, 1) * sumRows
}

// join adds two partial sums.
func (s *series) join(a, b float64) float64 {
	if !math.IsInf(s.p, 1) {
		return a + b
	}
	if b <= a || a != a {
		return a
	}
	return b
}

// finish takes the root of a sum; ok is false when the sum may have lost terms
// to under- or overflow.
func (s *series) finish(x float64) (r scaled.Num, ok bool) {
	if !s.fast || !safeSum(x) {
		return r, false
	}
	if s.p == 2 {
		return scaled.New(math.Sqrt(x)).Scale(s.exp), true
	}
	return scaled.New(x).Root(rootOf(s.p)).Scale(s.exp), true
}

// tile takes rows [i0, i1): all sums along them, and their share of the sums
// along columns, in acc. usual is m.usual(); rows and part are room for sumRows
// rows and for as many numbers a series along rows.
func (m *matrixSums[T]) tile(i0, i1 int, acc [][]float64, usual []*series, rows []kernel.RowPaths, part []float64) (zeros int) {
	clear(rows)
	clear(part)
	all := usual != nil || m.all()
	for c0 := 0; c0 < m.cols; c0 += sumCols {
		c1 := min(c0+sumCols, m.cols)
		for i := i0; i < i1; i++ {
			w, row := m.w[i*m.cols+c0:i*m.cols+c1], &rows[i-i0]
			if usual != nil {
				kernel.AddPaths(row, w, m.cols, usual[0].g[c0:c1], usual[1].g[c0:c1], usual[2].g[c0:c1])
			} else if all {
				kernel.Add(&row.Row, w)
			}
		}
		w := m.w[i0*m.cols+c0 : (i1-1)*m.cols+c1]
		for k, s := range m.across {
			if all && s.h == nil && plain(s.p) || usual != nil && slices.Contains(usual, s) {
				continue // the rows have it
			}
			addRows(part[k*sumRows:][:i1-i0], w, m.cols, s, c0, c1)
		}
		for k, s := range m.down {
			addColumns(acc[k][c0:c1], w, m.cols, s, i0, i1)
		}
	}
	for i := i0; i < i1; i++ {
		row := &rows[i-i0]
		zeros += row.Zeros
		for k, s := range m.across {
			x := part[k*sumRows+i-i0]
			switch {
			case all && s.h == nil && plain(s.p):
				x = normOf(&row.Row, s.p)
			case usual != nil && s == usual[0]:
				x = row.DotAbs
			case usual != nil && s == usual[1]:
				x = row.DotSquares
			case usual != nil && s == usual[2]:
				x = row.DotMax
			}
			r, ok := s.finish(x)
			if !ok {
				r = rowSlow(m.w[i*m.cols:(i+1)*m.cols], s.p, s.h, s.exp, s.ok, s.hs)
			}
			s.dst[s.at(i)] = r
		}
	}
	return zeros
}

// usual returns the path programmes of order 1, 2 and Inf when all three are
// asked for and no cubes are: one loop then takes them with the norms.
func (m *matrixSums[T]) usual() []*series {
	u := make([]*series, 3)
	for _, s := range m.across {
		switch {
		case s.h == nil && s.p == 3:
			return nil
		case s.h == nil:
		case s.p == 1:
			u[0] = s
		case s.p == 2:
			u[1] = s
		case math.IsInf(s.p, 1):
			u[2] = s
		}
	}
	if slices.Contains(u, nil) {
		return nil
	}
	return u
}

// all reports whether the loop that takes every norm of a row at once is worth
// its cost: for the number of zeros, or for more than one norm.
func (m *matrixSums[T]) all() bool {
	n := 0
	for _, s := range m.across {
		if s.h == nil && plain(s.p) {
			n++
			if s.p == 3 {
				n++ // no other loop has cubes
			}
		}
	}
	return m.zeros || n > 1
}

// plain reports whether kernel.Row has the sum of p-th powers.
func plain(p float64) bool { return p == 1 || p == 2 || p == 3 || math.IsInf(p, 1) }

func normOf(r *kernel.Row, p float64) float64 {
	switch p {
	case 1:
		return r.Abs
	case 2:
		return r.Squares
	case 3:
		return r.Cubes
	}
	return r.Max
}

// units are ones, for the loops that want factors.
var units = sync.OnceValue(func() []float64 {
	return slices.Repeat([]float64{1}, max(sumRows, sumCols))
})

// addRows adds columns [c0, c1) to the sums along rows.
func addRows[T kernel.Float](dst []float64, w []T, stride int, s *series, c0, c1 int) {
	g := units()[:c1-c0]
	if s.g != nil {
		g = s.g[c0:c1]
	}
	switch {
	case s.p == 1:
		kernel.DotsAbs(dst, w, stride, g)
	case s.p == 2:
		kernel.DotsSquares(dst, w, stride, g)
	case math.IsInf(s.p, 1):
		for i := range dst {
			dst[i] = s.join(dst[i], kernel.DotMax(w[i*stride:][:len(g)], g))
		}
	default:
		for i := range dst {
			for j, v := range w[i*stride:][:len(g)] {
				dst[i] += scaled.Power(math.Abs(float64(v)), s.p) * g[j]
			}
		}
	}
}

// addColumns adds rows [i0, i1) to the sums along columns.
func addColumns[T kernel.Float](dst []float64, w []T, stride int, s *series, i0, i1 int) {
	g := units()[:i1-i0]
	if s.g != nil {
		g = s.g[i0:i1]
	}
	switch {
	case s.p == 1:
		kernel.ColumnsAbs(dst, w, stride, g)
	case s.p == 2:
		kernel.ColumnsSquares(dst, w, stride, g)
	case math.IsInf(s.p, 1):
		kernel.ColumnsMax(dst, w, stride, g)
	default:
		for i, f := range g {
			for j, v := range w[i*stride:][:len(dst)] {
				dst[j] += scaled.Power(math.Abs(float64(v)), s.p) * f
			}
		}
	}
}

func rootOf(p float64) float64 {
	if math.IsInf(p, 1) {
		return 1
	}
	return p
}

// column is one column's sum, right for any range.
func (m *matrixSums[T]) column(j int, s *series) scaled.Num {
	col := make([]T, m.rows)
	for i := range col {
		col[i] = m.w[i*m.cols+j]
	}
	return rowSlow(col, s.p, s.h, s.exp, s.ok, s.hs)
}

// Matrix returns (sum_j (|w_ij| h_j)^p)^(1/p) of every row i of a stored matrix of
// rows x cols numbers, or with byColumn of every column over its rows, for several
// paths.
func Matrix[T kernel.Float](w []T, rows, cols int, byColumn bool, paths []Path, threads int) [][]scaled.Num {
	m := &matrixSums[T]{w: w, rows: rows, cols: cols}
	n := rows
	if byColumn {
		n = cols
	}
	out := zeros(len(paths), n)
	for k, p := range paths {
		if s := newSeries(p.P, p.Nums(), out[k], index); byColumn {
			m.down = append(m.down, s)
		} else {
			m.across = append(m.across, s)
		}
	}
	m.run(max(threads, 1))
	return out
}

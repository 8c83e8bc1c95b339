package rescale

import (
	"math"
	"math/bits"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/internal/lists"
)

// floors say from which weight on an edge is to be collected.
type floors struct {
	// of each vertex; +Inf for what is pinned.
	of []float64
	// g, if not nil, says it by edge: the weight such that a cycle of edges no smaller joins both
	// ends. least[k][i] is the least of its levels from i to i + 2^k, e^ of them.
	g     *balanced
	least [][]float64
}

// floors are those of a balanced graph; nil is one without edges.
func (b *ranges) floors(g *balanced, tol float64) *floors {
	f := &floors{of: make([]float64, 1+len(b.v.active)+int(b.inverse))}
	f.of[0] = math.Inf(1)
	if g == nil {
		for v := range f.of[1:] {
			f.of[1+v] = math.SmallestNonzeroFloat64
		}
		return f
	}
	exp := lists.Map(g.level, func(l float64) float64 { return math.Max(math.Exp(l+tol), math.SmallestNonzeroFloat64) })
	if b.cycles {
		f.g, f.least = g, append(f.least, exp)
		for k := 1; 2*k <= len(exp); k *= 2 {
			last := f.least[len(f.least)-1]
			next := make([]float64, len(last)-k)
			for i := range next {
				next[i] = math.Min(last[i], last[i+k])
			}
			f.least = append(f.least, next)
		}
		return f
	}
	for v := 1; v < len(f.of); v++ {
		i := g.at[v]
		f.of[v] = exp[i]
		if i > 0 {
			f.of[v] = math.Max(f.of[v], exp[i-1])
		}
	}
	return f
}

// between is the floor of edges between two places of the order.
func (f *floors) between(i, j int32) float64 {
	if i == j {
		return math.Inf(1)
	}
	i, j = min(i, j), max(i, j)
	k := bits.Len(uint(j-i)) - 1
	return math.Min(f.least[k][i], f.least[k][j-1<<k])
}

// level is the logarithm of an edge's floor.
func (f *floors) level(from, to int32) float64 {
	if f.g != nil {
		return math.Log(f.between(f.g.at[from], f.g.at[to]))
	}
	return math.Log(math.Min(f.of[from], f.of[to]))
}

// span are the places of the first and of the last of some vertices.
type span struct{ first, last int32 }

func (f *floors) span(vertices []int32) span {
	s := span{math.MaxInt32, 0}
	for _, v := range vertices {
		s.first, s.last = min(s.first, f.g.at[v]), max(s.last, f.g.at[v])
	}
	return s
}

// lowest is the least floor of edges between a vertex and those of a span.
func (f *floors) lowest(v int32, s span) float64 {
	return math.Min(f.between(f.g.at[v], s.first), f.between(f.g.at[v], s.last))
}

// above calls f for the number |w| of each row and of each column with the largest |w| r c at
// or above the edge's floor, r and c the factors of k. Rows and cols are their vertices; edges within one are
// left out.
func above(s *dag.Matrix, k *links, rows, cols []int32, f *floors, threads int, found func(row, col int, w float64)) {
	if s.Diagonal {
		for i, w := range s.F64 {
			if x := w * k.r[i] * k.c[i]; x > 0 && x >= math.Exp(f.level(cols[i], rows[i])) {
				found(i, i, w)
			}
		}
		return
	}
	r, c := k.r, k.c
	if s.Turned {
		r, c, rows, cols = c, r, cols, rows
	}
	var at []int
	if s.F64 != nil {
		at = largest(s, s.F64, r, c, rows, cols, f, threads)
	} else {
		at = largest(s, s.F32, r, c, rows, cols, f, threads)
	}
	for _, e := range at {
		row, col := s.Place(e)
		found(row, col, math.Abs(s.At(e)))
	}
}

// best are the largest numbers so far and their places.
type best struct {
	x  []float64
	at []int
}

func newBest(n int) best { return best{make([]float64, n), make([]int, n)} }

func (b *best) take(i int, x float64, at int) {
	if x > b.x[i] {
		b.x[i], b.at[i] = x, at
	}
}

// largest is above for stored numbers w; it returns their places.
func largest[T kernel.Float](s *dag.Matrix, w []T, r, c []float64, rowVertex, colVertex []int32, f *floors, threads int) []int {
	if len(w) == 0 {
		return nil
	}
	rows, cols := sides(s)
	m, n := rows.n, cols.n
	cs, vertices := along(cols, c), along(cols, colVertex)
	// Where floors are by edge, the least of a column or that of a row says what is looked at.
	of, never := make([]float64, n), slices.Repeat([]float64{math.Inf(1)}, n)
	var across span
	least := math.Inf(1)
	if f.g != nil {
		across = f.span(vertices)
		down := f.span(rowVertex)
		for j, v := range vertices {
			of[j] = f.lowest(v, down)
			least = math.Min(least, of[j])
		}
	} else {
		for j, v := range vertices {
			of[j] = f.of[v]
		}
	}
	parts := max(1, min(threads, m*n/(1<<16)))
	chunk := (m + parts - 1) / parts
	ofRow, ofCol := newBest(m), make([]best, parts)
	kernel.Parallel(parts, parts, 1, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			ofCol[t] = newBest(n)
			ofCols := slices.Clone(of)
			for i := t * chunk; i < min(m, (t+1)*chunk); i++ {
				at := rows.at(i)
				ri, v := r[at], rowVertex[at]
				if ri == 0 {
					continue
				}
				row, floor, floors := w[i*n:][:n], math.Inf(1), ofCols
				if f.g == nil {
					floor = f.of[v]
				} else if low := f.lowest(v, across); low > least {
					floor, floors = low, never
				}
				for j := kernel.Above(row, 0, ri, cs, floor, floors); j < n; j = kernel.Above(row, j+1, ri, cs, floor, floors) {
					if vertices[j] == v {
						continue
					}
					x := math.Abs(float64(row[j])) * ri * cs[j]
					if f.g != nil {
						if x >= f.between(f.g.at[v], f.g.at[vertices[j]]) {
							ofRow.take(i, x, i*n+j)
							ofCol[t].take(j, x, i*n+j)
						}
						continue
					}
					if x >= floor {
						ofRow.take(i, x, i*n+j)
						floor = x
					}
					if x >= floors[j] {
						ofCol[t].take(j, x, i*n+j)
						floors[j] = x
					}
				}
			}
		}
	})
	all := newBest(n)
	for _, b := range ofCol {
		for j, x := range b.x {
			all.take(j, x, b.at[j])
		}
	}
	var found []int
	for _, b := range []best{ofRow, all} {
		for i, x := range b.x {
			if x > 0 {
				found = append(found, b.at[i])
			}
		}
	}
	return found
}

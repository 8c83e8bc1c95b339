package rescale

import (
	"math"
	"math/bits"
	"slices"
	"sort"

	"github.com/relupath/relupath/analysis/kernel"
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
	exp := make([]float64, len(g.level))
	for i, l := range g.level {
		exp[i] = math.Max(math.Exp(l+tol), math.SmallestNonzeroFloat64)
	}
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

// line are the floors of one row's edges, one a column.
type line struct {
	f *floors
	// cols are the vertices of columns, sorted the columns by the vertices' places, place these,
	// gap the floors between one and the next.
	cols, sorted, place []int32
	gap                 []float64
	floor               []float64
	row                 int32
}

func (f *floors) line(cols []int32) *line {
	l := &line{f: f, cols: cols, floor: make([]float64, len(cols)), row: none}
	for j := range cols {
		l.sorted = append(l.sorted, int32(j))
	}
	slices.SortStableFunc(l.sorted, func(i, j int32) int { return int(f.g.at[cols[i]]) - int(f.g.at[cols[j]]) })
	for k, j := range l.sorted {
		l.place = append(l.place, f.g.at[cols[j]])
		if k > 0 {
			l.gap = append(l.gap, f.between(l.place[k-1], l.place[k]))
		}
	}
	return l
}

// of returns the floors of a row with some vertex.
func (l *line) of(row int32) []float64 {
	if row == l.row {
		return l.floor
	}
	l.row = row
	p := l.f.g.at[row]
	mid := sort.Search(len(l.place), func(k int) bool { return l.place[k] >= p })
	if mid < len(l.place) {
		x := l.f.between(p, l.place[mid])
		for k := mid; ; k++ {
			l.floor[l.sorted[k]] = x
			if k == len(l.gap) {
				break
			}
			x = math.Min(x, l.gap[k])
		}
	}
	if mid > 0 {
		x := l.f.between(l.place[mid-1], p)
		for k := mid - 1; ; k-- {
			l.floor[l.sorted[k]] = x
			if k == 0 {
				break
			}
			x = math.Min(x, l.gap[k-1])
		}
	}
	return l.floor
}

// above calls f for the number |w| of each row and of each column with the largest |w| r c at
// or above the edge's floor, r and c the factors of k. Rows and cols are their vertices; edges within one are
// left out.
func (s *matrix) above(k *links, rows, cols []int32, f *floors, threads int, found func(row, col int, w float64)) {
	for i, w := range s.diag {
		if x := w * k.r[i] * k.c[i]; x > 0 && x >= math.Exp(f.level(cols[i], rows[i])) {
			found(i, i, w)
		}
	}
	r, c := k.r, k.c
	if s.Turned {
		r, c, rows, cols = c, r, cols, rows
	}
	var at []int
	if s.F64 != nil {
		at = above(s, s.F64, r, c, rows, cols, f, threads)
	} else {
		at = above(s, s.F32, r, c, rows, cols, f, threads)
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

func above[T kernel.Float](s *matrix, w []T, r, c []float64, rowVertex, colVertex []int32, f *floors, threads int) []int {
	if len(w) == 0 {
		return nil
	}
	rows, cols := s.sides()
	m, n := rows.n, cols.n
	cs, vertices := along(cols, c), along(cols, colVertex)
	parts := max(1, min(threads, m*n/(1<<16)))
	chunk := (m + parts - 1) / parts
	ofRow, ofCol := newBest(m), make([]best, parts)
	kernel.Parallel(parts, parts, 1, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			ofCol[t] = newBest(n)
			var l *line
			floors := make([]float64, n)
			if f.g != nil {
				l = f.line(vertices)
			} else {
				for j, v := range vertices {
					floors[j] = f.of[v]
				}
			}
			for i := t * chunk; i < min(m, (t+1)*chunk); i++ {
				at := rows.at(i)
				ri, v := r[at], rowVertex[at]
				if ri == 0 {
					continue
				}
				row, floor := w[i*n:][:n], math.Inf(1)
				if l != nil {
					floors = l.of(v)
				} else {
					floor = f.of[v]
				}
				for j := kernel.Above(row, 0, ri, cs, floor, floors); j < n; j = kernel.Above(row, j+1, ri, cs, floor, floors) {
					if vertices[j] == v {
						continue
					}
					x := math.Abs(float64(row[j])) * ri * cs[j]
					if l != nil {
						ofRow.take(i, x, i*n+j)
						ofCol[t].take(j, x, i*n+j)
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

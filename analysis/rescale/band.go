package rescale

import (
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// band solves Newton's systems of deep, narrow networks: the Hessian, without the
// rank-one term of n ln S, is then a matrix of a small bandwidth in a suitable order
// of the variables, and one factorisation costs less than the conjugate gradients
// that need as many steps as the network has layers.
type band struct {
	edges []entry
	// place is where each variable stands in the order, at the inverse.
	place, at []int
	width     int
	// matrix has the upper band, and after factorise its factor. A mat.BandCholesky
	// would estimate a condition number, in time quadratic in the variables.
	matrix blas64.SymmetricBand
	factor blas64.TriangularBand
	rhs    blas64.General
}

// entry is a number of links between two variables.
type entry struct {
	b        *links
	row, col int
	a        float64
}

// newBand returns nil where conjugate gradients are as good.
func newBand(p *problem) *band {
	// Networks of fewer layers need few steps, and reading wide links number by number
	// costs more than they do.
	const deep, narrow = 64, 32
	if len(p.links) < deep {
		return nil
	}
	for _, b := range p.links {
		if min(len(b.rows), len(b.cols)) > narrow || slices.Contains(b.rowSign, -1) {
			return nil
		}
	}
	w := &band{}
	for _, b := range p.links {
		w.edges = b.appendEdges(w.edges)
	}
	w.order(p.vars)
	for _, e := range w.edges {
		w.width = max(w.width, abs(w.place[e.b.rows[e.row]]-w.place[e.b.cols[e.col]]))
	}
	if w.width*w.width > len(p.links) {
		return nil
	}
	w.matrix = blas64.SymmetricBand{
		Uplo: blas.Upper, N: p.vars, K: w.width, Stride: w.width + 1, Data: make([]float64, p.vars*(w.width+1)),
	}
	w.rhs = blas64.General{Rows: p.vars, Cols: 1, Stride: 1, Data: make([]float64, p.vars)}
	return w
}

func abs(x int) int { return max(x, -x) }

// appendEdges reads the numbers between variables, a column or a row at a time.
func (b *links) appendEdges(to []entry) []entry {
	rows, cols := len(b.rows), len(b.cols)
	x, y := make([]float64, cols), make([]float64, rows)
	for k := range min(rows, cols) {
		ax, aty := make([]float64, rows), make([]float64, cols)
		one := x
		if rows < cols {
			one = y
		}
		one[k] = 1
		b.mul(x, y, ax, aty)
		one[k] = 0
		add := func(i, j int, a float64) {
			if v, u := b.rows[i], b.cols[j]; a != 0 && v >= 0 && u >= 0 && v != u {
				to = append(to, entry{b, i, j, a})
			}
		}
		if rows < cols {
			for j, a := range aty {
				add(k, j, a)
			}
			continue
		}
		for i, a := range ax {
			add(i, k, a)
		}
	}
	return to
}

// order is that of Cuthill and McKee: by distance from a variable at an end of its
// part, neighbours of earlier variables first.
func (w *band) order(vars int) {
	next := make([][]int32, vars)
	for _, e := range w.edges {
		v, u := e.b.rows[e.row], e.b.cols[e.col]
		next[v], next[u] = append(next[v], u), append(next[u], v)
	}
	for v := range next {
		slices.Sort(next[v])
		next[v] = slices.Compact(next[v])
	}
	seen := make([]int, vars)
	pass := 0
	walk := func(from int, to []int) []int {
		pass++
		seen[from] = pass
		to = append(to, from)
		for k := len(to) - 1; k < len(to); k++ {
			first := len(to)
			for _, u := range next[to[k]] {
				if seen[u] != pass {
					seen[u] = pass
					to = append(to, int(u))
				}
			}
			slices.SortStableFunc(to[first:], func(a, b int) int { return len(next[a]) - len(next[b]) })
		}
		return to
	}
	var part []int
	w.place = slices.Repeat([]int{-1}, vars)
	for v := range vars {
		if w.place[v] >= 0 {
			continue
		}
		part = walk(v, part[:0])
		end := part[len(part)-1] // the farthest is at an end
		first := len(w.at)
		w.at = walk(end, w.at)
		for k, u := range w.at[first:] {
			w.place[u] = first + k
		}
	}
}

// factorise takes the Hessian at the program's point, times 1/k.
func (w *band) factorise(p *problem) (ok bool) {
	h := w.matrix
	clear(h.Data)
	for v, k := range w.place {
		h.Data[k*h.Stride] = p.in[v] + p.out[v]
	}
	for _, e := range w.edges {
		i, j := w.place[e.b.rows[e.row]], w.place[e.b.cols[e.col]]
		h.Data[min(i, j)*h.Stride+abs(i-j)] -= e.b.r[e.row] * e.a * e.b.c[e.col]
	}
	w.factor, ok = lapack64.Pbtrf(h)
	return ok
}

// solve writes the solution of the factorised system; false where rounding spoils it.
func (w *band) solve(y, r []float64) bool {
	for v, k := range w.place {
		w.rhs.Data[k] = r[v]
	}
	lapack64.Pbtrs(w.factor, w.rhs)
	for v, k := range w.place {
		y[v] = w.rhs.Data[k]
		if y[v]-y[v] != 0 {
			return false
		}
	}
	return true
}

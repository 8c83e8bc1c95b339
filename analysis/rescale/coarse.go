package rescale

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// coarse is the second level of the preconditioner of conjugate gradients. Variables that stand in the same layers
// on the same sides are a class, and E = Z^T H Z, Z of the indicators of classes, is what Newton's system says of
// factors that are one for a class: what a diagonal leaves to as many steps as the network has layers.
// The edges between two classes of a layer are taken as those of an outer product with the same sums over rows
// and columns, exact where all rows or all columns are of one class. Within a class the diagonal
// D of H is taken, less its mean:
//
//	M^-1 r = (I - Z (Z^T D Z)^-1 Z^T D) D^-1 r + Z E^-1 Z^T r,
//
// which is H^-1 for layers that are outer products, of kappa or (nearly) of independent random weights, at
// the minimum, where what comes in is what goes out (Tang, Nabben, Vuik and Erlangga, Comparison of two-level preconditioners,
// Journal of Scientific Computing 39, 2009).
type coarse struct {
	class []int32 // of a variable
	diag  []float64
	mean  []float64
	sums  blas64.General // Z^T r, then E^-1 of it
	e     blas64.Symmetric
	lower blas64.Triangular
}

// mostClasses bounds the cost of a factorisation. Tests set it to 0.
var mostClasses = 1000

// newCoarse returns nil where classes are as many as variables, or too many.
func newCoarse(p *problem) *coarse {
	c := &coarse{class: make([]int32, p.vars)}
	classes := int32(min(1, p.vars))
	split := func(vars []int32) {
		next := map[int32]int32{} // the part of a class that is in vars
		first := classes
		for _, v := range vars {
			if v < 0 || c.class[v] >= first {
				continue
			}
			part, ok := next[c.class[v]]
			if !ok {
				part = classes
				next[c.class[v]] = part
				classes++
			}
			c.class[v] = part
		}
	}
	for _, b := range p.links {
		split(b.rows)
		split(b.cols)
	}
	// Some classes have been split up altogether.
	number := map[int32]int32{}
	for v, k := range c.class {
		if _, ok := number[k]; !ok {
			number[k] = int32(len(number))
		}
		c.class[v] = number[k]
	}
	n := len(number)
	if n > mostClasses || 2*n > p.vars {
		return nil
	}
	c.diag, c.mean = make([]float64, n), make([]float64, n)
	c.sums = blas64.General{Rows: n, Cols: 1, Stride: 1, Data: make([]float64, n)}
	c.e = blas64.Symmetric{Uplo: blas.Upper, N: n, Stride: n, Data: make([]float64, n*n)}
	return c
}

// regular is how small a pivot of E may be beside its diagonal: of smaller ones, as where weights span far more than
// float64 has digits, rounding leaves nothing.
const regular = 1e-10

// factorise takes the Hessian at the program's point, times 1/k.
func (c *coarse) factorise(p *problem) (ok bool) {
	clear(c.diag)
	for v, k := range c.class {
		c.diag[k] += p.in[v] + p.out[v]
	}
	n := c.e.N
	clear(c.e.Data)
	for k, d := range c.diag {
		c.e.Data[k*n+k] = d
	}
	var rows, cols totals
	for _, b := range p.links {
		rows.clear(n)
		cols.clear(n)
		total := 0.0
		for i, v := range b.rows {
			sum := b.rowSum[i] - b.b[i]
			if total += sum; v >= 0 {
				rows.add(c.class[v], b.rowSign[i]*sum)
			}
		}
		for j, v := range b.cols {
			if v >= 0 {
				cols.add(c.class[v], b.colSum[j])
			}
		}
		if !(total > 0) {
			continue
		}
		for _, i := range rows.classes {
			for _, j := range cols.classes {
				w := rows.sum[i] / total * cols.sum[j]
				if i == j {
					w *= 2
				}
				c.e.Data[int(min(i, j))*n+int(max(i, j))] -= w
			}
		}
	}
	c.lower, ok = lapack64.Potrf(c.e)
	for k, d := range c.diag {
		x := c.e.Data[k*n+k]
		ok = ok && x*x > regular*d
	}
	return ok
}

// totals are sums of a few of the classes, in the order in which these came.
type totals struct {
	classes []int32
	sum     []float64 // of every class
	has     []bool
}

func (t *totals) clear(n int) {
	if t.sum == nil {
		t.sum, t.has = make([]float64, n), make([]bool, n)
	}
	for _, k := range t.classes {
		t.sum[k], t.has[k] = 0, false
	}
	t.classes = t.classes[:0]
}

func (t *totals) add(k int32, x float64) {
	if !t.has[k] {
		t.has[k] = true
		t.classes = append(t.classes, k)
	}
	t.sum[k] += x
}

// solve writes M^-1 r.
func (c *coarse) solve(p *problem, y, r []float64) {
	s := c.sums.Data
	clear(s)
	for v, k := range c.class {
		s[k] += r[v]
	}
	for k, sum := range s {
		c.mean[k] = sum / c.diag[k]
	}
	lapack64.Potrs(c.lower, c.sums)
	for v, k := range c.class {
		y[v] = r[v]/(p.in[v]+p.out[v]) - c.mean[k] + s[k]
	}
}

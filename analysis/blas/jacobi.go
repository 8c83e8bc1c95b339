package blas

import (
	"cmp"
	"math"
	"slices"
)

// Singular values and eigenvalues by Jacobi's rotations, for WebAssembly: gonum's LAPACK would be
// a tenth of a program for pages. They are as exact and take several times as long.

// mostSweeps bounds the sweeps over all pairs; some ten are enough.
const mostSweeps = 60

// jacobiSingular is singularGo by one-sided rotations (Hestenes): the rows of a, or its columns if
// those are fewer, are made orthogonal, and their lengths are the values.
func jacobiSingular(m, n int, a []float64) ([]float64, bool) {
	rows, size := make([][]float64, min(m, n)), max(m, n)
	for i := range rows {
		if rows[i] = a[i*n:]; m <= n {
			rows[i] = rows[i][:n]
			continue
		}
		rows[i] = make([]float64, size)
		for j := range size {
			rows[i][j] = a[j*n+i]
		}
	}
	eps := 0x1p-52 * math.Sqrt(float64(size))
	for range mostSweeps {
		still := true
		for i := range rows {
			for j := range i {
				x, y := rows[j], rows[i]
				var xx, yy, xy float64
				for k, u := range x {
					xx, yy, xy = xx+u*u, yy+y[k]*y[k], xy+u*y[k]
				}
				if math.Abs(xy) <= eps*math.Sqrt(xx)*math.Sqrt(yy) {
					continue
				}
				still = false
				c, s := rotation(xx, yy, xy)
				rotate(x, y, c, s)
			}
		}
		if still {
			values := make([]float64, len(rows))
			for i, x := range rows {
				var sum float64
				for _, u := range x {
					sum += u * u
				}
				values[i] = math.Sqrt(sum)
			}
			slices.SortFunc(values, func(x, y float64) int { return cmp.Compare(y, x) })
			return values, true
		}
	}
	return nil, false
}

// rotation returns the cosine and sine that make (xx, xy; xy, yy) diagonal, the smaller angle.
func rotation(xx, yy, xy float64) (c, s float64) {
	zeta := (yy - xx) / (2 * xy)
	t := math.Copysign(1/(math.Abs(zeta)+math.Hypot(1, zeta)), zeta)
	c = 1 / math.Hypot(1, t)
	return c, c * t
}

func rotate(x, y []float64, c, s float64) {
	for k, u := range x {
		v := y[k]
		x[k], y[k] = c*u-s*v, s*u+c*v
	}
}

// jacobiEigen is eigenGo by two-sided rotations.
func jacobiEigen(n int, a []float64, vectors bool) ([]float64, bool) {
	w := slices.Clone(a)
	q := a
	clear(q)
	var norm float64
	for i := range n {
		q[i*n+i] = 1
		for _, x := range w[i*n:][:n] {
			norm += x * x
		}
	}
	eps := 0x1p-53 * math.Sqrt(norm) / float64(n)
	for range mostSweeps {
		still := true
		for i := range n {
			for j := range i {
				if math.Abs(w[i*n+j]) <= eps {
					continue
				}
				still = false
				c, s := rotation(w[j*n+j], w[i*n+i], w[i*n+j])
				rotate(w[j*n:][:n], w[i*n:][:n], c, s)
				for k := range n {
					u, v := w[k*n+j], w[k*n+i]
					w[k*n+j], w[k*n+i] = c*u-s*v, s*u+c*v
				}
				if vectors {
					rotate(q[j*n:][:n], q[i*n:][:n], c, s)
				}
			}
		}
		if still {
			order, values, rows := make([]int, n), make([]float64, n), slices.Clone(q)
			for i := range order {
				order[i] = i
			}
			slices.SortFunc(order, func(i, j int) int { return cmp.Compare(w[i*n+i], w[j*n+j]) })
			for k, i := range order {
				values[k] = w[i*n+i]
				copy(q[k*n:][:n], rows[i*n:])
			}
			return values, true
		}
	}
	return nil, false
}

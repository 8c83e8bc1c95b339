package rescale

import (
	"math"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
)

// The subspaces of gmres, how often it begins a new one, and the residual, relative to the right-hand
// side, that it is content with: rounding alone leaves about as much.
const (
	mostVectors  = 200
	mostRestarts = 10
	smallest     = 1e-15
)

// gmres solves A x = b for A given by its products: the x of least residual in growing spaces of b, A b,
// A^2 b, ... (Saad and Schultz, SIAM Journal on Scientific and Statistical Computing 7, 1986). What it has when it
// gets no further it returns.
func gmres(b []float64, times func(dst, x []float64)) []float64 {
	n := len(b)
	x, r := make([]float64, n), make([]float64, n)
	norm := floats.Norm(b, 2)
	last := math.Inf(1)
	for range mostRestarts {
		times(r, x)
		floats.SubTo(r, b, r)
		beta := floats.Norm(r, 2)
		if !(beta > smallest*norm) || !(beta < last/2) {
			break
		}
		last = beta
		// Column j of h has the products of A v_j with v_0 to v_(j+1), turned by rotations (c, s) so that it is upper
		// triangular; g is the right-hand side, turned along, and its last number the residual.
		v, h := [][]float64{scaledBy(1/beta, r)}, [][]float64{}
		var turns []turn
		g := []float64{beta}
		for j := 0; j < min(n, mostVectors) && math.Abs(g[j]) > smallest*norm; j++ {
			w, col := make([]float64, n), make([]float64, j+2)
			times(w, v[j])
			for range 2 { // twice is enough to keep them orthogonal
				for i, u := range v {
					d := floats.Dot(u, w)
					col[i] += d
					floats.AddScaled(w, -d, u)
				}
			}
			col[j+1] = floats.Norm(w, 2)
			full := col[j+1]
			for i, t := range turns {
				col[i], col[i+1] = t.c*col[i]+t.s*col[i+1], t.c*col[i+1]-t.s*col[i]
			}
			c, s, top, _ := blas64.Rotg(col[j], col[j+1])
			if top == 0 {
				break // A is singular on this space
			}
			turns = append(turns, turn{c, s})
			col[j] = top
			g = append(g, -s*g[j])
			g[j] *= c
			h = append(h, col[:j+1])
			if !(full > 1e-14*math.Abs(top)) {
				break // the space holds the solution
			}
			v = append(v, scaledBy(1/full, w))
		}
		for j := len(h) - 1; j >= 0; j-- {
			y := g[j] / h[j][j]
			for i := range j {
				g[i] -= y * h[j][i]
			}
			floats.AddScaled(x, y, v[j])
		}
	}
	return x
}

// turn is a rotation: its cosine and sine.
type turn struct{ c, s float64 }

// scaledBy returns a x.
func scaledBy(a float64, x []float64) []float64 { return floats.ScaleTo(make([]float64, len(x)), a, x) }

package rescale

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// system is D - P of the rows of a part, P sparse and D diagonal. back lists the rows that read groups
// from their own on, as tied groups may: between these P is lower triangular.
type system struct {
	diag  []float64
	cols  [][]int32
	vals  [][]float64
	back  []int
	terms int // entries of P
	// single is whether no row has several.
	single bool
	most   float64 // multiplications up to which back is factorised at once
	lu     *mat.LU // of D - P with only the rows of back left
}

// newSystem has room for n rows.
func newSystem(n int, most float64) *system {
	return &system{diag: make([]float64, n), cols: make([][]int32, n), vals: make([][]float64, n), most: most, single: true}
}

// put fills the next row.
func (s *system) put(i int, diag float64, cols []int32, vals []float64) {
	s.diag[i], s.cols[i], s.vals[i] = diag, cols, vals
	s.terms += len(cols)
	s.single = s.single && len(cols) <= 1
	if slices.ContainsFunc(cols, func(j int32) bool { return int(j) >= i }) {
		s.back = append(s.back, i)
	}
}

// These are the number of multiplications up to which the rows of back are factorised rather than solved for by
// iteration, and how many of them are factorised, a quarter of a gigabyte, where the iteration does not converge.
const (
	mostDense = 1e8
	mostBack  = 5000
)

// solve returns (D - P)^-1 b: in the order of the layers but for the rows of back, for
// which a system of their own remains. The residual is the largest |b - (D - P) x|, rounding of x included.
func (s *system) solve(b []float64) (x []float64, residual float64) {
	if s.single {
		return s.chains(b), 0
	}
	x = make([]float64, len(b))
	s.forward(x, b, 1)
	if len(s.back) == 0 {
		return x, 0
	}
	rest := make([]float64, len(s.back))
	for k, i := range s.back {
		rest[k] = b[i] + s.row(i, x)
	}
	for {
		for k, y := range s.cycles(rest) {
			x[s.back[k]] = y
		}
		s.forward(x, b, 1)
		for _, i := range s.back {
			residual = math.Max(residual, math.Abs(b[i]+s.row(i, x)-s.diag[i]*x[i]))
		}
		// Rounding leaves as much of large x.
		if s.lu != nil || residual <= converged*(floats.Norm(b, math.Inf(1))+1e-3*floats.Norm(x, math.Inf(1))) || len(s.back) > mostBack {
			return x, residual
		}
		s.factorize()
		residual = 0
	}
}

// chains solves where rows have an entry at most: they lead to a row without one, or round a cycle.
func (s *system) chains(b []float64) []float64 {
	x, seen, done := make([]float64, len(b)), make([]bool, len(b)), make([]bool, len(b))
	var path []int
	step := func(i int) (add, times float64, next int) {
		if len(s.cols[i]) == 0 {
			return b[i] / s.diag[i], 0, i
		}
		return b[i] / s.diag[i], s.vals[i][0] / s.diag[i], int(s.cols[i][0])
	}
	for i := range b {
		path = path[:0]
		for ; !seen[i]; _, _, i = step(i) {
			seen[i] = true
			path = append(path, i)
		}
		if !done[i] { // round the cycle: x_i = sum + all x_i
			sum, all := 0.0, 1.0
			for j := i; ; {
				add, times, next := step(j)
				sum, all = sum+all*add, all*times
				if j = next; j == i {
					break
				}
			}
			x[i], done[i] = sum/(1-all), true
		}
		for _, j := range slices.Backward(path) {
			if !done[j] {
				add, times, next := step(j)
				x[j], done[j] = add+times*x[next], true
			}
		}
	}
	return x
}

// converged is the residual, relative to the right-hand side, up to which an iteration has converged.
const converged = 1e-11

// cycles solves what is left for the rows of back.
func (s *system) cycles(b []float64) []float64 {
	if s.lu == nil && float64(len(b))*float64(s.terms) > s.most {
		x := make([]float64, len(s.cols))
		return gmres(b, func(dst, y []float64) {
			for k, i := range s.back {
				x[i] = y[k]
			}
			s.forward(x, nil, 1)
			for k, i := range s.back {
				dst[k] = s.diag[i]*y[k] - s.row(i, x)
			}
		})
	}
	if s.lu == nil {
		s.factorize()
	}
	y := mat.NewVecDense(len(b), nil)
	// A system this close to singular still gives the ratio that is wanted.
	_ = s.lu.SolveVecTo(y, false, mat.NewVecDense(len(b), b))
	return y.RawVector().Data
}

// forward solves for all rows but those of back, of n right-hand sides side by side; nil is
// zeros.
func (s *system) forward(x, b []float64, n int) {
	back := s.back
	for i := range s.cols {
		if len(back) > 0 && back[0] == i {
			back = back[1:]
			continue
		}
		to := x[i*n:][:n]
		if clear(to); b != nil {
			copy(to, b[i*n:])
		}
		if n == 1 {
			to[0] = (to[0] + s.row(i, x)) / s.diag[i]
			continue
		}
		for k, j := range s.cols[i] {
			floats.AddScaled(to, s.vals[i][k], x[int(j)*n:][:n])
		}
		floats.Scale(1/s.diag[i], to)
	}
}

// row is a row of P times x.
func (s *system) row(i int, x []float64) (sum float64) {
	vals := s.vals[i]
	for k, j := range s.cols[i] {
		sum += vals[k] * x[j]
	}
	return sum
}

// factorize finds what the rows of back are to each other, some columns at a time.
func (s *system) factorize() {
	const some = 32
	m := len(s.back)
	a := mat.NewDense(m, m, nil)
	x := make([]float64, len(s.cols)*some)
	for c0 := 0; c0 < m; c0 += some {
		n := min(some, m-c0)
		for k, i := range s.back {
			clear(x[i*n:][:n])
			if k >= c0 && k < c0+n {
				x[i*n+k-c0] = 1
			}
		}
		s.forward(x, nil, n)
		for k, i := range s.back {
			to := a.RawRowView(k)[c0:][:n]
			floats.AddScaled(to, s.diag[i], x[i*n:][:n])
			for e, j := range s.cols[i] {
				floats.AddScaled(to, -s.vals[i][e], x[int(j)*n:][:n])
			}
		}
	}
	s.lu = &mat.LU{}
	s.lu.Factorize(a)
}

// gain is a lower bound of the logarithm of the spectral radius of D^-1 P where that is above 1, else 0: by inverse
// iteration z = (D - P)^-1 v, of which the elements n below zero have P n >= D n (Collatz and Wielandt).
func (s *system) gain() float64 {
	best := 0.0
	v := slices.Repeat([]float64{1}, len(s.cols))
	for range 20 {
		z, _ := s.solve(v)
		n := make([]float64, len(z))
		for i, x := range z {
			n[i], v[i] = math.Max(0, -x), math.Abs(x)
		}
		gain := math.Inf(1)
		for i, x := range n {
			if x > 0 {
				gain = math.Min(gain, math.Log(s.row(i, n)/(s.diag[i]*x)))
			}
		}
		top := slices.Max(v)
		if !(gain > 1.01*best) || !(gain < math.Inf(1)) || !(top < math.Inf(1)) {
			break
		}
		best = gain
		floats.Scale(1/top, v)
	}
	return best
}

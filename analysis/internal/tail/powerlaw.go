package tail

import (
	"math"
	"slices"
)

const (
	// Fewest is the number of eigenvalues below which a matrix is not described.
	Fewest = 8
	// Least is the eigenvalue above which a power law is fitted: what is smaller counts
	// as zero, whatever the size of the others.
	Least = 1e-5
	// small is the number of eigenvalues below which the estimate of alpha is corrected
	// for its bias, and fewest is the number that a tail must have then.
	small, fewest = 20, 8
)

// Fit is a power law x^-Alpha for x >= XMin.
type Fit struct {
	Alpha, XMin float64
	// D is the Kolmogorov-Smirnov distance of the law to the eigenvalues from XMin on.
	D float64
	// Tail is the number of eigenvalues from XMin on.
	Tail int
}

// PowerLaw fits a power law to eigenvalues in increasing order. Those above Least are
// x_1 <= ... <= x_n. For each i < n, x_min = x_i has the maximum-likelihood estimate
//
//	alpha_i = 1 + m / sum_{j >= i} ln(x_j / x_i), m = n - i + 1,
//
// and the distance
//
//	D_i = max_{j >= i} |1 - (x_j / x_i)^(1 - alpha_i) - (j - i) / m|.
//
// The fit is the first i with the smallest D_i. Of fewer than 20 eigenvalues alpha_i has
// m - 1 in place of m, and i leaves at least 8; where none does, i = 1.
//
// The empirical distribution is that below x_j, not up to it, so D is no less than 1/m
// off for the largest. It reports false where there is no law: fewer than two eigenvalues,
// or all of them equal.
//
// Cost: O(n^2) at most; usually O(n), since a distance ends once it is larger than the
// smallest so far.
func PowerLaw(values []float64) (Fit, bool) {
	first := len(values)
	for first > 0 && values[first-1] > Least {
		first--
	}
	s := search{x: values[first:]}
	n := len(s.x)
	if n < 2 || s.x[0] == s.x[n-1] {
		return Fit{}, false
	}
	s.prepare()
	// A coarse look first, so that most of the others are given up at once.
	last := n - 1
	if n < small {
		last = max(1, n-fewest+1)
	}
	s.d = 2
	for i := 0; i < last; i += max(1, n/64) {
		s.try(i)
	}
	for i := range last {
		s.try(i)
	}
	i := s.best
	m := n - i
	tail := m
	for i > 0 && s.x[i-1] == s.x[i] {
		i, tail = i-1, tail+1
	}
	f := Fit{Alpha: s.alpha[s.best], XMin: s.x[s.best], D: s.d, Tail: tail}
	return f, f.Alpha > 1 && !math.IsInf(f.Alpha, 0)
}

// search looks for the x_min with the smallest distance.
type search struct {
	x, log, alpha []float64
	best          int
	d             float64
}

// prepare computes the estimates of alpha.
func (s *search) prepare() {
	n := len(s.x)
	s.log, s.alpha = make([]float64, n), make([]float64, n)
	var sum float64
	for i, x := range slices.Backward(s.x) {
		s.log[i] = math.Log(x)
		sum += s.log[i]
		m := float64(n - i)
		num := m
		if n < small {
			num--
		}
		s.alpha[i] = 1 + num/(sum-m*s.log[i])
	}
}

// try computes the distance from x_i and keeps it if it is the smallest.
func (s *search) try(i int) {
	a := 1 - s.alpha[i]
	d := 1.0
	if a < 0 {
		d = s.distance(i, a)
	}
	if d < s.d || d == s.d && i < s.best {
		s.best, s.d = i, d
	}
}

// distance is D_i, or something larger than the smallest distance so far where D_i is.
func (s *search) distance(i int, a float64) float64 {
	n := len(s.x)
	m := float64(n - i)
	var d float64
	for _, step := range [...]int{max(1, (n-i)/16), max(1, (n-i)/128), 1} {
		for j := i; j < n; j += step {
			p := 1.0 // of equal values, where a may be -Inf
			if s.x[j] != s.x[i] {
				p = math.Exp(a * (s.log[j] - s.log[i]))
			}
			d = max(d, math.Abs(1-p-float64(j-i)/m))
			if d > s.d {
				return d
			}
		}
	}
	return d
}

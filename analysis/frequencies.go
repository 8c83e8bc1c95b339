package analysis

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
)

// frequencies is the grid of frequencies of a periodic convolution. The matrix of a frequency
// theta is F(theta) = sum_t W_t e^(i theta t), t the places of the kernel.
//
// Most frequencies need no matrix. Of unit vectors u, v and a direction d, f(s) =
// Re u* F(theta + s d) v is, but for a turn, a function of exponential type tau = sum_d
// n_d |d_d|, n_d = dilation (kernel - 1) / 2, bounded by M = sup |F|. By the inequality of Bernstein
// and Szego, |f'| <= tau sqrt(M^2 - f^2), so arccos(f/M) changes by no more than tau a unit: where
// sigma_1(F) >= S at one place it is at least M cos(arccos(S/M) + tau) at another, up to pi. So
// a lattice of frequencies bounds M, and a place whose neighbour is smaller than that cannot
// have the largest: a real kernel has half of the places besides, since F(-theta) is conjugate.
//
// Source: Duffin, Schaeffer, Some inequalities concerning functions of exponential type, Bull. AMS
// 1937; for bounds of transfer functions from lattices Pfister, Bresler, IEEE Trans. Signal Processing
// 2019.
type frequencies struct {
	window *dag.Window
	grid   []int
	// degree is n_d.
	degree []float64
	// stride is that of the coarsest lattice, a power of two.
	stride []int
}

// coarse is tau between neighbours of the coarsest lattice, along an axis.
const coarse = 0.6

func newFrequencies(w *dag.Window, grid []int) *frequencies {
	f := &frequencies{window: w, grid: grid}
	for d, g := range grid {
		n := float64(w.Dilation[d]*(w.Kernel[d]-1)) / 2
		stride := 1
		for 2*stride <= g && float64(2*stride)*2*math.Pi/float64(g)*n <= coarse {
			stride *= 2
		}
		f.degree, f.stride = append(f.degree, n), append(f.stride, stride)
	}
	return f
}

// lattice calls do for the places of a lattice of strides, each axis divided by 2^level, but not
// below 1, once for both of a conjugate pair.
func (f *frequencies) lattice(level int, do func(k []int)) {
	k := make([]int, len(f.grid))
	for {
		if f.place(f.mirror(k)) >= f.place(k) || !f.on(level, f.mirror(k)) {
			do(slices.Clone(k))
		}
		d := len(k) - 1
		for ; d >= 0; d-- {
			if k[d] += f.step(level, d); k[d] < f.grid[d] {
				break
			}
			k[d] = 0
		}
		if d < 0 {
			return
		}
	}
}

func (f *frequencies) step(level, d int) int { return max(1, f.stride[d]>>level) }

func (f *frequencies) on(level int, k []int) bool {
	for d := range k {
		if k[d]%f.step(level, d) != 0 {
			return false
		}
	}
	return true
}

func (f *frequencies) mirror(k []int) []int {
	out := make([]int, len(k))
	for d := range k {
		out[d] = (f.grid[d] - k[d]) % f.grid[d]
	}
	return out
}

// place is the index of a frequency.
func (f *frequencies) place(k []int) int {
	at := 0
	for d := range k {
		at = at*f.grid[d] + k[d]
	}
	return at
}

// levels is the number of lattices, the last of which is the grid.
func (f *frequencies) levels() int {
	n := 1
	for s := slices.Max(append([]int{1}, f.stride...)); s > 1; s /= 2 {
		n++
	}
	return n
}

// spread is tau from any frequency to the nearest of a lattice, at most.
func (f *frequencies) spread(level int) float64 {
	var tau float64
	for d, n := range f.degree {
		tau += n * math.Pi * float64(f.step(level, d)) / float64(f.grid[d])
	}
	return tau
}

// distance is tau between two places.
func (f *frequencies) distance(a, b []int) float64 {
	var tau float64
	for d, n := range f.degree {
		apart := max(a[d]-b[d], b[d]-a[d])
		tau += n * 2 * math.Pi * float64(min(apart, f.grid[d]-apart)) / float64(f.grid[d])
	}
	return tau
}

// corners calls do for the places of a lattice around a frequency, until it returns true.
func (f *frequencies) corners(level int, k []int, do func(c []int) bool) bool {
	c := make([]int, len(k))
	for corner := range 1 << len(k) {
		for d := range k {
			step := f.step(level, d)
			c[d] = k[d] / step * step
			if corner>>d&1 == 1 {
				if c[d] += step; c[d] >= f.grid[d] {
					c[d] = 0
				}
			}
		}
		if do(c) {
			return true
		}
	}
	return false
}

// angles are those of each kernel position.
func (f *frequencies) angles(k []int) []float64 {
	w := f.window
	out := make([]float64, dag.Size(w.Kernel))
	for t := range out {
		rest := t
		for d := len(f.grid) - 1; d >= 0; d-- {
			at := rest % w.Kernel[d] * w.Dilation[d] % f.grid[d] * k[d] % f.grid[d]
			out[t] += float64(at) / float64(f.grid[d])
			rest /= w.Kernel[d]
		}
		out[t] *= 2 * math.Pi
	}
	return out
}

// transfer is the largest of top and the singular values of F over all frequencies, of w as
// kernel x rows x cols. Lattices of frequencies are looked at roughly, each finer than the one
// before, without those that cannot have the largest; then finely those that may have it.
func (r *run) transfer(w []float64, rows, cols int, f *frequencies, top float64) float64 {
	type seen struct {
		k     []int
		sigma float64
	}
	look := func(of []seen, tolerance float64) {
		kernel.InTurn(len(of), r.opt.Threads, 1, func(take func() (int, int)) {
			for i, end := take(); i < end; i, end = take() {
				of[i].sigma = r.singularOf(transformed(w, rows, cols, f.angles(of[i].k), tolerance > 0), tolerance)
			}
		})
	}
	rough := map[int]float64{}
	var all []seen
	least, bound := top, math.Inf(1)
	for level := range f.levels() {
		var next []seen
		f.lattice(level, func(k []int) {
			if _, ok := rough[f.place(k)]; !ok && !f.smaller(level, k, rough, least, bound) {
				next = append(next, seen{k: k})
			}
		})
		look(next, roughTolerance)
		for _, s := range next {
			rough[f.place(s.k)], rough[f.place(f.mirror(s.k))] = s.sigma, s.sigma
			least = max(least, s.sigma)
		}
		all = append(all, next...)
		if r.ctx.Err() != nil {
			return math.NaN()
		}
		if tau := f.spread(level); tau < math.Pi/2 {
			bound = min(bound, least*(1+2*roughTolerance)/math.Cos(tau))
		}
	}
	for _, t := range [...][2]float64{{roughTolerance, fairTolerance}, {fairTolerance, 0}} {
		all = slices.DeleteFunc(all, func(s seen) bool { return s.sigma*(1+2*t[0]) < least })
		look(all, t[1])
		for _, s := range all {
			least = max(least, s.sigma)
		}
	}
	for _, s := range all {
		top = max(top, s.sigma)
	}
	return top
}

// smaller reports whether a frequency has a singular value below least, by what is known of its
// neighbours in coarser lattices.
func (f *frequencies) smaller(level int, k []int, rough map[int]float64, least, bound float64) bool {
	if math.IsInf(bound, 1) {
		return false
	}
	turn := math.Acos(min(1, least/bound))
	for l := range level {
		if f.corners(l, k, func(c []int) bool {
			s, ok := rough[f.place(c)]
			tau := turn + f.distance(k, c)
			return ok && tau < math.Pi && s*(1+2*roughTolerance) < bound*math.Cos(tau)
		}) {
			return true
		}
	}
	return false
}

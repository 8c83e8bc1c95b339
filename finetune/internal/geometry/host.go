package geometry

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/finetune/internal/cuda"
	"github.com/relupath/relupath/finetune/internal/program"
	"github.com/relupath/relupath/internal/lists"
)

// Path is a vector of sums: Sums*2^Exp here. On a device the numbers are at V, and a head with two
// exponents a, b at Head: the sums are V[i] 2^-b 2^(a+b).
type Path struct {
	Sums    []float64
	Exp     int
	V, Head cuda.Ptr
	// Index is the number of the head among those of factors.
	Index int
	Len   int
	// Ones says that all sums are 1, at each Update.
	Ones bool
}

// host is the kernels here, and the steps of programmes.
type host[T program.Float] struct {
	*Geometry[T]
	blas         *blas.Engine
	steps        []func()
	lifted       [2][]float64
	raised, cols []float64 // of one group of a convolution
	most         []float64 // the largest terms of columns
}

func newHost[T program.Float](g *Geometry[T]) *host[T] {
	return &host[T]{Geometry: g, blas: g.opt.BLAS.Serial()}
}

func (h *host[T]) run(int, int) {
	for _, do := range h.steps {
		do()
	}
}

func (h *host[T]) step(do func()) { h.steps = append(h.steps, do) }

func vector(n int) *Path { return &Path{Sums: make([]float64, n), Len: n} }

// make adds a step that fills a vector of n sums.
func (h *host[T]) make(n int, fill func(y *Path)) *Path {
	y := vector(n)
	h.step(func() {
		fill(y)
		y.settle()
	})
	return y
}

// settle brings the largest sum near 1, by a power of two.
func (x *Path) settle() {
	m := kernel.MaxAbs(x.Sums)
	if m == 0 || m-m != 0 || (m > 0x1p-32 && m < 0x1p32) {
		return
	}
	_, k := math.Frexp(m)
	x.shift(x.Exp + k)
}

// shift changes the exponent to e.
func (x *Path) shift(e int) {
	if e == x.Exp {
		return
	}
	for i, v := range x.Sums {
		x.Sums[i] = math.Ldexp(v, x.Exp-e)
	}
	x.Exp = e
}

// edge is what a weight multiplies a path sum by.
func (g *Geometry[T]) edge(w float64) float64 {
	if g.opt.P == 2 {
		return w * w
	}
	return math.Abs(w)
}

// linear tells whether path sums add up as they are.
func (g *Geometry[T]) linear() bool { return g.opt.P == 1 || g.opt.P == 2 }

// edges writes the edges of weights.
func (g *Geometry[T]) edges(dst []float64, w []T) {
	dst = dst[:len(w)]
	switch w := any(w).(type) {
	case []float32:
		kernel.Widen(dst, w)
	case []float64:
		copy(dst, w)
	}
	if g.opt.P == 2 {
		kernel.Times(dst, dst, dst)
		return
	}
	for i, x := range dst {
		dst[i] = math.Abs(x)
	}
}

// plus adds two path sums of one unit.
func (g *Geometry[T]) plus(a, b float64) float64 {
	switch {
	case g.linear():
		return a + b
	case a == 0:
		return b
	case b == 0:
		return a
	}
	m := math.Max(a, b)
	return m * math.Pow(power(a/m, g.opt.P)+power(b/m, g.opt.P), 1/g.opt.P)
}

func (h *host[T]) constant(n int, x float64) *Path {
	return &Path{Sums: slices.Repeat([]float64{x}, n), Len: n, Ones: x == 1}
}

func (h *host[T]) add(x, y *Path) *Path {
	return h.make(x.Len, func(z *Path) {
		z.Exp = max(x.Exp, y.Exp)
		f, g := math.Ldexp(1, x.Exp-z.Exp), math.Ldexp(1, y.Exp-z.Exp)
		for i, v := range x.Sums {
			z.Sums[i] = h.plus(v*f, y.Sums[i]*g)
		}
	})
}

func (h *host[T]) gather(x *Path, t cuda.Links, channels, m int) *Path {
	k := len(t.Start) - 1
	return h.make(channels*k, func(y *Path) {
		y.Exp = x.Exp
		for c := range channels {
			src, dst := x.Sums[c*m:][:m], y.Sums[c*k:][:k]
			for o := range dst {
				s := 0.0
				for j := t.Start[o]; j < t.Start[o+1]; j++ {
					v := src[t.List[j]]
					if t.Weight != nil {
						v *= t.Weight[j]
					}
					s = h.plus(s, v)
				}
				dst[o] = s
			}
		}
	})
}

func (h *host[T]) scale(x *Path, v *program.Vector, gain bool) *Path {
	return h.make(x.Len, func(y *Path) {
		y.Exp = x.Exp
		for e, s := range x.Sums {
			w := h.prog.Number(v, v.Axis.At(e))
			if gain {
				w = math.Max(1, math.Abs(w))
			}
			y.Sums[e] = s * h.edge(w)
		}
	})
}

func (h *host[T]) bias(x *Path, stages []cuda.Stage, axis dag.Axis) *Path {
	sums := make([]float64, axis.N) // of each unit
	return h.make(x.Len, func(y *Path) {
		for u := range sums {
			b := 0.0
			for _, s := range stages {
				if v := h.prog.Number(s.V, u); s.Mul {
					b *= v
				} else {
					b += v
				}
			}
			sums[u] = h.edge(b)
		}
		copy(y.Sums, x.Sums)
		y.Exp = x.Exp
		if y.Exp < -400 {
			y.shift(0) // the constant unit's 1 would leave the range
		}
		one := math.Ldexp(1, -y.Exp)
		for e, s := range y.Sums {
			y.Sums[e] = h.plus(s, sums[axis.At(e)]*one)
		}
	})
}

func (h *host[T]) totalDense(op *program.Dense, u use) *Path { return h.total(u, true, denseTotal(op)) }

func (h *host[T]) totalConv(op *program.Conv, u use) *Path {
	c, beta := h.convolution(op), 1.0
	if u.sum == nil {
		beta = 0
	}
	return h.total(u, false, func(dst, in, out []float64, f float64) { c.total(dst, in, out, f, beta) })
}

func (h *host[T]) totalUnits(v *program.Vector, u use) *Path { return h.total(u, true, h.units(v, u)) }

// total adds a use, of which add adds f times the products; to zeros, if it asks for them, where the use is the first.
func (h *host[T]) total(u use, zeros bool, add func(dst, in, out []float64, f float64)) *Path {
	dst, first := u.sum, u.sum == nil
	if first {
		dst = vector(u.n)
	}
	h.step(func() {
		in, a := h.lift(0, u.x, u.q)
		out, b := h.lift(1, u.y, u.q)
		if first && zeros {
			clear(dst.Sums)
		}
		if first {
			dst.Exp = a + b
		}
		dst.shift(max(dst.Exp, a+b))
		add(dst.Sums, in, out, math.Ldexp(1, a+b-dst.Exp))
	})
	return dst
}

// units adds f times the products of each element of a unit-wise operation.
func (h *host[T]) units(v *program.Vector, u use) func(dst, in, out []float64, f float64) {
	return func(dst, in, out []float64, f float64) {
		for e, s := range out {
			i := v.Axis.At(e)
			if u.gain && math.Abs(h.prog.Number(v, i)) <= 1 {
				continue
			}
			s *= f
			if in != nil {
				s = f * in[e] * out[e]
			}
			dst[v.Element(i, len(dst))] += power(math.Abs(v.CoefAt(i)), u.q) * s
		}
	}
}

// lift returns h^q of a vector and its exponent, in one of two scratch slices.
func (h *host[T]) lift(slot int, x *Path, q float64) ([]float64, int) {
	if x == nil {
		return nil, 0
	}
	h.lifted[slot] = lists.Longer(h.lifted[slot], x.Len)
	dst := h.lifted[slot][:x.Len]
	return dst, h.power(dst, x, q)
}

// power writes h^q and returns the exponent. A vector holds g for p = 2.
func (h *host[T]) power(dst []float64, x *Path, q float64) int {
	switch {
	case h.opt.P == 2 || q == 1:
		copy(dst, x.Sums)
		return x.Exp
	case q == 2:
		for i, v := range x.Sums {
			dst[i] = v * v
		}
		return 2 * x.Exp
	}
	// The exponent need not be a whole number once multiplied by q: it is folded in.
	whole := math.Floor(q * float64(x.Exp))
	rest := math.Exp2(q*float64(x.Exp) - whole)
	for i, v := range x.Sums {
		dst[i] = math.Pow(v, q) * rest
	}
	return int(whole)
}

func (h *host[T]) raise(x *Path, q float64, invert bool) *Path {
	if x.Ones {
		return x
	}
	y := x
	if q != 1 {
		y = vector(x.Len)
		h.step(func() { y.Exp = h.power(y.Sums, x, q) })
	}
	if invert {
		h.step(func() { y.Exp = reciprocal(y.Sums) - y.Exp })
	}
	return y
}

// reciprocal replaces positive numbers by their reciprocals over 2^k, the
// largest near 1, far from the ends of float32's range too, and returns k. Zero and what is not finite become zero.
func reciprocal(x []float64) int {
	top := kernel.Reciprocals(x)
	if top > 0x1p-16 && top < 0x1p16 {
		return 0
	}
	_, k := math.Frexp(top)
	kernel.Affine(x, x, math.Ldexp(1, -k), 0, 0, math.Inf(1))
	return k
}

package geometry

import (
	"math"

	"github.com/relupath/relupath/finetune/internal/program"
)

// Factors is one positive number for each element of a stored tensor:
// Out[i]*In[j]*2^Exp of unit i and input j where it is an outer product, else
// All[e]*2^Exp. A zero stands for a dead path.
type Factors struct {
	Out, In []float64
	All     []float64
	Exp     int
	// InOut says that the tensor is stored inputs x units.
	InOut bool
}

// At returns element e, without the exponent.
func (f *Factors) At(e int) float64 {
	if f.All != nil {
		return f.All[e]
	}
	if f.InOut {
		return f.In[e/len(f.Out)] * f.Out[e%len(f.Out)]
	}
	return f.Out[e/len(f.In)] * f.In[e%len(f.In)]
}

// factors caches the inverse kappa of one tensor.
type factors struct {
	Factors
	fresh bool
}

// reserveFactors allocates what kappa of each trained tensor needs.
func (g *Geometry[T]) reserveFactors() {
	for t, x := range g.prog.Tensors {
		if x.Frozen {
			continue
		}
		g.facts[t].Factors = g.empty(t)
	}
}

// empty allocates the factors of a tensor.
func (g *Geometry[T]) empty(t int) Factors {
	if op := g.outer(t); op != nil {
		return Factors{Out: make([]float64, op.Rows), In: make([]float64, op.Cols), InOut: op.InOut}
	}
	return Factors{All: make([]float64, len(g.prog.Tensors[t].Data))}
}

// Outer tells whether kappa of a tensor is an outer product.
func (g *Geometry[T]) Outer(t int) bool { return g.outer(t) != nil }

// outer returns the only use of a tensor whose kappa is an outer product.
func (g *Geometry[T]) outer(t int) *program.Dense {
	if len(g.uses[t]) != 1 {
		return nil
	}
	op, ok := g.prog.Ops[g.uses[t][0]].(*program.Dense)
	if !ok || !op.Plain() {
		return nil
	}
	return op
}

// Inverse returns 1/kappa of a trained tensor, of the last Update; the caller
// must not keep it beyond the next. The largest factor is near 1.
func (g *Geometry[T]) Inverse(t int) *Factors {
	f := &g.facts[t]
	if f.fresh {
		return &f.Factors
	}
	f.fresh = true
	if op := g.outer(t); op != nil {
		f.Exp = -g.raise(f.In, &g.in[op.X], 2) - g.raise(f.Out, &g.out[op.Y], 2)
		f.Exp += g.reciprocal(f.In) + g.reciprocal(f.Out)
		return &f.Factors
	}
	f.Exp = -g.total(t, f.All, 2, every)
	f.Exp += g.reciprocal(f.All)
	return &f.Factors
}

// Slope returns sum g_in g_out |coef|^p over the uses of a trained tensor:
// times p |w|^(p-1) sign(w), the derivative of ||pi||_p^p. A slope, of which
// paths see max(1, |slope|), has it where it exceeds 1. It allocates. It does
// not serve networks that are Folded.
func (g *Geometry[T]) Slope(t int) Factors {
	f := g.empty(t)
	if op := g.outer(t); op != nil {
		f.Exp = g.raise(f.In, &g.in[op.X], g.opt.P) + g.raise(f.Out, &g.out[op.Y], g.opt.P)
		return f
	}
	f.Exp = g.total(t, f.All, g.opt.P, counted)
	return f
}

// raise writes h^q, h = g^(1/p), and returns the exponent: for q = 2 the factor
// of kappa, for q = p that of the path norm. A vector holds g for p = 2.
func (g *Geometry[T]) raise(dst []float64, x *vec, q float64) int {
	switch {
	case !x.set:
		clear(dst)
		return 0
	case g.opt.P == 2 || q == 1:
		copy(dst, x.v)
		return x.e
	case q == 2:
		for i, v := range x.v {
			dst[i] = v * v
		}
		return 2 * x.e
	}
	// x.e need not be a whole number once multiplied by q: it is folded in.
	whole := math.Floor(q * float64(x.e))
	rest := math.Exp2(q*float64(x.e) - whole)
	for i, v := range x.v {
		dst[i] = math.Pow(v, q) * rest
	}
	return int(whole)
}

// stretch is how many numbers a goroutine takes at least, and the parts of reciprocals.
const stretch = 1 << 14

// reciprocals is the pass over numbers in progress.
type reciprocals struct {
	x, most []float64 // the numbers, and the largest reciprocal of each stretch
	f       float64
	// invert and scale are the two halves of it, of some stretches.
	invert, scale func(lo, hi int)
}

func newReciprocals(longest int) *reciprocals {
	r := &reciprocals{most: make([]float64, (longest+stretch-1)/stretch)}
	part := func(k int) []float64 { return r.x[k*stretch : min((k+1)*stretch, len(r.x))] }
	r.invert = func(lo, hi int) {
		for k := lo; k < hi; k++ {
			most, x := 0.0, part(k)
			for i, v := range x {
				q := 1 / v
				if v == 0 || q-q != 0 || v-v != 0 {
					q = 0
				}
				x[i] = q
				most = max(most, q)
			}
			r.most[k] = most
		}
	}
	r.scale = func(lo, hi int) {
		for k := lo; k < hi; k++ {
			x := part(k)
			for i := range x {
				x[i] *= r.f
			}
		}
	}
	return r
}

// reciprocal replaces positive numbers by their reciprocals over 2^k, the
// largest near 1, and returns k. Zero and what is not finite become zero.
func (g *Geometry[T]) reciprocal(x []float64) int {
	r, n := g.inverse, (len(x)+stretch-1)/stretch
	r.x = x
	g.opt.Pool.Do(n, 1, r.invert)
	most := 0.0
	for _, v := range r.most[:n] {
		most = max(most, v)
	}
	if most == 0 {
		return 0
	}
	_, k := math.Frexp(most)
	r.f = math.Ldexp(1, -k)
	g.opt.Pool.Do(n, 1, r.scale)
	return k
}

// edges says which uses of a tensor a sum is over.
type edges uint8

const (
	// every use: kappa is defined for biases that paths do not count, and for
	// slopes that paths see as 1.
	every edges = iota
	// counted uses: those on which ||pi||_p depends.
	counted
)

// total writes the sum over a tensor's uses of coef^q (h_in h_out)^q and
// returns the exponent.
func (g *Geometry[T]) total(t int, dst []float64, q float64, which edges) int {
	clear(dst)
	exp := math.MinInt
	for _, i := range g.uses[t] {
		exp = max(exp, g.useExponent(i, q))
	}
	for _, i := range g.uses[t] {
		f := math.Ldexp(1, g.useExponent(i, q)-exp)
		g.ops[i].(stored).total(dst, f, q, which)
	}
	return exp
}

// lift returns h^q of a vector, in one of two scratch slices.
func (g *Geometry[T]) lift(slot int, x *vec, q float64) []float64 {
	h := g.lifted[slot][:len(x.v)]
	g.raise(h, x, q)
	return h
}

func (g *Geometry[T]) useExponent(i int, q float64) int {
	of := func(x *vec) int {
		switch {
		case !x.set:
			return 0
		case g.opt.P == 2:
			return x.e
		}
		return int(math.Floor(q * float64(x.e)))
	}
	e := of(&g.out[g.prog.Ops[i].Result()])
	if x := g.begins[i]; x >= 0 {
		e += of(&g.in[x])
	}
	return e
}

// Log10Norm returns log10 ||pi||_p of the program at the tensors' present
// values: minus infinity for zero. It overwrites the sums of the last Update.
func (g *Geometry[T]) Log10Norm() float64 {
	for t := range g.facts {
		g.facts[t].fresh = false
	}
	ones(&g.in[g.prog.Input])
	for i := range g.prog.Ops {
		g.forward(i)
	}
	x := &g.in[g.prog.Logits]
	sum := 0.0
	for _, v := range x.v {
		sum = g.plus(sum, v)
	}
	l := math.Log10(sum) + float64(x.e)*math.Log10(2)
	if g.opt.P == 2 {
		l /= 2
	}
	return l
}

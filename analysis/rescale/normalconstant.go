package rescale

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
)

// affine multiplies v by s and adds t, of every element.
func (v value) affine(s, t func(e int) float64) value {
	scale, shift := make([]float64, v.n), make([]float64, v.n)
	for e := range v.n {
		scale[e], shift[e] = s(e), t(e)
		if v.shift != nil {
			shift[e] += v.shift[e] * scale[e]
		}
		if v.scale != nil {
			scale[e] *= v.scale[e]
		}
	}
	v.scale, v.shift = scale, shift
	return v
}

// plain makes a layer of v's scale and shift, and returns v without.
func (z *normalizer) plain(v value) value {
	v = z.tidy(v)
	if v.scale == nil && v.shift == nil || len(v.parts) == 0 {
		return v
	}
	if scale, shift, ok := z.pulled(v); ok {
		id := z.diagonal(z.base(v), len(scale), scale, shift)
		return z.tidy(value{parts: []int{id}, n: v.n, index: v.index})
	}
	return one(z.diagonal(z.gather(v), v.n, v.scale, v.shift), v.n)
}

// pulled returns v's scale and shift as numbers of the base's elements; ok is
// false where one has several, or none, or where something is added to a zero.
func (z *normalizer) pulled(v value) (scale, shift []float64, ok bool) {
	n := z.total(v.parts)
	scale, shift = make([]float64, n), make([]float64, n)
	seen := make([]bool, n)
	left := n
	for e := range v.n {
		s, t := of(v.scale, e, 1), of(v.shift, e, 0)
		j := v.elem(e)
		switch {
		case j < 0 && t != 0, j >= 0 && seen[j] && (scale[j] != s || shift[j] != t):
			return nil, nil, false
		case j >= 0 && !seen[j]:
			seen[j], scale[j], shift[j] = true, s, t
			left--
		}
	}
	return scale, shift, left == 0
}

// diagonal adds scale and shift to a node, one number a unit where the numbers
// of each unit are the same.
func (z *normalizer) diagonal(id, n int, scale, shift []float64) int {
	inner := z.inner(id)
	if n%inner != 0 || !runs(scale, inner) || !runs(shift, inner) {
		inner = 1
	}
	l := &dag.Linear{
		Map:    &dag.Diagonal{Axis: dag.Axis{Outer: 1, N: n / inner, Inner: inner}},
		Stages: []dag.Stage{{Norm: normalization(scale, shift, n/inner, inner)}},
	}
	return z.add([]int{id}, n, l)
}

// normalization multiplies and adds numbers that are the same over every run of so many, as
// a normalisation: its units have factors, in whatever part of the network.
func normalization(scale, shift []float64, rows, run int) *dag.BatchNorm {
	b := &dag.BatchNorm{Gamma: number(rows, 1), Beta: number(rows, 0), Mean: number(rows, 0), Var: number(rows, 1)}
	if scale != nil {
		b.Gamma = vector(every(scale, run)).Use
	}
	if shift != nil {
		b.Beta = vector(every(shift, run)).Use
	}
	return b
}

func number(n int, x float64) dag.Use { return vector(slices.Repeat([]float64{x}, n)).Use }

// stage multiplies and adds numbers that are the same over every run of n.
func stage(scale, shift []float64, n int) dag.Stage {
	st := dag.Stage{}
	if scale != nil {
		st.Mul = vector(every(scale, n))
	}
	if !all(shift, 0) {
		st.Add = vector(every(shift, n))
	}
	return st
}

// inner is the number of elements of each unit of a node's value.
func (z *normalizer) inner(id int) int {
	nd := &z.nodes[id]
	switch op := nd.Op.(type) {
	case *dag.Linear:
		return op.Out().Inner
	case *dag.Pool:
		if op.Window != nil {
			return dag.Size(op.Window.Out())
		}
	case *dag.Concat:
		g := 0
		for _, j := range nd.In {
			g = gcd(g, z.inner(j))
		}
		return max(g, 1)
	case *dag.Select, dag.Input, *dag.Func:
		return 1
	}
	return z.inner(nd.In[0])
}

// vector is one number a unit.
func vector(v []float64) *dag.Vector {
	return &dag.Vector{Use: dag.Use{Param: dag.NewParam64("folded", []int{len(v)}, v)}, Coef: 1}
}

// absorb puts v's scale and shift into the layer that made v, where v is its
// whole value, nothing else reads it and the numbers of each unit are the same.
// Else v keeps them.
func (z *normalizer) absorb(v value) value {
	v = z.tidy(v)
	if len(v.parts) != 1 || v.shared || v.scale == nil && v.shift == nil {
		return v
	}
	nd := z.nodes[v.parts[0]]
	l, ok := nd.Op.(*dag.Linear)
	if !ok || l.Map == nil {
		return v
	}
	if _, ok := l.Map.(*dag.Average); ok {
		return v
	}
	inv := z.inverse(v)
	inner := l.Out().Inner
	if inv == nil || l.Out().Outer != 1 {
		return v
	}
	scale, shift := taken(v.scale, inv), taken(v.shift, inv)
	if !runs(scale, inner) || !runs(shift, inner) {
		return v
	}
	st := stage(scale, shift, inner)
	id := z.add(nd.In, nd.Len(), &dag.Linear{Map: l.Map, Stages: append(slices.Clip(l.Stages), st)})
	z.nodes[id].Name, z.nodes[id].Source = nd.Name, nd.Source
	if own, ok := z.src.Nodes[z.at].Op.(*dag.Linear); !ok || !own.Free() {
		// The factors of the layer before go through.
		for _, k := range z.layers[v.parts[0]] {
			z.stands(id, k)
		}
	}
	z.stands(id, z.at)
	return value{parts: []int{id}, n: v.n, index: v.index}
}

// rows applies a layer's scale and bias to a value whose units lie along a.
func (z *normalizer) rows(l *dag.Linear, a dag.Axis, v value) value {
	scale, bias := l.Scale(), l.Bias()
	if scale == nil && bias == nil {
		return z.tidy(v)
	}
	get := func(x []float64, none float64) func(e int) float64 {
		return func(e int) float64 {
			if x == nil {
				return none
			}
			return x[a.At(e)]
		}
	}
	return z.absorb(v.affine(get(scale, 1), get(bias, 0)))
}

// separate makes the scale and shift of channels a layer before.
func (z *normalizer) separate(c *columns) {
	if c.scale == nil && c.shift == nil {
		return
	}
	w := c.v.affine(func(e int) float64 { return of(c.scale, e/c.positions, 1) }, func(e int) float64 { return of(c.shift, e/c.positions, 0) })
	c.v = z.tidy(z.plain(w))
	c.scale, c.shift = nil, nil
}

func of(x []float64, i int, none float64) float64 {
	if x == nil {
		return none
	}
	return x[i]
}

// freed returns a layer's stages with numbers that can change: in a normal form no
// unit is pinned because of where its numbers are stored.
func freed(l *dag.Linear) []dag.Stage {
	out := slices.Clone(l.Stages)
	free := func(v *dag.Vector) *dag.Vector {
		if v == nil || v.Param == nil {
			return v
		}
		w := *v
		w.Use = writable(v.Use)
		return &w
	}
	for k := range out {
		s := &out[k]
		s.Mul, s.Add = free(s.Mul), free(s.Add)
		if s.Add != nil && s.Add.Param == nil {
			s.Add = vector(slices.Repeat([]float64{s.Add.Coef}, l.Rows()))
		}
		if n := s.Norm; n != nil {
			s.Norm = &dag.BatchNorm{
				Gamma: writable(n.Gamma), Beta: writable(n.Beta), Mean: writable(n.Mean), Var: writable(n.Var), Epsilon: n.Epsilon,
			}
		}
	}
	return out
}

func writable(u dag.Use) dag.Use {
	p := u.Param
	switch {
	case p.Storage != dag.Unwritable:
		return u
	case p.Type == dag.Float64:
		return dag.Use{Param: dag.NewParam64(p.Name, p.Shape, p.Float64s())}
	}
	return dag.Use{Param: dag.NewParam32(p.Name, p.Type, p.Shape, p.Float32s())}
}

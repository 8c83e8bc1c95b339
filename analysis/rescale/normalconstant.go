package rescale

import (
	"cmp"
	"math"
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

// unit is an element of a value's parts, times a number, plus another.
type unit struct {
	elem         int32
	scale, shift float64
}

// compare orders units in a way that factors do not change: they change neither signs
// nor the order of quotients.
func (u unit) compare(w unit) int {
	sign := func(x float64) int { return cmp.Compare(x, 0) }
	quotient := func(u unit) float64 {
		if u.scale == 0 {
			return float64(sign(u.shift))
		}
		return u.shift / math.Abs(u.scale)
	}
	return cmp.Or(cmp.Compare(u.elem, w.elem), cmp.Compare(sign(u.scale), sign(w.scale)), cmp.Compare(quotient(u), quotient(w)))
}

// plain makes a layer of v's scale and shift, and returns v without: a unit for each
// element with each of the numbers that it has, in the order of what they refer to.
func (z *normalizer) plain(v value) value {
	v = z.tidy(v)
	if v.scale == nil && v.shift == nil || len(v.parts) == 0 {
		return v
	}
	at := func(e int) unit {
		u := unit{v.elem(e), of(v.scale, e, 1), of(v.shift, e, 0)}
		if u.elem < 0 {
			u.scale = 0
		}
		return u
	}
	place := map[unit]int32{{elem: -1}: -1}
	var units []unit
	for e := range v.n {
		u := at(e)
		if _, ok := place[u]; !ok {
			place[u] = 0
			units = append(units, u)
		}
	}
	if len(units) == 0 {
		return constant(v.n, nil)
	}
	slices.SortStableFunc(units, unit.compare)
	base := value{parts: v.parts, n: len(units), index: make([]int32, len(units))}
	scale, shift := make([]float64, len(units)), make([]float64, len(units))
	for k, u := range units {
		place[u] = int32(k)
		base.index[k], scale[k], shift[k] = u.elem, u.scale, u.shift
		z.ambiguous = z.ambiguous || k > 0 && u.compare(units[k-1]) == 0
	}
	out := value{n: v.n, index: make([]int32, v.n)}
	for e := range v.n {
		out.index[e] = place[at(e)]
	}
	out.parts = []int{z.diagonal(z.gather(z.tidy(base)), len(units), scale, shift)}
	return z.tidy(out)
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

// pulled returns v's scale and shift as numbers of each run of n elements of the parts,
// one everywhere in v; ok is false where there are several, and where something is added
// to a zero.
func (z *normalizer) pulled(v value, n int) (scale, shift []float64, ok bool) {
	total := z.total(v.parts)
	scale, shift = slices.Repeat([]float64{1}, total), make([]float64, total)
	seen := make([]bool, total/n)
	for e := range v.n {
		s, t := of(v.scale, e, 1), of(v.shift, e, 0)
		j := v.elem(e)
		if j < 0 {
			if t != 0 {
				return nil, nil, false
			}
			continue
		}
		lo := int(j) / n * n
		switch {
		case !seen[lo/n]:
			seen[lo/n] = true
			for k := lo; k < lo+n; k++ {
				scale[k], shift[k] = s, t
			}
		case scale[lo] != s || shift[lo] != t:
			return nil, nil, false
		}
	}
	return scale, shift, true
}

// absorb puts v's scale and shift into the layer that made v, where nothing else reads
// it and the numbers of each unit are the same. Else v keeps them.
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
	inner := l.Out().Inner
	if l.Out().Outer != 1 {
		return v
	}
	scale, shift, ok := z.pulled(v, inner)
	if !ok {
		return v
	}
	if v.scale == nil {
		scale = nil
	}
	st := stage(scale, shift, inner)
	id := z.add(nd.In, nd.Len(), &dag.Linear{Map: l.Map, Stages: append(slices.Clip(l.Stages), st)})
	z.nodes[id].Name, z.nodes[id].Source = nd.Name, nd.Source
	if own, ok := z.src.Nodes[z.at].Op.(*dag.Linear); !ok || !own.Renews() {
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

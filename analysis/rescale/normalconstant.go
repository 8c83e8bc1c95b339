package rescale

import (
	"cmp"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/fold"
)

// then multiplies and adds what m has for every element.
func (v value) then(m fold.Affine) value {
	v.Affine = v.Then(m, v.n)
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
	if v.Scale == nil && v.Shift == nil || len(v.parts) == 0 {
		return v
	}
	at := func(e int) unit {
		u := unit{elem: v.elem(e)}
		if u.scale, u.shift = v.At(e); u.elem < 0 {
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

// pulled returns what v asks of each run of n elements of the parts; ok is false where it asks
// several of one, and where something is added to a zero.
func (z *normalizer) pulled(v value, n int) (m fold.Affine, ok bool) {
	units := fold.NewUnits(z.total(v.parts) / n)
	for e := range v.n {
		s, t := v.At(e)
		if j := v.elem(e); j >= 0 {
			units.Ask(int(j)/n, s, t)
		} else if t != 0 {
			return m, false
		}
	}
	return units.Affine(), units.Scale && units.Shift
}

// absorb puts v's scale and shift into the layer that made v, where nothing else reads
// it and the numbers of each unit are the same. Else v keeps them.
func (z *normalizer) absorb(v value) value {
	v = z.tidy(v)
	if len(v.parts) != 1 || v.shared || v.Scale == nil && v.Shift == nil {
		return v
	}
	nd := z.nodes[v.parts[0]]
	l, ok := nd.Op.(*dag.Linear)
	if !ok || l.Map == nil || !fold.Takes(l) || l.Out().Outer != 1 {
		return v
	}
	m, ok := z.pulled(v, l.Out().Inner)
	if !ok {
		return v
	}
	st := dag.Stage{}
	if v.Scale != nil {
		st.Mul = vector(m.Scale)
	}
	if !all(m.Shift, 0) {
		st.Add = vector(m.Shift)
	}
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
	own := fold.Of(l)
	if own.Scale == nil && own.Shift == nil {
		return z.tidy(v)
	}
	return z.absorb(v.then(own.Over(a)))
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

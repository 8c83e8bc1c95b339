package rescale

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/fold"
)

// activation moves an activation to the parts of its operand where it can.
func (z *normalizer) activation(op *dag.Activation, v value) value {
	if op.Identity() {
		return v
	}
	if len(v.parts) == 0 {
		out := slices.Clone(v.Shift)
		for e, x := range out {
			if x < 0 {
				out[e] *= op.At(e)
			}
		}
		v.Shift = out
		return v
	}
	if v.Shift != nil || slices.ContainsFunc(v.Scale, func(s float64) bool { return !(s > 0) }) {
		v = z.plain(v)
	}
	slopes := op.Slope
	if len(slopes) > 1 && all(slopes, slopes[0]) {
		slopes = slopes[:1]
	}
	if len(slopes) > 1 {
		of := slices.Repeat([]float64{math.NaN()}, z.total(v.parts))
		for e := range v.n {
			j := v.elem(e)
			if j >= 0 && of[j] != slopes[e] {
				if of[j] == of[j] {
					of = nil
					break
				}
				of[j] = slopes[e]
			}
		}
		if of == nil || slices.ContainsFunc(of, math.IsNaN) {
			id := z.materialize(v)
			return one(z.add([]int{id}, v.n, &dag.Activation{Slope: slopes}), v.n)
		}
		slopes = of
	}
	parts := make([]int, len(v.parts))
	at := 0
	for k, p := range v.parts {
		n := z.nodes[p].Len()
		s := slopes
		if len(s) > 1 {
			s = s[at : at+n]
			if all(s, s[0]) {
				s = s[:1]
			}
		}
		at += n
		parts[k] = p
		if a, ok := z.nodes[p].Op.(*dag.Activation); ok && all(a.Slope, 0) || all(s, 1) {
			continue // nothing below zero to change
		}
		parts[k] = z.add([]int{p}, n, &dag.Activation{Slope: s})
	}
	v.parts = parts
	return z.tidy(v)
}

// maxTerms bounds the operands of a sum of sums.
const maxTerms = 64

// sum adds its operands: constants become a shift, sums of sums one sum.
func (z *normalizer) sum(op *dag.Add, in []value, n int) value {
	type term struct {
		v    value
		sign float64
	}
	var terms []term
	shift := make([]float64, n)
	for k, v := range in {
		s := op.Weight(k)
		v = z.tidy(v)
		if v.Shift != nil {
			for e, x := range v.Shift {
				shift[e] += s * x
			}
			v.Shift = nil
		}
		if len(v.parts) == 0 {
			continue
		}
		if all(v.Scale, -1) && v.Scale != nil {
			v.Scale, s = nil, -s
		}
		if v = z.tidy(v); v.Scale != nil {
			v = z.plain(v)
		}
		if a, ok := z.nodes[v.parts[0]].Op.(*dag.Add); ok && len(v.parts) == 1 && len(terms)+len(z.nodes[v.parts[0]].In) <= maxTerms {
			for q, j := range z.nodes[v.parts[0]].In {
				terms = append(terms, term{z.restore(j, v), s * a.Weight(q)})
			}
			continue
		}
		terms = append(terms, term{v, s})
	}
	add := func(v value) value {
		if all(shift, 0) {
			return v
		}
		return z.absorb(v.then(fold.Affine{Shift: shift}))
	}
	switch {
	case len(terms) == 0:
		return constant(n, shift)
	case len(terms) == 1:
		v := terms[0].v
		if terms[0].sign < 0 {
			v = z.absorb(v.then(fold.Affine{Scale: slices.Repeat([]float64{-1}, n)}))
		}
		return add(v)
	}
	slices.SortStableFunc(terms, func(a, b term) int {
		for k := range min(len(a.v.parts), len(b.v.parts)) {
			if c := z.compare(a.v.parts[k], b.v.parts[k]); c != 0 {
				return c
			}
		}
		return len(a.v.parts) - len(b.v.parts)
	})
	var layout value
	var inv []int32
	for _, t := range terms {
		if inv = z.inverse(t.v); inv != nil {
			if layout = t.v; layout.index == nil {
				inv = nil
			}
			break
		}
	}
	type operand struct {
		id   int
		sign float64
	}
	ops := make([]operand, len(terms))
	for k, t := range terms {
		v := t.v
		if inv != nil {
			v = z.tidy(v.pick(inv))
		}
		ops[k] = operand{z.materialize(v), t.sign}
	}
	slices.SortStableFunc(ops, func(a, b operand) int {
		if c := z.compare(a.id, b.id); c != 0 {
			return c
		}
		return int(b.sign - a.sign)
	})
	ids, signs := make([]int, len(ops)), make([]float64, len(ops))
	for k, o := range ops {
		ids[k], signs[k] = o.id, o.sign
	}
	if all(signs, 1) {
		signs = nil
	}
	v := one(z.add(ids, n, &dag.Add{Sign: signs}), n)
	if inv != nil {
		v.index = layout.index
	}
	return add(z.tidy(v))
}

// restore is the value of operand j of a sum, in the order that v reads the sum.
func (z *normalizer) restore(j int, v value) value {
	w := one(j, v.n)
	nd := &z.nodes[j]
	if s, ok := nd.Op.(*dag.Select); ok {
		w.parts, w.index = nd.In, s.Index
		nd = &z.nodes[nd.In[0]]
	}
	if _, ok := nd.Op.(*dag.Concat); ok {
		w.parts = nd.In
	}
	w.n = z.nodes[j].Len()
	if v.index != nil {
		w = w.pick(v.index)
	}
	return z.tidy(w)
}

// maximum is the largest of its operands, element by element. Of a value and its
// multiple it is an activation, as with a constant zero.
func (z *normalizer) maximum(in []value, n int) value {
	ids := make([]int, 0, len(in))
	if len(in) == 2 {
		for k, v := range in {
			w := in[1-k]
			if s, ok := multiple(v, w); ok && s <= 1 {
				return z.activation(&dag.Activation{Slope: []float64{s}}, v)
			}
		}
	}
	for _, v := range in {
		ids = append(ids, z.materialize(v))
	}
	slices.SortStableFunc(ids, z.compare)
	ids = slices.Compact(ids)
	if len(ids) == 1 {
		return one(ids[0], n)
	}
	return one(z.add(ids, n, &dag.Pool{}), n)
}

// multiple returns s with w = s v.
func multiple(v, w value) (s float64, ok bool) {
	if len(w.parts) == 0 {
		return 0, all(w.Shift, 0)
	}
	if !slices.Equal(v.parts, w.parts) || !slices.Equal(v.index, w.index) || v.Shift != nil || w.Shift != nil || w.n == 0 {
		return 0, false
	}
	ratio := func(e int) float64 {
		r := 1.0
		if w.Scale != nil {
			r = w.Scale[e]
		}
		if v.Scale != nil {
			r /= v.Scale[e]
		}
		return r
	}
	s = ratio(0)
	for e := range w.n {
		if ratio(e) != s {
			return 0, false
		}
	}
	return s, true
}

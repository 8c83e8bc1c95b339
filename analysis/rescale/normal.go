package rescale

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"reflect"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
)

// Normal is the normal form of a network: another network with the same inputs,
// outputs and function, in which what exporters write in several ways is written
// in one.
//
// Reindexing (reshape, transpose, slice, concatenation) moves past activations,
// sums and pooling to where it is read, composed into one Select over one Concat.
// Multiplication and addition of constants, normalisation included, becomes part
// of the layer before or else of the layer behind. A convolution of kernel 1, or
// with one output position, is a Dense map, and Dense maps see (units, positions).
// Means over everything are one Average over a list. Padding belongs to windows.
// Operands of sums and the channels that a layer reads come in an order that
// depends on what they are, not on how the file lists them. Identities and what
// no output needs are gone, and nodes are numbered from the outputs.
type Normal struct {
	Net *dag.Network
	// To has, for each node of the source, the node of Net whose rows are the
	// rows of that layer, -1 where there is none.
	To []int
	// Ambiguous says that operands look the same to everything that orders them:
	// the normal form then still depends on the order in the file.
	Ambiguous bool
}

// Normalize returns the normal form. It shares the weights of n where their order
// and size do not change. Errors: a network that its evaluator refuses. Cost:
// linear in the elements of the values and in the weights that change, and one
// evaluation on a few inputs where operands of a sum look alike.
func Normalize(n *dag.Network) (*Normal, error) {
	z := &normalizer{
		src: n, readers: readers(n), to: make([]int, len(n.Nodes)),
		same: map[uint64][]int{}, layers: map[int][]int{}, averaged: map[int]value{},
	}
	for i := range z.to {
		z.to[i] = -1
	}
	z.views = dag.Forward(n, z, func(nd *dag.Node) bool { return z.readers[nd.ID] == 0 }, nil)
	outs := make([]int, len(n.Outputs))
	for k, p := range n.Outputs {
		outs[k] = z.materialize(z.views[p.Node])
	}
	return z.number(outs)
}

// readers counts the places that read each value on the way to an output; an
// input has one at least.
func readers(n *dag.Network) []int {
	out := make([]int, len(n.Nodes))
	for _, ports := range [][]dag.Port{n.Outputs, n.Inputs} {
		for _, p := range ports {
			out[p.Node]++
		}
	}
	for i := len(n.Nodes) - 1; i >= 0; i-- {
		if out[i] > 0 {
			for _, j := range n.Nodes[i].In {
				out[j]++
			}
		}
	}
	return out
}

// normalizer makes a normal form, node by node of the source.
type normalizer struct {
	src     *dag.Network
	readers []int
	at      int // the node of the source at work
	// nodes are the new nodes in the order they were made, hash numbers that
	// depend on what they compute but not on weights.
	nodes []dag.Node
	hash  []uint64
	same  map[uint64][]int
	views []value
	to    []int
	// layers has, for each new layer, the nodes of the source that it stands for.
	layers map[int][]int
	// averaged has the operand of each mean over a whole list.
	averaged  map[int]value
	ambiguous bool
}

// value is a value of the source in terms of new nodes: element e is
//
//	scale[e] * parts[index[e]] + shift[e],
//
// parts strung together, index -1 zero. A nil index is each element in order, a
// nil scale 1 and a nil shift 0.
type value struct {
	parts        []int
	n            int
	index        []int32
	scale, shift []float64
	// shared says that the source reads the parts in other places too: they must
	// stay as they are.
	shared bool
}

func (v *value) elem(e int) int32 { return at(v.index, e) }

func one(id, n int) value { return value{parts: []int{id}, n: n} }

// pick returns the elements idx of v; -1 is zero.
func (v *value) pick(idx []int32) value {
	out := value{parts: v.parts, n: len(idx), index: make([]int32, len(idx)), shared: v.shared}
	if v.scale != nil {
		out.scale = make([]float64, len(idx))
	}
	if v.shift != nil {
		out.shift = make([]float64, len(idx))
	}
	for e, j := range idx {
		if j < 0 {
			out.index[e] = -1
			if out.scale != nil {
				out.scale[e] = 1
			}
			continue
		}
		out.index[e] = v.elem(int(j))
		if out.scale != nil {
			out.scale[e] = v.scale[j]
		}
		if out.shift != nil {
			out.shift[e] = v.shift[j]
		}
	}
	return out
}

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

// tidy puts the parts in their order, drops those without elements, and index,
// scale and shift where they say nothing.
func (z *normalizer) tidy(v value) value {
	if all(v.scale, 1) {
		v.scale = nil
	}
	if all(v.shift, 0) {
		v.shift = nil
	}
	if len(v.parts) > 1 {
		v = z.sortParts(v)
	}
	if v.index != nil && v.n == z.total(v.parts) {
		for e, j := range v.index {
			if int(j) != e {
				return v
			}
		}
		v.index = nil
	}
	return v
}

func all(x []float64, want float64) bool {
	for _, v := range x {
		if v != want {
			return false
		}
	}
	return true
}

func (z *normalizer) sortParts(v value) value {
	offset := make([]int, len(v.parts)+1)
	for k, p := range v.parts {
		offset[k+1] = offset[k] + z.nodes[p].Len()
	}
	used := make([]bool, len(v.parts))
	part := make([]int32, offset[len(v.parts)])
	for k := range v.parts {
		for e := offset[k]; e < offset[k+1]; e++ {
			part[e] = int32(k)
		}
	}
	for e := range v.n {
		if j := v.elem(e); j >= 0 {
			used[part[j]] = true
		}
	}
	var order []int
	for k := range v.parts {
		if used[k] {
			order = append(order, k)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return z.compare(v.parts[a], v.parts[b]) })
	out := value{n: v.n, scale: v.scale, shift: v.shift, index: make([]int32, v.n), shared: v.shared}
	start, next := make([]int, len(v.parts)), 0
	known := map[int]int{}
	for _, k := range order {
		id := v.parts[k]
		if at, ok := known[id]; ok {
			start[k] = at
			continue
		}
		if len(out.parts) > 0 && z.compare(out.parts[len(out.parts)-1], id) == 0 {
			z.ambiguous = true
		}
		known[id], start[k] = next, next
		out.parts = append(out.parts, id)
		next += z.nodes[id].Len()
	}
	for e := range out.index {
		out.index[e] = -1
		if j := v.elem(e); j >= 0 {
			k := part[j]
			out.index[e] = int32(int(j) - offset[k] + start[k])
		}
	}
	return out
}

// compare orders new nodes by what they compute.
func (z *normalizer) compare(a, b int) int {
	switch {
	case z.hash[a] < z.hash[b]:
		return -1
	case z.hash[a] > z.hash[b]:
		return 1
	}
	return 0
}

func (z *normalizer) total(parts []int) int {
	n := 0
	for _, p := range parts {
		n += z.nodes[p].Len()
	}
	return n
}

// base returns the one node that holds the parts.
func (z *normalizer) base(v value) int {
	if len(v.parts) == 1 {
		return v.parts[0]
	}
	return z.add(v.parts, z.total(v.parts), &dag.Concat{})
}

// inverse returns where each element of the base lies in v, nil when v is not a
// reordering of the whole base.
func (z *normalizer) inverse(v value) []int32 {
	if v.n != z.total(v.parts) {
		return nil
	}
	out := make([]int32, v.n)
	for e := range out {
		out[e] = -1
	}
	for e := range v.n {
		j := v.elem(e)
		if j < 0 || out[j] >= 0 {
			return nil
		}
		out[j] = int32(e)
	}
	return out
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

func taken(x []float64, idx []int32) []float64 {
	if x == nil {
		return nil
	}
	out := make([]float64, len(idx))
	for i, j := range idx {
		out[i] = x[j]
	}
	return out
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

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// runs reports whether x is the same over every run of n elements.
func runs(x []float64, n int) bool {
	for e := range x {
		if x[e] != x[e-e%n] {
			return false
		}
	}
	return true
}

func every(x []float64, n int) []float64 {
	out := make([]float64, len(x)/n)
	for i := range out {
		out[i] = x[i*n]
	}
	return out
}

// vector is one number a unit.
func vector(v []float64) *dag.Vector {
	return &dag.Vector{Use: dag.Use{Param: dag.NewParam64("folded", []int{len(v)}, v)}, Coef: 1}
}

// gather makes the node that holds v's elements in order, scale and shift left
// out.
func (z *normalizer) gather(v value) int {
	if len(v.parts) == 0 {
		return z.add(nil, v.n, &dag.Linear{Units: v.n})
	}
	id := z.base(v)
	if v.index == nil {
		return id
	}
	return z.add([]int{id}, v.n, &dag.Select{Index: v.index})
}

// materialize makes the node that holds v's elements in order.
func (z *normalizer) materialize(v value) int {
	if len(v.parts) == 0 {
		l := &dag.Linear{Units: v.n}
		if v.shift != nil {
			l.Stages = []dag.Stage{{Add: vector(v.shift)}}
		}
		return z.add(nil, v.n, l)
	}
	return z.gather(z.tidy(z.plain(v)))
}

// add makes a node, or returns the equal one that was made before.
func (z *normalizer) add(in []int, n int, op dag.Op) int {
	src := &z.src.Nodes[z.at]
	nd := dag.Node{Name: src.Name, Source: src.Source, In: in, Shape: []int{n}, Op: op}
	h := z.digest(&nd)
	for _, k := range z.same[h] {
		if slices.Equal(z.nodes[k].In, in) && equalOps(z.nodes[k].Op, op) {
			return k
		}
	}
	z.nodes = append(z.nodes, nd)
	z.hash = append(z.hash, h)
	z.same[h] = append(z.same[h], len(z.nodes)-1)
	return len(z.nodes) - 1
}

// equalOps reports whether two operations are the same, weights included. A
// function and another that is not the same in memory count as two.
func equalOps(a, b dag.Op) bool {
	x, ok := a.(*dag.Linear)
	y, also := b.(*dag.Linear)
	switch {
	case ok && also:
		same := func(p, q dag.Map) bool {
			if _, ok := p.(*dag.Diagonal); !ok && p != nil {
				return p == q
			}
			return reflect.DeepEqual(p, q)
		}
		return same(x.Map, y.Map) && x.Units == y.Units && slices.EqualFunc(x.Stages, y.Stages, func(s, t dag.Stage) bool {
			return equalNorms(s.Norm, t.Norm) && equalVectors(s.Mul, t.Mul) && equalVectors(s.Add, t.Add)
		})
	case ok || also:
		return false
	}
	return reflect.DeepEqual(a, b)
}

func equalNorms(a, b *dag.BatchNorm) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Epsilon == b.Epsilon && equalUses(a.Gamma, b.Gamma) && equalUses(a.Beta, b.Beta) &&
		equalUses(a.Mean, b.Mean) && equalUses(a.Var, b.Var)
}

// equalUses compares tensors, those that the normal form made by their values.
func equalUses(a, b dag.Use) bool {
	return a.Param == b.Param || a.Param.Name == "folded" && b.Param.Name == "folded" &&
		slices.Equal(a.Param.Float64s(), b.Param.Float64s())
}

func equalVectors(a, b *dag.Vector) bool {
	if a == nil || b == nil || a.Param == nil || b.Param == nil {
		return a == b
	}
	return a.Coef == b.Coef && a.Inverse == b.Inverse && slices.Equal(a.Index, b.Index) && equalUses(a.Use, b.Use)
}

// digest is a number made of what a node computes, weights left out: equal in
// two networks that compute the same in one form.
func (z *normalizer) digest(nd *dag.Node) uint64 {
	h := fnv.New64a()
	kind := kindOf(nd.Op)
	fmt.Fprint(h, kind, nd.Shape)
	switch op := nd.Op.(type) {
	case dag.Input:
		fmt.Fprint(h, len(z.nodes)) // inputs come first
	case *dag.Linear:
		describeMap(h, op.Map)
	case *dag.Activation:
		for _, s := range op.Slope {
			fmt.Fprintf(h, " %.3g", s)
		}
	case *dag.Select:
		var b [4]byte
		for _, j := range op.Index {
			binary.LittleEndian.PutUint32(b[:], uint32(j))
			h.Write(b[:])
		}
	case *dag.Pool:
		fmt.Fprint(h, op.Channels)
		if op.Window != nil {
			fmt.Fprint(h, *op.Window)
		}
	case *dag.Cap:
		fmt.Fprint(h, op.Jump, op.Lo, op.Hi)
	case *dag.Func:
		fmt.Fprint(h, nd.Source)
	case *dag.Add:
		fmt.Fprint(h, op.Sign)
	}
	for _, j := range nd.In {
		fmt.Fprint(h, " ", z.hash[j])
	}
	return h.Sum64()
}

func describeMap(w io.Writer, m dag.Map) {
	if m == nil {
		return
	}
	fmt.Fprint(w, m.Out(), m.In())
	switch x := m.(type) {
	case *dag.Conv:
		fmt.Fprint(w, x.Groups, x.Transposed, x.Window)
	case *dag.Average:
		fmt.Fprint(w, x.Window)
	}
}

// The methods of a dag.Meaning: what a node's value is in terms of new nodes.

func (z *normalizer) begin(nd *dag.Node) { z.at = nd.ID }

// seen is v as the readers of a node of the source take it.
func (z *normalizer) seen(nd *dag.Node, v value) value {
	v.shared = v.shared || z.readers[nd.ID] > 1
	return v
}

// Input implements dag.Meaning.
func (z *normalizer) Input(nd *dag.Node) value {
	z.nodes = append(z.nodes, dag.Node{Name: nd.Name, Source: nd.Source, Shape: nd.Shape, Op: nd.Op})
	z.hash = append(z.hash, z.digest(&z.nodes[len(z.nodes)-1]))
	return z.seen(nd, one(len(z.nodes)-1, nd.Len()))
}

// Select implements dag.Meaning.
func (z *normalizer) Select(nd, _ *dag.Node, index []int32, x value) value {
	return z.seen(nd, z.tidy(x.pick(index)))
}

// Concat implements dag.Meaning.
func (z *normalizer) Concat(nd *dag.Node, xs []value) value {
	z.begin(nd)
	return z.seen(nd, z.concat(xs, nd.Len()))
}

// Activation implements dag.Meaning.
func (z *normalizer) Activation(nd *dag.Node, a *dag.Activation, x value) value {
	z.begin(nd)
	return z.seen(nd, z.activation(a, x))
}

// Join implements dag.Meaning.
func (z *normalizer) Join(nd *dag.Node, xs []value) value {
	z.begin(nd)
	if a, ok := nd.Op.(*dag.Add); ok {
		return z.seen(nd, z.sum(a, xs, nd.Len()))
	}
	return z.seen(nd, z.maximum(xs, nd.Len()))
}

// Pool implements dag.Meaning.
func (z *normalizer) Pool(nd *dag.Node, p *dag.Pool, x value) value {
	z.begin(nd)
	return z.seen(nd, z.pool(p, x))
}

// Linear implements dag.Meaning.
func (z *normalizer) Linear(nd *dag.Node, l *dag.Linear, x value) value {
	z.begin(nd)
	if l.Map == nil {
		return constant(nd.Len(), l.Bias())
	}
	return z.seen(nd, z.linear(l, x))
}

// Cap implements dag.Meaning: what differs by a factor has other bounds, and stays.
func (z *normalizer) Cap(nd *dag.Node, c *dag.Cap, x value) value {
	z.begin(nd)
	return one(z.add([]int{z.materialize(x)}, nd.Len(), c), nd.Len())
}

// Func implements dag.Meaning.
func (z *normalizer) Func(nd *dag.Node, f *dag.Func, xs []value) value {
	z.begin(nd)
	ids := make([]int, len(xs))
	for k := range xs {
		ids[k] = z.materialize(xs[k])
	}
	return one(z.add(ids, nd.Len(), f), nd.Len())
}

// constant is a value without parts.
func constant(n int, values []float64) value {
	v := value{n: n, index: make([]int32, n), shift: values}
	for e := range v.index {
		v.index[e] = -1
	}
	if values == nil {
		v.shift = make([]float64, n)
	}
	return v
}

func (z *normalizer) concat(in []value, n int) value {
	out := value{n: n, index: make([]int32, 0, n)}
	for _, v := range in {
		if v.scale != nil && out.scale == nil {
			out.scale = slices.Repeat([]float64{1}, n)
		}
		if v.shift != nil && out.shift == nil {
			out.shift = make([]float64, n)
		}
		offset := int32(z.total(out.parts))
		for e := range v.n {
			k := len(out.index)
			if v.scale != nil {
				out.scale[k] = v.scale[e]
			}
			if v.shift != nil {
				out.shift[k] = v.shift[e]
			}
			j := v.elem(e)
			if j >= 0 {
				j += offset
			}
			out.index = append(out.index, j)
		}
		out.parts = append(out.parts, v.parts...)
	}
	return z.tidy(out)
}

// activation moves an activation to the parts of its operand where it can.
func (z *normalizer) activation(op *dag.Activation, v value) value {
	if op.Identity() {
		return v
	}
	if len(v.parts) == 0 {
		out := slices.Clone(v.shift)
		for e, x := range out {
			if x < 0 {
				out[e] *= op.At(e)
			}
		}
		v.shift = out
		return v
	}
	if v.shift != nil || slices.ContainsFunc(v.scale, func(s float64) bool { return !(s > 0) }) {
		v = z.plain(v)
	}
	slopes := op.Slope
	if len(slopes) > 1 && all(slopes, slopes[0]) {
		slopes = slopes[:1]
	}
	if len(slopes) > 1 {
		of := make([]float64, z.total(v.parts))
		for e := range of {
			of[e] = math.NaN()
		}
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
		if v.shift != nil {
			for e, x := range v.shift {
				shift[e] += s * x
			}
			v.shift = nil
		}
		if len(v.parts) == 0 {
			continue
		}
		if all(v.scale, -1) && v.scale != nil {
			v.scale, s = nil, -s
		}
		if v = z.tidy(v); v.scale != nil {
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
		return z.absorb(v.affine(func(int) float64 { return 1 }, func(e int) float64 { return shift[e] }))
	}
	switch {
	case len(terms) == 0:
		return constant(n, shift)
	case len(terms) == 1:
		v := terms[0].v
		if terms[0].sign < 0 {
			v = z.absorb(v.affine(func(int) float64 { return -1 }, func(int) float64 { return 0 }))
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
		return 0, all(w.shift, 0)
	}
	if !slices.Equal(v.parts, w.parts) || !slices.Equal(v.index, w.index) || v.shift != nil || w.shift != nil || w.n == 0 {
		return 0, false
	}
	ratio := func(e int) float64 {
		r := 1.0
		if w.scale != nil {
			r = w.scale[e]
		}
		if v.scale != nil {
			r /= v.scale[e]
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

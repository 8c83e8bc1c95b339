package rescale

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"reflect"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
)

// compare orders new nodes by what they compute.
func (z *normalizer) compare(a, b int) int { return cmp.Compare(z.hash[a], z.hash[b]) }

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
	switch x := a.(type) {
	case *dag.Linear:
		return equalLayers(x, b)
	case *dag.Cap:
		y, ok := b.(*dag.Cap)
		return ok && x.Jump == y.Jump && slices.Equal(x.Lo, y.Lo) && slices.Equal(x.Hi, y.Hi)
	}
	return reflect.DeepEqual(a, b)
}

func equalLayers(x *dag.Linear, b dag.Op) bool {
	y, ok := b.(*dag.Linear)
	same := func(p, q dag.Map) bool {
		if _, ok := p.(*dag.Diagonal); !ok && p != nil {
			return p == q
		}
		return reflect.DeepEqual(p, q)
	}
	return ok && same(x.Map, y.Map) && x.Units == y.Units && slices.EqualFunc(x.Stages, y.Stages, func(s, t dag.Stage) bool {
		return equalNorms(s.Norm, t.Norm) && equalVectors(s.Mul, t.Mul) && equalVectors(s.Add, t.Add)
	})
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
	fmt.Fprint(h, kindOf(nd.Op), nd.Shape)
	if nd.Op == (dag.Input{}) {
		fmt.Fprint(h, len(z.nodes)) // inputs come first
	}
	if a, ok := nd.Op.(*dag.Activation); ok {
		for _, s := range a.Slope {
			fmt.Fprintf(h, " %.3g", s)
		}
	}
	for _, t := range nd.Traits() {
		if index, ok := t.Value.([]int32); ok {
			_ = binary.Write(h, binary.LittleEndian, index) // a hash takes all
		} else {
			fmt.Fprint(h, " ", t.Value)
		}
	}
	for _, j := range nd.In {
		fmt.Fprint(h, " ", z.hash[j])
	}
	return h.Sum64()
}

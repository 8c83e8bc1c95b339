package rescale

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/fold"
)

// value is a value of the source in terms of new nodes: element e is
//
//	Scale[e] * parts[index[e]] + Shift[e],
//
// parts strung together, index -1 zero. A nil index is each element in order.
type value struct {
	parts []int
	n     int
	index []int32
	fold.Affine
	// shared says that the source reads the parts in other places too: they must
	// stay as they are.
	shared bool
}

func (v *value) elem(e int) int32 { return at(v.index, e) }

func one(id, n int) value { return value{parts: []int{id}, n: n} }

// pick returns the elements idx of v; -1 is zero.
func (v *value) pick(idx []int32) value {
	out := value{parts: v.parts, n: len(idx), index: make([]int32, len(idx)), shared: v.shared}
	if v.Scale != nil {
		out.Scale = make([]float64, len(idx))
	}
	if v.Shift != nil {
		out.Shift = make([]float64, len(idx))
	}
	for e, j := range idx {
		if j < 0 {
			out.index[e] = -1
			if out.Scale != nil {
				out.Scale[e] = 1
			}
			continue
		}
		out.index[e] = v.elem(int(j))
		if out.Scale != nil {
			out.Scale[e] = v.Scale[j]
		}
		if out.Shift != nil {
			out.Shift[e] = v.Shift[j]
		}
	}
	return out
}

// tidy puts the parts in their order, drops those without elements, and index,
// scale and shift where they say nothing.
func (z *normalizer) tidy(v value) value {
	if all(v.Scale, 1) {
		v.Scale = nil
	}
	if all(v.Shift, 0) {
		v.Shift = nil
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
	return !slices.ContainsFunc(x, func(v float64) bool { return v != want })
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
	out := value{n: v.n, Affine: v.Affine, index: make([]int32, v.n), shared: v.shared}
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
	out := slices.Repeat([]int32{-1}, v.n)
	for e := range v.n {
		j := v.elem(e)
		if j < 0 || out[j] >= 0 {
			return nil
		}
		out[j] = int32(e)
	}
	return out
}

// taken returns x in the order of idx; nil stays nil.
func taken[T any, I int | int32](x []T, idx []I) []T {
	if x == nil {
		return nil
	}
	out := make([]T, len(idx))
	for i, j := range idx {
		out[i] = x[j]
	}
	return out
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
		if v.Shift != nil {
			l.Stages = []dag.Stage{{Add: vector(v.Shift)}}
		}
		return z.add(nil, v.n, l)
	}
	return z.gather(z.tidy(z.plain(v)))
}

// constant is a value without parts.
func constant(n int, values []float64) value {
	if values == nil {
		values = make([]float64, n)
	}
	return value{n: n, index: slices.Repeat([]int32{-1}, n), Affine: fold.Affine{Shift: values}}
}

func (z *normalizer) concat(in []value, n int) value {
	out := value{n: n, index: make([]int32, 0, n)}
	for _, v := range in {
		if v.Scale != nil && out.Scale == nil {
			out.Scale = slices.Repeat([]float64{1}, n)
		}
		if v.Shift != nil && out.Shift == nil {
			out.Shift = make([]float64, n)
		}
		offset := int32(z.total(out.parts))
		if v.Scale != nil {
			copy(out.Scale[len(out.index):], v.Scale)
		}
		if v.Shift != nil {
			copy(out.Shift[len(out.index):], v.Shift)
		}
		for e := range v.n {
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

// channelsFirst lists the elements of an axis channel by channel.
func channelsFirst(a dag.Axis) []int32 {
	idx := make([]int32, 0, a.Len())
	for i := range a.N {
		for o := range a.Outer {
			for k := range a.Inner {
				idx = append(idx, int32((o*a.N+i)*a.Inner+k))
			}
		}
	}
	return idx
}

func at(index []int32, e int) int32 {
	if index == nil {
		return int32(e)
	}
	return index[e]
}

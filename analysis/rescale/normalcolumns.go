package rescale

import (
	"cmp"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/fold"
	"github.com/relupath/relupath/internal/lists"
)

// columns is the operand of a layer as channels x positions, ready to be read:
// order has, for each channel of the operand, the channel of the source's layer.
type columns struct {
	v            value
	n, positions int
	order        []int
	fold.Affine  // of each channel, in order
	// equal has the runs lo, hi of order whose channels are the same elements.
	equal [][2]int
}

// columns brings a value of n channels and so many positions each in order. What
// the channels' scale and shift leave over becomes a layer of its own; sorted
// tells whether channels may move.
func (z *normalizer) columns(v value, n int, sorted bool) columns {
	v = z.tidy(v)
	c := columns{n: n, positions: v.n / max(n, 1)}
	if v.Scale != nil && v.index != nil {
		v.Scale = slices.Clone(v.Scale)
		for lo := 0; lo < v.n; lo += c.positions {
			// The scale of a zero is any: that of its channel.
			s := v.Scale[lo]
			for e := lo; e < lo+c.positions; e++ {
				if v.index[e] >= 0 {
					s = v.Scale[e]
					break
				}
			}
			for e := lo; e < lo+c.positions; e++ {
				if v.index[e] < 0 {
					v.Scale[e] = s
				}
			}
		}
	}
	if !runs(v.Scale, c.positions) || !runs(v.Shift, c.positions) {
		v = z.plain(v)
	}
	if v.Scale != nil {
		c.Scale = every(v.Scale, c.positions)
	}
	if v.Shift != nil {
		c.Shift = every(v.Shift, c.positions)
	}
	v.Scale, v.Shift = nil, nil
	c.v = v
	c.order = lists.Count(0, n)
	if !sorted || v.index == nil {
		return c
	}
	z.sortLists(&c)
	c.Scale, c.Shift = taken(c.Scale, c.order), taken(c.Shift, c.order)
	c.v = z.tidy(c.v.pick(c.lists(c.order)))
	return c
}

// lists is the elements of channels, one channel after another.
func (c *columns) lists(channels []int) []int32 {
	idx := make([]int32, 0, len(channels)*c.positions)
	for _, j := range channels {
		for p := range c.positions {
			idx = append(idx, int32(j*c.positions+p))
		}
	}
	return idx
}

// sortLists orders channels by the elements that they are: by the smallest, by all of
// them, by their order. What is the same in all goes into equal.
func (z *normalizer) sortLists(c *columns) {
	first := make([]int, c.n)
	for j := range first {
		first[j] = least(&c.v, j*c.positions, 1, c.positions)
	}
	list := func(j int) []int32 { return c.v.index[j*c.positions:][:c.positions] }
	set := map[int][]int32{}
	ranked := func(j int) []int32 {
		if set[j] == nil {
			set[j] = slices.Sorted(slices.Values(list(j)))
		}
		return set[j]
	}
	compare := func(a, b int) int {
		if first[a] != first[b] {
			return cmp.Compare(first[a], first[b])
		}
		return cmp.Or(slices.Compare(ranked(a), ranked(b)), slices.Compare(list(a), list(b)))
	}
	slices.SortStableFunc(c.order, compare)
	lo := 0
	for k := 1; k <= c.n; k++ {
		if k < c.n && compare(c.order[k-1], c.order[k]) == 0 {
			continue
		}
		if k-lo > 1 {
			c.equal = append(c.equal, [2]int{lo, k})
		}
		if k < c.n && first[c.order[k-1]] == first[c.order[k]] && slices.Equal(ranked(c.order[k-1]), ranked(c.order[k])) {
			z.ambiguous = true // told apart by the order of positions alone
		}
		lo = k
	}
}

// weigh orders channels that are the same elements by their weights, stored outer x
// channels x inner: by the squares of each channel's share in a row, added up over the
// rows. Factors, signs and the order of rows do not change them.
func (z *normalizer) weigh(c *columns, w *dag.Param, outer, inner int) {
	for _, run := range c.equal {
		lo, hi := run[0], run[1]
		at := func(k, o, i int) float64 {
			s, _ := c.At(k)
			return w.At((o*c.n+c.order[k])*inner+i) * s
		}
		mark := make([]float64, hi-lo)
		for o := range outer {
			for i := range inner {
				total := 0.0
				for k := lo; k < hi; k++ {
					total += math.Abs(at(k, o, i))
				}
				for k := lo; k < hi && total > 0; k++ {
					t := at(k, o, i) / total
					mark[k-lo] += t * t
				}
			}
		}
		by := lists.Count(0, hi-lo)
		slices.SortStableFunc(by, func(a, b int) int { return cmp.Compare(mark[a], mark[b]) })
		for k := 1; k < len(by); k++ {
			z.ambiguous = z.ambiguous || !(mark[by[k]]-mark[by[k-1]] > 1e-4)
		}
		for k := range by {
			by[k] += lo
		}
		copy(c.order[lo:], taken(c.order, by))
		if c.Scale != nil {
			copy(c.Scale[lo:], taken(c.Scale, by))
		}
		if c.Shift != nil {
			copy(c.Shift[lo:], taken(c.Shift, by))
		}
	}
}

// once leaves one of each run of channels that are the same elements, for operations
// that make the same of them. It returns their number, and the place of each of order.
func (z *normalizer) once(c *columns) (n int, place []int) {
	place = make([]int, c.n)
	run := 0
	var keep []int
	for k := range place {
		for run < len(c.equal) && k >= c.equal[run][1] {
			run++
		}
		if run == len(c.equal) || k <= c.equal[run][0] {
			keep = append(keep, k)
		}
		place[k] = len(keep) - 1
	}
	if len(keep) < c.n {
		c.v = z.tidy(c.v.pick(c.lists(keep)))
	}
	return len(keep), place
}

// least is the smallest element that n elements of v from e on refer to.
func least(v *value, e, step, n int) int {
	m := math.MaxInt
	for range n {
		if j := v.elem(e); j >= 0 {
			m = min(m, int(j))
		}
		e += step
	}
	return m
}

// sortPositions orders the positions of channels by what they refer to, one of those
// that are the same. place has the new position of each; nil where nothing moves.
func (z *normalizer) sortPositions(c *columns) (place []int32) {
	p := c.positions
	if c.v.index == nil || p < 2 {
		return nil
	}
	order, first := make([]int, p), make([]int, p)
	for q := range order {
		order[q], first[q] = q, least(&c.v, q, p, c.n)
	}
	compare := func(a, b int) int {
		if first[a] != first[b] {
			return cmp.Compare(first[a], first[b])
		}
		for j := range c.n {
			if x := cmp.Compare(c.v.index[j*p+a], c.v.index[j*p+b]); x != 0 {
				return x
			}
		}
		return 0
	}
	slices.SortStableFunc(order, compare)
	place = make([]int32, p)
	var keep []int
	for k, q := range order {
		if k == 0 || compare(order[k-1], q) != 0 {
			keep = append(keep, q)
		}
		place[q] = int32(len(keep) - 1)
	}
	idx := make([]int32, 0, c.n*len(keep))
	for j := range c.n {
		for _, q := range keep {
			idx = append(idx, int32(j*p+q))
		}
	}
	c.v = z.tidy(c.v.pick(idx))
	c.positions = len(keep)
	return place
}

// channelwise brings the result of an operation on channels back: place has the
// channel of the result for each of c.order, as once returns it.
func (z *normalizer) channelwise(id int, c *columns, place []int, positions int) value {
	v := one(id, z.nodes[id].Len())
	inv := make([]int, c.n)
	for k, j := range c.order {
		inv[j] = k
	}
	idx := make([]int32, 0, c.n*positions)
	for j := range c.n {
		for p := range positions {
			idx = append(idx, int32(place[inv[j]]*positions+p))
		}
	}
	v = v.pick(idx)
	if c.Scale != nil || c.Shift != nil {
		of := fold.Affine{Scale: taken(c.Scale, inv), Shift: taken(c.Shift, inv)}
		v = v.then(of.Over(dag.Axis{Outer: 1, N: c.n, Inner: positions}))
	}
	return z.tidy(v)
}

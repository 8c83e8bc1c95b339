package paths

import (
	"encoding/binary"
	"math/big"
	"math/bits"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/grid"
	"github.com/relupath/relupath/internal/lists"
)

// Count returns the exact number of paths from inputs (and, under Include, from
// the constant unit through each bias) to the body's outputs. It is structural:
// weights that are zero count, every position of a convolution counts, padding
// does not.
//
// Cost: elements that agree share one number, channels too, so a layer costs a
// sum over what differs among its inputs, whatever its size.
func Count(n *dag.Network, bias Bias) *big.Int {
	return countTo(dag.Forward(n, counter{bias}, n.Unmeasured(), n.Boundary()), n.Boundary())
}

// CountSegments is Count over the paths of each segment, from its starts to its ends.
func CountSegments(n *dag.Network, segments []dag.Segment, bias Bias) []*big.Int {
	of := dag.Forward(n, counter{bias}, n.Unmeasured(), n.Ends())
	return lists.Map(segments, func(s dag.Segment) *big.Int { return countTo(of, s.Ends) })
}

func countTo(of []*counts, ends []int) *big.Int {
	total := new(big.Int)
	for _, i := range ends {
		total.Add(total, weightedSum(of[i].n, of[i].grid.Counts()))
	}
	return total
}

// counts is the number of paths to each cell of a value. The numbers are never
// written to: cells may share them.
type counts struct {
	grid *grid.Layout
	n    []*big.Int
}

func (c *counts) at(l *grid.Layout, from []int32) *counts {
	out := &counts{l, grid.Gather(c.n, from)}
	for i, x := range out.n {
		if x == nil { // padding
			out.n[i] = new(big.Int)
		}
	}
	return out
}

func weightedSum(x []*big.Int, times []int64) *big.Int {
	s, t := new(big.Int), new(big.Int)
	for i := range x {
		s.Add(s, t.Mul(x[i], big.NewInt(times[i])))
	}
	return s
}

// zeros returns n integers, zero, with room for sums of so many of x.
func zeros(n int, x []*big.Int, terms int) []*big.Int {
	most := 0
	for _, v := range x {
		most = max(most, v.BitLen())
	}
	words := (most+bits.Len(uint(terms)))/bits.UintSize + 2 // one more is asked for than a sum has
	out, all, room := make([]*big.Int, n), make([]big.Int, n), make([]big.Word, n*words)
	for i := range out {
		out[i] = all[i].SetBits(room[i*words : i*words : (i+1)*words])
	}
	return out
}

// counter is the reading of a network in which a value is the number of paths to
// each of its elements.
type counter struct{ bias Bias }

func uniform(shape []int, x int64) *counts {
	c := &counts{grid: grid.Uniform(shape...)}
	for range c.grid.Cells() {
		c.n = append(c.n, big.NewInt(x))
	}
	return c
}

// Input implements dag.Meaning.
func (c counter) Input(nd *dag.Node) *counts { return uniform(nd.Shape, 1) }

// Unary implements dag.Meaning.
func (c counter) Unary(_ *dag.Node, _ dag.Unary, x *counts) *counts { return x }

// Select implements dag.Meaning.
func (c counter) Select(nd, operand *dag.Node, index []int32, x *counts) *counts {
	return x.at(x.grid.Select(operand.Shape, nd.Shape, index))
}

// Func implements dag.Meaning.
func (c counter) Func(nd *dag.Node, _ *dag.Func, _ []*counts) *counts { return c.Input(nd) }

// Join implements dag.Meaning.
func (c counter) Join(_ *dag.Node, xs []*counts) *counts {
	out := xs[0]
	for _, x := range xs[1:] {
		l, from := grid.Join(out.grid, x.grid)
		a, b := grid.Gather(out.n, from[0]), grid.Gather(x.n, from[1])
		out = &counts{l, zeros(len(a), append(slices.Clone(a), b...), 2)}
		for i, n := range out.n {
			n.Add(a[i], b[i])
		}
	}
	return out
}

// Concat implements dag.Meaning.
func (c counter) Concat(_ *dag.Node, xs []*counts) *counts {
	ls := lists.Map(xs, func(x *counts) *grid.Layout { return x.grid })
	l, from := grid.Concat(ls...)
	out := &counts{grid: l}
	for k, x := range xs {
		out.n = grid.Append(out.n, x.n, from[k])
	}
	return out
}

// Linear implements dag.Meaning.
func (c counter) Linear(nd *dag.Node, l *dag.Linear, x *counts) *counts {
	if nd.Zone == dag.Preamble {
		if l.Bias() == nil {
			return x
		}
		return c.Input(nd)
	}
	plusBias := l.Bias() != nil && c.bias == Include
	if m := l.Map; m == nil {
		x = uniform(nd.Shape, 0)
	} else {
		if groups := m.Mixes(); groups > 0 {
			x = x.grouped(m.In(), groups, m.Out().N)
		}
		if w, transposed := m.Slides(); w != nil {
			x = x.windowed(w, m.Out().N, transposed)
		}
	}
	if !plusBias {
		return x
	}
	out := &counts{x.grid, zeros(len(x.n), x.n, 2)}
	for i, n := range x.n {
		out.n[i].Add(n, one)
	}
	return out
}

var one = big.NewInt(1)

// grouped sums the units of an axis over each of some groups of neighbours and
// gives every group its share of rows, all with the group's sum.
func (c *counts) grouped(a dag.Axis, groups, rows int) *counts {
	l, k, from := c.grid.Axis(a.Outer, a.N, a.Inner)
	x := c.at(l, from)
	rest, cells := l.Fold(k)
	// Groups whose units have the same classes agree.
	class, times := make([]int32, rows), [][]int64{}
	number := map[string]int32{}
	for g := range groups {
		n := make([]int64, l.Classes(k))
		key := make([]byte, 0, 8*len(n))
		for i := g * (a.N / groups); i < (g+1)*(a.N/groups); i++ {
			n[l.Class(k, i)]++
		}
		for _, m := range n {
			key = binary.LittleEndian.AppendUint64(key, uint64(m))
		}
		id, ok := number[string(key)]
		if !ok {
			id = int32(len(times))
			number[string(key)] = id
			times = append(times, n)
		}
		for i := g * (rows / groups); i < (g+1)*(rows/groups); i++ {
			class[i] = id
		}
	}
	times = times[:min(len(times), rows)] // a value without units has no cells
	out := &counts{rest.Repeat(k, class, len(times)), zeros(len(cells)*len(times), x.n, a.N/groups)}
	inner := 1
	for q := k; q < len(rest.Dims); q++ {
		inner *= rest.Classes(q)
	}
	// Classes of as many units are added up, and their sum is multiplied.
	byTimes := make([]map[int64][]int, len(times))
	for id, n := range times {
		byTimes[id] = map[int64][]int{}
		for i, m := range n {
			if m > 0 {
				byTimes[id][m] = append(byTimes[id][m], i)
			}
		}
	}
	part, factor := new(big.Int), new(big.Int)
	for r, list := range cells {
		for id := range times {
			sum := out.n[(r/inner*len(times)+id)*inner+r%inner]
			for m, of := range byTimes[id] {
				part.SetInt64(0)
				for _, i := range of {
					part.Add(part, x.n[list[i]])
				}
				sum.Add(sum, part.Mul(part, factor.SetInt64(m)))
			}
		}
	}
	return out
}

// windowed sums each window of each channel.
func (c *counts) windowed(w *dag.Window, channels int, transposed bool) *counts {
	r := c.grid.Pool(w, channels, transposed)
	x := grid.Gather(c.n, r.From)
	out, times := &counts{r.Layout, zeros(r.Layout.Cells(), x, r.Most())}, new(big.Int)
	for i, s := range out.n {
		for _, read := range r.Reads[i%r.Places] {
			if n := x[i/r.Places*r.Sources+int(read.Source)]; read.Times == 1 {
				s.Add(s, n)
			} else {
				s.Add(s, times.Mul(n, times.SetInt64(int64(read.Times))))
			}
		}
	}
	return out
}

// Pool implements dag.Meaning.
func (c counter) Pool(_ *dag.Node, p *dag.Pool, x *counts) *counts {
	return x.windowed(p.Window, p.Channels, false)
}

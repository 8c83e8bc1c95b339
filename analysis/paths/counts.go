package paths

import (
	"math/big"

	"github.com/relupath/relupath/analysis/dag"
)

// Count returns the exact number of paths from inputs (and, under Include, from
// the constant unit through each bias) to the body's outputs. It is structural:
// weights that are zero count, every position of a convolution counts, padding
// does not.
//
// Cost: elements with equal counts share one number, so a layer of n units
// costs a sum over its inputs; a convolution costs one sum over its kernel a
// position and group, whatever its channels.
func Count(n *dag.Network, bias Bias) *big.Int {
	of := dag.Forward(n, counter{bias}, nil, n.Boundary())
	total := new(big.Int)
	for _, i := range n.Boundary() {
		total.Add(total, of[i].total())
	}
	return total
}

// plane holds the counts of consecutive elements. Equal neighbours are mostly
// one pointer, and planes that several channels share are one slice: nothing of
// it is written to after it is made.
type plane []*big.Int

// counts holds the path counts of a value: channel c, of inner elements each,
// has planes[ids[c]].
type counts struct {
	inner  int
	ids    []int32
	planes []plane
}

var zero, one = big.NewInt(0), big.NewInt(1)

// uniform gives every element the same count.
func uniform(channels, inner int, x *big.Int) *counts {
	p := make(plane, inner)
	for e := range p {
		p[e] = x
	}
	return &counts{inner, make([]int32, channels), []plane{p}}
}

func (c *counts) at(e int) *big.Int { return c.planes[c.ids[e/c.inner]][e%c.inner] }
func (c *counts) len() int          { return len(c.ids) * c.inner }

// total sums all elements.
func (c *counts) total() *big.Int {
	s := new(big.Int)
	for id, m := range c.times(0, len(c.ids)) {
		if m != 0 {
			s.Add(s, new(big.Int).Mul(sum(c.planes[id]), big.NewInt(m)))
		}
	}
	return s
}

// times tells how many of channels [lo, hi) have each plane.
func (c *counts) times(lo, hi int) []int64 {
	out := make([]int64, len(c.planes))
	for _, id := range c.ids[lo:hi] {
		out[id]++
	}
	return out
}

// sum returns the plane that is the sum of channels [lo, hi).
func (c *counts) sum(lo, hi int) plane {
	out, t := sums(c.inner), new(big.Int)
	for id, m := range c.times(lo, hi) {
		if m == 0 {
			continue
		}
		p := c.planes[id]
		for e := range p {
			if e == 0 || p[e] != p[e-1] {
				t = new(big.Int).Mul(p[e], big.NewInt(m))
			}
			out[e].Add(out[e], t)
		}
	}
	return out
}

// sum adds numbers up; runs of one pointer are a product.
func sum(p plane) *big.Int {
	s, t := new(big.Int), new(big.Int)
	for i := 0; i < len(p); {
		j := i + 1
		for j < len(p) && p[j] == p[i] {
			j++
		}
		s.Add(s, t.Mul(p[i], t.SetInt64(int64(j-i))))
		i = j
	}
	return s
}

// as returns the same counts with another number of elements a channel.
func (c *counts) as(inner int) *counts {
	if c.inner == inner || inner == 0 {
		return c
	}
	return pack(c.flat(), inner)
}

// flat lists every element.
func (c *counts) flat() plane {
	p := make(plane, 0, c.len())
	for _, id := range c.ids {
		p = append(p, c.planes[id]...)
	}
	return p
}

// pack cuts a list into channels; equal neighbours become one plane.
func pack(p plane, inner int) *counts {
	out := &counts{inner: inner, ids: make([]int32, 0, len(p)/max(inner, 1))}
	for at := 0; at+inner <= len(p) && inner > 0; at += inner {
		next := p[at : at+inner]
		if k := len(out.planes); k == 0 || !same(out.planes[k-1], next) {
			out.planes = append(out.planes, next)
		}
		out.ids = append(out.ids, int32(len(out.planes)-1))
	}
	return out
}

func same(a, b plane) bool {
	for i := range a {
		if a[i] != b[i] && a[i].Cmp(b[i]) != 0 {
			return false
		}
	}
	return true
}

// each maps every plane.
func (c *counts) each(f func(plane) plane) *counts {
	out := &counts{inner: c.inner, ids: c.ids}
	for _, p := range c.planes {
		q := f(p)
		out.inner = len(q)
		out.planes = append(out.planes, q)
	}
	return out
}

// counter is the reading of a network in which a value is the number of paths to
// each of its elements.
type counter struct{ bias Bias }

// Input implements dag.Meaning.
func (c counter) Input(nd *dag.Node) *counts { return uniform(1, nd.Len(), one) }

// Activation implements dag.Meaning.
func (c counter) Activation(_ *dag.Node, _ *dag.Activation, x *counts) *counts { return x }

// Select implements dag.Meaning.
func (c counter) Select(_ *dag.Node, index []int32, x *counts) *counts {
	p := make(plane, len(index))
	for e, j := range index {
		if p[e] = zero; j >= 0 {
			p[e] = x.at(int(j))
		}
	}
	return &counts{max(len(p), 1), make([]int32, 1), []plane{p}}
}

// Pool implements dag.Meaning.
func (c counter) Pool(_ *dag.Node, p *dag.Pool, x *counts) *counts { return windowed(p.Window, x) }

// Func implements dag.Meaning; functions are in the head.
func (c counter) Func(*dag.Node, *dag.Func, []*counts) *counts { return nil }

// Join implements dag.Meaning: it adds operands element by element; pairs of
// planes that meet again are added once.
func (c counter) Join(_ *dag.Node, xs []*counts) *counts {
	out := xs[0]
	for _, b := range xs[1:] {
		b = b.as(out.inner)
		s := &counts{inner: out.inner, ids: make([]int32, len(out.ids))}
		made := map[[2]int32]int32{}
		for ch := range out.ids {
			key := [2]int32{out.ids[ch], b.ids[ch]}
			id, ok := made[key]
			if !ok {
				id = int32(len(s.planes))
				made[key] = id
				s.planes = append(s.planes, added(out.planes[key[0]], b.planes[key[1]]))
			}
			s.ids[ch] = id
		}
		out = s
	}
	return out
}

func added(a, b plane) plane {
	out := make(plane, len(a))
	for e := range out {
		if e > 0 && a[e] == a[e-1] && b[e] == b[e-1] {
			out[e] = out[e-1]
			continue
		}
		out[e] = new(big.Int).Add(a[e], b[e])
	}
	return out
}

// Concat implements dag.Meaning.
func (c counter) Concat(_ *dag.Node, xs []*counts) *counts {
	inner := xs[0].inner
	for _, x := range xs {
		if x.inner != inner {
			inner = 1
		}
	}
	out := &counts{inner: inner}
	for _, x := range xs {
		b := x.as(inner)
		for _, id := range b.ids {
			out.ids = append(out.ids, id+int32(len(out.planes)))
		}
		out.planes = append(out.planes, b.planes...)
	}
	return out
}

// Linear implements dag.Meaning.
func (c counter) Linear(nd *dag.Node, l *dag.Linear, out *counts) *counts {
	if nd.Zone == dag.Preamble {
		if l.Bias() == nil {
			return out
		}
		return c.Input(nd)
	}
	plusBias := l.Bias() != nil && c.bias == Include
	if l.Map == nil {
		if plusBias {
			return c.Input(nd)
		}
		return uniform(1, nd.Len(), zero)
	}
	switch m := l.Map.(type) {
	case *dag.Dense:
		ax := m.In()
		if ax.Outer == 1 && ax.Inner == 1 {
			out = uniform(m.Rows, 1, out.total())
			break
		}
		in := out.as(ax.Inner)
		out = &counts{inner: ax.Inner}
		for a := range ax.Outer {
			out.planes = append(out.planes, in.sum(a*ax.N, (a+1)*ax.N))
			for range m.Rows {
				out.ids = append(out.ids, int32(a))
			}
		}
	case *dag.Conv:
		out = convolved(m, out.as(m.In().Inner))
	case *dag.Average:
		out = windowed(&m.Window, out)
	}
	if plusBias {
		out = out.each(func(p plane) plane {
			q := make(plane, len(p))
			for e := range q {
				if e > 0 && p[e] == p[e-1] {
					q[e] = q[e-1]
					continue
				}
				q[e] = new(big.Int).Add(p[e], one)
			}
			return q
		})
	}
	return out
}

// windowed sums each window of each plane.
func windowed(w *dag.Window, in *counts) *counts {
	return in.as(dag.Size(w.In)).each(func(p plane) plane {
		out := sums(dag.Size(w.Out()))
		w.Taps(func(o, i, _ int) { out[o].Add(out[o], p[i]) })
		return out
	})
}

func sums(n int) plane {
	out := make(plane, n)
	for i := range out {
		out[i] = new(big.Int)
	}
	return out
}

// convolved sums each window of the sum of a group's channels; all output
// channels of a group agree.
func convolved(c *dag.Conv, in *counts) *counts {
	ci, co := c.InChannels/c.Groups, c.OutChannels/c.Groups
	out := &counts{inner: c.Out().Inner}
	made := map[string]int32{}
	for g := range c.Groups {
		key := make([]byte, 0, 4*ci)
		for _, id := range in.ids[g*ci : (g+1)*ci] {
			key = append(key, byte(id), byte(id>>8), byte(id>>16), byte(id>>24))
		}
		id, ok := made[string(key)]
		if !ok {
			all := in.sum(g*ci, (g+1)*ci)
			next := sums(out.inner)
			c.Window.Taps(func(o, i, _ int) {
				if c.Transposed {
					o, i = i, o
				}
				next[o].Add(next[o], all[i])
			})
			id = int32(len(out.planes))
			made[string(key)] = id
			out.planes = append(out.planes, next)
		}
		for range co {
			out.ids = append(out.ids, id)
		}
	}
	return out
}

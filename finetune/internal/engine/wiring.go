package engine

import (
	G "gorgonia.org/gorgonia"

	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/finetune/internal/cuda"
	"github.com/relupath/relupath/finetune/internal/program"
)

// value is an operation whose result is the value v, computed example by
// example.
func (b *builder[T]) value(name string, v int) (o op[T], width int) {
	width = b.prog.Values[v].Len
	return op[T]{name: name, shape: b.rows(width), over: -1, grain: grain(width)}, width
}

func (b *builder[T]) list(values []int) (out G.Nodes) {
	for _, v := range values {
		out = append(out, b.nodes[v])
	}
	return out
}

// sum adds a sum of nodes, each times its sign; the result is the value v, or as large.
func (b *builder[T]) sum(name string, v int, sign []float64, x ...*G.Node) *G.Node {
	o, width := b.value(name, v)
	o.over = 0
	o.far = func(c *remote) {
		b.machine.combine(c.dst, c.in[0], 0, sign[0], 0, c.n*width)
		for k := 1; k < len(x); k++ {
			b.machine.combine(c.dst, c.dst, c.in[k], 1, sign[k], c.n*width)
		}
	}
	o.run = func(c *call[T], lo, hi int) {
		lo, hi = lo*width, hi*width
		dst := c.dst[lo:hi]
		for k, x := range c.in {
			x = x[lo:hi]
			switch {
			case k > 0:
				kernel.Sum(dst, 1, dst, T(sign[k]), x)
			case sign[k] < 0:
				for j, v := range x {
					dst[j] = -v
				}
			default:
				copy(dst, x)
			}
		}
	}
	o.diff = func(x G.Nodes, _, dy *G.Node) (out G.Nodes) {
		for k := range x {
			d := dy
			if sign[k] < 0 {
				d = b.sum("minus", v, []float64{-1}, dy)
			}
			out = append(out, d)
		}
		return out
	}
	return b.apply(o, x...)
}

// concat adds values strung together.
func (b *builder[T]) concat(s *program.Concat) *G.Node {
	o, width := b.value("concat", s.Y)
	o.far = func(c *remote) {
		at := 0
		for k, v := range s.X {
			m := b.prog.Values[v].Len
			b.strip(c.dst, c.in[k], width, at, m, 0, m, c.n)
			at += m
		}
	}
	o.run = func(c *call[T], lo, hi int) {
		at := 0
		for _, x := range c.in {
			m := len(x) / c.n
			for i := lo; i < hi; i++ {
				copy(c.dst[i*width+at:][:m], x[i*m:])
			}
			at += m
		}
	}
	o.diff = func(x G.Nodes, _, dy *G.Node) (out G.Nodes) {
		at := 0
		for _, v := range s.X {
			part, m := b.value("part", v)
			from := at
			part.far = func(c *remote) { b.strip(c.dst, c.in[0], m, 0, width, from, m, c.n) }
			part.run = func(c *call[T], lo, hi int) {
				for i := lo; i < hi; i++ {
					copy(c.dst[i*m:][:m], c.in[0][i*width+from:])
				}
			}
			out = append(out, b.apply(part, dy))
			at += m
		}
		return out
	}
	return b.apply(o, b.list(s.X)...)
}

// scatter adds the transpose of an operation that reads elements of the value
// v: for each example, add adds what comes of it to dst, which begins as zeros.
func (b *builder[T]) scatter(name string, v int, dy *G.Node, far func(c *remote), add func(dst, dy []T, example int)) *G.Node {
	o, m := b.value(name, v)
	o.far = far
	k := dy.Shape()[1]
	o.adds = true
	o.run = func(c *call[T], lo, hi int) {
		for i := lo; i < hi; i++ {
			dst := c.dst[i*m:][:m]
			if !c.add {
				clear(dst)
			}
			add(dst, c.in[0][i*k:][:k], i)
		}
	}
	return b.apply(o, dy)
}

// average adds sums of windows with fixed weights, or a reindexing.
func (b *builder[T]) average(s *program.Average) *G.Node {
	o, k := b.value("average", s.Y)
	m := b.prog.Values[s.X].Len
	taps := cuda.Windows(s.Start, s.At, s.Weight)
	o.far = b.gathers(taps, s.Channels, s.OutLen, s.InLen)
	o.run = func(c *call[T], lo, hi int) {
		for r := lo * s.Channels; r < hi*s.Channels; r++ {
			src, dst := c.in[0][r*s.InLen:][:s.InLen], c.dst[r*s.OutLen:][:s.OutLen]
			for i := range dst {
				var sum T
				if at := s.At[s.Start[i]:s.Start[i+1]]; len(at) > 0 {
					sum = src[at[0]]
					for _, j := range at[1:] {
						sum += src[j]
					}
				}
				if s.Weight != nil {
					sum *= T(s.Weight[i])
				}
				dst[i] = sum
			}
		}
	}
	o.grain = grain(max(m, k))
	o.diff = func(_ G.Nodes, _, dy *G.Node) G.Nodes {
		return G.Nodes{b.scatter("average dx", s.X, dy, b.gathers(taps.Transposed(s.InLen), s.Channels, s.InLen, s.OutLen), func(dst, dy []T, _ int) {
			for r := range s.Channels {
				dst := dst[r*s.InLen:][:s.InLen]
				for i, d := range dy[r*s.OutLen:][:s.OutLen] {
					if s.Weight != nil {
						d *= T(s.Weight[i])
					}
					for _, j := range s.At[s.Start[i]:s.Start[i+1]] {
						dst[j] += d
					}
				}
			}
		})}
	}
	return b.apply(o, b.nodes[s.X])
}

// pool adds maxima, of windows or of all operands, and remembers where they came
// from: the first of equals.
func (b *builder[T]) pool(s *program.Pool) *G.Node {
	o, k := b.value("pool", s.Y)
	which := make([]int32, b.opt.Batch*k)
	var farBack func(i int) func(c *remote)
	o.far, farBack = b.farPool(s)
	if s.Start == nil {
		o.run = func(c *call[T], lo, hi int) {
			lo, hi = lo*k, hi*k
			dst, which := c.dst[lo:hi], which[lo:hi]
			copy(dst, c.in[0][lo:hi])
			clear(which)
			for i, x := range c.in[1:] {
				for j, z := range x[lo:hi] {
					if z > dst[j] || z != z {
						dst[j], which[j] = z, int32(i+1)
					}
				}
			}
		}
	} else {
		o.grain = grain(len(s.At) * s.Channels)
		o.run = func(c *call[T], lo, hi int) {
			for r := lo * s.Channels; r < hi*s.Channels; r++ {
				largest(s, c.dst[r*s.OutLen:][:s.OutLen], c.in[0][r*s.InLen:][:s.InLen], which[r*s.OutLen:])
			}
		}
	}
	o.diff = func(x G.Nodes, _, dy *G.Node) (out G.Nodes) {
		for i, v := range s.X {
			out = append(out, b.scatter("pool dx", v, dy, farBack(i), func(dst, dy []T, example int) {
				which := which[example*k:][:k]
				if s.Start == nil {
					for j, d := range dy {
						if which[j] == int32(i) {
							dst[j] += d
						}
					}
					return
				}
				for r := range s.Channels {
					dst, which := dst[r*s.InLen:][:s.InLen], which[r*s.OutLen:]
					for j, d := range dy[r*s.OutLen:][:s.OutLen] {
						if at := which[j]; at >= 0 {
							dst[at] += d
						}
					}
				}
			}))
		}
		return out
	}
	return b.apply(o, b.list(s.X)...)
}

// largest takes the largest number of each window of one channel.
func largest[T program.Float](s *program.Pool, dst, src []T, which []int32) {
	for p := range dst {
		best := int32(-1)
		for _, j := range s.At[s.Start[p]:s.Start[p+1]] {
			if best < 0 || src[j] > src[best] || src[j] != src[j] {
				best = j
			}
		}
		which[p], dst[p] = best, 0
		if best >= 0 {
			dst[p] = src[best]
		}
	}
}

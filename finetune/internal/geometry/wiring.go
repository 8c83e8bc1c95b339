package geometry

import "github.com/relupath/relupath/finetune/internal/program"

// join is what adds up the paths of operands of one size: a sum or a maximum; of none, a
// constant.
type join[T program.Float] struct {
	g *Geometry[T]
	x []int
}

func (o *join[T]) forward(y *vec) {
	g := o.g
	y.start(g.highest(o.x))
	for _, j := range o.x {
		f := y.meetAt(&g.in[j])
		for e, v := range g.in[j].v {
			y.v[e] = g.plus(y.v[e], v*f)
		}
	}
}

func (o *join[T]) backward(y *vec) {
	for _, x := range o.x {
		o.g.give(x, 0, y.v, y.e)
	}
}

// concat strings operands together.
type concat[T program.Float] struct {
	g *Geometry[T]
	x []int
}

func (o *concat[T]) forward(y *vec) {
	g := o.g
	y.start(g.highest(o.x))
	at := 0
	for _, j := range o.x {
		f := y.meetAt(&g.in[j])
		for e, v := range g.in[j].v {
			y.v[at+e] = v * f
		}
		at += len(g.in[j].v)
	}
}

func (o *concat[T]) backward(y *vec) {
	at := 0
	for _, x := range o.x {
		n := len(o.g.out[x].v)
		o.g.give(x, 0, y.v[at:at+n], y.e)
		at += n
	}
}

// pick moves elements.
type pick[T program.Float] struct {
	g *Geometry[T]
	*program.Select
}

func (o *pick[T]) forward(y *vec) {
	x := &o.g.in[o.X]
	y.start(x.e)
	for e, j := range o.Index {
		if j >= 0 {
			y.v[e] = x.v[j]
		}
	}
}

func (o *pick[T]) backward(y *vec) {
	g := o.g
	tmp := g.tmp[:len(g.out[o.X].v)]
	clear(tmp)
	for e, j := range o.Index {
		if j >= 0 {
			tmp[j] = g.plus(tmp[j], y.v[e])
		}
	}
	g.give(o.X, 0, tmp, y.e)
}

// window adds up the paths of the taps of each window, times fixed weights, one for each
// output position; nil weights are ones.
type window[T program.Float] struct {
	g *Geometry[T]
	x int
	program.Taps
	weight []float64
}

// each calls f for each channel and output position, with the elements of the operand that
// it reads, counted from the first of the channel, and their edge.
func (o *window[T]) each(f func(out, first int, at []int32, edge float64)) {
	for c := range o.Channels {
		for k := range o.OutLen {
			w := 1.0
			if o.weight != nil {
				w = o.g.edge(o.weight[k])
			}
			f(c*o.OutLen+k, c*o.InLen, o.At[o.Start[k]:o.Start[k+1]], w)
		}
	}
}

func (o *window[T]) forward(y *vec) {
	x := &o.g.in[o.x]
	y.start(x.e)
	o.each(func(out, first int, at []int32, edge float64) {
		s := 0.0
		for _, j := range at {
			s = o.g.plus(s, edge*x.v[first+int(j)])
		}
		y.v[out] = s
	})
}

func (o *window[T]) backward(y *vec) {
	g := o.g
	tmp := g.tmp[:len(g.out[o.x].v)]
	clear(tmp)
	o.each(func(out, first int, at []int32, edge float64) {
		h := edge * y.v[out]
		for _, j := range at {
			tmp[first+int(j)] = g.plus(tmp[first+int(j)], h)
		}
	})
	g.give(o.x, 0, tmp, y.e)
}

// highest returns the largest exponent of the sums of some values; 0 of none.
func (g *Geometry[T]) highest(values []int) int {
	if len(values) == 0 {
		return 0
	}
	e := g.in[values[0]].e
	for _, j := range values[1:] {
		e = max(e, g.in[j].e)
	}
	return e
}

package engine

import (
	"math"
	"math/rand/v2"

	G "gorgonia.org/gorgonia"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/finetune/internal/cuda"
	"github.com/relupath/relupath/finetune/internal/program"
)

// chain is a run of operations that act on each unit alone, done in one pass:
//
//	y = m f(a x + c), f(z) = max(z, slope z) or z, m the dropout's mask
//
// with one a and one c a unit: what the stages of a layer come to.
type chain[T program.Float] struct {
	prog   *program.Program[T]
	stages []cuda.Stage
	axis   dag.Axis
	scales bool // some stage multiplies
	a, c   []T
	// act says that an activation follows, with one slope for all that is not
	// negative, so that y has the sign of z.
	act   bool
	slope T
	mask  *mask[T]
}

// simple tells whether an activation may end a chain.
func simple(a *program.Activate) bool {
	return a.V.Tensor < 0 && len(a.V.Coef) == 1 && a.V.Coef[0] >= 0
}

// units adds the chain that begins with operation i.
func (b *builder[T]) units(i int) {
	k := &chain[T]{prog: b.prog}
	operands := []*G.Node{b.nodes[b.prog.Ops[i].Operands()[0]]}
	y := 0
	for next := true; next && i >= 0; i = b.next(y) {
		next = false
		var s cuda.Stage
		switch o := b.prog.Ops[i].(type) {
		case *program.Shift:
			s.V = &o.V
		case *program.Scale:
			s.V, s.Mul = &o.V, true
		case *program.Activate:
			if !simple(o) {
				break
			}
			k.act, k.slope = true, T(o.V.Coef[0])
			k.mask = b.dropout(i, o)
			if k.stages == nil {
				k.axis = dag.Axis{Outer: 1, N: 1, Inner: b.prog.Values[o.Y].Len}
			}
			b.done[i], y = true, o.Y
		}
		if s.V != nil && (k.stages == nil || s.V.Axis == k.axis) {
			k.stages, k.axis, k.scales = append(k.stages, s), s.V.Axis, k.scales || s.Mul
			if t := s.V.Tensor; t >= 0 {
				operands = append(operands, b.tensor(t))
			}
			b.done[i], y, next = true, b.prog.Ops[i].Result(), true
		}
	}
	k.a, k.c = make([]T, k.axis.N), make([]T, k.axis.N)
	width := b.prog.Values[y].Len
	there := b.farChain(k, width)
	b.nodes[y] = b.apply(op[T]{
		name: "units", shape: b.rows(width), grain: grain(width), far: there.forward,
		before: func(c *call[T]) {
			k.fold()
			k.mask.draw(c.n)
		},
		run: func(c *call[T], lo, hi int) {
			lo, hi = lo*width, hi*width
			dst := c.dst[lo:hi]
			k.forward(dst, c.in[0][lo:hi])
			for j, m := range k.mask.part(lo, hi) {
				dst[j] *= m
			}
		},
		diff: func(x G.Nodes, y, dy *G.Node) G.Nodes { return b.unitsBack(k, there, x, y, dy, width) },
	}, operands...)
}

// mask is the dropout behind operation op, here or on a device; nil is none.
type mask[T program.Float] struct {
	*Engine[T]
	op, width int
	here      []T
	there     cuda.Ptr
}

func (b *builder[T]) dropout(i int, o *program.Activate) *mask[T] {
	if !o.Drop || b.opt.Dropout == 0 {
		return nil
	}
	m := &mask[T]{Engine: b.Engine, op: i, width: b.prog.Values[o.Y].Len}
	if n := b.opt.Batch * m.width; m.far != nil {
		m.there = m.far.Alloc(cuda.Bytes[T](n))
	} else {
		m.here = make([]T, n)
	}
	return m
}

// draw makes the mask of n examples.
func (m *mask[T]) draw(n int) {
	if m == nil || !m.drop {
		return
	}
	n *= m.width
	if m.far == nil {
		Drop(m.here[:n], m.opt.Dropout, m.batch.Seed, m.batch.Step, m.op)
		return
	}
	limit, keep := threshold(m.opt.Dropout)
	m.far.Launch("drop", (n+3)/4, m.there, m.batch.Seed, m.batch.Step<<16|uint64(m.op), int(limit), keep, n)
}

// part is what was drawn for elements lo to hi; nil where nothing is dropped.
func (m *mask[T]) part(lo, hi int) []T {
	if m == nil || !m.drop {
		return nil
	}
	return m.here[lo:hi]
}

// place is where what was drawn lies on the device; 0 where nothing is dropped.
func (m *mask[T]) place() cuda.Ptr {
	if m == nil || !m.drop {
		return 0
	}
	return m.there
}

// fold makes the stages one a and one c a unit.
func (k *chain[T]) fold() {
	for u := range k.a {
		a, c := k.upTo(len(k.stages), u)
		k.a[u], k.c[u] = T(a), T(c)
	}
}

// upTo is what the first stages come to for unit u.
func (k *chain[T]) upTo(stages, u int) (a, c float64) {
	a = 1
	for _, s := range k.stages[:stages] {
		if v := k.prog.Number(s.V, u); s.Mul {
			a, c = a*v, c*v
		} else {
			c += v
		}
	}
	return a, c
}

// forward computes whole examples, dropout left out.
func (k *chain[T]) forward(dst, src []T) {
	if k.axis.Inner == 1 {
		for n := len(k.a); len(dst) > 0; dst, src = dst[n:], src[n:] {
			k.row(dst[:n], src[:n])
		}
		return
	}
	for u, n := 0, k.axis.Inner; len(dst) > 0; dst, src = dst[n:], src[n:] {
		k.unit(dst[:n], src[:n], k.a[u], k.c[u])
		if u++; u == len(k.a) {
			u = 0
		}
	}
}

// row computes one number for each unit.
func (k *chain[T]) row(dst, src []T) {
	switch {
	case (!k.act || k.slope == 0) && !k.scales:
		kernel.Sum(dst, 1, src, 1, k.c)
		if k.act {
			kernel.Affine(dst, dst, 1, 0, 0, infinity[T]())
		}
	case k.act && k.slope == 0:
		for j, c := range k.c {
			dst[j] = max(src[j]*k.a[j]+c, 0)
		}
	default:
		for j, c := range k.c {
			z := src[j]*k.a[j] + c
			if k.act && z <= 0 {
				z *= k.slope
			}
			dst[j] = z
		}
	}
}

// unit computes numbers of one unit.
func (k *chain[T]) unit(dst, src []T, a, c T) {
	least := -infinity[T]()
	if k.act {
		least = 0
	}
	if !k.act || k.slope == 0 {
		kernel.Affine(dst, src, a, c, least, infinity[T]())
		return
	}
	for j, x := range src {
		z := x*a + c
		if z <= 0 {
			z *= k.slope
		}
		dst[j] = z
	}
}

// infinity bounds what has no bound.
func infinity[T program.Float]() T { return T(math.Inf(1)) }

// unitsBack adds the derivatives of a chain: through the activation, by its
// input, and by the tensors of its stages, which need two sums a unit.
func (b *builder[T]) unitsBack(k *chain[T], there *farUnits[T], x G.Nodes, y, dy *G.Node, width int) G.Nodes {
	all := op[T]{shape: b.rows(width), grain: grain(width)}
	dz := dy
	if k.act {
		gate := all
		gate.name = "gate"
		gate.far = there.gate
		gate.run = func(c *call[T], lo, hi int) {
			lo, hi = lo*width, hi*width
			k.gate(c.dst[lo:hi], c.in[0][lo:hi], c.in[1][lo:hi], k.mask.part(lo, hi))
		}
		dz = b.apply(gate, dy, y)
	}
	dx := dz
	if k.scales {
		times := all
		times.name = "units dx"
		times.far = there.times
		times.run = func(c *call[T], lo, hi int) {
			n := k.axis.Inner
			for r := lo * width / n; r < hi*width/n; r++ {
				a, src, dst := k.a[r%k.axis.N], c.in[0][r*n:][:n], c.dst[r*n:][:n]
				for j, d := range src {
					dst[j] = a * d
				}
			}
		}
		dx = b.apply(times, dz)
	}
	out := G.Nodes{dx}
	if len(x) == 1 {
		return out
	}
	sums := b.unitSums(k, there, dz, x[0], width)
	for j, s := range k.stages {
		if s.V.Tensor >= 0 {
			out = append(out, b.stageGrad(k, there, j, sums, len(x) == 2))
		}
	}
	return out
}

// gate multiplies by the derivative of activation and dropout: the mask times 1
// for z > 0, else the slope. Where dropout made y zero, the mask is zero too.
func (k *chain[T]) gate(dst, dy, y, mask []T) {
	if mask != nil {
		for j, m := range mask {
			dst[j] = dy[j] * m
		}
		dy = dst
	}
	if k.slope == 0 {
		kernel.Gate(dst, dy, y)
		return
	}
	for j, z := range y {
		d := dy[j]
		if z <= 0 {
			d *= k.slope
		}
		dst[j] = d
	}
}

// unitSums adds the sums over the elements of each unit of dz and, where a stage
// multiplies, of dz x.
func (b *builder[T]) unitSums(k *chain[T], there *farUnits[T], dz, x *G.Node, width int) *G.Node {
	n := k.axis.N
	o := op[T]{name: "unit sums", shape: b.row(n), over: -1, span: n, grain: max(1, 1<<14/(b.opt.Batch*width/n))}
	from := []*G.Node{dz}
	if k.scales {
		o.shape = b.row(2 * n)
		from = append(from, x)
	}
	o.far = there.sums
	o.run = func(c *call[T], lo, hi int) {
		if k.axis.Inner == 1 {
			clear(c.dst[lo:hi])
			for r := 0; r < len(c.in[0]); r += n {
				dst := c.dst[lo:hi]
				kernel.Sum(dst, 1, dst, 1, c.in[0][r+lo:r+hi])
			}
			if k.scales {
				clear(c.dst[n+lo : n+hi])
				for r := 0; r < len(c.in[0]); r += n {
					dst, x := c.dst[n+lo:n+hi], c.in[1][r+lo:r+hi]
					for j, d := range c.in[0][r+lo : r+hi] {
						dst[j] += d * x[j]
					}
				}
			}
			return
		}
		m := k.axis.Inner
		for u := lo; u < hi; u++ {
			var s, sx float64
			for at := u * m; at < len(c.in[0]); at += n * m {
				s += float64(kernel.Total(c.in[0][at:][:m]))
				if k.scales {
					sx += float64(kernel.Dot(c.in[0][at:][:m], c.in[1][at:][:m]))
				}
			}
			c.dst[u] = T(s)
			if k.scales {
				c.dst[n+u] = T(sx)
			}
		}
	}
	return b.apply(o, from...)
}

// stageGrad adds the derivative by the tensor of stage j: with z = a x + c before
// it and m what multiplies after it, m sum dz of an added number and m sum dz z =
// m (a sum dz x + c sum dz) of a factor.
func (b *builder[T]) stageGrad(k *chain[T], there *farUnits[T], j int, sums *G.Node, only bool) *G.Node {
	s, n := k.stages[j], k.axis.N
	length := len(k.prog.Tensors[s.V.Tensor].Data)
	if only && !k.scales && s.V.Index == nil && length == n && len(s.V.Coef) == 1 && s.V.Coef[0] == 1 {
		return sums
	}
	after := chain[T]{prog: k.prog, stages: k.stages[j+1:]}
	return b.apply(op[T]{
		name: "stage", shape: b.row(length), over: -1, adds: true, far: there.stage(s.V, j, length),
		run: func(c *call[T], _, _ int) {
			if !c.add {
				clear(c.dst)
			}
			for u, d := range c.in[0][:n] {
				g := float64(d)
				if s.Mul {
					a, shift := k.upTo(j, u)
					g = a*float64(c.in[0][n+u]) + shift*g
				}
				m, _ := after.upTo(len(after.stages), u)
				c.dst[s.V.Element(u, length)] += T(s.V.CoefAt(u) * m * g)
			}
		},
	}, sums)
}

// activate adds an activation with several slopes, stored ones, or negative
// ones, whose derivative needs its input.
func (b *builder[T]) activate(i int, o *program.Activate) *G.Node {
	width := b.prog.Values[o.Y].Len
	slopes := make([]T, o.V.Axis.N)
	mask := b.dropout(i, o)
	there := b.farChain(&chain[T]{stages: []cuda.Stage{{V: &o.V, Mul: true}}, axis: o.V.Axis, mask: mask}, width)
	all := op[T]{name: "activate", shape: b.rows(width), grain: grain(width)}
	// apply writes src where z > 0, and src times the slope elsewhere.
	apply := func(c *call[T], z []T, lo, hi int) {
		lo, hi = lo*width, hi*width
		dst, src := c.dst[lo:hi], c.in[0][lo:hi]
		for j, v := range z[lo:hi] {
			d := src[j]
			if v <= 0 {
				d *= slopes[j%len(slopes)]
			}
			dst[j] = d
		}
		for j, m := range mask.part(lo, hi) {
			dst[j] *= m
		}
	}
	y, dx := all, all
	y.over = -1
	y.far = there.activate
	y.before = func(c *call[T]) {
		for u := range slopes {
			slopes[u] = T(b.prog.Number(&o.V, u))
		}
		mask.draw(c.n)
	}
	y.run = func(c *call[T], lo, hi int) { apply(c, c.in[0], lo, hi) }
	dx.name = "activate dx"
	dx.far = there.activateBack
	dx.run = func(c *call[T], lo, hi int) { apply(c, c.in[1], lo, hi) }
	y.diff = func(x G.Nodes, _, dy *G.Node) G.Nodes {
		out := G.Nodes{b.apply(dx, dy, x[0])}
		if len(x) == 1 {
			return out
		}
		n := len(b.prog.Tensors[o.V.Tensor].Data)
		return append(out, b.apply(op[T]{
			name: "slopes", shape: b.row(n), over: -1, adds: true, far: there.slopes(&o.V, n),
			run: func(c *call[T], _, _ int) {
				if !c.add {
					clear(c.dst)
				}
				mask := mask.part(0, len(c.in[1]))
				for j, z := range c.in[1] {
					if z > 0 {
						continue
					}
					d := c.in[0][j] * z
					if mask != nil {
						d *= mask[j]
					}
					c.dst[o.V.Element(o.V.Axis.At(j%width), n)] += d
				}
			},
		}, dy, x[0]))
	}
	operands := []*G.Node{b.nodes[o.X]}
	if o.V.Tensor >= 0 {
		operands = append(operands, b.tensor(o.V.Tensor))
	}
	return b.apply(y, operands...)
}

// Drop draws the dropout mask of one operation in one step: 0 with the given
// probability, rounded to 1/65536, else the reciprocal of the share that stays,
// so that the mean stays (inverted dropout; Srivastava et al., Dropout, JMLR
// 2014, section 10). The bits are those of PCG-DXSM with state (seed, step and
// operation), sixteen a number.
func Drop[T program.Float](mask []T, rate float64, seed, step uint64, op int) {
	limit, kept := threshold(rate)
	keep := T(kept)
	var pcg rand.PCG
	pcg.Seed(seed, step<<16|uint64(op))
	var bits uint64
	for j := range mask {
		if j&3 == 0 {
			bits = pcg.Uint64()
		}
		mask[j] = keep
		if bits&0xffff < limit {
			mask[j] = 0
		}
		bits >>= 16
	}
}

// threshold returns below which of 2^16 numbers a unit is left out, and what the
// others are multiplied by.
func threshold(rate float64) (limit uint64, keep float64) {
	limit = uint64(rate*0x1p16 + 0.5)
	return limit, 0x1p16 / float64(1<<16-limit)
}

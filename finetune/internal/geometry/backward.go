package geometry

import "github.com/relupath/relupath/finetune/internal/program"

// give adds the sums src*2^e to those of value x, from element at on.
func (g *Geometry[T]) give(x, at int, src []float64, e int) {
	dst := &g.out[x]
	if !g.needOut[x] {
		return
	}
	if !dst.set {
		dst.start(e)
	}
	y := vec{e: e}
	f := dst.meetAt(&y)
	for k, v := range src {
		dst.v[at+k] = g.plus(dst.v[at+k], v*f)
	}
	dst.settle()
}

// backward hands the sums of an operation's result on to its operands.
func (g *Geometry[T]) backward(i int) {
	y := &g.out[g.prog.Ops[i].Result()]
	if !y.set {
		// The result reaches no logit.
		y.start(0)
	}
	tmp := g.tmp
	switch op := g.prog.Ops[i].(type) {
	case *program.Dense:
		g.denseBackward(i, op, y)
	case *program.Conv:
		tmp = tmp[:len(g.out[op.X].v)]
		g.convBackward(op, tmp, y.v)
		g.give(op.X, 0, tmp, y.e)
	case *program.Average:
		tmp = tmp[:len(g.out[op.X].v)]
		clear(tmp)
		for c := range op.Channels {
			for o := range op.OutLen {
				h := g.edge(op.Weight[o]) * y.v[c*op.OutLen+o]
				for _, j := range op.At[op.Start[o]:op.Start[o+1]] {
					tmp[c*op.InLen+int(j)] = g.plus(tmp[c*op.InLen+int(j)], h)
				}
			}
		}
		g.give(op.X, 0, tmp, y.e)
	case *program.Shift:
		g.give(op.X, 0, y.v, y.e)
	case *program.Scale:
		tmp = tmp[:len(y.v)]
		for e, v := range y.v {
			tmp[e] = v * g.edge(g.at(&op.V, op.V.Axis.At(e)))
		}
		g.give(op.X, 0, tmp, y.e)
	case *program.Activate:
		tmp = tmp[:len(y.v)]
		for e, v := range y.v {
			tmp[e] = v * g.gain(op, e)
		}
		g.give(op.X, 0, tmp, y.e)
	case *program.Sum:
		for _, x := range op.X {
			g.give(x, 0, y.v, y.e)
		}
	case *program.Concat:
		at := 0
		for _, x := range op.X {
			n := len(g.out[x].v)
			g.give(x, 0, y.v[at:at+n], y.e)
			at += n
		}
	case *program.Select:
		tmp = tmp[:len(g.out[op.X].v)]
		clear(tmp)
		for e, j := range op.Index {
			if j >= 0 {
				tmp[j] = g.plus(tmp[j], y.v[e])
			}
		}
		g.give(op.X, 0, tmp, y.e)
	case *program.Pool:
		g.poolBackward(op, y)
	}
}

func (g *Geometry[T]) poolBackward(op *program.Pool, y *vec) {
	if op.Start == nil {
		for _, x := range op.X {
			g.give(x, 0, y.v, y.e)
		}
		return
	}
	tmp := g.tmp[:len(g.out[op.X[0]].v)]
	clear(tmp)
	for c := range op.Channels {
		for o := range op.OutLen {
			for _, k := range op.At[op.Start[o]:op.Start[o+1]] {
				j := c*op.InLen + int(k)
				tmp[j] = g.plus(tmp[j], y.v[c*op.OutLen+o])
			}
		}
	}
	g.give(op.X[0], 0, tmp, y.e)
}

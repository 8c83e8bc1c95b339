package optim

import (
	"math"

	"github.com/relupath/relupath/finetune/internal/program"
)

// End sets the weights to zero that KeepZeros keeps there, then projects each unit whose
// incoming weights have a p-norm above MaxNorm onto that norm, biases left out (Srebro,
// Rennie, Jaakkola, NeurIPS 2004; Srivastava et al., Dropout, JMLR 2014, section 5.1). Call
// it once a step, after all tensors changed.
func (o *Optimizer[T]) End() {
	for t, zeros := range o.zeros {
		w := o.prog.Tensors[t].Data
		for _, e := range zeros {
			w[e] = 0
		}
	}
	if o.MaxNorm != 0 {
		o.bounded(func(t, units int, columns bool) { o.project(o.prog.Tensors[t].Data, units, columns) })
	}
}

// bounded calls do for each trained matrix whose units are bounded: their number,
// and whether they are columns.
func (o *Optimizer[T]) bounded(do func(t, units int, columns bool)) {
	for _, op := range o.prog.Ops {
		if t, _ := op.Tensor(); t < 0 || o.prog.Tensors[t].Frozen {
			continue
		}
		switch op := op.(type) {
		case *program.Dense:
			do(op.W, op.Rows, op.InOut)
		case *program.Conv:
			do(op.W, op.Out*op.Groups, false)
		}
	}
}

// findZeros notes the zeros among the weights of layers, those of biases and scales apart.
func (o *Optimizer[T]) findZeros() {
	o.zeros = make([][]int, len(o.prog.Tensors))
	o.bounded(func(t, _ int, _ bool) {
		if o.zeros[t] != nil {
			return
		}
		for e, w := range o.prog.Tensors[t].Data {
			if w == 0 {
				o.zeros[t] = append(o.zeros[t], e)
			}
		}
	})
}

// project bounds the norms of the units of a matrix, which are its rows, or its
// columns when it is stored inputs x units.
func (o *Optimizer[T]) project(w []T, units int, columns bool) {
	if len(o.norms) < units {
		o.norms = make([]float64, units)
	}
	norms := o.norms[:units]
	clear(norms)
	inputs := len(w) / max(units, 1)
	unit := func(e int) int {
		if columns {
			return e % units
		}
		return e / inputs
	}
	for e, x := range w {
		norms[unit(e)] += math.Pow(math.Abs(float64(x)), o.P)
	}
	over := false
	for i, s := range norms {
		norms[i] = 1
		if n := math.Pow(s, 1/o.P); n > o.MaxNorm {
			norms[i], over = o.MaxNorm/n, true
		}
	}
	if !over {
		return
	}
	for e := range w {
		w[e] = T(float64(w[e]) * norms[unit(e)])
	}
}

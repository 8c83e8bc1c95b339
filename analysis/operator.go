package analysis

import (
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/analysis/internal/spectral"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/analysis/scaled"
)

const (
	// operatorTolerance and operatorMissed are looser than for matrices: the largest singular
	// values of a convolution lie closer together the larger its grid is. See spectral.Norm.
	operatorTolerance, operatorMissed = 1e-4, 1e-4
	// roughTolerance is that with which frequencies are compared first, fairTolerance that of those
	// which may have the largest then; roughMissed is what both may have missed.
	roughTolerance, fairTolerance, roughMissed = 1e-2, 1e-4, 1e-5
)

// operatorEntries are the spectral norms of layers as maps of whole values, every position of
// a convolution included. They take minutes for large networks, and no group of names has them.
func operatorEntries() []*entry {
	inf := math.Inf(1)
	layered := func(name, formula, latex, source string, f func(r *run, l *layer) scaled.Num) *entry {
		return &entry{
			Info:  Info{Name: name, Formula: formula, LaTeX: latex, Source: source, Unit: "norm", Cost: Spectral, Scope: OfLayer},
			rows:  []float64{inf},
			paths: true, asked: true,
			layer: func(r *run, l *layer) []Measure {
				if r.opt.Open != "" {
					return []Measure{{Value: scaled.New(math.NaN()), Reason: r.opt.Open}}
				}
				return one(f(r, l))
			},
		}
	}
	product := func(name, formula, latex, source string, f func(r *run, l *layer) scaled.Num) *entry {
		return &entry{
			Info:  Info{Name: name, Formula: formula, LaTeX: latex, Source: source, Unit: "norm", Cost: Spectral, Scope: OfNet},
			rows:  []float64{inf},
			paths: true, asked: true, overMargin: linear,
			net: func(r *run) []Measure {
				return one(r.product(func(l *layer) scaled.Num { return f(r, l) }))
			},
		}
	}
	return []*entry{
		layered("spectral_operator",
			"sigma_1 of the layer as a map of its whole operand, padding, stride and dilation included; relative error at most 1e-4 (block Lanczos)",
			`\sigma_1(A)`, sgl19, (*run).operator),
		layered("spectral_circular",
			"max over frequencies k of sigma_1(sum_t W_t e^(-2 pi i k t)), the convolution with stride 1 and periodic ends on the padded grid: at least spectral_operator",
			`\max_k\sigma_1\bigl(\sum_t W_te^{-2\pi ikt}\bigr)`, sgl19, (*run).circular),
		product("product_spectral_operator", "prod_l spectral_operator_l", `\prod_l\sigma_1(A_l)`, b17, (*run).operator),
		product("product_spectral_circular", "prod_l spectral_circular_l",
			`\prod_l\max_k\sigma_1\bigl(\sum_t W_{l,t}e^{-2\pi ikt}\bigr)`, b17, (*run).circular),
	}
}

// convolution is a layer's convolution where its map is not the matrix on each position.
func convolution(l *layer) *dag.Conv {
	c, ok := l.op.Map.(*dag.Conv)
	if !ok || dag.Size(c.Window.Kernel) == 1 && !slices.ContainsFunc(c.Window.Before, func(n int) bool { return n != 0 }) {
		return nil
	}
	return c
}

// operator is sigma_1 of a layer as a map from its operand to its value. The matrix of a
// convolution on its grid is never written out: the evaluator applies it, and the transposed
// convolution, which is its transpose, in turn.
func (r *run) operator(l *layer) scaled.Num {
	if convolution(l) == nil {
		return r.spectral(l)
	}
	if l.operator == nil {
		x := scaled.New(math.NaN())
		size := r.maxAbs(l)
		if size.IsFinite() {
			var err error
			if x, err = r.largestMap(l, size); err != nil && r.err == nil {
				r.err = err
			}
		}
		l.operator = &x
	}
	return *l.operator
}

func (r *run) largestMap(l *layer, size scaled.Num) (scaled.Num, error) {
	// Weights near 1, so that squares stay in float64.
	there := *reweighed(l.op, func(w []float64) *dag.Param {
		for i, x := range w {
			w[i] = scaled.New(x).Scale(-size.Exp).Float64()
		}
		return dag.NewParam64(l.node.Name, l.op.Map.Weight().Param.Shape, w)
	}).(*dag.Conv)
	back := adjoint(&there)
	if there.Transposed {
		// Both again, so that each is a convolution where it can be.
		there = adjoint(&back)
	}
	if there.Out().Len() < there.In().Len() {
		there, back = back, there
	}
	var b dag.Builder
	n := there.In().Len()
	at := b.Input("x", n)
	at = b.Node(dag.Node{Name: "there", In: []int{at}, Shape: []int{there.Out().Len()}, Op: &dag.Linear{Map: &there}})
	at = b.Node(dag.Node{Name: "back", In: []int{at}, Shape: []int{n}, Op: &dag.Linear{Map: &back}})
	b.Output("y", at)
	net, err := b.Build()
	if err != nil {
		panic("analysis: a convolution and its transpose: " + err.Error())
	}
	var buffers eval.Buffers
	m := spectral.Matrix{Cols: n, Gram: func(ctx context.Context, dst, src []float64, width int) error {
		y, err := eval.Run(ctx, net, [][]float64{src}, width, eval.Options{Threads: r.opt.Threads, Buffers: &buffers})
		if err == nil {
			copy(dst, y[0])
			buffers.Give(y)
		}
		return err
	}}
	res, err := spectral.Norm(r.ctx, m, spectral.Options{Tolerance: operatorTolerance, Missed: operatorMissed, Seed: r.opt.Seed, Threads: r.opt.Threads})
	if err == nil && res.Bound > operatorTolerance {
		r.note("spectral_operator of %s is right to a relative %.1g only", l.node.Label(), res.Bound)
	}
	return scaled.New(res.Sigma).Scale(size.Exp), err
}

// adjoint is the transpose of a convolution: the transposed convolution, of whose forms that with
// stride 1 is a convolution of the turned kernel, which is evaluated in half the time.
func adjoint(c *dag.Conv) dag.Conv {
	t := *c
	t.Transposed, t.InChannels, t.OutChannels = !c.Transposed, c.OutChannels, c.InChannels
	w := &c.Window
	if !t.Transposed || slices.ContainsFunc(w.Stride, func(s int) bool { return s != 1 }) {
		return t
	}
	outer, inner, k := c.Matrix()
	from, to := c.W.Param.Float64s(), make([]float64, c.Groups*outer*inner*k)
	for g := range c.Groups {
		for i := range outer {
			for j := range inner {
				x, y := from[((g*outer+i)*inner+j)*k:][:k], to[((g*inner+j)*outer+i)*k:][:k]
				for p, v := range x {
					y[k-1-p] = v
				}
			}
		}
	}
	shape := append([]int{c.Groups * inner, outer}, w.Kernel...)
	t.Transposed, t.W = false, dag.Use{Param: dag.NewParam64(c.W.Param.Name, shape, to)}
	t.Window = w.Adjoint()
	return t
}

// circular is the largest singular value of a convolution with stride 1 and periodic ends on
// the padded grid. The convolution itself is a part of that matrix: its rows at the strides, of
// windows that do not wrap around, and its columns without padding. So its spectral norm is no
// larger.
//
// Source: Sedghi, Gupta, Long, The singular values of convolutional layers, ICLR 2019, section 3.
func (r *run) circular(l *layer) scaled.Num {
	c := convolution(l)
	if c == nil {
		return r.spectral(l)
	}
	if l.circular == nil {
		x := scaled.New(math.NaN())
		if size := r.maxAbs(l); size.IsFinite() {
			x = r.periodic(l, c, size)
		}
		l.circular = &x
	}
	return *l.circular
}

func (r *run) periodic(l *layer, c *dag.Conv, size scaled.Num) scaled.Num {
	w := &c.Window
	grid := make([]int, len(w.In))
	for d := range grid {
		grid[d] = w.In[d] + w.Before[d] + w.After[d]
	}
	phases := newFrequencies(w, grid)
	top := 0.0
	for _, m := range l.op.Matrices() {
		shrunk, _ := normalized(matrixOf(m), size)
		full, byTap := make([]float64, m.Rows*m.Cols), make([]float64, m.Rows*m.Cols)
		shrunk.Read(full, 0, m.Rows)
		pairs := len(full) / m.Kernel
		kernel.Transpose(byTap, pairs, full, m.Kernel, pairs, m.Kernel)
		top = r.transfer(byTap, m.Rows, m.Cols/m.Kernel, phases, top)
	}
	_, exp := normalized(spectral.Matrix{}, size)
	return scaled.New(top).Scale(exp)
}

// singularOf is sigma_1 to a tolerance, with which roughMissed may be missed, 0 for the defaults; NaN
// once the context is cancelled.
func (r *run) singularOf(m spectral.Matrix, tolerance float64) float64 {
	opt := spectral.Options{Seed: r.opt.Seed, Tolerance: tolerance}
	if tolerance > 0 {
		opt.Missed = roughMissed
	}
	res, err := spectral.Norm(r.ctx, m, opt)
	if err != nil {
		return math.NaN()
	}
	return res.Sigma
}

// transformed is sum_t W_t e^(i angle_t), of w as kernel x rows x cols. A complex matrix B + iC is
// the real one of blocks B, -C, C, B, which has its singular values twice. For a rough look it is
// in float32, which is read in place.
func transformed(w []float64, rows, cols int, angles []float64, rough bool) spectral.Matrix {
	n := rows * cols
	re, im := make([]float64, n), make([]float64, n)
	for t, a := range angles {
		s, c := math.Sincos(a)
		floats.AddScaled(re, c, w[t*n:][:n])
		floats.AddScaled(im, s, w[t*n:][:n])
	}
	m := spectral.Matrix{Rows: 2 * rows, Cols: 2 * cols, Read: func(dst []float64, lo, hi int) {
		for i := lo; i < hi; i++ {
			row := dst[(i-lo)*2*cols:][:2*cols]
			left, right, sign := re, im, -1.0
			if i >= rows {
				left, right, sign = im, re, 1
			}
			copy(row, left[i%rows*cols:][:cols])
			for j, x := range right[i%rows*cols:][:cols] {
				row[cols+j] = sign * x
			}
		}
	}}
	if rough {
		m.Single = make([]float32, 4*n)
		row := make([]float64, 2*cols)
		for i := range m.Rows {
			m.Read(row, i, i+1)
			for j, x := range row {
				m.Single[i*m.Cols+j] = float32(x)
			}
		}
		m.Read = func(dst []float64, lo, hi int) { kernel.Widen(dst, m.Single[lo*m.Cols:hi*m.Cols]) }
	}
	return m
}

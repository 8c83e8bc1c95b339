package rescale

import (
	"context"
	"maps"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/analysis/internal/fold"
)

func (z *normalizer) linear(l *dag.Linear, v value) value {
	if v = z.tidy(v); len(v.parts) == 0 {
		return folded(l, v)
	}
	switch m := l.Map.(type) {
	case *dag.Diagonal:
		return z.rows(l, m.Axis, v)
	case *dag.Average:
		return z.rows(l, m.Out(), z.average(m, v))
	case *dag.Dense:
		return z.dense(l, m, v)
	case *dag.Conv:
		return z.conv(l, m, v)
	}
	panic("rescale: a map of another kind")
}

// folded is the value of a layer of constants.
func folded(l *dag.Linear, v value) value {
	x := v.Shift
	if x == nil {
		x = make([]float64, v.n)
	}
	var b dag.Builder
	n := l.Out().Len()
	b.Output("y", b.Node(dag.Node{In: []int{b.Input("x", v.n)}, Shape: []int{n}, Op: l}))
	net, err := b.Build()
	if err != nil {
		panic("rescale: a layer of constants: " + err.Error())
	}
	y, err := eval.Run(context.Background(), net, [][]float64{x}, 1, eval.Options{})
	if err != nil {
		panic("rescale: a layer of constants: " + err.Error())
	}
	return constant(n, y[0])
}

// dense brings a Dense map to one outer position; a table stays as it is.
func (z *normalizer) dense(l *dag.Linear, d *dag.Dense, v value) value {
	if looksUp(z.src, z.at) {
		table := *d
		return z.layer(l, &table, nil, v)
	}
	in, out := d.In(), d.Out()
	if in.Outer > 1 {
		v = v.pick(channelsFirst(in))
	}
	res := z.pointwise(l, d, v)
	if out.Outer > 1 {
		idx := channelsFirst(out)
		back := make([]int32, len(idx))
		for e, j := range idx {
			back[j] = int32(e)
		}
		res = z.tidy(res.pick(back))
	}
	return res
}

// pointwise is a dense map of an operand of (columns, positions), applied at each
// position.
func (z *normalizer) pointwise(l *dag.Linear, d *dag.Dense, v value) value {
	c := z.columns(v, d.Cols, true)
	outer, inner := d.Rows, 1
	if d.InOut {
		outer, inner = 1, d.Rows
	}
	z.weigh(&c, d.W.Param, outer, inner)
	place := z.sortPositions(&c)
	p := c.positions
	bias := shifted(d.W.Param, outer, d.Cols, inner, &c)
	m := &dag.Dense{W: dag.Use{Param: reorder(d.W.Param, outer, d.Cols, inner, c.order, c.Scale)}, Rows: d.Rows, Cols: d.Cols, InOut: d.InOut, Inner: p}
	res := z.layer(l, m, bias, c.v)
	if place != nil {
		idx := make([]int32, 0, d.Rows*len(place))
		for i := range d.Rows {
			for _, q := range place {
				idx = append(idx, int32(i*p)+q)
			}
		}
		res = z.tidy(res.pick(idx))
	}
	return res
}

// layer makes a layer with the stages of l, and a bias before them.
func (z *normalizer) layer(l *dag.Linear, m dag.Map, bias []float64, v value) value {
	stages := freed(l)
	if bias != nil {
		stages = append([]dag.Stage{{Add: vector(bias)}}, stages...)
	}
	m = m.WithWeight(writable(*m.Weight()))
	n := m.Out().Len()
	id := z.add([]int{z.gather(z.tidy(v))}, n, &dag.Linear{Map: m, Stages: stages})
	z.stands(id, z.at)
	return one(id, n)
}

// shifted is the bias that the shift of its columns gives a layer whose weight is
// stored outer x columns x inner, one of outer and inner the rows, times taps.
func shifted(w *dag.Param, outer, cols, inner int, c *columns) []float64 {
	if c.Shift == nil {
		return nil
	}
	bias := make([]float64, outer*inner)
	for o := range outer {
		for k, j := range c.order {
			for i := range inner {
				bias[o*inner+i] += w.At((o*cols+j)*inner+i) * c.Shift[k]
			}
		}
	}
	return bias
}

// reorder returns the weight, stored outer x columns x inner, with only the
// columns of order, in that order, each times its scale. Weights of the same
// order without a scale are shared; a scale makes them float64.
func reorder(w *dag.Param, outer, cols, inner int, order []int, scale []float64) *dag.Param {
	same := len(order) == cols
	for k, j := range order {
		same = same && k == j
	}
	if same && scale == nil {
		return w
	}
	shape := []int{outer, len(order), inner}
	if scale == nil && w.Type != dag.Float64 {
		return dag.NewParam32(w.Name, w.Type, shape, moved(w.Float32s(), outer, cols, inner, order))
	}
	f := w.Float64s()
	if f == nil {
		f = w.Values()
	}
	out := moved(f, outer, cols, inner, order)
	if scale != nil {
		for k := range out {
			out[k] *= scale[k/inner%len(order)]
		}
	}
	return dag.NewParam64(w.Name, shape, out)
}

func moved[T float32 | float64](w []T, outer, cols, inner int, order []int) []T {
	out := make([]T, 0, outer*len(order)*inner)
	for o := range outer {
		for _, j := range order {
			out = append(out, w[(o*cols+j)*inner:][:inner]...)
		}
	}
	return out
}

// conv makes a convolution, or the dense map that it is.
func (z *normalizer) conv(l *dag.Linear, m *dag.Conv, v value) value {
	w := squeezed(&m.Window)
	if !m.Transposed {
		w, v = thinned(&w, m.InChannels, v)
	}
	taps, positions := dag.Size(w.Kernel), dag.Size(w.Out())
	inside := contained(&w)
	d := &dag.Dense{W: m.W, Rows: m.OutChannels, Cols: m.InChannels}
	switch {
	case m.Groups == m.InChannels && m.Groups == m.OutChannels && taps == 1 && m.Groups > 1 && (!m.Transposed || positions == dag.Size(w.In) && inside):
		// One number a channel.
		v = v.pick(subsampled(&w, m.InChannels))
		return z.rows(l, m.Out(), v.then(fold.Affine{Scale: m.W.Param.Values()}.Over(m.Out())))
	case m.Groups > 1:
	case m.Transposed && taps == 1 && positions == dag.Size(w.In) && inside:
		d.InOut = true
		return z.pointwise(l, d, v)
	case m.Transposed:
	case taps == 1:
		return z.pointwise(l, d, v.pick(subsampled(&w, m.InChannels)))
	case positions == 1:
		return z.taps(l, d, &w, v)
	}
	if v = z.tidy(v); v.Shift != nil && (m.Transposed || !inside) || m.Groups > 1 && (v.Shift != nil || v.Scale != nil) {
		v = z.plain(v)
	}
	c := z.columns(v, m.InChannels, m.Groups == 1)
	outer, inner := m.OutChannels, taps
	cols := m.InChannels / m.Groups
	if m.Transposed {
		outer, cols, inner = 1, m.InChannels, m.OutChannels/m.Groups*taps
	}
	z.weigh(&c, m.W.Param, outer, inner)
	var bias []float64
	if b := shifted(m.W.Param, outer, cols, inner, &c); b != nil {
		bias = make([]float64, m.OutChannels)
		for k, x := range b {
			bias[k/taps] += x
		}
	}
	order := c.order
	if m.Groups > 1 {
		order = order[:cols]
	}
	if !m.Transposed {
		z.crop(&c, &w)
	}
	n := *m
	n.Window = w
	n.W.Param = reorder(m.W.Param, outer, cols, inner, order, c.Scale)
	return z.layer(l, &n, bias, c.v)
}

// taps makes the matrix of a convolution d of one position. Its columns are the taps of
// each channel, without those at which all channels have padding.
func (z *normalizer) taps(l *dag.Linear, d *dag.Dense, w *dag.Window, v value) value {
	v = z.tidy(v)
	channels, taps, n := d.Cols, dag.Size(w.Kernel), dag.Size(w.In)
	at := map[int]int{} // the place that a tap reads
	w.Taps(func(_, in, k int) {
		for e := in; e < v.n; e += n {
			if _, t := v.At(e); t != 0 || v.elem(e) >= 0 {
				at[k] = in
			}
		}
	})
	var idx []int32
	var order []int
	for j := range channels {
		for _, k := range slices.Sorted(maps.Keys(at)) {
			idx = append(idx, int32(j*n+at[k]))
			order = append(order, j*taps+k)
		}
	}
	m := *d
	m.Cols = len(order)
	m.W.Param = reorder(d.W.Param, d.Rows, channels*taps, 1, order, nil)
	return z.pointwise(l, &m, v.pick(idx))
}

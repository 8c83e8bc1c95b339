package rescale

import (
	"cmp"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
)

// absorb puts v's scale and shift into the layer that made v, where v is its
// whole value, nothing else reads it and the numbers of each unit are the same.
// Else v keeps them.
func (z *normalizer) absorb(v value) value {
	v = z.tidy(v)
	if len(v.parts) != 1 || v.shared || v.scale == nil && v.shift == nil {
		return v
	}
	nd := z.nodes[v.parts[0]]
	l, ok := nd.Op.(*dag.Linear)
	if !ok || l.Map == nil {
		return v
	}
	if _, ok := l.Map.(*dag.Average); ok {
		return v
	}
	inv := z.inverse(v)
	inner := l.Out().Inner
	if inv == nil || l.Out().Outer != 1 {
		return v
	}
	scale, shift := taken(v.scale, inv), taken(v.shift, inv)
	if !runs(scale, inner) || !runs(shift, inner) {
		return v
	}
	st := stage(scale, shift, inner)
	id := z.add(nd.In, nd.Len(), &dag.Linear{Map: l.Map, Stages: append(slices.Clip(l.Stages), st)})
	z.nodes[id].Name, z.nodes[id].Source = nd.Name, nd.Source
	if own, ok := z.src.Nodes[z.at].Op.(*dag.Linear); !ok || !own.Free() {
		// The factors of the layer before go through.
		for _, k := range z.layers[v.parts[0]] {
			z.stands(id, k)
		}
	}
	z.stands(id, z.at)
	return value{parts: []int{id}, n: v.n, index: v.index}
}

// stands notes that a new layer has the rows of a node of the source.
func (z *normalizer) stands(id, source int) {
	z.to[source] = id
	z.layers[id] = append(z.layers[id], source)
}

func (z *normalizer) linear(l *dag.Linear, v value) value {
	if len(v.parts) == 0 {
		v = one(z.materialize(v), v.n)
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

// rows applies a layer's scale and bias to a value whose units lie along a.
func (z *normalizer) rows(l *dag.Linear, a dag.Axis, v value) value {
	scale, bias := l.Scale(), l.Bias()
	if scale == nil && bias == nil {
		return z.tidy(v)
	}
	get := func(x []float64, none float64) func(e int) float64 {
		return func(e int) float64 {
			if x == nil {
				return none
			}
			return x[a.At(e)]
		}
	}
	return z.absorb(v.affine(get(scale, 1), get(bias, 0)))
}

// columns is the operand of a layer as channels x positions, ready to be read:
// order has, for each channel of the operand, the channel of the source's layer.
type columns struct {
	v            value
	n, positions int
	order        []int
	scale, shift []float64 // of each channel, in order; nil as in value
}

// columns brings a value of n channels and so many positions each in order. What
// the channels' scale and shift leave over becomes a layer of its own; sorted
// tells whether channels may move.
func (z *normalizer) columns(v value, n int, sorted bool) columns {
	v = z.tidy(v)
	c := columns{n: n, positions: v.n / max(n, 1)}
	if v.scale != nil && v.index != nil {
		v.scale = slices.Clone(v.scale)
		for lo := 0; lo < v.n; lo += c.positions {
			// The scale of a zero is any: that of its channel.
			s := 1.0
			for e := lo; e < lo+c.positions; e++ {
				if v.index[e] >= 0 {
					s = v.scale[e]
					break
				}
			}
			for e := lo; e < lo+c.positions; e++ {
				if v.index[e] < 0 {
					v.scale[e] = s
				}
			}
		}
	}
	if !runs(v.scale, c.positions) || !runs(v.shift, c.positions) {
		v = z.plain(v)
	}
	if v.scale != nil {
		c.scale = every(v.scale, c.positions)
	}
	if v.shift != nil {
		c.shift = every(v.shift, c.positions)
	}
	v.scale, v.shift = nil, nil
	c.v = v
	c.order = make([]int, n)
	for j := range c.order {
		c.order[j] = j
	}
	if !sorted || v.index == nil {
		return c
	}
	first := make([]int, n)
	for j := range first {
		first[j] = least(&v, j*c.positions, 1, c.positions)
	}
	z.order(c.order, first)
	c.scale, c.shift = ordered(c.scale, c.order), ordered(c.shift, c.order)
	idx := make([]int32, 0, v.n)
	for _, j := range c.order {
		for p := range c.positions {
			idx = append(idx, int32(j*c.positions+p))
		}
	}
	c.v = z.tidy(v.pick(idx))
	return c
}

// order sorts by key; equal keys, as of a value that is read twice, stay in the
// order of the file.
func (z *normalizer) order(x, key []int) {
	slices.SortStableFunc(x, func(a, b int) int { return cmp.Compare(key[a], key[b]) })
	for k := 1; k < len(x); k++ {
		z.ambiguous = z.ambiguous || key[x[k]] == key[x[k-1]]
	}
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

func ordered(x []float64, order []int) []float64 {
	if x == nil {
		return nil
	}
	out := make([]float64, len(order))
	for k, j := range order {
		out[k] = x[j]
	}
	return out
}

// separate makes the scale and shift of channels a layer before.
func (z *normalizer) separate(c *columns) {
	if c.scale == nil && c.shift == nil {
		return
	}
	w := c.v.affine(func(e int) float64 { return of(c.scale, e/c.positions, 1) }, func(e int) float64 { return of(c.shift, e/c.positions, 0) })
	c.v = z.tidy(z.plain(w))
	c.scale, c.shift = nil, nil
}

func of(x []float64, i int, none float64) float64 {
	if x == nil {
		return none
	}
	return x[i]
}

// dense brings a Dense map to one outer position.
func (z *normalizer) dense(l *dag.Linear, d *dag.Dense, v value) value {
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

// channelsFirst lists the elements of an axis channel by channel.
func channelsFirst(a dag.Axis) []int32 {
	idx := make([]int32, 0, a.Len())
	for i := range a.N {
		for o := range a.Outer {
			for k := range a.Inner {
				idx = append(idx, int32((o*a.N+i)*a.Inner+k))
			}
		}
	}
	return idx
}

// pointwise is a dense map of an operand of (columns, positions), applied at each
// position.
func (z *normalizer) pointwise(l *dag.Linear, d *dag.Dense, v value) value {
	c := z.columns(v, d.Cols, true)
	p := c.positions
	// Positions come in the order of what they refer to.
	var place []int32
	if c.v.index != nil && p > 1 {
		order, first := make([]int, p), make([]int, p)
		for q := range order {
			order[q], first[q] = q, least(&c.v, q, p, d.Cols)
		}
		z.order(order, first)
		idx := make([]int32, 0, c.v.n)
		for j := range d.Cols {
			for _, q := range order {
				idx = append(idx, int32(j*p+q))
			}
		}
		c.v = z.tidy(c.v.pick(idx))
		place = make([]int32, p)
		for q, from := range order {
			place[from] = int32(q)
		}
	}
	outer, inner := d.Rows, 1
	if d.InOut {
		outer, inner = 1, d.Rows
	}
	bias := shifted(d.W.Param, outer, d.Cols, inner, &c)
	m := &dag.Dense{W: dag.Use{Param: reorder(d.W.Param, outer, d.Cols, inner, c.order, c.scale)}, Rows: d.Rows, Cols: d.Cols, InOut: d.InOut, Inner: p}
	res := z.layer(l, m, bias, c.v)
	if place != nil {
		idx := make([]int32, 0, res.n)
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
	if u := m.Weight(); u.Param.Storage == dag.Unwritable {
		switch x := m.(type) {
		case *dag.Dense:
			x.W = writable(*u)
		case *dag.Conv:
			x.W = writable(*u)
		}
	}
	n := m.Out().Len()
	id := z.add([]int{z.gather(z.tidy(v))}, n, &dag.Linear{Map: m, Stages: stages})
	z.stands(id, z.at)
	return one(id, n)
}

// freed returns a layer's stages with numbers that can change: in a normal form no
// unit is pinned because of where its numbers are stored.
func freed(l *dag.Linear) []dag.Stage {
	out := slices.Clone(l.Stages)
	free := func(v *dag.Vector) *dag.Vector {
		if v == nil || v.Param == nil {
			return v
		}
		w := *v
		w.Use = writable(v.Use)
		return &w
	}
	for k := range out {
		s := &out[k]
		s.Mul, s.Add = free(s.Mul), free(s.Add)
		if s.Add != nil && s.Add.Param == nil {
			s.Add = vector(slices.Repeat([]float64{s.Add.Coef}, l.Rows()))
		}
		if n := s.Norm; n != nil {
			s.Norm = &dag.BatchNorm{
				Gamma: writable(n.Gamma), Beta: writable(n.Beta), Mean: writable(n.Mean), Var: writable(n.Var), Epsilon: n.Epsilon,
			}
		}
	}
	return out
}

func writable(u dag.Use) dag.Use {
	p := u.Param
	switch {
	case p.Storage != dag.Unwritable:
		return u
	case p.Type == dag.Float64:
		return dag.Use{Param: dag.NewParam64(p.Name, p.Shape, p.Float64s())}
	}
	return dag.Use{Param: dag.NewParam32(p.Name, p.Type, p.Shape, p.Float32s())}
}

// shifted is the bias that the shift of its columns gives a layer whose weight is
// stored outer x columns x inner, one of outer and inner the rows, times taps.
func shifted(w *dag.Param, outer, cols, inner int, c *columns) []float64 {
	if c.shift == nil {
		return nil
	}
	bias := make([]float64, outer*inner)
	for o := range outer {
		for k, j := range c.order {
			for i := range inner {
				bias[o*inner+i] += w.At((o*cols+j)*inner+i) * c.shift[k]
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
	taps, positions := dag.Size(w.Kernel), dag.Size(w.Out())
	inside := contained(&w)
	d := &dag.Dense{W: m.W, Rows: m.OutChannels, Cols: m.InChannels}
	switch {
	case m.Groups == m.InChannels && m.Groups == m.OutChannels && taps == 1 && positions == dag.Size(w.In) && inside && m.Groups > 1:
		// One number a channel.
		return z.rows(l, m.Out(), v.affine(func(e int) float64 { return m.W.Param.At(e / positions) }, func(int) float64 { return 0 }))
	case m.Groups > 1:
	case m.Transposed && taps == 1 && positions == dag.Size(w.In) && inside:
		d.InOut = true
		return z.pointwise(l, d, v)
	case m.Transposed:
	case taps == 1:
		return z.pointwise(l, d, v.pick(subsampled(&w, m.InChannels)))
	case positions == 1:
		// The taps inside are columns.
		var idx []int32
		var order []int
		n := dag.Size(w.In)
		for j := range m.InChannels {
			w.Taps(func(_, in, k int) {
				idx = append(idx, int32(j*n+in))
				order = append(order, j*taps+k)
			})
		}
		d.Cols = len(order)
		d.W.Param = reorder(m.W.Param, m.OutChannels, m.InChannels*taps, 1, order, nil)
		return z.pointwise(l, d, v.pick(idx))
	}
	c := z.columns(v, m.InChannels, m.Groups == 1)
	if c.shift != nil && (m.Transposed || !inside) {
		z.separate(&c)
	}
	outer, inner := m.OutChannels, taps
	cols := m.InChannels / m.Groups
	if m.Transposed {
		outer, cols, inner = 1, m.InChannels, m.OutChannels/m.Groups*taps
	}
	if m.Groups > 1 && (c.scale != nil || c.shift != nil) {
		z.separate(&c)
	}
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
	n.W.Param = reorder(m.W.Param, outer, cols, inner, order, c.scale)
	return z.layer(l, &n, bias, c.v)
}

// subsampled lists the elements of each channel that a window of one tap reads,
// -1 where it reads padding.
func subsampled(w *dag.Window, channels int) []int32 {
	n, m := dag.Size(w.In), dag.Size(w.Out())
	idx := make([]int32, channels*m)
	for e := range idx {
		idx[e] = -1
	}
	w.Taps(func(out, in, _ int) {
		for j := range channels {
			idx[j*m+out] = int32(j*n + in)
		}
	})
	return idx
}

// listed lists the elements of each channel that a window of one position reads.
func listed(w *dag.Window, channels int) []int32 {
	n := dag.Size(w.In)
	var idx []int32
	for j := range channels {
		w.Taps(func(_, in, _ int) { idx = append(idx, int32(j*n+in)) })
	}
	return idx
}

// squeezed returns the window without dimensions of one element, with the same
// positions written in one way.
func squeezed(m *dag.Window) dag.Window {
	var w dag.Window
	out := m.Out()
	for i := range m.In {
		if m.In[i] == 1 && m.Kernel[i] == 1 && out[i] == 1 && m.Before[i] == 0 {
			continue
		}
		s, d := m.Stride[i], m.Dilation[i]
		if out[i] == 1 {
			s = 1
		}
		if m.Kernel[i] == 1 {
			d = 1
		}
		w.In, w.Kernel = append(w.In, m.In[i]), append(w.Kernel, m.Kernel[i])
		w.Stride, w.Dilation = append(w.Stride, s), append(w.Dilation, d)
		w.Before = append(w.Before, m.Before[i])
		w.After = append(w.After, (out[i]-1)*s+d*(m.Kernel[i]-1)+1-m.In[i]-m.Before[i])
	}
	return w
}

// contained reports whether every tap lies inside the operand.
func contained(w *dag.Window) bool {
	for i := range w.In {
		if w.Before[i] > 0 || w.After[i] > 0 {
			return false
		}
	}
	return true
}

// crop turns positions that are zero in every channel at the border into padding
// of the window.
func (z *normalizer) crop(c *columns, w *dag.Window) {
	if c.v.index == nil || len(w.In) == 0 {
		return
	}
	lo, hi := slices.Clone(w.In), make([]int, len(w.In))
	full := slices.Clone(w.In)
	for e, j := range c.v.index {
		if j < 0 {
			continue
		}
		p := e % c.positions
		for i := len(full) - 1; i >= 0; i-- {
			x := p % full[i]
			p /= full[i]
			lo[i], hi[i] = min(lo[i], x), max(hi[i], x+1)
		}
	}
	if hi[0] == 0 {
		return
	}
	for i := range full {
		w.Before[i] += lo[i]
		w.After[i] += full[i] - hi[i]
		w.In[i] = hi[i] - lo[i]
	}
	if slices.Equal(full, w.In) {
		return
	}
	var idx []int32
	for e := range c.v.n {
		p, in := e%c.positions, true
		for i := len(full) - 1; i >= 0; i-- {
			x := p % full[i]
			p /= full[i]
			in = in && x >= lo[i] && x < hi[i]
		}
		if in {
			idx = append(idx, int32(e))
		}
	}
	c.v = z.tidy(c.v.pick(idx))
	c.positions = dag.Size(w.In)
}

// channelwise brings the result of an operation on ordered channels back.
func (z *normalizer) channelwise(id int, c *columns, positions int) value {
	v := one(id, c.n*positions)
	inv := make([]int, c.n)
	for k, j := range c.order {
		inv[j] = k
	}
	idx := make([]int32, 0, v.n)
	for j := range c.n {
		for p := range positions {
			idx = append(idx, int32(inv[j]*positions+p))
		}
	}
	v = v.pick(idx)
	if c.scale != nil || c.shift != nil {
		v = v.affine(func(e int) float64 { return of(c.scale, inv[e/positions], 1) }, func(e int) float64 { return of(c.shift, inv[e/positions], 0) })
	}
	return z.tidy(v)
}

// average makes the mean of a window. One of a whole list, with whatever weight,
// is a mean and a scale.
func (z *normalizer) average(m *dag.Average, v value) value {
	w := squeezed(&m.Window)
	positions := dag.Size(w.Out())
	if positions == 1 {
		return z.mean(m, &w, v)
	}
	c := z.columns(v, m.Channels, true)
	if c.shift != nil {
		z.separate(&c)
	}
	z.crop(&c, &w)
	id := z.add([]int{z.gather(c.v)}, m.Channels*positions, &dag.Linear{Map: &dag.Average{Channels: m.Channels, Window: w, Weights: m.Weights}})
	return z.channelwise(id, &c, positions)
}

func (z *normalizer) mean(m *dag.Average, w *dag.Window, v value) value {
	idx := listed(w, m.Channels)
	n := len(idx) / max(m.Channels, 1)
	total := m.Weights[0] * float64(n)
	v = v.pick(idx)
	c := z.columns(v, m.Channels, true)
	// A mean of means is a mean.
	if len(c.v.parts) == 1 {
		if inner, ok := z.averaged[c.v.parts[0]]; ok && !slices.Contains(c.v.index, -1) {
			k := inner.n / z.nodes[c.v.parts[0]].Len()
			idx := make([]int32, 0, c.v.n*k)
			for e := range c.v.n {
				for q := range k {
					idx = append(idx, c.v.elem(e)*int32(k)+int32(q))
				}
			}
			c.v = z.tidy(inner.pick(idx))
			n *= k
		}
	}
	if c.v.index != nil {
		// The order within a mean is no matter.
		for lo := 0; lo < c.v.n; lo += n {
			slices.Sort(c.v.index[lo : lo+n])
		}
		c.v = z.tidy(c.v)
	}
	var id int
	if n == 1 {
		id = z.gather(c.v)
	} else {
		list := dag.Window{In: []int{n}, Kernel: []int{n}, Stride: []int{1}, Dilation: []int{1}, Before: []int{0}, After: []int{0}}
		id = z.add([]int{z.gather(c.v)}, m.Channels, &dag.Linear{Map: &dag.Average{Channels: m.Channels, Window: list, Weights: []float64{1 / float64(n)}}})
		z.averaged[id] = c.v
	}
	res := z.channelwise(id, &c, 1)
	if math.Abs(total-1) > 1e-6 {
		res = res.affine(func(int) float64 { return total }, func(int) float64 { return 0 })
	}
	return z.tidy(res)
}

// pool makes a maximum over windows.
func (z *normalizer) pool(m *dag.Pool, v value) value {
	if v.scale != nil && slices.ContainsFunc(v.scale, func(s float64) bool { return !(s > 0) }) {
		v = z.plain(v)
	}
	if len(v.parts) == 0 {
		v = one(z.materialize(v), v.n)
	}
	c := z.columns(v, m.Channels, true)
	w := squeezed(m.Window)
	positions := dag.Size(w.Out())
	id := z.add([]int{z.gather(c.v)}, m.Channels*positions, &dag.Pool{Window: &w, Channels: m.Channels})
	return z.channelwise(id, &c, positions)
}

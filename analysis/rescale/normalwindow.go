package rescale

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/fold"
)

// subsampled lists the elements of each channel that a window of one tap reads,
// -1 where it reads padding.
func subsampled(w *dag.Window, channels int) []int32 {
	n, m := dag.Size(w.In), dag.Size(w.Out())
	idx := slices.Repeat([]int32{-1}, channels*m)
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
		w.After = append(w.After, m.End(i, out[i])-m.In[i])
	}
	return w
}

// thinned returns the window and the operand without places that nothing reads: along
// dimensions with one tap a position there is one place for each.
func thinned(w *dag.Window, channels int, v value) (dag.Window, value) {
	out := w.Out()
	at, thin := *w, *w
	at.Kernel, at.Stride, at.Dilation, at.Before, at.After = ones(w.In), ones(w.In), ones(w.In), make([]int, len(w.In)), make([]int, len(w.In))
	thin.In, thin.Stride, thin.Before, thin.After = slices.Clone(w.In), slices.Clone(w.Stride), slices.Clone(w.Before), slices.Clone(w.After)
	same := true
	for i := range w.In {
		if w.Kernel[i] > 1 || w.In[i] == out[i] && w.Before[i] == 0 && (w.Stride[i] == 1 || out[i] == 1) {
			continue
		}
		same = false
		at.Stride[i], at.Before[i], at.After[i] = w.Stride[i], w.Before[i], w.After[i]
		thin.In[i], thin.Stride[i], thin.Before[i], thin.After[i] = out[i], 1, 0, 0
	}
	if same {
		return *w, v
	}
	return squeezed(&thin), v.pick(subsampled(&at, channels))
}

func ones(x []int) []int { return slices.Repeat([]int{1}, len(x)) }

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

// average makes the mean of a window. One of a whole list, with whatever weight,
// is a mean and a scale.
func (z *normalizer) average(m *dag.Average, v value) value {
	w := squeezed(&m.Window)
	positions := dag.Size(w.Out())
	if positions == 1 {
		return z.mean(m, &w, v)
	}
	if v.Shift != nil {
		v = z.plain(v)
	}
	c := z.columns(v, m.Channels, true)
	n, place := z.once(&c)
	z.crop(&c, &w)
	id := z.add([]int{z.gather(c.v)}, n*positions, &dag.Linear{Map: &dag.Average{Channels: n, Window: w, Weights: m.Weights}})
	return z.channelwise(id, &c, place, positions)
}

func (z *normalizer) mean(m *dag.Average, w *dag.Window, v value) value {
	idx := listed(w, m.Channels)
	n := len(idx) / max(m.Channels, 1)
	total := m.Weights[0] * float64(n)
	v = z.tidy(v.pick(idx))
	if !runs(v.Scale, n) || !runs(v.Shift, n) {
		v = z.plain(v)
	}
	v = z.tidy(unordered(v, n))
	c := z.columns(v, m.Channels, true)
	channels, place := z.once(&c)
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
	c.v = z.tidy(unordered(c.v, n))
	var id int
	if n == 1 {
		id = z.gather(c.v)
	} else {
		list := dag.NewWindow([]int{n}, []int{n})
		id = z.add([]int{z.gather(c.v)}, channels, &dag.Linear{Map: &dag.Average{Channels: channels, Window: list, Weights: []float64{1 / float64(n)}}})
		z.averaged[id] = c.v
	}
	res := z.channelwise(id, &c, place, 1)
	if math.Abs(total-1) > 1e-6 {
		res = res.then(fold.Affine{Scale: slices.Repeat([]float64{total}, res.n)})
	}
	return z.tidy(res)
}

// unordered puts each run of n elements in the order of what they refer to: within a
// mean it is no matter.
func unordered(v value, n int) value {
	if v.index == nil {
		return v
	}
	v.index = slices.Clone(v.index)
	for lo := 0; lo < v.n; lo += n {
		slices.Sort(v.index[lo : lo+n])
	}
	return v
}

// pool makes a maximum over windows.
func (z *normalizer) pool(m *dag.Pool, v value) value {
	if v.Scale != nil && slices.ContainsFunc(v.Scale, func(s float64) bool { return !(s > 0) }) {
		v = z.plain(v)
	}
	if len(v.parts) == 0 {
		v = one(z.materialize(v), v.n)
	}
	c := z.columns(v, m.Channels, true)
	w := squeezed(m.Window)
	positions := dag.Size(w.Out())
	n, place := z.once(&c)
	id := z.add([]int{z.gather(c.v)}, n*positions, &dag.Pool{Window: &w, Channels: n})
	return z.channelwise(id, &c, place, positions)
}

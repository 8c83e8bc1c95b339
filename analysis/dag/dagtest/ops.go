package dagtest

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
)

// stages draws what follows a map of so many rows.
func (m *maker) stages(rows int) []dag.Stage {
	var out []dag.Stage
	if m.coin(Bias) {
		out = append(out, dag.Stage{Add: m.vector("bias", rows)})
	}
	if m.coin(Gain) {
		out = append(out, m.gain(rows))
		if m.coin(Bias) {
			out = append(out, dag.Stage{Add: m.vector("shift", rows)})
		}
	}
	return out
}

// vector draws one number a unit: stored so, one for all, or by an index.
func (m *maker) vector(name string, rows int) *dag.Vector {
	v := &dag.Vector{Coef: []float64{1, 1, -1, 0.5}[m.pick("coef", 4)]}
	switch m.pick("broadcast", 4) {
	case 0:
		v.Use = m.positive(name, 1)
	case 1:
		v.Use = m.positive(name, rows)
		v.Index = make([]int32, rows)
		for i := range v.Index {
			v.Index[i] = int32(m.pick("index", rows))
		}
	default:
		v.Use = m.param(name, []int{rows})
	}
	return v
}

func (m *maker) gain(rows int) dag.Stage {
	if m.pick("gain", 2) == 0 {
		v := m.vector("scale", rows)
		v.Use = m.positive("scale", v.Param.Len())
		v.Inverse = m.pick("divide", 2) == 1
		return dag.Stage{Mul: v}
	}
	return dag.Stage{Norm: &dag.BatchNorm{
		Gamma: m.param("gamma", []int{rows}), Beta: m.param("beta", []int{rows}),
		Mean: m.param("mean", []int{rows}), Var: m.positive("var", rows), Epsilon: 1e-5,
	}}
}

// spatial says whether a node has a shape (channels, height, width).
func (m *maker) spatial(in int) bool { return len(m.b.Shape(in)) == 3 }

func (m *maker) diagonal(in int) {
	n := m.b.Shape(in)[0]
	rows := dag.Axis{Outer: 1, N: n, Inner: dag.Size(m.b.Shape(in)) / n}
	stages := []dag.Stage{m.gain(n)}
	if m.coin(Fixed) {
		stages = []dag.Stage{{Mul: &dag.Vector{Coef: 0.5}}}
	}
	m.add(dag.Node{
		Name: m.name("norm"), Source: "BatchNormalization", In: []int{in}, Shape: m.b.Shape(in),
		Op: &dag.Linear{Map: &dag.Diagonal{Axis: rows}, Stages: stages},
	})
}

func (m *maker) slope(in int) {
	a := &dag.Activation{}
	shape := m.b.Shape(in)
	switch m.pick("slope", 4) {
	case 0: // PReLU with a slope a channel
		u := m.param("slope", []int{shape[0]})
		a.Param = &u
		inner := dag.Size(shape) / shape[0]
		for e := range dag.Size(shape) {
			a.Index = append(a.Index, int32(e/inner))
			a.Slope = append(a.Slope, u.Param.At(e/inner))
		}
	default:
		a.Slope = []float64{[]float64{0.1, -1, 1}[m.pick("kind", 3)]}
	}
	m.add(dag.Node{Name: m.name("act"), Source: "LeakyRelu", In: []int{in}, Shape: shape, Op: a})
}

// skip adds an earlier node of the same shape, or the node before a layer.
func (m *maker) skip(in int) {
	shape := m.b.Shape(in)
	other := -1
	for _, j := range m.nodes {
		if j != in && slices.Equal(m.b.Shape(j), shape) && m.pick("this", 2) == 1 {
			other = j
		}
	}
	if other < 0 {
		if m.spatial(in) {
			m.relu(in)
		} else {
			m.relu(m.affine(in, shape[0]))
		}
		other = m.nodes[len(m.nodes)-1]
	}
	op := &dag.Add{}
	if m.pick("subtract", 3) == 0 {
		op.Sign = []float64{1, -1}
	}
	m.add(dag.Node{Name: m.name("add"), Source: "Add", In: []int{in, other}, Shape: shape, Op: op})
}

func (m *maker) concat(in int) {
	other := m.nodes[m.pick("other", len(m.nodes))]
	a, b := m.b.Shape(in), m.b.Shape(other)
	shape := []int{dag.Size(a) + dag.Size(b)}
	if len(a) == 3 && len(b) == 3 && slices.Equal(a[1:], b[1:]) {
		shape = []int{a[0] + b[0], a[1], a[2]}
	}
	m.add(dag.Node{Name: m.name("concat"), Source: "Concat", In: []int{in, other}, Shape: shape, Op: &dag.Concat{}})
}

func (m *maker) sel(in int) {
	size := dag.Size(m.b.Shape(in))
	s := &dag.Select{}
	n := size
	if m.pick("reshape", 3) > 0 {
		n = 1 + m.pick("length", size+1)
		for range n {
			s.Index = append(s.Index, int32(m.pick("from", size+1)-1))
		}
	}
	m.add(dag.Node{Name: m.name("select"), Source: "Gather", In: []int{in}, Shape: []int{n}, Op: s})
}

// constant adds a stored constant to a node.
func (m *maker) constant(in int) {
	n := dag.Size(m.b.Shape(in))
	c := m.add(dag.Node{
		Name: m.name("const"), Source: "Constant", Shape: m.b.Shape(in),
		Op: &dag.Linear{Units: n, Stages: []dag.Stage{{Add: m.vector("const", n)}}},
	})
	m.add(dag.Node{Name: m.name("add"), Source: "Add", In: []int{in, c}, Shape: m.b.Shape(in), Op: &dag.Add{}})
}

// window draws a window over (height, width) that fits.
func (m *maker) window(in []int) dag.Window {
	w := dag.Window{
		In: in, Kernel: []int{1, 1}, Stride: []int{1, 1}, Dilation: []int{1, 1},
		Before: []int{0, 0}, After: []int{0, 0}, Extra: []int{0, 0},
	}
	for d := range in {
		w.Before[d], w.After[d] = m.pick("before", 2), m.pick("after", 2)
		w.Kernel[d] = 1 + m.pick("kernel", min(3, in[d]))
		w.Stride[d] = 1 + m.pick("stride", 2)
		if w.Kernel[d]*2-1 <= in[d] {
			w.Dilation[d] = 1 + m.pick("dilation", 2)
		}
	}
	return w
}

func (m *maker) conv(in int) {
	if !m.spatial(in) {
		m.layer(in)
		return
	}
	shape := m.b.Shape(in)
	groups := 1
	if m.pick("grouped", 3) == 0 {
		groups = shape[0]
	}
	w := m.window(shape[1:])
	c := &dag.Conv{InChannels: shape[0], OutChannels: groups * (1 + m.pick("out channels", 2)), Groups: groups, Window: w}
	if m.pick("transposed", 3) == 0 {
		c.Transposed = true
		w.In = make([]int, len(w.Kernel))
		// The value is the operand of the convolution that it transposes.
		for d, n := range shape[1:] {
			w.Before[d] = min(w.Before[d], w.Dilation[d]*(w.Kernel[d]-1))
			w.After[d] = 0
			w.In[d] = (n-1)*w.Stride[d] + w.Dilation[d]*(w.Kernel[d]-1) + 1 - w.Before[d]
		}
		c.Window = w
	}
	k := append([]int{c.OutChannels, c.InChannels / groups}, w.Kernel...)
	out := w.Out()
	if c.Transposed {
		k[0], k[1] = c.InChannels, c.OutChannels/groups
		out = w.In
	}
	c.W = m.param("kernel", k)
	id := m.add(dag.Node{
		Name: m.name("conv"), Source: "Conv", In: []int{in}, Shape: append([]int{c.OutChannels}, out...),
		Op: &dag.Linear{Map: c, Stages: m.stages(c.OutChannels)},
	})
	if m.pick("activate", 4) > 0 {
		m.relu(id)
	}
}

func (m *maker) pool(in int) {
	shape := m.b.Shape(in)
	if !m.spatial(in) {
		other := m.affine(in, shape[0])
		m.add(dag.Node{Name: m.name("max"), Source: "Max", In: []int{in, other}, Shape: shape, Op: &dag.Pool{}})
		return
	}
	w := m.window(shape[1:])
	for d := range w.In { // a window that holds padding alone has no maximum
		w.Before[d], w.After[d] = min(w.Before[d], w.Kernel[d]-1), 0
		w.Dilation[d] = 1
	}
	out := append([]int{shape[0]}, w.Out()...)
	if m.pick("average", 2) == 0 {
		m.add(dag.Node{
			Name: m.name("max"), Source: "MaxPool", In: []int{in}, Shape: out,
			Op: &dag.Pool{Window: &w, Channels: shape[0]},
		})
		return
	}
	a := &dag.Average{Channels: shape[0], Window: w, Weights: make([]float64, dag.Size(w.Out()))}
	for i := range a.Weights {
		a.Weights[i] = 1 / float64(dag.Size(w.Kernel))
	}
	m.add(dag.Node{Name: m.name("avg"), Source: "AveragePool", In: []int{in}, Shape: out, Op: &dag.Linear{Map: a}})
}

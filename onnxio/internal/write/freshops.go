package write

import (
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// node writes the operators of one node.
func (g *fresh) node(nd *dag.Node) error {
	g.current = nd
	if nd.Len() == 0 {
		return fmt.Errorf("its value of shape %v has no elements", nd.Shape)
	}
	switch op := nd.Op.(type) {
	case dag.Input:
		return nil
	case *dag.Linear:
		return g.linear(nd, op)
	case *dag.Activation:
		g.activation(nd, op)
	case *dag.Add:
		g.add(nd, op)
	case *dag.Concat:
		in := make([]string, len(nd.In))
		for k, j := range nd.In {
			in[k] = g.operand(nd, k, g.net.Nodes[j].Len())
		}
		g.done(g.emit("Concat", in, attrInt("axis", 1)), []int{nd.Len()})
	case *dag.Select:
		g.selection(nd, op)
	case *dag.Pool:
		return g.pool(nd, op)
	default:
		return fmt.Errorf("a new file has no operator for it: %s", dag.Describe(nd))
	}
	return nil
}

func (g *fresh) activation(nd *dag.Node, a *dag.Activation) {
	v := g.operand(nd, 0, nd.Shape...)
	switch s := a.Slope[0]; {
	case a.Param != nil && a.Index == nil && a.Param.Param.Len() == nd.Len():
		v = g.emit("PRelu", []string{v, g.param(a.Param.Param, nd.Shape)})
	case a.Param != nil && a.Index == nil:
		v = g.emit("PRelu", []string{v, g.param(a.Param.Param, []int{1})})
	case len(a.Slope) > 1:
		v = g.emit("PRelu", []string{v, g.numbers(nd.Shape, a.Slope...)})
	case s == 0:
		v = g.emit("Relu", []string{v})
	case s == 1:
		v = g.emit("Identity", []string{v})
	case s == -1:
		v = g.emit("Abs", []string{v})
	case float64(float32(s)) == s:
		v = g.emit("LeakyRelu", []string{v}, wire.Attribute{Name: "alpha", Type: wire.AttrFloat, F: float32(s)})
	default:
		// The attribute has float32 alone.
		v = g.emit("PRelu", []string{v, g.numbers([]int{1}, s)})
	}
	g.done(v, nd.Shape)
}

// add writes a sum. A constant operand broadcasts to the batch.
func (g *fresh) add(nd *dag.Node, a *dag.Add) {
	all := true
	for _, j := range nd.In {
		all = all && g.constant[j]
	}
	in := make([]string, len(nd.In))
	for k, j := range nd.In {
		if g.constant[j] && !all {
			in[k] = g.view(g.value[j], g.net.Nodes[j].Shape, nd.Shape)
		} else {
			in[k] = g.operand(nd, k, nd.Shape...)
		}
	}
	v := in[0]
	if a.Weight(0) < 0 {
		v = g.emit("Neg", []string{v})
	} else if len(in) == 1 {
		v = g.emit("Identity", []string{v})
	}
	for k := 1; k < len(in); k++ {
		op := "Add"
		if a.Weight(k) < 0 {
			op = "Sub"
		}
		v = g.emit(op, []string{v, in[k]})
	}
	g.done(v, nd.Shape)
}

// selection writes a reindexing: a Gather of the flat value, behind which a
// zero is put where there is padding.
func (g *fresh) selection(nd *dag.Node, s *dag.Select) {
	if s.Index == nil {
		v := g.operand(nd, 0, nd.Shape...)
		if v == g.value[nd.In[0]] {
			v = g.emit("Identity", []string{v})
		}
		g.done(v, nd.Shape)
		return
	}
	n := g.net.Nodes[nd.In[0]].Len()
	v := g.operand(nd, 0, n)
	if slices.Contains(s.Index, -1) {
		v = g.emit("Pad", []string{v, g.ints(0, 0, 0, 1)})
	}
	index := make([]int64, len(s.Index))
	for i, j := range s.Index {
		index[i] = int64(j)
		if j < 0 {
			index[i] = int64(n)
		}
	}
	g.done(g.emit("Gather", []string{v, g.ints(index...)}, attrInt("axis", 1)), []int{nd.Len()})
}

func (g *fresh) pool(nd *dag.Node, p *dag.Pool) error {
	if p.Window == nil {
		in := make([]string, len(nd.In))
		for k := range nd.In {
			in[k] = g.operand(nd, k, nd.Shape...)
		}
		g.done(g.emit("Max", in), nd.Shape)
		return nil
	}
	v, attr, err := g.window(nd, p.Channels, p.Window)
	if err != nil {
		return err
	}
	v = g.emit("MaxPool", []string{v}, append(attr, attrInts("dilations", p.Window.Dilation...))...)
	g.done(v, append([]int{p.Channels}, p.Window.Out()...))
	return nil
}

// window returns the operand as batch, channels and space, and the attributes
// of a sliding window; negative padding crops the operand first.
func (g *fresh) window(nd *dag.Node, channels int, w *dag.Window) (string, []wire.Attribute, error) {
	if len(w.In) == 0 {
		return "", nil, fmt.Errorf("its window has no dimensions")
	}
	v := g.operand(nd, 0, append([]int{channels}, w.In...)...)
	d := len(w.In)
	pads := make([]int, 2*d)
	starts, ends, axes := make([]int64, d), make([]int64, d), make([]int64, d)
	crop := false
	in := slices.Clone(w.In)
	for i := range d {
		pads[i], pads[d+i] = max(w.Before[i], 0), max(w.After[i], 0)
		starts[i], ends[i], axes[i] = int64(max(-w.Before[i], 0)), int64(w.In[i]-max(-w.After[i], 0)), int64(i+2)
		in[i] = int(ends[i] - starts[i])
		crop = crop || w.Before[i] < 0 || w.After[i] < 0
	}
	if crop {
		v = g.emit("Slice", []string{v, g.ints(starts...), g.ints(ends...), g.ints(axes...)})
	}
	attr := []wire.Attribute{attrInts("kernel_shape", w.Kernel...), attrInts("strides", w.Stride...), attrInts("pads", pads...)}
	if slices.ContainsFunc(w.Extra, func(x int) bool { return x > 0 }) {
		attr = append(attr, attrInt("ceil_mode", 1))
		for i, o := range w.Out() {
			room := in[i] + pads[i] + pads[d+i] - w.Extent(i)
			if o != (room+w.Stride[i]-1)/w.Stride[i]+1 {
				return "", nil, fmt.Errorf("the window %v makes %v positions, with ceil_mode in some dimensions only", w.Kernel, w.Out())
			}
		}
	}
	return v, attr, nil
}

// linear writes a map and its stages.
func (g *fresh) linear(nd *dag.Node, l *dag.Linear) error {
	if l.Map == nil {
		g.constant[nd.ID] = true
		g.value[nd.ID] = g.constantValue(nd, l)
		return nil
	}
	out := l.Map.Out()
	stages := l.Stages
	// bias is the first stage where the map's operator can add it.
	bias := func() []string {
		if len(stages) == 0 || stages[0].Mul != nil || stages[0].Norm != nil {
			return nil
		}
		v := stages[0].Add
		if v.Param == nil || v.Index != nil || v.Inverse || v.Coef != 1 || v.Param.Len() != out.N {
			return nil
		}
		stages = stages[1:]
		return []string{g.param(v.Param, []int{out.N})}
	}
	var v string
	var shape []int
	switch m := l.Map.(type) {
	case *dag.Dense:
		v, shape = g.dense(nd, m, bias)
	case *dag.Conv:
		var err error
		if v, err = g.conv(nd, m, bias); err != nil {
			return err
		}
		shape = nd.Shape
		if len(shape) < 2 || shape[0] != out.N {
			shape = []int{out.N, out.Inner}
			v = g.emit("Reshape", []string{v, g.ints(0, int64(out.N), int64(out.Inner))})
		}
	case *dag.Average:
		var err error
		if v, shape, err = g.average(nd, m); err != nil {
			return err
		}
	case *dag.Diagonal:
		shape = axisShape(out)
		v = g.operand(nd, 0, shape...)
		if len(stages) == 0 {
			v = g.emit("Identity", []string{v})
		}
	default:
		return fmt.Errorf("unknown map %T", m)
	}
	to := axisShape(out)
	v = g.view(v, shape, to)
	for i := range stages {
		v = g.stage(v, &stages[i], out)
	}
	g.done(v, to)
	return nil
}

// axisShape is the shape (outer, n, inner) without needless ones.
func axisShape(a dag.Axis) []int {
	switch {
	case a.Outer == 1 && a.Inner == 1:
		return []int{a.N}
	case a.Outer == 1:
		return []int{a.N, a.Inner}
	case a.Inner == 1:
		return []int{a.Outer, a.N}
	}
	return []int{a.Outer, a.N, a.Inner}
}

// constantValue returns the initializer of a layer without operand, of shape 1
// and Node.Shape.
func (g *fresh) constantValue(nd *dag.Node, l *dag.Linear) string {
	dims := append([]int{1}, nd.Shape...)
	if len(l.Stages) == 1 && l.Stages[0].Mul == nil && l.Stages[0].Norm == nil {
		if v := l.Stages[0].Add; v.Param != nil && v.Index == nil && v.Coef == 1 && !v.Inverse && v.Param.Len() == l.Units {
			return g.param(v.Param, dims)
		}
	}
	b := l.Bias()
	if b == nil {
		b = make([]float64, l.Units)
	}
	return g.numbers(dims, b...)
}

func (g *fresh) dense(nd *dag.Node, m *dag.Dense, bias func() []string) (v string, shape []int) {
	in, out := m.In(), m.Out()
	dims := []int{m.Rows, m.Cols}
	if m.InOut {
		dims = []int{m.Cols, m.Rows}
	}
	w := g.param(m.W.Param, dims)
	if in.Outer == 1 && in.Inner == 1 {
		args := []string{g.operand(nd, 0, in.N), w}
		args = append(args, bias()...)
		trans := 1
		if m.InOut {
			trans = 0
		}
		return g.emit("Gemm", args, attrInt("transB", trans)), []int{out.N}
	}
	// The weight stands on the side of the axis that it works on.
	left := in.Inner > 1
	if left == m.InOut {
		w = g.emit("Transpose", []string{w}, attrInts("perm", 1, 0))
	}
	if left {
		return g.emit("MatMul", []string{w, g.operand(nd, 0, in.Outer, in.N, in.Inner)}), []int{out.Outer, out.N, out.Inner}
	}
	return g.emit("MatMul", []string{g.operand(nd, 0, in.Outer, in.N), w}), []int{out.Outer, out.N}
}

func (g *fresh) conv(nd *dag.Node, m *dag.Conv, bias func() []string) (string, error) {
	w := &m.Window
	first, second := m.OutChannels, m.InChannels/m.Groups
	if m.Transposed {
		first, second = m.InChannels, m.OutChannels/m.Groups
	}
	weight := g.param(m.W.Param, append([]int{first, second}, w.Kernel...))
	common := []wire.Attribute{attrInt("group", m.Groups), attrInts("dilations", w.Dilation...)}
	if !m.Transposed {
		v, attr, err := g.window(nd, m.InChannels, w)
		if err != nil {
			return "", err
		}
		if slices.ContainsFunc(w.Extra, func(x int) bool { return x > 0 }) {
			return "", fmt.Errorf("a convolution with positions beyond its padding")
		}
		return g.emit("Conv", append([]string{v, weight}, bias()...), append(common, attr...)...), nil
	}
	out := w.Out()
	extra := make([]int, len(out))
	for i := range out {
		if w.Before[i] < 0 || w.After[i] < 0 {
			return "", fmt.Errorf("a transposed convolution with negative padding")
		}
		extra[i] = w.In[i] + w.After[i] - w.End(i, out[i])
	}
	v := g.operand(nd, 0, append([]int{m.InChannels}, out...)...)
	attr := append(common, attrInts("kernel_shape", w.Kernel...), attrInts("strides", w.Stride...),
		attrInts("pads", append(slices.Clone(w.Before), w.After...)...), attrInts("output_padding", extra...))
	return g.emit("ConvTranspose", append([]string{v, weight}, bias()...), attr...), nil
}

// average writes AveragePool, times a number where the weights are a multiple
// of its own.
func (g *fresh) average(nd *dag.Node, m *dag.Average) (string, []int, error) {
	w := m.Window
	if len(w.In) == 0 {
		w = dag.NewWindow([]int{1}, []int{1})
	}
	if slices.ContainsFunc(w.Dilation, func(d int) bool { return d != 1 }) {
		return "", nil, fmt.Errorf("average pooling with dilations, which opset %d does not have", freshOpset)
	}
	taps := make([]float64, dag.Size(w.Out()))
	w.Taps(func(out, _, _ int) { taps[out]++ })
	if o := slices.Index(taps, 0); o >= 0 {
		return "", nil, fmt.Errorf("average pooling of a window inside the padding (position %d)", o)
	}
	factor := func(count func(o int) float64) (c float64, ok bool) {
		c = m.Weights[0] * count(0)
		for o, x := range m.Weights {
			if math.Abs(x*count(o)-c) > 1e-12*math.Abs(c) {
				return 0, false
			}
		}
		return c, true
	}
	size := float64(dag.Size(w.Kernel))
	include := 0
	c, ok := factor(func(o int) float64 { return taps[o] })
	if !ok {
		include = 1
		c, ok = factor(func(int) float64 { return size })
	}
	if !ok {
		return "", nil, fmt.Errorf("average pooling with weights of its own at each position")
	}
	v, attr, err := g.window(nd, m.Channels, &w)
	if err != nil {
		return "", nil, err
	}
	v = g.emit("AveragePool", []string{v}, append(attr, attrInt("count_include_pad", include))...)
	if math.Abs(c-1) > 1e-12 {
		v = g.emit("Mul", []string{v, g.numbers(nil, c)})
	}
	return v, append([]int{m.Channels}, w.Out()...), nil
}

// stage writes one stage of a layer whose value has the shape axisShape(a).
func (g *fresh) stage(v string, s *dag.Stage, a dag.Axis) string {
	if s.Norm != nil {
		v = g.norm(v, s.Norm, a)
	}
	if m := s.Mul; m != nil {
		switch {
		case m.Param == nil:
			v = g.emit("Mul", []string{v, g.numbers(nil, m.Coef)})
		case m.Coef == 1 && m.Inverse:
			v = g.emit("Div", []string{v, g.vector(m, a)})
		case m.Coef == 1:
			v = g.emit("Mul", []string{v, g.vector(m, a)})
		default:
			op := "Mul"
			if m.Inverse {
				op = "Div"
			}
			v = g.emit(op, []string{g.emit("Mul", []string{v, g.numbers(nil, m.Coef)}), g.vector(m, a)})
		}
	}
	if b := s.Add; b != nil {
		switch {
		case b.Param == nil:
			v = g.emit("Add", []string{v, g.numbers(nil, b.Coef)})
		case b.Coef == 1 && !b.Inverse:
			v = g.emit("Add", []string{v, g.vector(b, a)})
		case b.Coef == -1 && !b.Inverse:
			v = g.emit("Sub", []string{v, g.vector(b, a)})
		default:
			sum := make([]float64, a.N)
			for i := range sum {
				sum[i] = b.At(i)
			}
			v = g.emit("Add", []string{v, g.numbers(unitShape(a), sum...)})
		}
	}
	return v
}

// unitShape is the shape of one number a unit that broadcasts to axisShape(a).
func unitShape(a dag.Axis) []int {
	if a.Inner > 1 {
		return []int{a.N, 1}
	}
	return []int{a.N}
}

// vector returns the initializer of the stored numbers of a vector.
func (g *fresh) vector(v *dag.Vector, a dag.Axis) string {
	switch {
	case v.Index == nil && v.Param.Len() == a.N:
		return g.param(v.Param, unitShape(a))
	case v.Index == nil:
		return g.param(v.Param, nil)
	}
	x := make([]float64, a.N)
	for i, j := range v.Index {
		x[i] = v.Param.At(int(j))
	}
	return g.numbers(unitShape(a), x...)
}

// norm writes BatchNormalization, whose channels are the first axis behind the
// batch.
func (g *fresh) norm(v string, b *dag.BatchNorm, a dag.Axis) string {
	swap := func() {
		perm := []int{0, 2, 1}
		if a.Inner > 1 {
			perm = []int{0, 2, 1, 3}
		}
		v = g.emit("Transpose", []string{v}, attrInts("perm", perm...))
	}
	if a.Outer > 1 {
		swap()
	}
	in := []string{v}
	for _, u := range []dag.Use{b.Gamma, b.Beta, b.Mean, b.Var} {
		in = append(in, g.param(u.Param, []int{a.N}))
	}
	v = g.emit("BatchNormalization", in, wire.Attribute{Name: "epsilon", Type: wire.AttrFloat, F: float32(b.Epsilon)})
	if a.Outer > 1 {
		swap()
	}
	return v
}

package program

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/relupath/relupath/analysis/dag"
)

// Options tells Compile what to train.
type Options struct {
	// Logits is the node whose value feeds the loss; 0 is the only one at which
	// the body ends.
	Logits int
	// Freeze lists nodes whose tensors keep their values.
	Freeze []int
	// Dropout says that activations are followed by dropout.
	Dropout bool
}

// Compile makes the program of a network. Tensors of the preamble are frozen, and
// so are those that cannot be stored or that a layer divides by. Errors: no input or
// several, several values that could be the logits, layers that cannot be trained, of
// which all are listed.
func Compile[T Float](net *dag.Network, opt Options) (*Program[T], error) {
	if len(net.Inputs) != 1 {
		return nil, fmt.Errorf("the network has %d inputs, training wants 1", len(net.Inputs))
	}
	logits := opt.Logits
	if logits == 0 {
		ends := net.Boundary()
		if len(ends) != 1 {
			return nil, fmt.Errorf("the network ends in %d values", len(ends))
		}
		logits = ends[0]
	}
	c := &compiler[T]{
		opt: opt, value: make([]int, len(net.Nodes)), index: map[*dag.Param]int{},
		p: &Program[T]{Net: net, LogitNode: logits},
	}
	needed := ancestors(net, logits)
	for i := range net.Nodes {
		c.value[i] = -1
		if needed[i] {
			c.node(&net.Nodes[i])
		}
	}
	if len(c.early) > 0 {
		c.obstacles = append(c.obstacles, "functions of the inputs are not computed in training: "+listed(c.early)+
			": export the network without them, and give data that went through them")
	}
	if between := net.Functions(); len(between) > 0 {
		var nodes []*dag.Node
		for _, i := range between {
			nodes = append(nodes, &net.Nodes[i])
		}
		c.obstacles = append(c.obstacles, "functions stand between its layers: "+listed(nodes)+
			": a network that is trained is positively homogeneous from its input to its scores; cut the model before the first of them")
	}
	if len(c.obstacles) > 0 {
		return nil, fmt.Errorf("the network cannot be trained: %s", strings.Join(c.obstacles, "; "))
	}
	c.freeze()
	c.unwritable()
	c.p.Logits = c.value[logits]
	if !c.trains() {
		return nil, fmt.Errorf("nothing is left to train: no tensor between the input and the logits may change")
	}
	return c.p, nil
}

// listed names some nodes and counts the rest.
func listed(nodes []*dag.Node) string {
	const shown = 3
	var names []string
	for _, nd := range nodes[:min(shown, len(nodes))] {
		names = append(names, nd.Label())
	}
	s := strings.Join(names, ", ")
	if more := len(nodes) - shown; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

func ancestors(net *dag.Network, of int) []bool {
	need := make([]bool, len(net.Nodes))
	need[of] = true
	for i := of; i >= 0; i-- {
		if need[i] {
			for _, j := range net.Nodes[i].In {
				need[j] = true
			}
		}
	}
	return need
}

type compiler[T Float] struct {
	opt       Options
	p         *Program[T]
	value     []int // of each node
	index     map[*dag.Param]int
	obstacles []string
	early     []*dag.Node // functions of the inputs
}

// newValue adds a value of a node.
func (c *compiler[T]) newValue(nd *dag.Node) int {
	c.p.Values = append(c.p.Values, Value{Len: nd.Len(), Node: nd.ID})
	return len(c.p.Values) - 1
}

func (c *compiler[T]) add(op Op) { c.p.Ops = append(c.p.Ops, op) }

// tensor returns the number of a stored tensor, read at its first use.
func (c *compiler[T]) tensor(p *dag.Param) int {
	t, ok := c.index[p]
	if !ok {
		t = len(c.p.Tensors)
		c.index[p] = t
		x := &Tensor[T]{Param: p, Data: make([]T, p.Len())}
		load(x.Data, p)
		if p.Storage == dag.Unwritable {
			x.Frozen = true
		}
		c.p.Tensors = append(c.p.Tensors, x)
	}
	c.p.Tensors[t].Uses++
	return t
}

func load[T Float](dst []T, p *dag.Param) {
	if f := p.Float64s(); f != nil {
		for i, v := range f {
			dst[i] = T(v)
		}
		return
	}
	for i, v := range p.Float32s() {
		dst[i] = T(v)
	}
}

func (c *compiler[T]) warn(format string, args ...any) {
	if s := fmt.Sprintf(format, args...); !slices.Contains(c.p.Warnings, s) {
		c.p.Warnings = append(c.p.Warnings, s)
	}
}

func (c *compiler[T]) refuse(nd *dag.Node, format string, args ...any) {
	c.obstacles = append(c.obstacles, nd.Label()+": "+fmt.Sprintf(format, args...))
}

func (c *compiler[T]) node(nd *dag.Node) {
	in := make([]int, len(nd.In))
	for k, j := range nd.In {
		in[k] = c.value[j]
	}
	same := func() { c.value[nd.ID] = in[0] }
	switch op := nd.Op.(type) {
	case dag.Input:
		c.value[nd.ID] = c.newValue(nd)
		c.p.Input = c.value[nd.ID]
		return
	case *dag.Linear:
		c.linear(nd, op, in)
		if nd.Zone == dag.Preamble {
			for _, u := range nd.Uses() {
				c.p.Tensors[c.tensor(u.Param)].Frozen = true
			}
		}
		return
	case *dag.Activation:
		if op.Identity() && op.Param == nil {
			same()
			return
		}
		c.activation(nd, op, in[0])
		return
	case *dag.Select:
		if op.Index == nil {
			same()
			return
		}
		c.add(&Select{unary{in[0], c.newValue(nd)}, op.Index})
	case *dag.Add:
		sign := op.Sign
		if sign == nil {
			sign = make([]float64, len(in))
			for k := range sign {
				sign[k] = 1
			}
		}
		c.add(&Sum{in, sign, c.newValue(nd)})
	case *dag.Concat:
		c.add(&Concat{in, c.newValue(nd)})
	case *dag.Pool:
		o := &Pool{X: in, Y: c.newValue(nd)}
		if w := op.Window; w != nil {
			o.Channels, o.OutLen, o.InLen = op.Channels, dag.Size(w.Out()), dag.Size(w.In)
			o.Start, o.At = windows(w)
		}
		c.add(o)
	case *dag.Cap:
		c.refuse(nd, "training through a bounded activation is not supported: a ReLU in its place can be trained")
		c.value[nd.ID] = c.newValue(nd)
		return
	case *dag.Func:
		if nd.Zone == dag.Preamble {
			c.early = append(c.early, nd)
		}
		c.value[nd.ID] = c.newValue(nd)
		return
	default:
		panic(fmt.Sprintf("program: %s is of an unknown kind", nd.Label()))
	}
	c.value[nd.ID] = len(c.p.Values) - 1
}

// windows lists the operand's positions that each output position reads: those
// of output o are at[start[o]:start[o+1]].
func windows(w *dag.Window) (start, at []int32) {
	next := make([]int32, dag.Size(w.Out())+1)
	w.Taps(func(out, _, _ int) { next[out+1]++ })
	for o := 1; o < len(next); o++ {
		next[o] += next[o-1]
	}
	start = slices.Clone(next)
	at = make([]int32, start[len(start)-1])
	w.Taps(func(out, in, _ int) {
		at[next[out]] = int32(in)
		next[out]++
	})
	return start, at
}

func (c *compiler[T]) activation(nd *dag.Node, op *dag.Activation, in int) {
	v := Vector{Tensor: -1, Coef: op.Slope, Axis: dag.Axis{Outer: 1, N: nd.Len(), Inner: 1}}
	if len(op.Slope) == 1 {
		v.Axis = dag.Axis{Outer: 1, N: 1, Inner: nd.Len()}
	}
	if op.Param != nil {
		v.Tensor = c.tensor(op.Param.Param)
		v.Coef, v.Index = []float64{1}, op.Index
		c.p.Tensors[v.Tensor].Slope = true
	}
	c.value[nd.ID] = c.newValue(nd)
	c.add(&Activate{unary: unary{in, c.value[nd.ID]}, V: v, Drop: c.opt.Dropout && nd.ID != c.p.LogitNode})
}

func (c *compiler[T]) linear(nd *dag.Node, l *dag.Linear, in []int) {
	var v int
	if l.Map == nil {
		v = c.newValue(nd)
		c.add(&Constant{v})
	} else {
		v = c.mapped(nd, l.Map, in[0])
	}
	axis := l.Out()
	shift := func(vec Vector) {
		y := c.newValue(nd)
		c.add(&Shift{unary{v, y}, vec})
		v = y
	}
	scale := func(vec Vector) {
		y := c.newValue(nd)
		c.add(&Scale{unary{v, y}, vec})
		v = y
	}
	for _, s := range l.Stages {
		if b := s.Norm; b != nil {
			mean, rate := make([]float64, axis.N), make([]float64, axis.N)
			for i := range mean {
				mean[i] = -b.Mean.Param.At(i)
				rate[i] = 1 / math.Sqrt(b.Var.Param.At(i)+b.Epsilon)
			}
			// A tensor that also serves as a statistic keeps its values everywhere.
			c.p.Tensors[c.tensor(b.Mean.Param)].Frozen = true
			c.p.Tensors[c.tensor(b.Var.Param)].Frozen = true
			shift(Vector{Tensor: -1, Coef: mean, Axis: axis})
			scale(Vector{Tensor: c.tensor(b.Gamma.Param), Coef: rate, Axis: axis})
			shift(Vector{Tensor: c.tensor(b.Beta.Param), Coef: []float64{1}, Axis: axis})
		}
		if s.Mul != nil {
			scale(c.vector(nd, s.Mul, axis))
		}
		if s.Add != nil {
			shift(c.vector(nd, s.Add, axis))
		}
	}
	c.value[nd.ID] = v
}

// vector converts a stage's vector; one that is divided by is a constant.
func (c *compiler[T]) vector(nd *dag.Node, v *dag.Vector, axis dag.Axis) Vector {
	if v.Param == nil {
		return Vector{Tensor: -1, Coef: []float64{v.Coef}, Axis: axis}
	}
	if v.Inverse {
		coef := make([]float64, axis.N)
		for i := range coef {
			coef[i] = v.At(i)
		}
		c.p.Tensors[c.tensor(v.Param)].Frozen = true
		if nd.Zone == dag.Body {
			c.warn("%q of %s keeps its values: the layer divides by it", v.Param.Name, nd.Label())
		}
		return Vector{Tensor: -1, Coef: coef, Axis: axis}
	}
	return Vector{Tensor: c.tensor(v.Param), Index: v.Index, Coef: []float64{v.Coef}, Axis: axis}
}

// mapped adds the product of a linear layer and returns its value.
func (c *compiler[T]) mapped(nd *dag.Node, m dag.Map, x int) int {
	switch m := m.(type) {
	case *dag.Diagonal:
		return x
	case *dag.Dense:
		y := c.newValue(nd)
		c.add(&Dense{unary{x, y}, c.tensor(m.W.Param), m.Rows, m.Cols, m.Out().Outer, m.Out().Inner, m.InOut})
		return y
	case *dag.Average:
		y := c.newValue(nd)
		o := &Average{
			unary: unary{x, y}, Channels: m.Channels, OutLen: dag.Size(m.Window.Out()),
			InLen: dag.Size(m.Window.In), Weight: m.Weights,
		}
		o.Start, o.At = windows(&m.Window)
		c.add(o)
		return y
	case *dag.Conv:
		y := c.newValue(nd)
		if m.Transposed {
			c.refuse(nd, "training of %s is not supported", transposedBy(nd))
			return y
		}
		o := &Conv{
			unary: unary{x, y}, W: c.tensor(m.W.Param), Groups: m.Groups, Out: m.OutChannels / m.Groups,
			In: m.InChannels / m.Groups, Kernel: dag.Size(m.Window.Kernel), OutLen: dag.Size(m.Window.Out()), InLen: dag.Size(m.Window.In),
			Window: &m.Window,
		}
		o.Table = make([]int32, o.Kernel*o.OutLen)
		for i := range o.Table {
			o.Table[i] = -1
		}
		m.Window.Taps(func(out, in, k int) { o.Table[k*o.OutLen+out] = int32(in) })
		c.add(o)
		return y
	}
	c.refuse(nd, "its map cannot be differentiated")
	return c.newValue(nd)
}

// transposedBy names what an operator of the file does that is lowered to a
// transposed convolution.
func transposedBy(nd *dag.Node) string {
	if strings.Contains(nd.Source, "MatMul") {
		return "a product with a stack of matrices, one for each part of its operand,"
	}
	return "a transposed convolution"
}

// unwritable warns, once each, of tensors of the body that would be trained if they could be
// stored; those of the preamble and of frozen layers keep their values anyway.
func (c *compiler[T]) unwritable() {
	for i := range c.p.Net.Nodes {
		nd := &c.p.Net.Nodes[i]
		if nd.Zone != dag.Body || slices.Contains(c.opt.Freeze, i) {
			continue
		}
		for _, u := range c.p.Net.Nodes[i].Uses() {
			if _, ok := c.index[u.Param]; !ok || u.Param.Storage != dag.Unwritable {
				continue
			}
			what := fmt.Sprintf("%q", u.Param.Name)
			if u.Param.Name == "" {
				what = "a tensor without a name"
			}
			c.warn("%s of %s keeps its values, it cannot be stored: %s", what, nd.Label(), u.Param.Reason)
		}
	}
}

// freeze marks the tensors of nodes. A tensor that another layer shares is frozen
// there too.
func (c *compiler[T]) freeze() {
	for _, i := range c.opt.Freeze {
		for _, u := range c.p.Net.Nodes[i].Uses() {
			if t, ok := c.index[u.Param]; ok {
				c.p.Tensors[t].Frozen = true
			}
		}
	}
}

func (c *compiler[T]) trains() bool {
	return slices.ContainsFunc(c.p.Tensors, func(t *Tensor[T]) bool { return !t.Frozen })
}

// Network returns the network with the values in data, one slice a tensor, or
// with the live ones where data is nil. It keeps a view of values of the stored
// type: they must not change any more while the network is used.
func (p *Program[T]) Network(data [][]T) *dag.Network {
	made := map[*dag.Param]*dag.Param{}
	for k, t := range p.Tensors {
		d := t.Data
		if data != nil {
			d = data[k]
		}
		if t.Frozen {
			continue
		}
		if f, ok := any(d).([]float32); ok && t.Param.Type == dag.Float32 {
			made[t.Param] = t.Param.WithFloat32s(f)
			continue
		}
		v := make([]float64, len(d))
		for i, x := range d {
			v[i] = float64(x)
		}
		made[t.Param] = t.Param.WithValues(nil, v)
	}
	return p.Net.Replace(func(u *dag.Use) *dag.Param {
		if q := made[u.Param]; q != nil {
			return q
		}
		return u.Param
	})
}

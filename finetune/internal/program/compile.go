package program

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
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
// so are those that cannot be stored, that are made of shapes or that a layer divides by. Errors: no input or
// several, several values that could be the logits, logits that do not depend on the input, layers that cannot be trained, for
// each reason the first of them and how many there are.
func Compile[T Float](net *dag.Network, opt Options) (*Program[T], error) {
	if len(net.Inputs) != 1 {
		return nil, fmt.Errorf("the network has %s, training wants 1", words.Count(len(net.Inputs), "input"))
	}
	logits := opt.Logits
	if logits == 0 {
		ends := net.Boundary()
		if len(ends) != 1 {
			return nil, fmt.Errorf("the network ends in %s", words.Count(len(ends), "value"))
		}
		logits = ends[0]
	}
	c := &compiler[T]{
		opt: opt, index: map[*dag.Param]int{},
		p: &Program[T]{Net: net, LogitNode: logits},
	}
	needed := ancestors(net, logits)
	if !needed[net.Inputs[0].Node] {
		return nil, fmt.Errorf("the network cannot be trained: %s is the same for every example: it does not depend on the input %q",
			net.Nodes[logits].Label(), net.Inputs[0].Name)
	}
	values := dag.Forward(net, c, func(nd *dag.Node) bool { return !needed[nd.ID] }, nil)
	var obstacles []string
	for _, r := range c.refused {
		obstacles = append(obstacles, listed(r.nodes)+": "+r.why)
	}
	if len(c.early) > 0 {
		obstacles = append(obstacles, "functions of the inputs are not computed in training: "+listed(c.early)+
			": export the network without them, and give data that went through them")
	}
	if between := net.Functions(); len(between) > 0 {
		var nodes []*dag.Node
		for _, i := range between {
			nodes = append(nodes, &net.Nodes[i])
		}
		obstacles = append(obstacles, "functions stand between its layers: "+listed(nodes)+
			": a network that is trained is positively homogeneous from its input to its scores; cut the model before the first of them")
	}
	if len(obstacles) > 0 {
		return nil, fmt.Errorf("the network cannot be trained: %s", strings.Join(obstacles, "; "))
	}
	c.freeze()
	c.unwritable()
	c.p.Logits = values[logits]
	if !slices.ContainsFunc(c.p.Tensors, func(t *Tensor[T]) bool { return !t.Frozen }) {
		return nil, fmt.Errorf("nothing is left to train: no tensor between the input and the logits may change")
	}
	return c.p, nil
}

// listed names some nodes and counts the rest.
func listed(nodes []*dag.Node) string {
	names := make([]string, len(nodes))
	for i, nd := range nodes {
		names[i] = nd.Label()
	}
	return words.Some(names, 3)
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

// compiler is the dag.Meaning of a network in which a node's value is a value of the program.
type compiler[T Float] struct {
	opt     Options
	p       *Program[T]
	index   map[*dag.Param]int
	refused []refusal
	early   []*dag.Node // functions of the inputs
}

// refusal is a reason why nodes cannot be trained.
type refusal struct {
	why   string
	nodes []*dag.Node
}

// newValue adds a value of a node.
func (c *compiler[T]) newValue(nd *dag.Node) int {
	c.p.Values = append(c.p.Values, Value{Len: nd.Len(), Node: nd.ID})
	return len(c.p.Values) - 1
}

// add adds an operation and returns its result.
func (c *compiler[T]) add(op Op) int {
	c.p.Ops = append(c.p.Ops, op)
	return op.Result()
}

// tensor returns the number of a stored tensor, read at its first use.
func (c *compiler[T]) tensor(p *dag.Param) int {
	t, ok := c.index[p]
	if !ok {
		t = len(c.p.Tensors)
		c.index[p] = t
		x := &Tensor[T]{Param: p, Frozen: p.Storage == dag.Unwritable || p.Made}
		if f := p.Float64s(); f != nil {
			x.Data = lists.Convert[T](f)
		} else {
			x.Data = lists.Convert[T](p.Float32s())
		}
		c.p.Tensors = append(c.p.Tensors, x)
	}
	c.p.Tensors[t].Uses++
	return t
}

func (c *compiler[T]) warn(format string, args ...any) {
	if s := fmt.Sprintf(format, args...); !slices.Contains(c.p.Warnings, s) {
		c.p.Warnings = append(c.p.Warnings, s)
	}
}

func (c *compiler[T]) refuse(nd *dag.Node, format string, args ...any) {
	why := fmt.Sprintf(format, args...)
	i := slices.IndexFunc(c.refused, func(r refusal) bool { return r.why == why })
	if i < 0 {
		i = len(c.refused)
		c.refused = append(c.refused, refusal{why: why})
	}
	c.refused[i].nodes = append(c.refused[i].nodes, nd)
}

func (c *compiler[T]) Input(nd *dag.Node) int {
	c.p.Input = c.newValue(nd)
	return c.p.Input
}

func (c *compiler[T]) Select(nd, _ *dag.Node, index []int32, x int) int {
	t := Taps{Channels: 1, OutLen: len(index), InLen: c.p.Values[x].Len, Start: make([]int32, 1, len(index)+1)}
	for _, at := range index {
		if at >= 0 {
			t.At = append(t.At, at)
		}
		t.Start = append(t.Start, int32(len(t.At)))
	}
	return c.add(&Average{unary: unary{x, c.newValue(nd)}, Taps: t})
}

func (c *compiler[T]) Concat(nd *dag.Node, xs []int) int {
	return c.add(&Concat{nary{xs, c.newValue(nd)}})
}

func (c *compiler[T]) Join(nd *dag.Node, xs []int) int {
	o := nary{xs, c.newValue(nd)}
	a, sum := nd.Op.(*dag.Add)
	if !sum {
		return c.add(&Pool{nary: o})
	}
	sign := make([]float64, len(xs))
	for k := range sign {
		sign[k] = a.Weight(k)
	}
	return c.add(&Sum{o, sign})
}

func (c *compiler[T]) Pool(nd *dag.Node, p *dag.Pool, x int) int {
	o := &Pool{nary: nary{[]int{x}, c.newValue(nd)}, Taps: tapsOf(p.Window, p.Channels)}
	return c.add(o)
}

func (c *compiler[T]) Func(nd *dag.Node, _ *dag.Func, _ []int) int {
	if nd.Zone == dag.Preamble {
		c.early = append(c.early, nd)
	}
	return c.newValue(nd)
}

// tapsOf lists the taps of a window.
func tapsOf(w *dag.Window, channels int) Taps {
	next := make([]int32, dag.Size(w.Out())+1)
	w.Taps(func(out, _, _ int) { next[out+1]++ })
	for o := 1; o < len(next); o++ {
		next[o] += next[o-1]
	}
	start := slices.Clone(next)
	at := make([]int32, start[len(start)-1])
	w.Taps(func(out, in, _ int) {
		at[next[out]] = int32(in)
		next[out]++
	})
	return Taps{channels, dag.Size(w.Out()), dag.Size(w.In), start, at}
}

func (c *compiler[T]) Unary(nd *dag.Node, u dag.Unary, in int) int {
	op, ok := u.(*dag.Activation)
	if !ok {
		c.refuse(nd, "training through a bounded activation is not supported: a ReLU in its place can be trained")
		return c.newValue(nd)
	}
	if op.Identity() && op.Param == nil {
		return in
	}
	v := Vector{Tensor: -1, Coef: op.Slope, Axis: dag.Axis{Outer: 1, N: nd.Len(), Inner: 1}}
	if len(op.Slope) == 1 {
		v.Axis = dag.Axis{Outer: 1, N: 1, Inner: nd.Len()}
	}
	if op.Param != nil {
		v.Tensor = c.tensor(op.Param.Param)
		v.Coef, v.Index = []float64{1}, op.Index
		c.p.Tensors[v.Tensor].Slope = true
	}
	return c.add(&Activate{unitwise: unitwise{unary{in, c.newValue(nd)}, v}, Drop: c.opt.Dropout && nd.ID != c.p.LogitNode})
}

func (c *compiler[T]) Linear(nd *dag.Node, l *dag.Linear, x int) int {
	v := x
	if l.Map == nil {
		v = c.add(&Constant{nary{nil, c.newValue(nd)}})
	} else {
		v = c.mapped(nd, l.Map, x)
	}
	axis := l.Out()
	shift := func(vec Vector) { v = c.add(&Shift{unitwise{unary{v, c.newValue(nd)}, vec}}) }
	scale := func(vec Vector) { v = c.add(&Scale{unitwise{unary{v, c.newValue(nd)}, vec}}) }
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
	if nd.Zone == dag.Preamble {
		for _, u := range nd.Uses() {
			c.p.Tensors[c.tensor(u.Param)].Frozen = true
		}
	}
	return v
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
		return c.add(&Dense{unary{x, c.newValue(nd)}, c.tensor(m.W.Param), m.Rows, m.Cols, m.Out().Outer, m.Out().Inner, m.InOut})
	case *dag.Average:
		return c.add(&Average{unary{x, c.newValue(nd)}, tapsOf(&m.Window, m.Channels), m.Weights})
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
		return c.add(o)
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
		made[t.Param] = t.Param.WithValues(nil, lists.Convert[float64](d))
	}
	return p.Net.Replace(func(u *dag.Use) *dag.Param {
		if q := made[u.Param]; q != nil {
			return q
		}
		return u.Param
	})
}

package rescale_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/analysis/rescale"
)

// writer writes a network in another form of the same function, as another
// exporter could: every choice is random.
type writer struct {
	b   dag.Builder
	rng *rand.Rand
}

func (w *writer) shape(id int) []int { return w.b.Shape(id) }

func (w *writer) node(source string, shape []int, op dag.Op, in ...int) int {
	return w.b.Node(dag.Node{Source: source, In: in, Shape: shape, Op: op})
}

// linear adds a layer.
func (w *writer) linear(in int, shape []int, m dag.Map, stages ...dag.Stage) int {
	return w.node("Linear", shape, &dag.Linear{Map: m, Stages: stages}, in)
}

// shuffled reads a value in another order and brings it back with f between.
func (w *writer) shuffled(in int, f func(in int) int) int {
	if w.rng.IntN(2) == 0 {
		return f(in)
	}
	shape := w.shape(in)
	n := dag.Size(shape)
	there, back := make([]int32, n), make([]int32, n)
	for e, j := range w.rng.Perm(n) {
		there[e], back[j] = int32(j), int32(e)
	}
	out := f(w.node("Transpose", []int{n}, &dag.Select{Index: there}, in))
	return w.node("Transpose", shape, &dag.Select{Index: back}, out)
}

func use(name string, shape []int, v []float64) dag.Use {
	return dag.Use{Param: dag.NewParam64(name, shape, v)}
}

func numbers(v []float64) *dag.Vector {
	return &dag.Vector{Use: use("v", []int{len(v)}, v), Coef: 1}
}

// write copies n into another form.
func write(n *dag.Network, rng *rand.Rand) *dag.Network {
	w := &writer{rng: rng}
	id := make([]int, len(n.Nodes))
	inside := map[int]bool{}
	for i := range n.Nodes {
		for _, j := range n.Nodes[i].In[len(n.Nodes[i].Operands()):] {
			inside[j] = true
		}
	}
	for i := range n.Nodes {
		nd := &n.Nodes[i]
		in := make([]int, len(nd.In))
		for k, j := range nd.In {
			in[k] = id[j]
			if rng.IntN(4) == 0 && movable(n, nd, k) {
				in[k] = w.node("Reshape", []int{n.Nodes[j].Len()}, &dag.Select{}, in[k])
			}
		}
		if _, ok := nd.Op.(*dag.Linear); ok && (inside[i] || len(in) > 0 && !movable(n, nd, 0)) {
			id[i] = w.node(nd.Source, nd.Shape, nd.Op, in...)
			continue
		}
		id[i] = w.copied(nd, in)
	}
	for _, p := range n.Outputs {
		w.b.Output(p.Name, id[p.Node])
	}
	out, err := w.b.Build()
	if err != nil {
		panic(err)
	}
	return out
}

// movable reports whether something may stand between a node and its operand: not
// between a function and a layer inside, nor between a table and its places.
func movable(n *dag.Network, nd *dag.Node, operand int) bool {
	f, ok := n.Nodes[nd.In[operand]].Op.(*dag.Func)
	return operand < len(nd.Operands()) && !(ok && f.Kind == dag.OneHot)
}

func (w *writer) copied(nd *dag.Node, in []int) int {
	switch op := nd.Op.(type) {
	case dag.Input:
		return w.b.Input(nd.Name, nd.Shape...)
	case *dag.Activation:
		if len(op.Slope) > 1 {
			return w.node("PRelu", nd.Shape, &dag.Activation{Slope: op.Slope}, in[0])
		}
		if s := op.Slope[0]; s == 0 && w.rng.IntN(3) == 0 {
			zero := w.node("Constant", nd.Shape, &dag.Linear{Units: nd.Len()})
			return w.node("Max", nd.Shape, &dag.Pool{}, zero, in[0])
		}
		return w.shuffled(in[0], func(in int) int { return w.node("Relu", w.shape(in), op, in) })
	case *dag.Add:
		sign := make([]float64, len(in))
		for k := range in {
			sign[k] = op.Weight(k)
		}
		w.rng.Shuffle(len(in), func(i, j int) { in[i], in[j], sign[i], sign[j] = in[j], in[i], sign[j], sign[i] })
		if len(in) > 2 && w.rng.IntN(2) == 0 {
			first := w.node("Add", nd.Shape, &dag.Add{Sign: sign[:2]}, in[:2]...)
			in, sign = append([]int{first}, in[2:]...), append([]float64{1}, sign[2:]...)
		}
		return w.node("Add", nd.Shape, &dag.Add{Sign: sign}, in...)
	case *dag.Concat:
		if len(in) != 2 || w.rng.IntN(2) == 0 {
			return w.node("Concat", nd.Shape, op, in...)
		}
		n := dag.Size(w.shape(in[1]))
		c := w.node("Concat", nd.Shape, op, in[1], in[0])
		idx := make([]int32, nd.Len())
		for e := range idx {
			idx[e] = int32((e + n) % nd.Len())
		}
		return w.node("Gather", nd.Shape, &dag.Select{Index: idx}, c)
	case *dag.Linear:
		if op.Map == nil {
			return w.node("Constant", nd.Shape, op)
		}
		return w.layer(nd, op, in[0])
	}
	return w.node(nd.Source, nd.Shape, nd.Op, in...)
}

// layer writes a linear layer with its stages folded into the weight, kept, or
// as layers of their own, and dense ones as convolutions or the other way.
func (w *writer) layer(nd *dag.Node, l *dag.Linear, in int) int {
	m, stages := l.Map, l.Stages
	var scale []float64
	if w.rng.IntN(2) == 0 && m.Weight() != nil {
		scale, stages = l.Scale(), nil
		if l.Bias() != nil {
			stages = []dag.Stage{{Add: numbers(l.Bias())}}
		}
	}
	switch x := m.(type) {
	case *dag.Dense:
		m, in = w.dense(x, scale, in)
	case *dag.Conv:
		m, in = w.conv(x, scale, in)
	case *dag.Average:
		if dag.Size(x.Window.Out()) == 1 && len(x.Weights) == 1 && w.rng.IntN(2) == 0 {
			// A sum over a list, and a constant.
			var idx []int32
			n := dag.Size(x.Window.In)
			for c := range x.Channels {
				x.Window.Taps(func(_, in, _ int) { idx = append(idx, int32(c*n+in)) })
			}
			k := len(idx) / x.Channels
			in = w.node("Slice", []int{len(idx)}, &dag.Select{Index: idx}, in)
			m = &dag.Average{Channels: x.Channels, Weights: []float64{1}, Window: dag.Window{
				In: []int{k}, Kernel: []int{k}, Stride: []int{1}, Dilation: []int{1}, Before: []int{0}, After: []int{0},
			}}
			stages = append([]dag.Stage{{Mul: &dag.Vector{Coef: x.Weights[0]}}}, stages...)
		}
	}
	if w.rng.IntN(2) == 0 {
		return w.linear(in, nd.Shape, m, stages...)
	}
	out := w.linear(in, nd.Shape, m)
	for _, s := range stages {
		out = w.linear(out, nd.Shape, &dag.Diagonal{Axis: m.Out()}, s)
	}
	return out
}

// dense writes a dense map in the other layout or as a convolution, its columns
// scaled by a layer before or in another order.
func (w *writer) dense(d *dag.Dense, scale []float64, in int) (dag.Map, int) {
	v := make([]float64, d.Rows*d.Cols)
	for i := range d.Rows {
		for j := range d.Cols {
			v[i*d.Cols+j] = d.At(i, j)
			if scale != nil {
				v[i*d.Cols+j] *= scale[i]
			}
		}
	}
	if d.In().Outer*d.In().Inner == 1 {
		switch w.rng.IntN(4) {
		case 0: // columns in another order
			perm := make([]int32, d.Cols)
			u := make([]float64, len(v))
			for k, j := range w.rng.Perm(d.Cols) {
				perm[k] = int32(j)
				for i := range d.Rows {
					u[i*d.Cols+k] = v[i*d.Cols+j]
				}
			}
			v, in = u, w.node("Gather", []int{d.Cols}, &dag.Select{Index: perm}, in)
		case 1: // normalisation before, in which the weights are divided
			g, s := make([]float64, d.Cols), make([]float64, d.Cols)
			for j := range g {
				g[j], s[j] = math.Exp2(float64(w.rng.IntN(7)-3)), 0
				for i := range d.Rows {
					v[i*d.Cols+j] /= g[j]
				}
			}
			in = w.linear(in, []int{d.Cols}, &dag.Diagonal{Axis: dag.Axis{Outer: 1, N: d.Cols, Inner: 1}}, dag.Stage{Mul: numbers(g), Add: numbers(s)})
		case 2:
			spatial := dag.Window{In: []int{1, 1}, Kernel: []int{1, 1}, Stride: []int{1, 2}, Dilation: []int{1, 1}, Before: []int{0, 0}, After: []int{0, 0}}
			return &dag.Conv{W: use("w", []int{d.Rows, d.Cols, 1, 1}, v), InChannels: d.Cols, OutChannels: d.Rows, Groups: 1, Window: spatial}, in
		}
	}
	out := *d
	out.InOut = false
	out.W = use("w", []int{d.Rows, d.Cols}, v)
	if w.rng.IntN(2) == 0 {
		u := make([]float64, len(v))
		for i := range d.Rows {
			for j := range d.Cols {
				u[j*d.Rows+i] = v[i*d.Cols+j]
			}
		}
		out.InOut, out.W = true, use("w", []int{d.Cols, d.Rows}, u)
	}
	return &out, in
}

// conv writes a convolution with its padding as a node before.
func (w *writer) conv(c *dag.Conv, scale []float64, in int) (dag.Map, int) {
	out := *c
	if scale != nil {
		v := c.W.Param.Values()
		k := dag.Size(c.Window.Kernel)
		co := c.OutChannels / c.Groups
		for e := range v {
			row := e / (k * c.InChannels / c.Groups)
			if c.Transposed {
				g := e / (k * co) / (c.InChannels / c.Groups)
				row = g*co + e/k%co
			}
			v[e] *= scale[row]
		}
		out.W = use("k", c.W.Param.Shape, v)
	}
	if c.Transposed || len(c.Window.In) != 2 || c.Window.Before[0] < 0 || c.Window.Before[1] < 0 || w.rng.IntN(2) == 0 {
		return &out, in
	}
	win := c.Window
	h, v := win.In[0]+win.Before[0]+max(win.After[0], 0), win.In[1]+win.Before[1]+max(win.After[1], 0)
	var idx []int32
	for ch := range c.InChannels {
		for y := range h {
			for x := range v {
				p, q := y-win.Before[0], x-win.Before[1]
				e := int32(-1)
				if p >= 0 && p < win.In[0] && q >= 0 && q < win.In[1] {
					e = int32((ch*win.In[0]+p)*win.In[1] + q)
				}
				idx = append(idx, e)
			}
		}
	}
	in = w.node("Pad", []int{c.InChannels, h, v}, &dag.Select{Index: idx}, in)
	out.Window.In = []int{h, v}
	out.Window.Before = []int{0, 0}
	out.Window.After = []int{min(win.After[0], 0), min(win.After[1], 0)}
	return &out, in
}

// The normal form has the function of the network.
func TestNormalizeKeepsFunction(t *testing.T) {
	for seed := range uint64(pairs()) {
		n := dagtest.FromSeed(seed, dagtest.Options{Features: features(seed) &^ dagtest.Jump})
		for _, n := range []*dag.Network{n, write(n, rand.New(rand.NewPCG(seed, 1)))} {
			f, err := rescale.Normalize(n)
			if err != nil {
				t.Fatalf("seed %d: %v\n%s", seed, err, n)
			}
			in := make([][]float64, len(n.Inputs))
			rng := rand.New(rand.NewPCG(seed, 2))
			for k, p := range n.Inputs {
				for range 4 * n.Nodes[p.Node].Len() {
					in[k] = append(in[k], rng.NormFloat64())
				}
			}
			a, err := eval.Run(context.Background(), n, in, 4, eval.Options{})
			if err != nil {
				t.Fatal(err)
			}
			b, err := eval.Run(context.Background(), f.Net, in, 4, eval.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for k := range a {
				top := 0.0
				for _, x := range a[k] {
					top = math.Max(top, math.Abs(x))
				}
				// The rounding of sums in another order, through a few layers.
				if !slices.EqualFunc(a[k], b[k], func(x, y float64) bool { return math.Abs(x-y) <= 1e-9*(1+top) }) {
					t.Fatalf("seed %d: output %d: %v, want %v\n%s\n%s", seed, k, b[k], a[k], n, f.Net)
				}
			}
		}
	}
}

// Two forms of one function with rescaled weights are equivalent, and never the
// same after a weight has changed.
func TestEquivalentForms(t *testing.T) {
	undecided := 0
	for seed := range uint64(pairs()) {
		rng := rand.New(rand.NewPCG(seed, 3))
		n := dagtest.FromSeed(seed, dagtest.Options{Features: features(seed)})
		g := n.Groups()
		c := g.Ones()
		for id := range c {
			if g.Pin[id] == "" {
				c[id] = math.Exp(rng.NormFloat64())
			}
		}
		scaled, err := n.Rescale(g, c)
		if err != nil {
			t.Fatal(err)
		}
		b := write(scaled, rng)
		for _, order := range []rescale.Order{rescale.SameOrder, rescale.AnyOrder} {
			e := compare(t, n, b, order)
			if e.Undecided {
				undecided++
			} else if !e.Equivalent {
				t.Fatalf("seed %d, order %d: %s\n%s\n%s", seed, order, e.Reason, n, b)
			}
		}
		d, ok := perturbed(scaled, rng, 0.5)
		if !ok {
			continue
		}
		d = write(d, rng)
		for _, order := range []rescale.Order{rescale.SameOrder, rescale.AnyOrder} {
			if e := compare(t, n, d, order); e.Equivalent {
				t.Fatalf("seed %d, order %d: a weight half as large again is equivalent, residual %v\n%s\n%s", seed, order, e.Residual, n, d)
			}
		}
	}
	// Weights that multiply zeros, and parts that look alike, are told by nothing.
	if undecided > 2*pairs()/100 {
		t.Errorf("%d of %d pairs in two forms are undecided", undecided, 2*pairs())
	}
}

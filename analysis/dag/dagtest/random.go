package dagtest

import (
	"fmt"
	"math/rand/v2"

	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/dag"
)

// Feature is a set of things that a random network may have.
type Feature uint32

// The features. A network without Skip, Concat and Outputs is a chain.
const (
	Bias    Feature = 1 << iota // biases of linear layers, broadcast ones too
	Skip                        // sums of several nodes
	Concat                      // nodes strung together
	Slope                       // LeakyReLU, PReLU, |x|, the identity
	Gain                        // BatchNormalization and Mul as stages or layers of their own
	Conv                        // convolutions, transposed too, on spatial values
	Pool                        // maximum and average pooling, the maximum of nodes
	Select                      // permutations, slices and padding
	Shared                      // a stored tensor with several uses
	Outputs                     // several network outputs, hidden values among them
	Inputs                      // several network inputs
	Fixed                       // constant layers, and tensors that cannot be written

	// All is everything that is positively homogeneous from inputs to outputs.
	All = 1<<iota - 1

	// Cap is bounded activations.
	Cap = 1 << (iota - 1)
	// Curve is functions of each element, Normalizer those of runs of elements,
	// Product those of two values, Cell those with a layer inside. Jump is what is not
	// continuous: thresholds, and vectors of a table at the place that a value names.
	Curve      = 1 << (iota - 1)
	Normalizer = 1 << (iota - 1)
	Product    = 1 << (iota - 1)
	Cell       = 1 << (iota - 1)
	Jump       = 1 << (iota - 1)

	// Partly is everything: networks that are homogeneous between functions.
	Partly = 1<<(iota-1) - 1
	// Rotary turns queries and keys of Product by an angle, in pairs. It is apart: the
	// networks of seeds stay what they are.
	Rotary Feature = Partly + 1
	// Layered is plain feed-forward networks of affine layers and ReLU, without
	// biases.
	Layered Feature = 0
)

// Options bounds a random network.
type Options struct {
	// Features is what it may have; zero is Layered.
	Features Feature
	// Steps is the largest number of operations before the last layer; 0 is 6.
	Steps int
	// Width is the largest number of units of a layer; 0 is 4.
	Width int
	// Type is the stored type; the zero value is dag.Float32.
	Type dag.DType
	// Zeros is the chance of a stored weight to be zero; 0 is none.
	Zeros float64
}

// Random draws a network. Every value in it reaches an output, except behind
// zero weights.
func Random(t *rapid.T, opt Options) *dag.Network {
	seed := rapid.Uint64().Draw(t, "values")
	return random(opt, rand.New(rand.NewPCG(seed, 1)), func(what string, n int) int {
		return rapid.IntRange(0, n-1).Draw(t, what)
	})
}

// FromSeed is Random without rapid: the same seed gives the same network.
func FromSeed(seed uint64, opt Options) *dag.Network {
	rng := rand.New(rand.NewPCG(seed, 2))
	return random(opt, rng, func(_ string, n int) int { return rng.IntN(n) })
}

// Input draws a batch for each of the network's inputs, normal values.
func Input(n *dag.Network, batch int, seed uint64) [][]float64 {
	rng := rand.New(rand.NewPCG(seed, 3))
	out := make([][]float64, len(n.Inputs))
	for k, p := range n.Inputs {
		out[k] = make([]float64, batch*n.Nodes[p.Node].Len())
		for i := range out[k] {
			out[k][i] = rng.NormFloat64()
		}
	}
	return out
}

type maker struct {
	b      dag.Builder
	opt    Options
	rng    *rand.Rand
	pick   func(what string, n int) int
	nodes  []int // all so far
	used   map[int]bool
	params []*dag.Param
	n      int
}

func random(opt Options, rng *rand.Rand, pick func(string, int) int) *dag.Network {
	if opt.Steps <= 0 {
		opt.Steps = 6
	}
	if opt.Width <= 0 {
		opt.Width = 4
	}
	m := &maker{opt: opt, rng: rng, pick: pick, used: map[int]bool{}}
	m.input()
	if m.coin(Inputs) {
		m.input()
	}
	for range 1 + pick("steps", opt.Steps) {
		m.step()
	}
	m.finish()
	net, err := m.b.Build()
	if err != nil {
		panic("dagtest: " + err.Error())
	}
	return net
}

// coin is a fair coin, for features that are wanted.
func (m *maker) coin(f Feature) bool { return m.opt.Features&f == f && m.pick("coin", 2) == 1 }

func (m *maker) size(what string) int { return 1 + m.pick(what, m.opt.Width) }

func (m *maker) name(op string) string {
	m.n++
	return fmt.Sprintf("%s%d", op, m.n)
}

func (m *maker) add(nd dag.Node) int {
	id := m.b.Node(nd)
	for _, j := range nd.In {
		m.used[j] = true
	}
	m.nodes = append(m.nodes, id)
	return id
}

func (m *maker) input() {
	shape := []int{m.size("inputs")}
	if m.coin(Conv) || m.coin(Pool) {
		shape = []int{1 + m.pick("channels", 2), 2 + m.pick("height", 3), 2 + m.pick("width", 3)}
	}
	m.nodes = append(m.nodes, m.b.Input(m.name("x"), shape...))
}

// operand is the newest node, or any where the network may branch.
func (m *maker) operand() int {
	k := len(m.nodes) - 1
	if m.opt.Features&(Skip|Concat|Outputs) != 0 && m.pick("branch", 3) == 0 {
		k = m.pick("operand", len(m.nodes))
	}
	return m.nodes[k]
}

func (m *maker) step() {
	type op struct {
		f  Feature
		do func(in int)
	}
	ops := []op{
		{0, m.layer},
		{0, m.layer},
		{0, m.relu},
		{Skip, m.skip},
		{Concat, m.concat},
		{Slope, m.slope},
		{Gain, m.diagonal},
		{Conv, m.conv},
		{Conv, m.conv},
		{Pool, m.pool},
		{Select, m.sel},
		{Fixed, m.constant},
		{Cap, m.capped},
		{Curve, m.curve},
		{Normalizer, m.normalizer},
		{Product, m.product},
		{Product, m.attention},
		{Cell, m.cell},
		{Jump, m.threshold},
		{Jump, m.embed},
	}
	var may []op
	for _, o := range ops {
		if m.opt.Features&o.f == o.f {
			may = append(may, o)
		}
	}
	may[m.pick("op", len(may))].do(m.operand())
}

// layer adds an affine layer, and mostly an activation on it.
func (m *maker) layer(in int) {
	id := m.affine(in, m.size("units"))
	if m.pick("activate", 4) > 0 {
		m.relu(id)
	}
}

func (m *maker) relu(in int) {
	m.add(dag.Node{
		Name: m.name("relu"), Source: "Relu", In: []int{in}, Shape: m.b.Shape(in),
		Op: &dag.Activation{Slope: []float64{0}},
	})
}

func (m *maker) affine(in, rows int) int {
	cols := dag.Size(m.b.Shape(in))
	d := &dag.Dense{Rows: rows, Cols: cols, InOut: m.pick("layout", 2) == 1}
	shape := []int{rows, cols}
	if d.InOut {
		shape = []int{cols, rows}
	}
	d.W = m.param("weight", shape)
	return m.add(dag.Node{
		Name: m.name("fc"), Source: "Gemm", In: []int{in}, Shape: []int{rows},
		Op: &dag.Linear{Map: d, Stages: m.stages(rows)},
	})
}

// finish joins all ends in one last layer and names the outputs.
func (m *maker) finish() {
	var ends []int
	for _, j := range m.nodes {
		if !m.used[j] {
			ends = append(ends, j)
		}
	}
	rows := m.size("outputs")
	switch {
	case len(ends) == 1:
		ends = []int{m.affine(ends[0], rows)}
	case m.coin(Outputs):
		last := len(ends) - 1
		ends[last] = m.affine(ends[last], rows)
	default:
		for k, j := range ends {
			ends[k] = m.affine(j, rows)
		}
		ends = []int{m.add(dag.Node{Name: m.name("sum"), Source: "Add", In: ends, Shape: []int{rows}, Op: &dag.Add{}})}
	}
	if m.coin(Outputs) {
		ends = append(ends, m.nodes[m.pick("hidden output", len(m.nodes))])
	}
	for k, j := range ends {
		m.b.Output(fmt.Sprintf("y%d", k), j)
	}
}

// param makes a stored tensor, or takes one of the same shape again.
func (m *maker) param(name string, shape []int) dag.Use {
	if m.coin(Shared) {
		for _, p := range m.params {
			if p.Len() == dag.Size(shape) && p.Shape[0] == shape[0] {
				return dag.Use{Param: p}
			}
		}
	}
	v := make([]float64, dag.Size(shape))
	for i := range v {
		if m.rng.Float64() >= m.opt.Zeros {
			v[i] = m.rng.NormFloat64()
		}
	}
	return m.stored(name, shape, v)
}

// positive makes a stored tensor of values in (0.5, 2).
func (m *maker) positive(name string, n int) dag.Use {
	v := make([]float64, n)
	for i := range v {
		v[i] = 0.5 + 1.5*m.rng.Float64()
	}
	return m.stored(name, []int{n}, v)
}

func (m *maker) stored(name string, shape []int, v []float64) dag.Use {
	name = m.name(name)
	var p *dag.Param
	if m.opt.Type == dag.Float64 {
		p = dag.NewParam64(name, shape, v)
	} else {
		// Values that the type holds: an empty Param of the type rounds them.
		p = dag.NewParam32(name, m.opt.Type, shape, make([]float32, len(v)))
		p = dag.NewParam32(name, m.opt.Type, shape, p.WithValues(nil, v).Float32s())
	}
	if m.coin(Fixed) && m.pick("unwritable", 4) == 0 {
		p.Storage, p.Reason = dag.Unwritable, "it is computed in the graph"
	}
	m.params = append(m.params, p)
	return dag.Use{Param: p}
}

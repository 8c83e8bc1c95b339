package dagtest

import (
	"math"

	"github.com/relupath/relupath/analysis/dag"
)

// capped bounds a value: one pair of bounds, or one an element.
func (m *maker) capped(in int) {
	shape := m.b.Shape(in)
	c := &dag.Cap{Type: m.opt.Type}
	switch m.pick("cap", 3) {
	case 0:
		c.Lo, c.Hi = []float64{0}, []float64{1.5}
	case 1:
		c.Lo, c.Hi = []float64{-1}, []float64{math.Inf(1)}
	default:
		c.Lo = []float64{-1}
		for range dag.Size(shape) {
			c.Hi = append(c.Hi, float64(m.rng.IntN(512))/256) // a number of every type
		}
	}
	m.add(dag.Node{Name: m.name("cap"), Source: "Clip", In: []int{in}, Shape: shape, Op: c})
}

func (m *maker) threshold(in int) {
	c := &dag.Cap{Lo: []float64{0.5}, Hi: []float64{math.Inf(1)}, Jump: true, Type: m.opt.Type}
	m.add(dag.Node{Name: m.name("threshold"), Source: "ThresholdedRelu", In: []int{in}, Shape: m.b.Shape(in), Op: c})
}

func (m *maker) function(name string, shape []int, f *dag.Func, in ...int) int {
	f.Why = "it is a curve"
	return m.add(dag.Node{Name: m.name(name), Source: name, In: in, Shape: shape, Op: f})
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// curves have, besides their names, their largest slopes, rounded up.
var curves = []struct {
	name      string
	lipschitz float64
	f         func(float64) float64
}{
	{"Tanh", 1, math.Tanh},
	{"Sigmoid", 0.25, sigmoid},
	{"Gelu", 1.12891, func(x float64) float64 { return x / 2 * math.Erfc(-x/math.Sqrt2) }},
	{"Swish", 1.09984, func(x float64) float64 { return x * sigmoid(x) }},
	{"HardSwish", 1.5, func(x float64) float64 { return x * min(1, max(0, x/6+0.5)) }},
}

// curve is a function of each element.
func (m *maker) curve(in int) {
	c := curves[m.pick("curve", len(curves))]
	m.function(c.name, m.b.Shape(in), &dag.Func{Kind: dag.Curve, Lipschitz: c.lipschitz, Apply: eachOf(c.f)}, in)
}

// eachOf applies f to each element.
func eachOf(f func(float64) float64) func(dst []float64, in ...[]float64) {
	return func(dst []float64, in ...[]float64) {
		for i, x := range in[0] {
			dst[i] = f(x)
		}
	}
}

// normalizer divides runs of elements by their root mean square; mostly a scale and
// a shift follow.
func (m *maker) normalizer(in int) {
	shape := m.b.Shape(in)
	run := dag.Size(shape) / shape[0]
	if len(shape) == 1 {
		run = shape[0]
	}
	id := m.function("Normalize", shape, &dag.Func{Kind: dag.Normalizer, Apply: func(dst []float64, in ...[]float64) {
		for at := 0; at < len(dst); at += run {
			s := 0.1
			for _, x := range in[0][at : at+run] {
				s += x * x / float64(run)
			}
			for i := at; i < at+run; i++ {
				dst[i] = in[0][i] / math.Sqrt(s)
			}
		}
	}}, in)
	if m.pick("scale", 3) > 0 {
		m.diagonal(id)
	}
}

// product multiplies two values: element by element where their shapes agree, else
// each by each.
func (m *maker) product(in int) {
	other := m.nodes[m.pick("other", len(m.nodes))]
	a, b := m.b.Shape(in), m.b.Shape(other)
	if dag.Size(a) == dag.Size(b) {
		m.function("Mul", a, &dag.Func{Kind: dag.Product, Form: m.form(dag.Times{}), Apply: func(dst []float64, in ...[]float64) {
			for i, x := range in[0] {
				dst[i] = x * in[1][i]
			}
		}}, in, other)
		return
	}
	n := min(dag.Size(b), 4)
	m.function("MatMul", []int{dag.Size(a) * n}, &dag.Func{Kind: dag.Product, Form: m.form(&dag.Matrices{
		M: dag.Size(a), K: 1, N: n, Left: []int32{0}, Right: []int32{0},
	}), Apply: func(dst []float64, in ...[]float64) {
		for i, x := range in[0] {
			for j, y := range in[1][:n] {
				dst[i*n+j] = x * y
			}
		}
	}}, in, other)
}

// form is what is known of a product, mostly all.
func (m *maker) form(f dag.Form) dag.Form {
	if m.pick("form", 4) == 0 {
		return nil
	}
	return f
}

// attention is softmax(Q K) V of queries Q, keys K and values V of some heads, two of
// queries for each of keys and values; at times without the softmax, without the keys'
// layer, or with a gate.
func (m *maker) attention(in int) {
	other := m.nodes[m.pick("other", len(m.nodes))]
	rows, k, cols, size := m.size("rows"), 1+m.pick("head", 2), m.size("columns"), 1+m.pick("values", 2)
	heads := 1 + m.pick("heads", 2)
	left, right := []int32{0, 1}, []int32{0, 0}
	if heads == 2 {
		left, right = []int32{0, 1, 2, 3}, []int32{0, 0, 1, 1}
	}
	q := m.positions(in, len(left)*rows*k)
	key, value := m.positions(other, heads*k*cols), m.affine(other, heads*cols*size)
	if k == 2 && m.opt.Features&Rotary != 0 {
		q, key = m.turned(q, 1), m.turned(key, cols)
	}
	scores := m.matrices(&dag.Matrices{M: rows, K: k, N: cols, Left: left, Right: right}, q, key)
	if m.pick("softmax", 3) > 0 {
		scores = m.function("Sigmoid", m.b.Shape(scores), &dag.Func{Kind: dag.Curve, Lipschitz: 0.25, Apply: eachOf(sigmoid)}, scores)
	}
	own := []int32{0, 1, 2, 3}[:len(left)]
	m.matrices(&dag.Matrices{M: rows, K: cols, N: size, Left: own, Right: right}, scores, value)
}

// turned turns pairs of elements by one angle, as a rotary embedding does: those at some
// distance in a value of outer x 2 x distance elements.
func (m *maker) turned(in, distance int) int {
	n := dag.Size(m.b.Shape(in))
	node := func(source string, size int, op dag.Op, in ...int) int {
		return m.add(dag.Node{Name: m.name("turn"), Source: source, In: in, Shape: []int{size}, Op: op})
	}
	times := func(c float64, size, in int) int {
		axis := dag.Axis{Outer: 1, N: size, Inner: 1}
		return node("Mul", size, &dag.Linear{Map: &dag.Diagonal{Axis: axis}, Stages: []dag.Stage{{Mul: &dag.Vector{Coef: c}}}}, in)
	}
	var first, second []int32
	other := make([]int32, n)
	for e := range n {
		if e/distance%2 == 0 {
			other[e] = int32(len(first)) // among the negated
			other[e+distance] = int32(n/2 + len(first))
			first, second = append(first, int32(e)), append(second, int32(e+distance))
		}
	}
	lo, hi := node("Slice", n/2, &dag.Select{Index: first}, in), node("Slice", n/2, &dag.Select{Index: second}, in)
	both := node("Concat", n, &dag.Concat{}, times(-1, n/2, hi), lo)
	angle := 0.7
	return node("Add", n, &dag.Add{}, times(math.Cos(angle), n, in), times(math.Sin(angle), n, node("Gather", n, &dag.Select{Index: other}, both)))
}

// positions is a layer, at times with another behind it, or tied by a skip.
func (m *maker) positions(in, n int) int {
	id := m.affine(in, n)
	switch m.pick("positions", 4) {
	case 0:
		id = m.affine(in, n)
		m.relu(id)
		id = m.nodes[len(m.nodes)-1]
	case 1:
		id = m.add(dag.Node{Name: m.name("tied"), Source: "Add", In: []int{id, m.affine(in, n)}, Shape: []int{n}, Op: &dag.Add{}})
	}
	return id
}

func (m *maker) matrices(f *dag.Matrices, a, b int) int {
	return m.function("MatMul", []int{len(f.Left) * f.M * f.N}, &dag.Func{Kind: dag.Product, Form: f, Apply: func(dst []float64, in ...[]float64) {
		for s := range f.Left {
			x, y := in[0][int(f.Left[s])*f.M*f.K:], in[1][int(f.Right[s])*f.K*f.N:]
			for i := range f.M {
				for j := range f.N {
					sum := 0.0
					for k := range f.K {
						sum += x[i*f.K+k] * y[k*f.N+j]
					}
					dst[(s*f.M+i)*f.N+j] = sum
				}
			}
		}
	}}, a, b)
}

// cell is a function with a layer inside, which nothing else reads.
func (m *maker) cell(in int) {
	before := len(m.nodes)
	// What the layer reads is not in the network.
	inside := m.affine(m.function("Inside", []int{m.size("columns")}, &dag.Func{Kind: dag.Opaque}), m.size("cell"))
	m.nodes = m.nodes[:before]
	m.function("RNN", m.b.Shape(in), &dag.Func{Kind: dag.Cell, Inside: 1, Apply: eachOf(math.Tanh)}, in, inside)
}

// embed looks vectors up in a stored table, at places that elements name.
func (m *maker) embed(in int) {
	shape := []int{dag.Size(m.b.Shape(in))}
	extent, rows := m.size("entries"), m.size("vector")
	places := m.function("Floor", shape, &dag.Func{Apply: eachOf(func(x float64) float64 {
		return math.Mod(math.Floor(math.Abs(4*x)), float64(extent))
	})}, in)
	hot := m.function("OneHot", []int{shape[0], extent}, &dag.Func{Kind: dag.OneHot, Extent: extent}, places)
	// Nothing else reads either: the evaluator keeps places for vectors.
	m.nodes = m.nodes[:len(m.nodes)-2]
	table := &dag.Dense{W: m.param("table", []int{extent, rows}), Rows: rows, Cols: extent, InOut: true, Outer: shape[0]}
	m.add(dag.Node{
		Name: m.name("embed"), Source: "Gather", In: []int{hot}, Shape: []int{shape[0] * rows},
		Op: &dag.Linear{Map: table},
	})
}

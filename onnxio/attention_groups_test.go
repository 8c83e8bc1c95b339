package onnxio_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/rescale"
	"github.com/relupath/relupath/onnxio"
)

// attention is a model of one attention.
type attention struct {
	heads, shared int64 // of queries, and of keys and values
	// angles says where the cosines and sines of a rotary embedding come from: computed from an
	// input, stored in initializers or in Constant nodes, or looked up at positions. Empty: there is none.
	angles string
	// operator is the domain of a RotaryEmbedding that turns the pairs: "ai.onnx" those of heads,
	// "com.microsoft" of heads side by side. Empty: simpler operators do.
	operator string
	// pairs says how: the two halves of a head, neighbours (interleaved), or halves that are
	// turned apart from each other and joined again. An operator may turn the first "part" of a head.
	pairs string
	// faster is by how much more the angles grow, shift a common one, which cancels in the scores.
	faster, shift float64
	// larger is by how much more cosines and sines are stored, and queries and keys less: a
	// power of two, 0 for 1.
	larger float64
}

const attentionSteps, attentionHead = 3, 4

func (c attention) model() []byte {
	const steps, head = attentionSteps, attentionHead
	var nodes []field
	add := func(op, out string, in []string, attr ...field) string {
		nodes = append(nodes, pbNode(op, out, in, names(out), attr...))
		return out
	}
	weight := func(name string, rows, cols int64) {
		w := ramp(int(rows * cols))
		for i := range w {
			w[i] = float32(math.Sin(float64(i*i) + float64(len(name)) + float64(name[1])))
			if c.larger > 0 && (name == "wq" || name == "wk") {
				w[i] /= float32(c.larger)
			}
		}
		nodes = append(nodes, pbInitializer(name, []int64{rows, cols}, w...))
	}
	last := attrOfInt("axis", -1)
	// heads is x W as heads x steps x head, turned in pairs where asked for.
	heads := func(name string, n int64, rotary bool) string {
		weight("w"+name, 5, n*head)
		nodes = append(nodes, pbIntegers("shape_"+name, -1, steps, n, head))
		v := add("MatMul", "mm_"+name, names("x", "w"+name))
		if rotary && c.operator == "com.microsoft" {
			v = add("RotaryEmbedding", "rotated_"+name, names(v, "positions", "cos", "sin"), c.attributes(n)...)
			rotary = false
		}
		v = add("Reshape", "split_"+name, names(v, "shape_"+name))
		v = add("Transpose", "heads_"+name, names(v), attrOfInts("perm", 0, 2, 1, 3))
		if !rotary {
			return v
		}
		if c.operator != "" {
			in := names(v, "cos", "sin")
			if c.angles == "looked up" || c.angles == "stored" {
				in = append(in, "positions")
			}
			return add("RotaryEmbedding", "rotated_"+name, in, c.attributes(n)...)
		}
		times := func(a, b string) string { return add("Mul", a+"_"+b, names(a, b)) }
		lo, hi := "lo_"+name, "hi_"+name
		if c.pairs == "neighbours" {
			add("Slice", lo, names(v, "zero", "end", "last", "two"))
			add("Slice", hi, names(v, "one", "end", "last", "two"))
			a := add("Unsqueeze", "odd_"+name, names(add("Neg", "neg_"+name, names(hi)), "last"))
			b := add("Unsqueeze", "even_"+name, names(lo, "last"))
			turned := add("Reshape", "turned_"+name, names(add("Concat", "stack_"+name, names(a, b), last), "rows"))
			return add("Add", "rotated_"+name, names(times(v, "cos"), times(turned, "sin")))
		}
		add("Slice", lo, names(v, "zero", "half", "last"))
		add("Slice", hi, names(v, "half", "end", "last"))
		if c.pairs == "apart" {
			a := add("Sub", "real_"+name, names(times("cos", lo), times("sin", hi)))
			b := add("Add", "imaginary_"+name, names(times("cos", hi), times("sin", lo)))
			return add("Concat", "rotated_"+name, names(a, b), last)
		}
		turned := add("Concat", "turned_"+name, names(add("Neg", "neg_"+name, names(hi)), lo), last)
		return add("Add", "rotated_"+name, names(times(v, "cos"), times(turned, "sin")))
	}
	// repeated has the heads of keys or values once for each head of queries.
	repeated := func(v string) string {
		if c.heads == c.shared {
			return v
		}
		v = add("Unsqueeze", v+"_u", names(v, "two"))
		v = add("Expand", v+"_e", names(v, "times"))
		return add("Reshape", v+"_r", names(v, "joined"))
	}
	inputs := []field{pbInput("x", -1, steps, 5)}
	width, both := int64(head), func(v string) string { return v }
	switch {
	case c.pairs == "part":
		width = 1
	case c.operator != "":
		width = head / 2
	case c.pairs == "halves":
		both = func(v string) string { return add("Concat", "angles", names(v, v), last) }
	case c.pairs == "neighbours":
		both = func(v string) string {
			v = add("Unsqueeze", "angle_u", names(v, "last"))
			return add("Reshape", "angles", names(add("Concat", "angle_c", names(v, v), last), "rows"))
		}
	default:
		width = head / 2
	}
	// table is a function of the angles of some positions.
	table := func(f func(float64) float64, positions int64) []float32 {
		out := make([]float32, 0, positions*width)
		for p := range positions {
			for k := range width {
				of := k
				switch {
				case c.operator != "":
				case c.pairs == "halves":
					of = k % (head / 2)
				case c.pairs == "neighbours":
					of = k / 2
				}
				out = append(out, float32(f(float64(p+1)*math.Exp2(-float64(of))*(1+c.faster)+c.shift)*max(1, c.larger)))
			}
		}
		return out
	}
	functions := map[string]func(float64) float64{"cos": math.Cos, "sin": math.Sin}
	switch c.angles {
	case "computed":
		shape := []int64{-1, 1, steps, head / 2}
		if c.operator != "" {
			shape = []int64{-1, steps, width}
		}
		inputs = append(inputs, pbInput("angle", shape...))
		v := both("angle")
		add("Cos", "cos", names(v))
		add("Sin", "sin", names(v))
	case "looked up":
		if c.operator == "" {
			inputs = append(inputs, pbValue(11, "positions", 7, -1, steps))
			break
		}
		inputs = append(inputs, pbValue(11, "place", 7, -1, steps))
		add("Abs", "positions", names("place")) // none counts from the end
	case "stored":
		if c.operator != "" {
			nodes = append(nodes, pbMessage(5, append(tensorHeader("positions", 7, []int64{1, steps}), pbInt(7, 0), pbInt(7, 1), pbInt(7, 2))...))
		}
	case "from the first":
		nodes = append(nodes, pbIntegers("positions", 0))
	}
	for name, f := range functions {
		dims := []int64{1, 1, steps, width}
		if c.operator != "" && c.angles != "computed" {
			nodes = append(nodes, pbInitializer(name, []int64{7, width}, table(f, 7)...))
			continue
		}
		switch c.angles {
		case "stored":
			nodes = append(nodes, pbInitializer(name, dims, table(f, steps)...))
		case "constants":
			nodes = append(nodes, pbNode("Constant", name, nil, names(name), attrOfTensor("value", tensorFields("", dims, table(f, steps)...)...)))
		case "looked up":
			nodes = append(nodes, pbInitializer(name+"_table", []int64{7, width}, table(f, 7)...))
			add("Unsqueeze", name, names(add("Gather", name+"_rows", names(name+"_table", "positions")), "one"))
		}
	}
	nodes = append(nodes,
		pbIntegers("zero", 0), pbIntegers("half", head/2), pbIntegers("end", head), pbIntegers("last", -1), pbIntegers("two", 2), pbIntegers("one", 1),
		pbIntegers("rows", 0, 0, 0, -1),
		pbIntegers("times", 1, c.shared, c.heads/c.shared, steps, head), pbIntegers("joined", -1, c.heads, steps, head),
		pbIntegers("flat", -1, steps, c.heads*head))
	rotary := c.angles != ""
	q, k, v := heads("q", c.heads, rotary), heads("k", c.shared, rotary), heads("v", c.shared, false)
	k = add("Transpose", "kt", names(repeated(k)), attrOfInts("perm", 0, 1, 3, 2))
	scores := add("Softmax", "softmax", names(add("MatMul", "scores", names(q, k))), last)
	mixed := add("MatMul", "mixed", names(scores, repeated(v)))
	mixed = add("Reshape", "flattened", names(add("Transpose", "back", names(mixed), attrOfInts("perm", 0, 2, 1, 3)), "flat"))
	weight("wo", c.heads*head, 2)
	nodes = append(nodes, pbNode("MatMul", "out", names(mixed, "wo"), names("y")))
	graph := slices.Concat(inputs, []field{pbOutput("y", -1, steps, 2)}, nodes)
	switch c.operator {
	case "ai.onnx":
		return pbModel(10, 23, graph...)
	case "com.microsoft":
		return append(pbModel(8, 17, graph...), fields(pbMessage(8, pbString(1, c.operator), pbInt(2, 1)))...)
	}
	return pbModel(8, 17, graph...)
}

// attributes are those of the operator for a value of so many heads.
func (c attention) attributes(heads int64) (attr []field) {
	if c.pairs == "neighbours" {
		attr = append(attr, attrOfInt("interleaved", 1))
	}
	if c.pairs == "part" {
		attr = append(attr, attrOfInt("rotary_embedding_dim", 2))
	}
	if c.operator == "com.microsoft" {
		attr = append(attr, attrOfInt("num_heads", heads), pbString(7, c.operator))
	}
	return attr
}

// Queries and keys have inverse factors: one for each of a head's coordinates, one for each
// pair of them behind a rotary embedding, and heads that share keys share them. Values have
// one a unit. Factors change nothing, also through a file, and factors of queries that
// forget the keys do.
func TestFactorsOfAttention(t *testing.T) {
	for name, c := range map[string]struct {
		attention
		free int
	}{
		"one head a key":  {attention{heads: 2, shared: 2}, 8 + 8},
		"grouped queries": {attention{heads: 2, shared: 1}, 4 + 4},
		"rotary":          {attention{heads: 2, shared: 2, angles: "computed", pairs: "halves"}, 4 + 8},
	} {
		t.Run(name, func(t *testing.T) { factorsOfAttention(t, c.model(), c.free) })
	}
}

// Tables of angles that a file stores are as those that it computes: no layers and no weights,
// in no norm, and the queries and keys that they turn have the same factors.
func TestStoredAngles(t *testing.T) {
	for _, pairs := range []string{"halves", "neighbours", "apart"} {
		for _, heads := range [][2]int64{{2, 2}, {4, 2}} {
			c := attention{heads: heads[0], shared: heads[1], pairs: pairs, angles: "computed"}
			free := int(4 + 4*c.shared)
			want := c
			for _, c.angles = range []string{"computed", "stored", "constants", "looked up"} {
				t.Run(fmt.Sprintf("%s, %d heads, %s", pairs, c.heads, c.angles), func(t *testing.T) {
					factorsOfAttention(t, c.model(), free)
					a, b := decode(t, want.model()), decode(t, c.model())
					if d := cmp.Diff(layersOf(t, a), layersOf(t, b)); d != "" {
						t.Error(d)
					}
					if c.angles == "computed" {
						return
					}
					other := c
					other.faster = 0.5
					e, err := rescale.Equivalent(context.Background(), b, randomly(t, b, 5), rescale.EquivalentOptions{Tolerance: 1e-5})
					if err != nil || !e.Equivalent {
						t.Errorf("a rescaled network is taken for another: %v, %v", e, err)
					}
					e, err = rescale.Equivalent(context.Background(), b, decode(t, other.model()), rescale.EquivalentOptions{Tolerance: 1e-5})
					if err != nil || e.Equivalent || e.Undecided {
						t.Errorf("other angles are taken for the same: %v, %v", e, err)
					}
				})
			}
		}
	}
}

// Angles that are all shifted by one leave the function as it is, and are no rescaling: numbers of
// one unit change by several factors. Tables that are larger as queries and keys are smaller may
// be one, written otherwise.
func TestShiftedAngles(t *testing.T) {
	c := attention{heads: 2, shared: 2, pairs: "halves"}
	for _, c.angles = range []string{"stored", "looked up"} {
		for _, c.operator = range []string{"", "ai.onnx"} {
			b, shifted, larger := c, c, c
			shifted.shift, larger.larger = 0.3, 4
			for name, c := range map[string]struct {
				attention
				undecided bool
			}{"shifted": {shifted, false}, "larger": {larger, true}} {
				a, b := decode(t, b.model()), decode(t, c.model())
				if c.operator == "" || c.angles == "stored" {
					if d := furthest(t, a, b); d > 1e-6 { // tables of float32
						t.Errorf("%s, %s: the function changed by %g", c.angles, name, d)
					}
				}
				e, err := rescale.Equivalent(context.Background(), a, b, rescale.EquivalentOptions{Tolerance: 1e-5})
				if err != nil || e.Equivalent || e.Undecided != c.undecided {
					t.Errorf("%s, %s, %s: %+v, %v", c.operator, c.angles, name, e, err)
				}
			}
		}
	}
}

// Two sums that are no rotary embedding stay layers: their squares have no common sum.
func TestNoAngles(t *testing.T) {
	c := attention{heads: 2, shared: 2, angles: "stored", pairs: "halves"}
	stored := c.model()
	cosines := make([]byte, 4) // the first of them, 1 beside a sine that stays
	for i := range 4 {
		cosines[i] = byte(math.Float32bits(float32(math.Cos(1))) >> (8 * i))
	}
	at := bytes.Index(stored, cosines)
	if at < 0 {
		t.Fatal("no cosine of 1")
	}
	copy(stored[at:], []byte{0, 0, 0, 0x40}) // 2
	if layers := layersOf(t, decode(t, stored)); len(layers) != 4+4+1 {
		t.Errorf("%d layers, want queries, keys, values, the last one and four tables", len(layers)-1)
	}
}

// The operator RotaryEmbedding is what it does in simpler operators: the same layers with the same
// factors. Of a head that is turned in part, the rest has a factor for each unit.
func TestRotaryEmbedding(t *testing.T) {
	for _, operator := range []string{"ai.onnx", "com.microsoft"} {
		for _, pairs := range []string{"halves", "neighbours", "part"} {
			for _, angles := range []string{"computed", "stored", "looked up", "from the first"} {
				if operator == "com.microsoft" && angles == "computed" || operator == "ai.onnx" && angles == "from the first" {
					continue // it takes positions, or one for each step
				}
				t.Run(fmt.Sprint(operator, ", ", pairs, ", ", angles), func(t *testing.T) {
					c := attention{heads: 4, shared: 2, operator: operator, pairs: pairs, angles: angles}
					if pairs == "part" {
						factorsOfAttention(t, c.model(), 2*(1+2)+2*4)
						return
					}
					factorsOfAttention(t, c.model(), 2*2+2*4)
					simple := attention{heads: 4, shared: 2, pairs: pairs, angles: angles}
					if angles == "from the first" {
						simple.angles = "stored"
					}
					a, b := decode(t, simple.model()), decode(t, c.model())
					if d := cmp.Diff(layersOf(t, a), layersOf(t, b)); d != "" {
						t.Error(d)
					}
					if angles == "computed" || angles == "looked up" {
						return // the inputs have other shapes, or count from the end
					}
					if d := furthest(t, a, b); d > 1e-12 {
						t.Errorf("its outputs differ by %g", d)
					}
				})
			}
		}
	}
}

// A rotary embedding turns all of its elements in pairs: where one of many is left out, or goes
// round with two others, the tables are layers.
func TestOneElementElsewhere(t *testing.T) {
	const size = 192
	cos, sin := make([]float32, size), make([]float32, size)
	order := make([]int64, size)
	for i := range size {
		s, c := math.Sincos(float64(1 + i/2))
		cos[i], sin[i], order[i] = float32(c), float32(s), int64(i^1)
		if i%2 == 0 {
			sin[i] = -sin[i]
		}
	}
	for _, c := range []struct {
		name   string
		change func()
		layers int
	}{
		{"all in pairs", func() {}, 2},
		{"one is left out", func() { order[size-2] = size - 2 }, 4},
		{"three go round", func() { order[size-2], order[size-1] = size-3, size-2 }, 4},
	} {
		c.change()
		w := make([]float32, 5*size)
		for i := range w {
			w[i] = float32(math.Sin(float64(i * i)))
		}
		model := pbModel(8, 17, pbInput("x", -1, 5), pbOutput("y", -1, 1),
			pbInitializer("w", []int64{5, size}, w...), pbInitializer("out", []int64{size, 1}, w[:size]...),
			pbInitializer("cos", []int64{size}, cos...), pbInitializer("sin", []int64{size}, sin...), pbIntegers("order", order...),
			pbNode("MatMul", "v", names("x", "w"), names("v")), pbNode("Gather", "turned", names("v", "order"), names("turned"), attrOfInt("axis", 1)),
			pbNode("Mul", "a", names("v", "cos"), names("a")), pbNode("Mul", "b", names("turned", "sin"), names("b")),
			pbNode("Add", "r", names("a", "b"), names("r")), pbNode("MatMul", "y", names("r", "out"), names("y")))
		if n := len(layersOf(t, decode(t, model))) - 1; n != c.layers {
			t.Errorf("%s: %d layers, want %d", c.name, n, c.layers)
		}
	}
}

// layersOf lists the layers with their norms and the groups of their rows and columns, numbered
// by first appearance, and the network's measures.
func layersOf(t *testing.T, n *dag.Network) []string {
	t.Helper()
	rep, err := analysis.Measures(context.Background(), n, analysis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g := n.Groups()
	number := map[int32]int{}
	numbered := func(ids []int32) (out []string) {
		for _, id := range ids {
			if _, ok := number[id]; !ok {
				number[id] = len(number)
			}
			out = append(out, fmt.Sprintf("%d %q", number[id], g.Pin[id]))
		}
		return out
	}
	values := func(ms []analysis.Measure) (s string) {
		for _, m := range ms {
			s += fmt.Sprintf(" %s %v", m.Name, m.Value)
		}
		return s
	}
	out := []string{values(rep.Measures)}
	for _, i := range n.Layers() {
		if n.Nodes[i].Op.(*dag.Linear).Map != nil {
			out = append(out, fmt.Sprint(n.Nodes[i].Name, numbered(g.Rows[i]), numbered(g.Cols[i])))
		}
	}
	for k, l := range rep.Layers {
		out[1+k] += values(l.Measures)
	}
	for _, s := range rep.Segments {
		out[0] += fmt.Sprint(s.Layers, s.Paths) + values(s.Measures)
	}
	return out
}

func factorsOfAttention(t *testing.T, model []byte, free int) {
	t.Helper()
	m, err := onnxio.Decode(model, onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g := m.Net.Groups()
	if got := g.Free(); got != free {
		t.Errorf("%d factors are free, want %d: pins %q", got, free, g.Pin)
	}
	scaled := randomly(t, m.Net, 3)
	// Float32 weights, rounded once more.
	if d := furthest(t, m.Net, scaled); d > 1e-6 {
		t.Errorf("the function changed by %g", d)
	}
	var out bytes.Buffer
	if err := m.Write(&out, scaled); err != nil {
		t.Fatal(err)
	}
	if d := furthest(t, m.Net, decode(t, out.Bytes())); d > 1e-6 {
		t.Errorf("the written model differs by %g", d)
	}
	for id := range g.Count {
		if g.Pin[id] != "" || g.Follows(id) {
			continue
		}
		wrong, factors := *g, g.Ones()
		wrong.Inverse = slices.Repeat([]int32{-1}, g.Count)
		wrong.Cols = make([][]int32, len(g.Cols))
		for i, ids := range g.Cols { // no column takes a factor back
			wrong.Cols[i] = make([]int32, len(ids))
		}
		factors[id] = 3
		bad, err := m.Net.Rescale(&wrong, factors)
		if err != nil {
			t.Fatal(err)
		}
		if d := furthest(t, m.Net, bad); d < 1e-3 {
			t.Errorf("a wrong factor of group %d changes the function by %g only", id, d)
		}
	}
}

package analysis_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/eval"
)

// Every measure of a network is that of the same network with each layer's
// BatchNormalization and constant factors multiplied into its weights, as
// exporters do, and its matrix stored the other way round. The number of stored
// parameters alone differs.
func TestFoldedOrNot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := dagtest.Random(t, dagtest.Options{Features: dagtest.All, Type: dag.Float64, Zeros: 0.1})
		m := multiplied(t, n)
		opt := analysis.Options{Names: []string{"all"}, FlatnessError: 10}
		if out := n.Boundary(); len(out) == 1 && len(n.Inputs) == 1 {
			in := n.Nodes[n.Inputs[0].Node].Len()
			x := make([]float64, 10*in)
			for i := range x {
				x[i] = math.Sin(float64(3 * i))
			}
			labels := make([]int, 10)
			if n.Nodes[out[0]].Len() > 1 {
				labels = predict(t, n, x, 10)
			}
			opt.Data = &analysis.Labelled{Inputs: [][]float64{x}, Batch: 10, Labels: labels}
		}
		same(t, n, measure(t, n, opt), measure(t, m, opt))
	})
}

// same compares the measures of two writings of one function.
func same(t fataler, n *dag.Network, a, b *analysis.Report) {
	t.Helper()
	if a.Paths.Cmp(b.Paths) != 0 || a.Depth != b.Depth || a.HiddenUnits != b.HiddenUnits {
		t.Fatalf("paths %s %s, depth %d %d, hidden units %d %d\n%s", a.Paths, b.Paths, a.Depth, b.Depth, a.HiddenUnits, b.HiddenUnits, n)
	}
	for k, p := range a.Measures {
		q := b.Measures[k]
		x, y := p.Value.Float64(), q.Value.Float64()
		if p.Name == "balance_spread" && slices.ContainsFunc(n.Params(), func(p *dag.Param) bool { return p.Storage == dag.Unwritable }) {
			continue // which units are free depends on the file
		}
		if p.Name == "parameter_count" || !p.Defined && !q.Defined {
			continue
		}
		tol := 1e-9 // some hundred roundings, in another order
		if p.StandardError.IsFinite() && !p.StandardError.IsZero() {
			tol = 0.03 // one step of the search, where an output is a tie to rounding
		}
		if x != y && !(math.Abs(x-y) <= tol*math.Max(math.Abs(x), math.Abs(y))+1e-12) {
			t.Fatalf("%s %s %s: %v and %v\n%s", p.Name, p.P, p.Q, x, y, n)
		}
	}
}

// multiplied returns the network with stages multiplied into stored weights.
func multiplied(t fataler, n *dag.Network) *dag.Network {
	t.Helper()
	out := &dag.Network{Nodes: slices.Clone(n.Nodes), Inputs: n.Inputs, Outputs: n.Outputs}
	for i := range n.Nodes {
		l, ok := n.Nodes[i].Op.(*dag.Linear)
		if !ok || l.Map == nil || l.Map.Weight() == nil || n.Nodes[i].Zone != dag.Body {
			continue
		}
		scale := func(row int) float64 {
			if l.Scale() == nil {
				return 1
			}
			return l.Scale()[row]
		}
		f := &dag.Linear{}
		switch m := l.Map.(type) {
		case *dag.Dense:
			c := *m
			c.InOut = !m.InOut
			w := make([]float64, m.Rows*m.Cols)
			for i := range m.Rows {
				for j := range m.Cols {
					at := i*m.Cols + j
					if c.InOut {
						at = j*m.Rows + i
					}
					w[at] = scale(i) * m.At(i, j)
				}
			}
			c.W = dag.Use{Param: dag.NewParam64("w", []int{len(w)}, w)}
			f.Map = &c
		case *dag.Conv:
			c := *m
			w := m.W.Param.Values()
			taps, co, ci := dag.Size(m.Window.Kernel), m.OutChannels/m.Groups, m.InChannels/m.Groups
			for k := range w {
				row := k / taps / ci
				if m.Transposed {
					row = k/taps/co/ci*co + k/taps%co
				}
				w[k] *= scale(row)
			}
			c.W = dag.Use{Param: dag.NewParam64("w", m.W.Param.Shape, w)}
			f.Map = &c
		}
		if b := l.Bias(); b != nil {
			f.Stages = []dag.Stage{{Add: &dag.Vector{Use: dag.Use{Param: dag.NewParam64("b", []int{len(b)}, b)}, Coef: 1}}}
		}
		out.Nodes[i].Op = f
	}
	if err := out.Validate(); err != nil {
		t.Fatal(err)
	}
	return out
}

// A chain of constants, with nodes between that only move elements, has the
// measures of the one layer that it makes with the layer before it, whatever the
// order in which it is written: path norms by the definition, (sum_j |s w_j|^p +
// |s b + c|^p)^(1/p) an element.
func TestOrderOfConstants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const rows, cols, inner = 3, 2, 4
		number := rapid.Custom(func(t *rapid.T) float64 {
			return float64(rapid.IntRange(1, 40).Draw(t, "number")) / 16 * float64(rapid.SampledFrom([]int{1, -1}).Draw(t, "sign"))
		})
		numbers := func(n int) []float64 { return rapid.SliceOfN(number, n, n).Draw(t, "numbers") }
		w, bias := numbers(rows*cols), numbers(rows)
		vector := func(x []float64) *dag.Vector {
			return &dag.Vector{Use: dag.Use{Param: dag.NewParam64("v", []int{len(x)}, x)}, Coef: 1}
		}
		var b dag.Builder
		at := b.Node(dag.Node{Name: "first", Source: "MatMul", In: []int{b.Input("x", cols, inner)}, Shape: []int{rows, inner}, Op: &dag.Linear{
			Map:    &dag.Dense{W: dag.Use{Param: dag.NewParam64("w", []int{rows, cols}, w)}, Rows: rows, Cols: cols, Inner: inner},
			Stages: []dag.Stage{{Add: vector(bias)}},
		}})
		// The chain so far: factor, constant and unit of each element.
		order := make([]int32, rows*inner)
		s, c := make([]float64, rows*inner), make([]float64, rows*inner)
		for e := range order {
			order[e], s[e], c[e] = int32(e), 1, bias[e/inner]
		}
		for k := range rapid.IntRange(1, 6).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "move") {
				index := rapid.Permutation(slices.Clone(seq(rows*inner))).Draw(t, "index")
				at = b.Node(dag.Node{Name: fmt.Sprint("move", k), Source: "Gather", In: []int{at}, Shape: []int{rows * inner}, Op: &dag.Select{Index: index}})
				order, s, c = moved(order, index), moved(s, index), moved(c, index)
				continue
			}
			units := rapid.SampledFrom([]int{1, rows * inner}).Draw(t, "units")
			axis := dag.Axis{Outer: 1, N: units, Inner: rows * inner / units}
			f, g := numbers(units), numbers(units)
			var st dag.Stage
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				st.Mul = vector(f)
			case 1:
				st.Add = vector(g)
			default:
				st.Mul, st.Add = vector(f), vector(g)
			}
			for e := range s {
				if st.Mul != nil {
					s[e] *= f[axis.At(e)]
					c[e] *= f[axis.At(e)]
				}
				if st.Add != nil {
					c[e] += g[axis.At(e)]
				}
			}
			at = b.Node(dag.Node{
				Name: fmt.Sprint("constant", k), Source: "Mul+Add", In: []int{at}, Shape: []int{rows * inner},
				Op: &dag.Linear{Map: &dag.Diagonal{Axis: axis}, Stages: []dag.Stage{st}},
			})
		}
		b.Output("y", b.Activation("relu", at, 0))
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		r := measure(t, n, analysis.Options{P: []float64{1, 2, 3}, Names: []string{"path_norm_output"}})
		at = 0
		for _, p := range []float64{1, 2, 3} {
			for e := range s {
				want := math.Pow(math.Abs(c[e]), p)
				for j := range cols {
					want += math.Pow(math.Abs(s[e]*w[int(order[e])/inner*cols+j]), p)
				}
				want = math.Pow(want, 1/p)
				if got := r.Measures[at].Value.Float64(); !(math.Abs(got-want) <= 1e-12*want) {
					t.Fatalf("element %d, p = %v: %v, want %v\n%s", e, p, got, want, n)
				}
				at++
			}
		}
		// The function is that of the network as given.
		x := [][]float64{{1, -2, 3, 0.5, -1, 2, 0.25, 4}}
		want, err := eval.Run(context.Background(), n, x, 1, eval.Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := eval.Run(context.Background(), analysis.Normal(n), x, 1, eval.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for e, y := range want[0] {
			if !(math.Abs(got[0][e]-y) <= 1e-9*(1+math.Abs(y)*1e3)) {
				t.Fatalf("element %d: %v, want %v\n%s\n%s", e, got[0][e], y, n, analysis.Normal(n))
			}
		}
	})
}

func seq(n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(i)
	}
	return out
}

func moved[T any](x []T, index []int32) []T {
	out := make([]T, len(index))
	for e, j := range index {
		out[e] = x[j]
	}
	return out
}

// The normal form of random networks computes the same function.
func TestNormalKeepsTheFunction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := dagtest.Random(t, dagtest.Options{Features: dagtest.All, Type: dag.Float64, Zeros: 0.1})
		m := analysis.Normal(n)
		var x [][]float64
		for _, p := range n.Inputs {
			v := make([]float64, 2*n.Nodes[p.Node].Len())
			for i := range v {
				v[i] = math.Cos(float64(5 * i))
			}
			x = append(x, v)
		}
		want, err := eval.Run(context.Background(), n, x, 2, eval.Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := eval.Run(context.Background(), m, x, 2, eval.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for k := range want {
			top := 0.0
			for _, y := range want[k] {
				top = math.Max(top, math.Abs(y))
			}
			for e, y := range want[k] {
				if !(math.Abs(got[k][e]-y) <= 1e-9*(1+top)) {
					t.Fatalf("output %d: %v, want %v\n%s\n%s", e, got[k][e], y, n, m)
				}
			}
		}
	})
}

// A BatchNormalization behind a curve is a layer, with constants between them too, and
// has the norms of the one map that they are.
func TestNormalizationBehindACurve(t *testing.T) {
	use := func(x ...float64) dag.Use { return dag.Use{Param: dag.NewParam64("c", []int{len(x)}, x)} }
	build := func(norm *dag.BatchNorm, before ...dag.Stage) *dag.Network {
		var b dag.Builder
		x := b.Affine("fc", b.Input("x", 2), 2, []float64{1, 2, 3, 4}, nil)
		x = b.Node(dag.Node{Name: "tanh", Source: "Tanh", In: []int{x}, Shape: []int{2}, Op: &dag.Func{
			Kind: dag.Curve, Why: "it is bounded", Apply: func(dst []float64, in ...[]float64) {
				for i, v := range in[0] {
					dst[i] = math.Tanh(v)
				}
			},
		}})
		for _, st := range append(before, dag.Stage{Norm: norm}) {
			x = b.Node(dag.Node{Name: "c", Source: "Constants", In: []int{x}, Shape: []int{2}, Op: &dag.Linear{
				Map: &dag.Diagonal{Axis: dag.Axis{Outer: 1, N: 2, Inner: 1}}, Stages: []dag.Stage{st},
			}})
		}
		b.Output("y", x)
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	// 3 (z + 1) - 2 and 5 (2 z + 1) - 2 as one map, z -> 3 z + 1 and 10 z + 3.
	got := build(&dag.BatchNorm{Gamma: use(3, 10), Beta: use(-2, -2), Mean: use(0, 0), Var: use(1, 4)},
		dag.Stage{Mul: &dag.Vector{Use: use(1, 2), Coef: 1}, Add: &dag.Vector{Use: use(1, 1), Coef: 1}})
	want := build(&dag.BatchNorm{Gamma: use(3, 10), Beta: use(1, 3), Mean: use(0, 0), Var: use(1, 1)})
	// parameter_count is the file's.
	opt := analysis.Options{Names: []string{"frobenius", "group_norm", "product_frobenius", "spectral", "max_abs"}}
	if d := cmp.Diff(measure(t, want, opt).Measures, measure(t, got, opt).Measures); d != "" {
		t.Errorf("(-one map +two)\n%s", d)
	}
}

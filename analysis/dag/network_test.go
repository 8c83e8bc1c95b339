package dag_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
)

// sample has one of everything, for the printer and for breaking.
func sample(t *testing.T) *dag.Network {
	t.Helper()
	var b dag.Builder
	x := b.Input("image", 1, 4, 4)
	use := func(name string, shape ...int) dag.Use {
		return dag.Use{Param: dag.NewParam32(name, dag.Float32, shape, make([]float32, dag.Size(shape)))}
	}
	conv := &dag.Conv{W: use("k", 2, 1, 3, 3), InChannels: 1, OutChannels: 2, Groups: 1, Window: window(4, 3, 1, 1)}
	h := b.Node(dag.Node{Name: "conv", Source: "Conv+BatchNormalization", In: []int{x}, Shape: []int{2, 4, 4}, Op: &dag.Linear{
		Map: conv, Stages: []dag.Stage{
			{Add: &dag.Vector{Use: use("b", 2), Coef: 1}},
			{Norm: &dag.BatchNorm{Gamma: use("g", 2), Beta: use("s", 2), Mean: use("m", 2), Var: use("v", 2)}},
			{Mul: &dag.Vector{Coef: 2}},
		},
	}})
	h = b.Activation("relu", h, 0)
	pool := window(4, 2, 2, 0)
	h = b.Node(dag.Node{Name: "pool", Source: "MaxPool", In: []int{h}, Shape: []int{2, 2, 2}, Op: &dag.Pool{Window: &pool, Channels: 2}})
	slope := use("slope", 2)
	h = b.Node(dag.Node{
		Name: "prelu", Source: "PRelu", In: []int{h}, Shape: []int{2, 2, 2},
		Op: &dag.Activation{Param: &slope, Index: []int32{0, 0, 0, 0, 1, 1, 1, 1}, Slope: make([]float64, 8)},
	})
	avg := window(2, 2, 1, 0)
	m := b.Node(dag.Node{
		Name: "mean", Source: "AveragePool", In: []int{h}, Shape: []int{2, 1, 1},
		Op: &dag.Linear{Map: &dag.Average{Channels: 2, Window: avg, Weights: []float64{0.25}}},
	})
	m = b.Node(dag.Node{Name: "flat", Source: "Flatten", In: []int{m}, Shape: []int{2}, Op: &dag.Select{}})
	s := b.Node(dag.Node{Name: "slice", Source: "Slice", In: []int{h}, Shape: []int{2}, Op: &dag.Select{Index: []int32{0, -1}}})
	c := b.Node(dag.Node{
		Name: "c", Source: "Constant", Shape: []int{2},
		Op: &dag.Linear{Units: 2, Stages: []dag.Stage{{Add: &dag.Vector{Use: use("c", 2), Coef: 1}}}},
	})
	a := b.Sum("add", m, s, c)
	l := b.Activation("leaky", a, 0.01)
	k := b.Concat("cat", l, m)
	d := b.Node(dag.Node{Name: "scale", Source: "Mul", In: []int{k}, Shape: []int{4}, Op: &dag.Linear{
		Map: &dag.Diagonal{Axis: dag.Axis{Outer: 1, N: 4, Inner: 1}}, Stages: []dag.Stage{{Mul: &dag.Vector{Use: use("d", 4), Coef: 1}}},
	}})
	max := b.Node(dag.Node{Name: "max", Source: "Max", In: []int{d, k}, Shape: []int{4}, Op: &dag.Pool{}})
	y := b.Affine("fc", max, 3, make([]float64, 12), make([]float64, 3))
	p := b.Node(dag.Node{Name: "softmax", Source: "Softmax", In: []int{y}, Shape: []int{3}, Op: &dag.Func{Apply: func([]float64, ...[]float64) {}}})
	b.Output("logits", y)
	b.Output("probabilities", p)
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestString(t *testing.T) {
	want := `%0 = Input "image" (Input) [1 4 4] preamble
%1 = Conv 2x1 3x3 +bias +norm *scale "conv" (Conv+BatchNormalization) %0 [2 4 4] body
%2 = ReLU "relu" (Relu) %1 [2 4 4] body
%3 = MaxPool 2x2 "pool" (MaxPool) %2 [2 2 2] body
%4 = PReLU of 2 "prelu" (PRelu) %3 [2 2 2] body
%5 = AveragePool 2x2 "mean" (AveragePool) %4 [2 1 1] body
%6 = Reshape "flat" (Flatten) %5 [2] body
%7 = Select "slice" (Slice) %4 [2] body
%8 = Constant +bias "c" (Constant) [2] body
%9 = Add "add" (Add) %6 %7 %8 [2] body
%10 = LeakyReLU 0.01 "leaky" (LeakyRelu) %9 [2] body
%11 = Concat "cat" (Concat) %10 %6 [4] body
%12 = Diagonal 4 *scale "scale" (Mul) %11 [4] body
%13 = Max "max" (Max) %12 %11 [4] body
%14 = Linear 3x4 +bias "fc" (Gemm) %13 [3] body
%15 = Func "softmax" (Softmax) %14 [3] head
output "logits" = %14
output "probabilities" = %15
`
	if d := cmp.Diff(want, sample(t).String()); d != "" {
		t.Error(d)
	}
}

// Every invariant of a network, broken one at a time, is found, and the error
// names the node.
func TestValidate(t *testing.T) {
	conv := func(n *dag.Network) *dag.Conv { return n.Nodes[1].Op.(*dag.Linear).Map.(*dag.Conv) }
	pool := func(n *dag.Network) *dag.Pool { return n.Nodes[3].Op.(*dag.Pool) }
	long := dag.Use{Param: dag.NewParam64("long", []int{9}, make([]float64, 9))}
	for _, c := range []struct {
		name string
		do   func(n *dag.Network)
		want string
	}{
		{"an ID", func(n *dag.Network) { n.Nodes[3].ID = 7 }, "node 3 has ID 7"},
		{"a later operand", func(n *dag.Network) { n.Nodes[3].In = []int{5} }, `"pool" (MaxPool): operand 0 is node 5`},
		{"itself as operand", func(n *dag.Network) { n.Nodes[3].In = []int{3} }, `"pool" (MaxPool): operand 0 is node 3`},
		{"a negative operand", func(n *dag.Network) { n.Nodes[3].In = []int{-1} }, `"pool" (MaxPool): operand 0 is node -1`},
		{"a negative shape", func(n *dag.Network) { n.Nodes[2].Shape = []int{-2, 4, 4} }, `"relu" (Relu): shape [-2 4 4]`},
		{"a shape that overflows", func(n *dag.Network) { n.Nodes[2].Shape = []int{1 << 31, 1 << 31, 1 << 31} }, `"relu" (Relu): shape`},
		{"no op", func(n *dag.Network) { n.Nodes[2].Op = nil }, `"relu" (Relu): no op`},
		{"a zone", func(n *dag.Network) { n.Nodes[2].Zone = dag.Head }, `"relu" (Relu): in the head, want body`},
		{"an operand of another size", func(n *dag.Network) { n.Nodes[2].In = []int{0} }, `"relu" (Relu): operand "image" (Input) of 16 elements, want 32`},
		{"an input with operands", func(n *dag.Network) { n.Nodes[0].In = []int{}; n.Nodes[1].Op = dag.Input{} }, `"conv" (Conv+BatchNormalization): an input with 1 operands`},
		{"an input without a port", func(n *dag.Network) { n.Inputs = nil }, `"image" (Input) is not among the network's inputs`},
		{"an input named twice", func(n *dag.Network) { n.Inputs = append(n.Inputs, n.Inputs[0]) }, `"image" (Input) is named twice`},
		{"a port that is no input", func(n *dag.Network) { n.Inputs[0].Node = 2 }, `input "image" is "relu" (Relu)`},
		{"a port beyond the nodes", func(n *dag.Network) { n.Outputs[0].Node = 99 }, `port "logits": node 99 of 16`},
		{"slopes", func(n *dag.Network) { n.Nodes[2].Op = &dag.Activation{Slope: []float64{1, 2}} }, `"relu" (Relu): 2 slopes for 32 elements`},
		{"a NaN slope", func(n *dag.Network) { n.Nodes[2].Op = &dag.Activation{Slope: []float64{math.NaN()}} }, `"relu" (Relu): slope 0 is NaN`},
		{"a slope's index", func(n *dag.Network) { n.Nodes[4].Op.(*dag.Activation).Index[3] = 2 }, `"prelu" (PRelu): index[3] = 2 is outside 2 slopes`},
		{"stored slopes", func(n *dag.Network) { a := n.Nodes[4].Op.(*dag.Activation); a.Index, a.Param = nil, &long }, `"prelu" (PRelu): 9 stored slopes for 8`},
		{"a sign", func(n *dag.Network) { n.Nodes[9].Op.(*dag.Add).Sign = []float64{1, 2, 1} }, `"add" (Add): sign 2`},
		{"signs", func(n *dag.Network) { n.Nodes[9].Op.(*dag.Add).Sign = []float64{1} }, `"add" (Add): 1 signs for 3 operands`},
		{"no summands", func(n *dag.Network) { n.Nodes[9].In = nil }, `"add" (Add): no operands`},
		{"a concatenation's size", func(n *dag.Network) { n.Nodes[11].Shape = []int{5} }, `"cat" (Concat): operands of 4 elements make 5`},
		{"a selection's size", func(n *dag.Network) { n.Nodes[7].Shape = []int{3} }, `"slice" (Slice): index of 2 for 3 elements`},
		{"a selection's index", func(n *dag.Network) { n.Nodes[7].Op.(*dag.Select).Index[0] = 8 }, `"slice" (Slice): index[0] = 8 is outside 8 elements`},
		{"a function without code", func(n *dag.Network) { n.Nodes[15].Op = &dag.Func{} }, `"softmax" (Softmax): a function without Apply`},
		{"a pool's channels", func(n *dag.Network) { pool(n).Channels = 3 }, `"pool" (MaxPool): operand of 32 elements, window wants 48`},
		{"a window's size", func(n *dag.Network) { pool(n).Window.Kernel[0] = 9 }, `"pool" (MaxPool): window of [9 2]`},
		{"a window's stride", func(n *dag.Network) { pool(n).Window.Stride[1] = 0 }, `"pool" (MaxPool): window kernel [2 2], stride [2 0]`},
		{"a window's dimensions", func(n *dag.Network) { pool(n).Window.After = nil }, `"pool" (MaxPool): window of 2 dimensions has a field of 0`},
		{"a window's numbers", func(n *dag.Network) { pool(n).Window.Before[0] = 1 << 40 }, `"pool" (MaxPool): window: 1099511627776 is beyond`},
		{"a window over nothing", func(n *dag.Network) { pool(n).Window.In[0] = 0 }, `"pool" (MaxPool): window over an empty operand`},
		{"a huge window", func(n *dag.Network) {
			w := pool(n).Window
			w.Before, w.After, w.Stride = []int{1 << 20, 1 << 20}, []int{1 << 20, 1 << 20}, []int{1, 1}
		}, `"pool" (MaxPool): window of [2 2] at`},
		{"a kernel", func(n *dag.Network) { conv(n).W = long }, `"conv" (Conv+BatchNormalization): weight "long": 9 values, want 18`},
		{"no kernel", func(n *dag.Network) { conv(n).W = dag.Use{} }, `"conv" (Conv+BatchNormalization): a convolution without a weight`},
		{"groups", func(n *dag.Network) { conv(n).Groups = 0 }, `"conv" (Conv+BatchNormalization): 0 groups`},
		{"a channel count that overflows", func(n *dag.Network) { conv(n).OutChannels, conv(n).InChannels = 1<<40, 1<<40 }, `"conv" (Conv+BatchNormalization): weight "k"`},
		{"average weights", func(n *dag.Network) { n.Nodes[5].Op.(*dag.Linear).Map.(*dag.Average).Weights = nil }, `"mean" (AveragePool): average weights: 0 values, want 1`},
		{"a matrix", func(n *dag.Network) { n.Nodes[14].Op.(*dag.Linear).Map.(*dag.Dense).W = long }, `"fc" (Gemm): weight "long" of 3 x 4: 9 values, want 12`},
		{"no matrix", func(n *dag.Network) { n.Nodes[14].Op.(*dag.Linear).Map.(*dag.Dense).W = dag.Use{} }, `"fc" (Gemm): a dense map without a weight`},
		{"a bias", func(n *dag.Network) { n.Nodes[14].Op.(*dag.Linear).Stages[0].Add.Use = long }, `"fc" (Gemm): stage 0: 9 values for 3 units`},
		{"a bias's index", func(n *dag.Network) { n.Nodes[14].Op.(*dag.Linear).Stages[0].Add.Index = []int32{0, 1, 3} }, `"fc" (Gemm): stage 0: index 3 is outside 3 values`},
		{"a bias's shape", func(n *dag.Network) { n.Nodes[14].Op.(*dag.Linear).Stages[0].Add.Full = []int{4} }, `"fc" (Gemm): stage 0: shape [4] for 3 units`},
		{"a norm", func(n *dag.Network) { n.Nodes[1].Op.(*dag.Linear).Stages[1].Norm.Var = long }, `stage 1: batch normalisation of 2 units`},
		{"a map's operand", func(n *dag.Network) { n.Nodes[14].In = []int{9} }, `"fc" (Gemm): operand "add" (Add) of 2 elements, want 4`},
		{"a map's value", func(n *dag.Network) { n.Nodes[14].Shape = []int{2} }, `"fc" (Gemm): the map makes 3 elements, want 2`},
		{"a constant's size", func(n *dag.Network) { n.Nodes[8].Op.(*dag.Linear).Units = 3 }, `"c" (Constant): a constant of 3 units`},
	} {
		n := sample(t)
		if err := n.Validate(); err != nil {
			t.Fatal(err)
		}
		c.do(n)
		if err := n.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

// The first mistake of a Builder is what Build reports.
func TestBuilderErrors(t *testing.T) {
	var b dag.Builder
	x := b.Input("x", 2)
	b.Node(dag.Node{Name: "early", Source: "Add", In: []int{x, 9}, Shape: []int{2}, Op: &dag.Add{}})
	b.Affine("fc", x, 2, make([]float64, 4), nil)
	if _, err := b.Build(); err == nil || !strings.Contains(err.Error(), `"early" (Add): operand 1 is node 9`) {
		t.Errorf("error %v", err)
	}
}

func TestEvalErrors(t *testing.T) {
	n := sample(t)
	for _, c := range []struct {
		inputs [][]float64
		want   string
	}{
		{nil, "0 inputs given, the network has 1"},
		{[][]float64{make([]float64, 15)}, `input "image": 15 values for a batch of 1, want 16`},
	} {
		if _, err := eval.Run(t.Context(), n, c.inputs, 1, eval.Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := eval.Run(ctx, n, [][]float64{make([]float64, 16)}, 1, eval.Options{}); err == nil {
		t.Error("a cancelled evaluation went on")
	}
	// An empty batch is no error.
	out, err := eval.Run(t.Context(), n, [][]float64{{}}, 0, eval.Options{})
	if err != nil || len(out) != 2 || len(out[0]) != 0 {
		t.Errorf("empty batch: %v %v", out, err)
	}
}

// TestCounted: numbers behind the last weights are in no norm, such as a mask.
func TestCounted(t *testing.T) {
	var b dag.Builder
	x := b.Input("x", 2)
	y := b.Affine("fc", x, 3, make([]float64, 6), make([]float64, 3))
	p := b.Node(dag.Node{Name: "softmax", Source: "Softmax", In: []int{y}, Shape: []int{3}, Op: &dag.Func{Apply: func([]float64, ...[]float64) {}}})
	mask := dag.Use{Param: dag.NewParam64("mask", []int{3}, []float64{0, 0, math.Inf(-1)})}
	m := b.Node(dag.Node{Name: "masked", Source: "Add", In: []int{p}, Shape: []int{3}, Op: &dag.Linear{
		Map: &dag.Diagonal{Axis: dag.Axis{Outer: 1, N: 3, Inner: 1}}, Stages: []dag.Stage{{Add: &dag.Vector{Use: mask, Coef: 1}}},
	}})
	b.Output("y", m)
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range n.Counted() {
		names = append(names, p.Name)
	}
	if slices.Contains(names, "mask") || len(names) != 2 || len(n.Params()) != 3 {
		t.Errorf("%q are counted of %d", names, len(n.Params()))
	}
}

// TestGroupsOfNothing: a layer of constants over a value without elements has no groups to read.
func TestGroupsOfNothing(t *testing.T) {
	for _, axis := range []dag.Axis{{Outer: 2, N: 3, Inner: 0}, {Outer: 0, N: 3, Inner: 2}} {
		shape := []int{axis.Outer, axis.N, axis.Inner}
		var b dag.Builder
		h := b.Affine("fc", b.Input("x", 4), 2, make([]float64, 8), make([]float64, 2))
		zero := dag.Use{Param: dag.NewParam64("none", []int{0}, nil)}
		none := b.Node(dag.Node{Name: "none", Source: "Constant", Shape: shape, Op: &dag.Linear{Stages: []dag.Stage{{Add: &dag.Vector{Use: zero, Coef: 1}}}}})
		twice := b.Node(dag.Node{Name: "twice", Source: "Mul", In: []int{none}, Shape: shape, Op: &dag.Linear{
			Map: &dag.Diagonal{Axis: axis}, Stages: []dag.Stage{{Mul: &dag.Vector{Coef: 2}}},
		}})
		b.Output("y", b.Affine("out", b.Concat("cat", h, twice), 1, make([]float64, 2), make([]float64, 1)))
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		if g := n.Groups(); len(g.Rows[twice]) != axis.N {
			t.Errorf("%v: rows %v", axis, g.Rows[twice])
		}
	}
}

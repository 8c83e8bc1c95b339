package program_test

import (
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune/internal/program"
)

// TestRefusalOfTransposedConvolutions checks that a refusal names what the file
// holds: products with stacks of matrices are lowered to transposed convolutions.
func TestRefusalOfTransposedConvolutions(t *testing.T) {
	for source, want := range map[string]string{
		"ConvTranspose": `"f" (ConvTranspose): training of a transposed convolution is not supported`,
		"MatMul":        `"f" (MatMul): training of a product with a stack of matrices, one for each part of its operand, is not supported`,
	} {
		one := []int{1}
		var b dag.Builder
		x := b.Input("x", 4, 1)
		y := b.Node(dag.Node{
			Name: "f", Source: source, In: []int{x}, Shape: []int{2, 1},
			Op: &dag.Linear{Map: &dag.Conv{
				W:          dag.Use{Param: dag.NewParam64("w", []int{4, 1, 1}, []float64{1, 2, 3, 4})},
				InChannels: 4, OutChannels: 2, Groups: 2, Transposed: true,
				Window: dag.Window{In: one, Kernel: one, Stride: one, Dilation: one, Before: []int{0}, After: []int{0}},
			}},
		})
		b.Output("y", y)
		net, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		_, err = program.Compile[float64](net, program.Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", source, err, want)
		}
	}
}

// TestRefusalOfFunctions checks that a refusal names the functions that are in the
// way and says what to do; functions behind the last layer are none.
func TestRefusalOfFunctions(t *testing.T) {
	f := func(b *dag.Builder, name string, in int) int {
		return b.Node(dag.Node{Name: name, Source: "Tanh", In: []int{in}, Shape: b.Shape(in), Op: &dag.Func{
			Kind: dag.Curve, Apply: func(_ []float64, _ ...[]float64) {},
		}})
	}
	fc := func(b *dag.Builder, name string, in int) int { return b.Affine(name, in, 1, []float64{2}, nil) }
	for _, c := range []struct {
		name  string
		build func(b *dag.Builder, x int) int
		want  string
	}{
		{"head", func(b *dag.Builder, x int) int { return f(b, "t", fc(b, "a", x)) }, ""},
		{"between", func(b *dag.Builder, x int) int {
			for _, name := range []string{"t1", "t2", "t3", "t4", "t5"} {
				x = f(b, name, fc(b, "a", x))
			}
			return fc(b, "b", x)
		}, `functions stand between its layers: "t1" (Tanh), "t2" (Tanh), "t3" (Tanh) and 2 more: a network that is trained`},
		{
			"preamble", func(b *dag.Builder, x int) int { return fc(b, "a", f(b, "t", x)) },
			`functions of the inputs are not computed in training: "t" (Tanh): export the network without them`,
		},
		{"cap", func(b *dag.Builder, x int) int {
			x = fc(b, "a", x)
			return fc(b, "b", b.Node(dag.Node{Name: "six", Source: "Clip", In: []int{x}, Shape: []int{1}, Op: &dag.Cap{Lo: []float64{0}, Hi: []float64{6}}}))
		}, `"six" (Clip): training through a bounded activation is not supported`},
		{"caps", func(b *dag.Builder, x int) int {
			for _, name := range []string{"c1", "c2", "c3", "c4", "c5"} {
				x = fc(b, "a", x)
				x = b.Node(dag.Node{Name: name, Source: "Clip", In: []int{x}, Shape: []int{1}, Op: &dag.Cap{Lo: []float64{0}, Hi: []float64{6}}})
			}
			return fc(b, "b", x)
		}, `cannot be trained: "c1" (Clip), "c2" (Clip), "c3" (Clip) and 2 more: training through a bounded activation is not supported: a ReLU in its place can be trained`},
	} {
		var b dag.Builder
		b.Output("y", c.build(&b, b.Input("x", 1)))
		net, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		_, err = program.Compile[float64](net, program.Options{})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

// TestRefusalOfConstantScores: scores of constants alone are the same for every example.
func TestRefusalOfConstantScores(t *testing.T) {
	var b dag.Builder
	x := b.Input("x", 3)
	c := b.Node(dag.Node{Name: "c", Source: "Constant", Shape: []int{2}, Op: &dag.Linear{Units: 2, Stages: []dag.Stage{{
		Add: &dag.Vector{Use: dag.Use{Param: dag.NewParam64("c", []int{2}, []float64{1, 2})}, Coef: 1},
	}}}})
	y := b.Affine("fc", c, 1, []float64{1, 1}, nil)
	b.Output("y", y)
	b.Output("z", b.Affine("other", x, 1, []float64{1, 1, 1}, nil))
	net, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	const want = `"fc" (Gemm) is the same for every example: it does not depend on the input "x"`
	if _, err := program.Compile[float64](net, program.Options{Logits: y}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

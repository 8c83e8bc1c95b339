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

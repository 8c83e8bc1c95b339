package eval

import (
	"math/rand/v2"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
)

// What a Select picks, element by element: single elements, runs, padding, in lists that are
// shorter and longer than one goroutine takes, of one sample and of several.
func TestSelect(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	const in = 300
	for _, size := range []int{1, 7, 4095, 4096, 20_000, 70_001} {
		for _, longest := range []int{1, 3, 40, 290} {
			for _, padding := range []int{0, 10} {
				var index []int32
				for len(index) < size {
					from, n := rng.IntN(in), 1+rng.IntN(longest)
					pad := rng.IntN(100) < padding
					for i := from; i < min(from+n, in) && len(index) < size; i++ {
						if pad {
							index = append(index, -1)
						} else {
							index = append(index, int32(i))
						}
					}
				}
				var b dag.Builder
				x := b.Input("x", in)
				b.Output("y", b.Node(dag.Node{Name: "s", In: []int{x}, Shape: []int{size}, Op: &dag.Select{Index: index}}))
				net, err := b.Build()
				if err != nil {
					t.Fatal(err)
				}
				const samples = 3
				values := make([]float64, samples*in)
				for i := range values {
					values[i] = rng.NormFloat64()
				}
				for _, threads := range []int{1, 3} {
					out, err := Run(t.Context(), net, [][]float64{values}, samples, Options{Threads: threads})
					if err != nil {
						t.Fatal(err)
					}
					for k, got := range out[0] {
						want := 0.0
						if j := index[k%size]; j >= 0 {
							want = values[k/size*in+int(j)]
						}
						if got != want {
							t.Fatalf("%d elements, runs up to %d, %d %% padding, %d threads: element %d is %v, want %v", size, longest, padding, threads, k, got, want)
						}
					}
				}
			}
		}
	}
}

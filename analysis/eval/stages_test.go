package eval_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
)

// A batch that is computed in turns has the bits of its samples one by one, for values that
// are changed in place, read behind the stage that makes them, wanted from within and of
// other shapes; the inputs stay as they were.
func TestTurns(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	numbers := func(n int) []float64 {
		x := make([]float64, n)
		for i := range x {
			x[i] = rng.NormFloat64()
		}
		return x
	}
	use := func(shape ...int) dag.Use {
		return dag.Use{Param: dag.NewParam64("p", shape, numbers(dag.Size(shape)))}
	}
	const side, batch = 64, 40
	window := func(stride int) *dag.Window {
		return &dag.Window{In: []int{side, side}, Kernel: []int{3, 3}, Stride: []int{stride, stride}, Dilation: []int{1, 1}, Before: []int{1, 1}, After: []int{1, 1}}
	}
	var b dag.Builder
	x := b.Input("x", 2, side, side)
	first := b.Activation("x+", x, 0)
	conv := func(in, stride int) int {
		return b.Node(dag.Node{Name: "conv", In: []int{in}, Shape: append([]int{2}, window(stride).Out()...), Op: &dag.Linear{
			Map: &dag.Conv{W: use(2, 2, 3, 3), InChannels: 2, OutChannels: 2, Groups: 1, Window: *window(stride)},
		}})
	}
	c := conv(first, 1)
	shape := b.Node(dag.Node{Name: "shape", In: []int{c}, Shape: []int{2 * side * side}, Op: &dag.Select{}})
	r := b.Activation("relu", c, 0)
	back := b.Node(dag.Node{Name: "back", In: []int{shape}, Shape: []int{2, side, side}, Op: &dag.Select{}})
	sum := b.Node(dag.Node{Name: "sum", In: []int{r, back, x}, Shape: []int{2, side, side}, Op: &dag.Add{}})
	small := conv(b.Activation("leaky", sum, 0.5), 2)
	flat := b.Node(dag.Node{Name: "flat", In: []int{small}, Shape: []int{2 * side * side / 4}, Op: &dag.Select{}})
	y := b.Node(dag.Node{Name: "fc", In: []int{flat}, Shape: []int{3}, Op: &dag.Linear{Map: &dag.Dense{W: use(3, 2*side*side/4), Rows: 3, Cols: 2 * side * side / 4}}})
	z := b.Node(dag.Node{Name: "fc2", In: []int{shape}, Shape: []int{3}, Op: &dag.Linear{Map: &dag.Dense{W: use(3, 2*side*side), Rows: 3, Cols: 2 * side * side}}})
	b.Output("y", b.Node(dag.Node{Name: "both", In: []int{y, z}, Shape: []int{3}, Op: &dag.Add{}}))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	in := numbers(batch * 2 * side * side)
	kept := slices.Clone(in)
	for _, values := range [][]int{nil, {x, shape, y}, {first, c, shape, r, back, sum, small, flat}} {
		for _, threads := range []int{1, 2} {
			all, err := eval.Run(context.Background(), n, [][]float64{in}, batch, eval.Options{Threads: threads, Values: values})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(in, kept) {
				t.Fatalf("values %v: the input was changed", values)
			}
			m := len(in) / batch
			for s := range batch {
				one, err := eval.Run(context.Background(), n, [][]float64{kept[s*m : (s+1)*m]}, 1, eval.Options{Values: values})
				if err != nil {
					t.Fatal(err)
				}
				for k, v := range one {
					if len(all[k]) != batch*len(v) || !slices.Equal(all[k][s*len(v):(s+1)*len(v)], v) {
						t.Fatalf("values %v, %d threads, sample %d: value %d is not that of the sample alone", values, threads, s, k)
					}
				}
			}
		}
	}
}

// Values between layers do not bound the samples of a batch, however wide they are: turns hold those of some samples.
// What the batch has whole does.
func TestSamples(t *testing.T) {
	const in, wide, between, out = 100, 1 << 18, 5, 3
	var b dag.Builder
	pick := func(from, n int) int {
		return b.Node(dag.Node{Name: "pick", In: []int{from}, Shape: []int{n}, Op: &dag.Select{Index: make([]int32, n)}})
	}
	w := pick(b.Input("x", in), wide)
	weights := dag.Use{Param: dag.NewParam64("w", []int{out, between}, make([]float64, out*between))}
	b.Output("y", b.Node(dag.Node{Name: "fc", In: []int{pick(w, between)}, Shape: []int{out}, Op: &dag.Linear{
		Map: &dag.Dense{W: weights, Rows: out, Cols: between},
	}}))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		values        []int
		numbers, want int
	}{
		{nil, 10*(in+out+between) + 1, 10},
		{nil, 1, 1},
		{[]int{w}, 2 * (in + wide), 2},
	} {
		if got := eval.Samples(n, c.values, c.numbers); got != c.want {
			t.Errorf("values %v, %d numbers: %d samples, want %d", c.values, c.numbers, got, c.want)
		}
	}
}

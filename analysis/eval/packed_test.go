package eval_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
)

// layerCase is one linear map on a batch; maps of the sizes below need several tiles and
// blocks of the packed product, and ends of each.
type layerCase struct {
	name    string
	m       dag.Map
	in, out []int
	batch   int
}

func layerCases(rng *rand.Rand) []layerCase {
	numbers := func(n int) []float32 {
		w := make([]float32, n)
		for i := range w {
			w[i] = float32(rng.NormFloat64())
		}
		return w
	}
	use := func(double bool, shape ...int) dag.Use {
		w := numbers(dag.Size(shape))
		if !double {
			return dag.Use{Param: dag.NewParam32("w", dag.Float32, shape, w)}
		}
		wide := make([]float64, len(w))
		for i, v := range w {
			wide[i] = float64(v)
		}
		return dag.Use{Param: dag.NewParam64("w", shape, wide)}
	}
	window := func(in, kernel, stride, dilation, before, after []int) dag.Window {
		return dag.Window{In: in, Kernel: kernel, Stride: stride, Dilation: dilation, Before: before, After: after}
	}
	var cases []layerCase
	add := func(name string, batch int, m dag.Map, in, out []int) {
		cases = append(cases, layerCase{fmt.Sprintf("%s/batch=%d", name, batch), m, in, out, batch})
	}
	for i, s := range [][4]int{{1, 7, 5, 1}, {1, 130, 500, 1}, {3, 67, 193, 1}, {2, 70, 200, 9}, {1, 3, 0, 1}, {1, 5, 11, 101}} {
		outer, rows, cols, inner := s[0], s[1], s[2], s[3]
		shape := func(n int) []int { return []int{outer, n, inner} }
		for _, inOut := range []bool{false, true} {
			w := use(i%2 == 0, rows, cols)
			if inOut {
				w = use(i%2 == 1, cols, rows)
			}
			for _, batch := range []int{1, 5} {
				add(fmt.Sprintf("dense/%v/%v", s, inOut), batch,
					&dag.Dense{W: w, Rows: rows, Cols: cols, InOut: inOut, Outer: outer, Inner: inner}, shape(cols), shape(rows))
			}
		}
	}
	for i, c := range []struct {
		groups, outer, inner int
		w                    dag.Window
	}{
		{1, 5, 3, window([]int{9, 13}, []int{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1}, []int{1, 1})},
		{1, 70, 40, window([]int{7, 7}, []int{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1}, []int{1, 1})},
		{1, 6, 2, window([]int{30, 31}, []int{7, 5}, []int{2, 3}, []int{1, 2}, []int{3, 0}, []int{3, 1})},
		{3, 4, 5, window([]int{6, 6}, []int{3, 2}, []int{2, 1}, []int{1, 3}, []int{1, 2}, []int{0, 1})},
		{2, 65, 70, window([]int{49}, []int{1}, []int{1}, []int{1}, []int{0}, []int{0})},
		{1, 8, 20, window([]int{5, 5}, []int{5, 5}, []int{1, 1}, []int{1, 1}, []int{0, 0}, []int{0, 0})},
		{2, 3, 4, window([]int{2, 2}, []int{2, 2}, []int{1, 1}, []int{1, 1}, []int{0, 0}, []int{0, 0})},
		{1, 3, 2, window([]int{20, 20}, []int{15, 15}, []int{1, 1}, []int{1, 1}, []int{7, 7}, []int{7, 7})},
		{1, 3, 4, window([]int{4, 5, 6}, []int{2, 3, 3}, []int{1, 2, 2}, []int{2, 1, 1}, []int{0, 1, -1}, []int{1, 1, 2})},
		{1, 30, 6, window([]int{47, 53}, []int{1, 1}, []int{1, 1}, []int{1, 1}, []int{0, 0}, []int{0, 0})}, // tasks of many columns
		{1, 4, 3, window([]int{5}, []int{2}, []int{1}, []int{1}, []int{6}, []int{0})},
	} {
		for _, transposed := range []bool{false, true} {
			shape := []int{c.groups * c.outer, c.inner}
			m := &dag.Conv{InChannels: c.groups * c.inner, OutChannels: c.groups * c.outer, Groups: c.groups, Window: c.w, Transposed: transposed}
			in, out := append([]int{m.InChannels}, c.w.In...), append([]int{m.OutChannels}, c.w.Out()...)
			if transposed {
				m.InChannels, m.OutChannels = m.OutChannels, m.InChannels
				in, out = out, in
			}
			m.W = use(i%2 == 0, append(shape, c.w.Kernel...)...)
			for _, batch := range []int{1, 4} {
				add(fmt.Sprintf("conv/%d/%v", i, transposed), batch, m, in, out)
			}
		}
	}
	return cases
}

// Layers equal the sums over their edges one by one, with a bias and a ReLU behind, and
// have the same bits for any number of threads.
func TestLayersAgainstEdges(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for _, c := range layerCases(rng) {
		t.Run(c.name, func(t *testing.T) {
			axis := c.m.Out()
			bias := make([]float64, axis.N)
			for i := range bias {
				bias[i] = rng.NormFloat64()
			}
			var b dag.Builder
			x := b.Input("x", c.in...)
			y := b.Node(dag.Node{Name: "layer", In: []int{x}, Shape: c.out, Op: &dag.Linear{
				Map:    c.m,
				Stages: []dag.Stage{{Add: &dag.Vector{Use: dag.Use{Param: dag.NewParam64("b", []int{axis.N}, bias)}, Coef: 1}}},
			}})
			b.Output("y", b.Activation("relu", y, 0))
			n, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			nIn, nOut := dag.Size(c.in), dag.Size(c.out)
			in := make([]float64, c.batch*nIn)
			for i := range in {
				in[i] = rng.NormFloat64()
			}
			want, size := make([]float64, c.batch*nOut), make([]float64, c.batch*nOut)
			for i := range want {
				want[i] = bias[axis.At(i%nOut)]
				size[i] = math.Abs(want[i])
			}
			n.Nodes[y].Op.(*dag.Linear).Elements(func(_, _, out, at int, w float64) {
				for s := range c.batch {
					p := w * in[s*nIn+at]
					want[s*nOut+out] += p
					size[s*nOut+out] += math.Abs(p)
				}
			})
			var first []float64
			for _, threads := range []int{1, 2, 3} {
				got, err := eval.Run(context.Background(), n, [][]float64{in}, c.batch, eval.Options{Threads: threads})
				if err != nil {
					t.Fatal(err)
				}
				for i, v := range want {
					// Each product and sum rounds once, in either order.
					if tol := float64(nIn+2) * 0x1p-52 * size[i]; !(math.Abs(got[0][i]-max(v, 0)) <= tol) {
						t.Fatalf("element %d: %v, want %v", i, got[0][i], max(v, 0))
					}
				}
				if first == nil {
					first = got[0]
				}
				if !slices.Equal(first, got[0]) {
					t.Errorf("other bits with %d threads", threads)
				}
			}
		})
	}
}

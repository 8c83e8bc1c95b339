package eval_test

import (
	"context"
	"math"
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
)

// Convolutions with a group for each channel, over windows of one to three dimensions,
// equal the sum of their taps one by one, with a ReLU too. Kernels of at most 27
// elements of unit size round 27 times.
func TestDepthwiseAgainstTaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pick := func(what string, lo, hi int) int { return rapid.IntRange(lo, hi).Draw(t, what) }
		var w dag.Window
		for range pick("dims", 1, 3) {
			w.In = append(w.In, pick("in", 1, 9))
			w.Kernel = append(w.Kernel, pick("kernel", 1, 3))
			w.Stride = append(w.Stride, pick("stride", 1, 4))
			w.Dilation = append(w.Dilation, pick("dilation", 1, 3))
			d := len(w.In) - 1
			need := w.Dilation[d]*(w.Kernel[d]-1) + 1 - w.In[d]
			w.Before = append(w.Before, pick("before", -1, 3))
			w.After = append(w.After, max(pick("after", -1, 3), need-w.Before[d]))
			if w.In[d]+w.Before[d] < 1 {
				w.Before[d] = 0
				w.After[d] = max(w.After[d], need)
			}
		}
		groups, outer := pick("groups", 2, 4), pick("outer", 1, 2)
		k := dag.Size(w.Kernel)
		num := rapid.Float64Range(-1, 1)
		draw := func(n int) []float64 { return rapid.SliceOfN(num, n, n).Draw(t, "numbers") }
		weights, bias := draw(groups*outer*k), draw(groups*outer)
		nIn, nOut := dag.Size(w.In), dag.Size(w.Out())
		in := [][]float64{draw(2 * groups * nIn)}

		var b dag.Builder
		x := b.Input("x", append([]int{groups}, w.In...)...)
		use := func(shape []int, v []float64) dag.Use { return dag.Use{Param: dag.NewParam64("p", shape, v)} }
		y := b.Node(dag.Node{Name: "conv", In: []int{x}, Shape: append([]int{groups * outer}, w.Out()...), Op: &dag.Linear{
			Map:    &dag.Conv{W: use(append([]int{groups * outer, 1}, w.Kernel...), weights), InChannels: groups, OutChannels: groups * outer, Groups: groups, Window: w},
			Stages: []dag.Stage{{Add: &dag.Vector{Use: use([]int{groups * outer}, bias), Coef: 1}}},
		}})
		b.Output("y", b.Activation("relu", y, 0))
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		want := make([]float64, 2*groups*outer*nOut)
		for i := range want {
			want[i] = bias[i/nOut%(groups*outer)]
		}
		w.Taps(func(out, at, tap int) {
			for c := range 2 * groups * outer {
				want[c*nOut+out] += weights[c%(groups*outer)*k+tap] * in[0][c/outer*nIn+at]
			}
		})
		got, err := eval.Run(context.Background(), n, in, 2, eval.Options{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range want {
			if v = max(v, 0); math.Abs(got[0][i]-v) > 27*28*0x1p-53 {
				t.Fatalf("element %d: %v, want %v (%+v)", i, got[0][i], v, w)
			}
		}
	})
}

// TestRoomOfFewChannels: the copies that workers make of their operands are as many as there are channels, however
// many threads may be used.
func TestRoomOfFewChannels(t *testing.T) {
	const groups, side = 2, 512
	w := dag.NewWindow([]int{side, side}, []int{3, 3})
	w.Before, w.After = []int{1, 1}, []int{1, 1}
	var b dag.Builder
	x := b.Input("x", groups, side, side)
	b.Output("y", b.Node(dag.Node{Name: "conv", In: []int{x}, Shape: []int{groups, side, side}, Op: &dag.Linear{Map: &dag.Conv{
		W: dag.Use{Param: dag.NewParam64("w", []int{groups, 1, 3, 3}, make([]float64, groups*9))}, InChannels: groups, OutChannels: groups, Groups: groups, Window: w,
	}}}))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	in := [][]float64{make([]float64, groups*side*side)}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := eval.Run(t.Context(), n, in, 1, eval.Options{Threads: 64}); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	// The value and two copies with a margin of zeros take some 4 MB each, 64 copies 130.
	if got := (after.TotalAlloc - before.TotalAlloc) >> 20; got > 40 {
		t.Errorf("%d MiB, want at most 40", got)
	}
}

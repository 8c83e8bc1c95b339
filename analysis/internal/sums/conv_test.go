package sums_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/grid"
	"github.com/relupath/relupath/analysis/internal/sums"
	"github.com/relupath/relupath/analysis/scaled"
)

// Path programmes through a convolution equal the definition on single weights
// where lines of the operand repeat, as they do behind an input of ones.
func TestConvSumsOfRepeatedLines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "numbers"), 3))
		w := dag.Window{}
		for range rapid.IntRange(1, 3).Draw(t, "dimensions") {
			kernel, dilation := rapid.IntRange(1, 3).Draw(t, "kernel"), rapid.IntRange(1, 2).Draw(t, "dilation")
			w.In = append(w.In, rapid.IntRange(6, 9).Draw(t, "in")) // no window exceeds it
			w.Kernel, w.Dilation = append(w.Kernel, kernel), append(w.Dilation, dilation)
			w.Stride = append(w.Stride, rapid.IntRange(1, 2).Draw(t, "stride"))
			w.Before = append(w.Before, rapid.IntRange(-1, 2).Draw(t, "before"))
			w.After = append(w.After, rapid.IntRange(0, 2).Draw(t, "after"))
		}
		groups := rapid.IntRange(1, 2).Draw(t, "groups")
		c := &dag.Conv{
			InChannels: groups * rapid.IntRange(1, 2).Draw(t, "in channels"), OutChannels: groups * rapid.IntRange(1, 2).Draw(t, "out channels"),
			Groups: groups, Window: w, Transposed: rapid.Bool().Draw(t, "transposed"),
		}
		shape := append([]int{c.OutChannels, c.InChannels / groups}, w.Kernel...)
		if c.Transposed {
			shape[0], shape[1] = c.InChannels, c.OutChannels/groups
		}
		weights := make([]float64, dag.Size(shape))
		for i := range weights {
			weights[i] = rng.NormFloat64()
		}
		c.W.Param = dag.NewParam64("w", shape, weights)
		l := &dag.Linear{Map: c}
		in, out := c.In(), c.Out()
		// Few different numbers, that depend on few different coordinates.
		lines := func(a dag.Axis, dims []int) (*grid.Layout, []scaled.Num, []scaled.Num) {
			ids := make([]int32, a.Len())
			kinds := rapid.IntRange(1, 3).Draw(t, "kinds")
			for e := range ids {
				at, key := e, uint64(e/a.Inner)
				for i := len(dims) - 1; i >= 0; i-- {
					key = 7*key + uint64(min(at%dims[i], kinds))
					at /= dims[i]
				}
				ids[e] = int32(key % 11)
			}
			l, cells := grid.Compress(ids, append([]int{a.N}, dims...))
			h := make([]scaled.Num, len(cells))
			for c, id := range cells {
				h[c] = scaled.New(1 + float64(id))
			}
			return l, h, grid.Expand(l, h)
		}
		spatialIn, spatialOut := w.In, w.Out()
		if c.Transposed {
			spatialIn, spatialOut = spatialOut, spatialIn
		}
		from, cin, hin := lines(in, spatialIn)
		to, cout, hout := lines(out, spatialOut)
		q := sums.Request{From: from, To: to, Threads: rapid.IntRange(1, 2).Draw(t, "threads")}
		orders := []float64{1, 2, 3, math.Inf(1)}
		for _, p := range orders {
			q.Forward = append(q.Forward, sums.Path{P: p, H: cin})
			q.Backward = append(q.Backward, sums.Path{P: p, H: cout})
		}
		got := sums.Of(l, q)
		for k, p := range orders {
			fwd, bwd := newNorms(p, out.Len()), newNorms(p, in.Len())
			l.Elements(func(_, _, o, i int, w float64) {
				x := new(big.Float).SetPrec(precision).SetFloat64(w)
				fwd.add(o, new(big.Float).Mul(x, toBig(hin[i])))
				bwd.add(i, new(big.Float).Mul(x, toBig(hout[o])))
			})
			fwd.check(t, "forward", grid.Expand(got.Value, got.Forward[k].Nums()))
			bwd.check(t, "backward", grid.Expand(got.Operand, got.Backward[k].Nums()))
		}
	})
}

// Programmes through convolutions of many weights, which go in tiles, equal sums over single weights, and
// not a bit of them depends on the threads, on the room that they have, or on what was in it.
func TestConvSumsInTiles(t *testing.T) {
	defer sums.Poisoned()()
	mem := sums.NewMemory()
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "numbers"), 5))
		side, size := rapid.SampledFrom([]int{1, 3, 5, 8, 13}).Draw(t, "side"), rapid.IntRange(1, 3).Draw(t, "kernel")
		pad := rapid.IntRange(0, 1).Draw(t, "pad")
		if size > side+2*pad {
			size = 1
		}
		stride := rapid.IntRange(1, 2).Draw(t, "stride")
		w := dag.Window{
			In: []int{side, side}, Kernel: []int{size, size}, Dilation: []int{1, 1}, Stride: []int{stride, stride},
			Before: []int{pad, pad}, After: []int{pad, pad},
		}
		groups := rapid.IntRange(1, 2).Draw(t, "groups")
		c := &dag.Conv{
			InChannels: groups * rapid.IntRange(1, 70).Draw(t, "in channels"), OutChannels: groups * rapid.IntRange(5, 40).Draw(t, "out channels"),
			Groups: groups, Window: w,
		}
		shape := []int{c.OutChannels, c.InChannels / groups, size, size}
		weights := make([]float32, dag.Size(shape))
		for i := range weights {
			weights[i] = float32(rng.NormFloat64())
		}
		c.W.Param = dag.NewParam32("w", dag.Float32, shape, weights)
		l := &dag.Linear{Map: c}
		ids := make([]int32, c.In().Len())
		h := make([]scaled.Num, len(ids))
		for e := range ids {
			ids[e], h[e] = int32(e), scaled.New(rng.ExpFloat64())
		}
		orders := []float64{1, 1.5, 2, math.Inf(1)}
		of := func(threads int) (out [][]scaled.Num) {
			q := sums.Request{Threads: threads, Memory: mem}
			q.From, _ = grid.Compress(ids, append([]int{c.InChannels}, w.In...))
			for _, p := range orders {
				q.Forward = append(q.Forward, sums.Pack(p, h))
			}
			got := sums.Of(l, q)
			for _, p := range got.Forward {
				out = append(out, grid.Expand(got.Value, p.Nums()))
			}
			mem.Settle()
			return out
		}
		got := of(1)
		two := of(2)
		undo := sums.WithRoom(rapid.SampledFrom([]int{0, 1 << 12, 1 << 15}).Draw(t, "room"))
		little := of(2)
		undo()
		terms := c.InChannels / groups * size * size
		for k, p := range orders {
			want := make([]float64, c.Out().Len())
			l.Elements(func(_, _, o, i int, w float64) {
				if x := math.Abs(w) * h[i].Float64(); math.IsInf(p, 1) {
					want[o] = max(want[o], x)
				} else {
					want[o] += math.Pow(x, p)
				}
			})
			if !slices.Equal(got[k], two[k]) || !slices.Equal(got[k], little[k]) {
				t.Fatalf("p = %v: other bits on two threads, or with little room", p)
			}
			for o, x := range got[k] {
				y := want[o]
				if !math.IsInf(p, 1) {
					y = math.Pow(y, 1/p)
				}
				// Powers, products and sums of positive numbers round once a term, here and there.
				if g := x.Float64(); !(math.Abs(g-y) <= y*float64(terms+8)*0x1p-50) {
					t.Fatalf("p = %v, element %d: %v, want %v", p, o, g, y)
				}
			}
		}
	})
}

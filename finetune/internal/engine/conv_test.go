package engine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/finetune/internal/pool"
	"github.com/relupath/relupath/finetune/internal/program"
)

// drawWindow is a random window of one to three axes that has outputs.
func drawWindow(rng *rand.Rand, most int) *dag.Window {
	for {
		w := &dag.Window{}
		for range 1 + rng.IntN(min(3, 40/most+1)) {
			w.In = append(w.In, 1+rng.IntN(most))
			w.Kernel = append(w.Kernel, 1+rng.IntN(3))
			w.Stride = append(w.Stride, 1+rng.IntN(3))
			w.Dilation = append(w.Dilation, 1+rng.IntN(2))
			w.Before = append(w.Before, rng.IntN(5)-1)
			w.After = append(w.After, rng.IntN(5)-1)
		}
		fits := true
		for d := range w.In {
			// What a window crops are elements that are there.
			padded := w.In[d] + w.Before[d] + w.After[d]
			fits = fits && padded >= w.Extent(d) && w.In[d]+min(0, w.Before[d])+min(0, w.After[d]) > 0
		}
		if fits {
			return w
		}
	}
}

// eachRead calls do for each pair of a kernel position and an output of a window that reads an element.
func eachRead(w *dag.Window, do func(k, o, at int)) {
	index := func(shape []int, i int) []int {
		x := make([]int, len(shape))
		for d := len(shape) - 1; d >= 0; d-- {
			x[d], i = i%shape[d], i/shape[d]
		}
		return x
	}
	shape := w.Out()
	for o := range dag.Size(shape) {
		for k := range dag.Size(w.Kernel) {
			at, inside := 0, true
			for d, x := range index(shape, o) {
				i := x*w.Stride[d] + index(w.Kernel, k)[d]*w.Dilation[d] - w.Before[d]
				inside = inside && i >= 0 && i < w.In[d]
				at = at*w.In[d] + i
			}
			if inside {
				do(k, o, at)
			}
		}
	}
}

// TestUnfold compares the three products of convolutions with their definition: many and few positions,
// all strides, paddings that crop, tiles that cut rows of outputs; and the joined ones, at so few
// positions that batches take several turns.
func TestUnfold(t *testing.T) {
	t.Run("float32", func(t *testing.T) { testUnfold[float32](t, 0x1p-23) })
	t.Run("float64", func(t *testing.T) { testUnfold[float64](t, 0x1p-52) })
}

func testUnfold[T program.Float](t *testing.T, eps float64) {
	rng := rand.New(rand.NewPCG(1, 2))
	threads := pool.New(3)
	defer threads.Close()
	draw := func(n int) []T {
		x := make([]T, n)
		for i := range x {
			x[i] = T(rng.NormFloat64())
		}
		return x
	}
	for k := range 200 {
		w := drawWindow(rng, []int{4, 9, 24}[k%3])
		if k%8 == 5 { // of whole vectors, and without padding: worked on where it is
			w = &dag.Window{
				In: []int{16, 16}, Kernel: []int{1 + rng.IntN(3), 1 + rng.IntN(3)}, Stride: []int{1, 1},
				Dilation: []int{1, 1}, Before: []int{0, 0}, After: []int{0, 0},
			}
		}
		groups, out, in, batch := 1+rng.IntN(2), 1+rng.IntN(20), 1+rng.IntN(5), 1+rng.IntN(40)
		if k%4 == 0 {
			out, in = 1, 1
		}
		if k%5 == 1 {
			out = 40 + rng.IntN(40) // more rows of a group than are worked on at a time
		}
		if k%50 == 0 {
			in = 2*terms/dag.Size(w.Kernel) + 1 // more taps than are summed at a time
		}
		batch = max(1, min(batch, 1_000_000/(dag.Size(w.Out())*dag.Size(w.Kernel)*in*out*groups)))
		f := newUnfold(groups, out, in, w)
		if rng.IntN(2) == 0 {
			f.step = 1 + rng.IntN(f.step)
		}
		e := prepare[T](&program.Program[T]{}, nil, Options{Batch: batch, Pool: threads, BLAS: blas.Find()})
		e.reserve(f)
		m := <-e.conv.free
		inLen, outLen, positions := f.inLen, f.outLen, len(f.Taps)
		nx, ny, depth := groups*in*inLen, groups*out*outLen, in*positions
		x, dy, weights := draw(batch*nx), draw(batch*ny), draw(groups*out*depth)
		y, dx, dw := make([]float64, len(dy)), make([]float64, len(x)), make([]float64, len(weights))
		// What was summed, in magnitudes: the bound of a sum's error counts it.
		sy, sx, sw := make([]float64, len(dy)), make([]float64, len(x)), make([]float64, len(weights))
		add := func(to, size []float64, i int, a, b T) {
			p := float64(a) * float64(b)
			to[i] += p
			size[i] += math.Abs(p)
		}
		eachRead(w, func(q, o, at int) {
			for b := range batch {
				for g := range groups {
					for c := range in {
						from := b*nx + (g*in+c)*inLen + at
						for r := range out {
							to, tap := b*ny+(g*out+r)*outLen+o, (g*out+r)*depth+c*positions+q
							add(y, sy, to, weights[tap], x[from])
							add(dx, sx, from, weights[tap], dy[to])
							add(dw, sw, tap, dy[to], x[from])
						}
					}
				}
			}
		})
		name := fmt.Sprintf("%+v, %d x (%d to %d), batch %d, step %d", *w, groups, in, out, batch, f.step)
		compare := func(what string, got []T, want, size []float64, n int) {
			t.Helper()
			for i, v := range got {
				if !(math.Abs(float64(v)-want[i]) <= float64(n+4)*eps*(size[i]+1)) {
					t.Fatalf("%s: element %d of %s is %v, not %v", name, i, what, v, want[i])
				}
			}
		}
		for _, more := range []bool{false, true} {
			// Where a result is not added, it replaces whatever was there.
			before := func(n int) ([]T, []float64) {
				had := draw(n)
				base := make([]float64, n)
				for i, v := range had {
					if more {
						base[i] = float64(v)
					} else {
						had[i] = T(math.NaN())
					}
				}
				return had, base
			}
			plus := func(x, y []float64) []float64 {
				s := make([]float64, len(x))
				for i := range x {
					s[i] = x[i] + y[i]
				}
				return s
			}
			got, base := before(len(y))
			e.correlate(f, got, x, weights, m, 0, batch, more)
			compare("the result", got, plus(y, base), sy, depth)

			got, base = before(len(dx))
			e.input(f, got, dy, weights, m, 0, batch, more)
			compare("dx", got, plus(dx, base), sx, out*positions)

			joint := e.join(f, w)
			joint.examples = min(joint.examples, 1+rng.IntN(batch))
			run := func(what string, do func(c *call[T], lo, hi int), want, size []float64, n int, in ...[]T) {
				t.Helper()
				got, base := before(len(want))
				do(&call[T]{dst: got, in: in, n: batch, add: more}, 0, 0)
				compare("joined: "+what, got, plus(want, base), size, n)
			}
			if !more {
				run("the result", joint.forward, y, sy, depth, x, weights)
			}
			run("dx", joint.byInput, dx, sx, out*positions, dy, weights)
			run("dw", joint.byWeights, dw, sw, batch*outLen, dy, x)

			if back := f.back(w); back != nil {
				e.conv.free <- m
				e.reserve(back)
				m = <-e.conv.free
				turned := make([]T, len(weights))
				turn(f, turned, weights)
				got, base = before(len(dx))
				e.correlate(back, got, dy, turned, m, 0, batch, more)
				compare("dx turned round", got, plus(dx, base), sx, out*positions)
			}
		}
		columns := kernel.Columns[T](out)
		sums := make([]T, groups*depth*columns)
		e.weights(f, sums, dy, x, m, 0, batch)
		got := make([]T, len(weights))
		for i := range got {
			r, tap := i/depth, i%depth
			got[i] = sums[(r/out*depth+tap)*columns+r%out]
		}
		compare("dw", got, dw, sw, batch*outLen)
	}
}

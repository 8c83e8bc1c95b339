package dag_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
)

// threads is what docs/performance.md reports.
const threads = 2

// mlp is a float32 network with ReLU; inOut stores its weights in x out.
func mlp(inOut bool, widths ...int) *dag.Network {
	rng := rand.New(rand.NewPCG(1, 1))
	var b dag.Builder
	h := b.Input("x", widths[0])
	for l, rows := range widths[1:] {
		cols := widths[l]
		w := make([]float32, rows*cols)
		for i := range w {
			w[i] = float32(rng.NormFloat64() / math.Sqrt(float64(cols)))
		}
		d := &dag.Dense{Rows: rows, Cols: cols, InOut: inOut}
		shape := []int{rows, cols}
		if inOut {
			shape = []int{cols, rows}
		}
		d.W.Param = dag.NewParam32("w", dag.Float32, shape, w)
		if l > 0 {
			h = b.Activation("relu", h, 0)
		}
		h = b.Node(dag.Node{Name: "fc", Source: "Gemm", In: []int{h}, Shape: []int{rows}, Op: &dag.Linear{Map: d}})
	}
	b.Output("y", h)
	n, err := b.Build()
	if err != nil {
		panic(err)
	}
	return n
}

func name(widths []int) string {
	s := ""
	for i, w := range widths {
		if i > 0 {
			s += "-"
		}
		s += fmt.Sprint(w)
	}
	return s
}

var shapes = [][]int{{784, 256, 256, 10}, {784, 4000, 4000, 10}}

// BenchmarkReference is what the others are measured by: one plain loop over
// the weights, sum |w|, on one thread.
func BenchmarkReference(b *testing.B) {
	for _, s := range shapes {
		n := mlp(false, s...)
		b.Run("plain-loop/"+name(s), func(b *testing.B) {
			b.ReportAllocs()
			total := 0.0
			for b.Loop() {
				total += plainSum(n)
			}
			if total == 0 {
				b.Fatal("no weights")
			}
			b.SetBytes(bytes(n))
		})
	}
}

// plainSum is a function of its own: the compiler keeps what the body of b.Loop
// assigns in memory, which would make the sum nine times as slow.
func plainSum(n *dag.Network) (total float64) {
	for _, p := range n.Params() {
		for _, x := range p.Float32s() {
			total += math.Abs(float64(x))
		}
	}
	return total
}

func bytes(n *dag.Network) (total int64) {
	for _, p := range n.Params() {
		total += int64(p.Len() * p.Type.Size())
	}
	return total
}

// BenchmarkEval evaluates a batch of 64 in float64.
func BenchmarkEval(b *testing.B) {
	const batch = 64
	nets := map[string]*dag.Network{}
	for _, s := range shapes {
		nets["mlp/"+name(s)] = mlp(false, s...)
	}
	nets["conv/3x32x32-64x3-10"] = convNet()
	for _, engine := range []*blas.Engine{blas.Find(), blas.Gonum()} {
		for label, n := range nets {
			in := make([]float64, batch*n.Nodes[n.Inputs[0].Node].Len())
			for i := range in {
				in[i] = float64(i%17) - 8
			}
			b.Run(label+"/"+engine.Name(), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					_, err := eval.Run(context.Background(), n, [][]float64{in}, batch, eval.Options{BLAS: engine, Threads: threads})
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// convNet has three 3x3 convolutions of 64 channels with pooling, and a head.
func convNet() *dag.Network {
	rng := rand.New(rand.NewPCG(2, 2))
	var b dag.Builder
	h := b.Input("x", 3, 32, 32)
	side := 32
	for range 3 {
		in := b.Shape(h)[0]
		w := make([]float32, 64*in*9)
		for i := range w {
			w[i] = float32(rng.NormFloat64() / math.Sqrt(float64(in*9)))
		}
		c := &dag.Conv{
			W:          dag.Use{Param: dag.NewParam32("w", dag.Float32, []int{64, in, 3, 3}, w)},
			InChannels: in, OutChannels: 64, Groups: 1, Window: window(side, 3, 1, 1),
		}
		h = b.Node(dag.Node{Name: "conv", Source: "Conv", In: []int{h}, Shape: []int{64, side, side}, Op: &dag.Linear{Map: c}})
		h = b.Activation("relu", h, 0)
		p := window(side, 2, 2, 0)
		side /= 2
		h = b.Node(dag.Node{
			Name: "pool", Source: "MaxPool", In: []int{h}, Shape: []int{64, side, side},
			Op: &dag.Pool{Window: &p, Channels: 64},
		})
	}
	w := make([]float64, 10*64*side*side)
	for i := range w {
		w[i] = rng.NormFloat64()
	}
	b.Output("y", b.Affine("fc", h, 10, w, nil))
	n, err := b.Build()
	if err != nil {
		panic(err)
	}
	return n
}

func window(side, kernel, stride, pad int) dag.Window {
	return dag.Window{
		In: []int{side, side}, Kernel: []int{kernel, kernel}, Stride: []int{stride, stride},
		Dilation: []int{1, 1}, Before: []int{pad, pad}, After: []int{pad, pad},
	}
}

// BenchmarkAppendRaw is what writing a rescaled tensor costs beside the write.
func BenchmarkAppendRaw(b *testing.B) {
	n := mlp(false, 784, 4000, 4000, 10)
	g := n.Groups()
	c := g.Ones()
	for i := range c {
		if g.Pin[i] == "" {
			c[i] = 1.5
		}
	}
	r, err := n.Rescale(g, c)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(bytes(n))
	var buf []byte
	for b.Loop() {
		for _, p := range r.Params() {
			for lo := 0; lo < p.Len(); lo += 1 << 18 {
				buf = p.AppendRaw(buf[:0], lo, min(lo+1<<18, p.Len()))
			}
		}
	}
}

package finetune_test

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune/dataset"
)

// mnist returns the first n examples of a split, or skips where the data are
// not at hand.
func mnist(t testing.TB, split dataset.Split, n int) *dataset.Set {
	t.Helper()
	root := os.Getenv("RELUPATH_SHARED")
	given := root != ""
	if !given {
		root = filepath.Join("..", "..", "shared")
	}
	dir := filepath.Join(root, "datasets", "mnist")
	if _, err := os.Stat(dir); err != nil {
		if given {
			t.Fatalf("RELUPATH_SHARED is set, but there is no MNIST: %v", err)
		}
		t.Skip("MNIST is not at hand")
	}
	set, err := dataset.Load(context.Background(), dataset.Spec{Format: "mnist", Paths: []string{dir}, Split: split, Limit: n}, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// mlp is a multilayer perceptron with weights from N(0,1)/sqrt(fan-in) and
// small biases.
func mlp(typ dag.DType, seed uint64, widths ...int) *dag.Network {
	var b dag.Builder
	at := b.Input("x", widths[0])
	rng := rand.New(rand.NewPCG(seed, 1))
	for k := 1; k < len(widths); k++ {
		in, out := widths[k-1], widths[k]
		w := param(typ, []int{out, in}, func() float64 { return rng.NormFloat64() / math.Sqrt(float64(in)) })
		c := param(typ, []int{out}, func() float64 { return 0.1 * rng.NormFloat64() })
		at = b.Node(dag.Node{Source: "Gemm", In: []int{at}, Shape: []int{out}, Op: &dag.Linear{
			Map:    &dag.Dense{W: dag.Use{Param: w}, Rows: out, Cols: in},
			Stages: []dag.Stage{{Add: &dag.Vector{Use: dag.Use{Param: c}, Coef: 1}}},
		}})
		if k+1 < len(widths) {
			at = b.Activation("", at, 0)
		}
	}
	b.Output("y", at)
	return build(&b)
}

func build(b *dag.Builder) *dag.Network {
	net, err := b.Build()
	if err != nil {
		panic(err)
	}
	return net
}

func param(typ dag.DType, shape []int, f func() float64) *dag.Param {
	if typ == dag.Float64 {
		v := make([]float64, dag.Size(shape))
		for i := range v {
			v[i] = f()
		}
		return dag.NewParam64("w", shape, v)
	}
	v := make([]float32, dag.Size(shape))
	for i := range v {
		v[i] = float32(f())
	}
	return dag.NewParam32("w", typ, shape, v)
}

// rescaled multiplies the incoming weights of every free unit by what f draws.
func rescaled(net *dag.Network, seed uint64, f func(rng *rand.Rand) float64) *dag.Network {
	g := net.Groups()
	c := g.Ones()
	rng := rand.New(rand.NewPCG(seed, 2))
	for i := range c {
		if g.Pin[i] == "" {
			c[i] = f(rng)
		}
	}
	out, err := net.Rescale(g, c)
	if err != nil {
		panic(err)
	}
	return out
}

// powers draws powers of two over six decades.
func powers(rng *rand.Rand) float64 { return math.Exp2(float64(rng.IntN(21) - 10)) }

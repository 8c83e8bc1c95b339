package geometry_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/finetune/internal/geometry"
	"github.com/relupath/relupath/finetune/internal/pool"
	"github.com/relupath/relupath/finetune/internal/program"
)

const features = dagtest.All &^ (dagtest.Inputs | dagtest.Outputs)

func draw(t *rapid.T) (*dag.Network, *program.Program[float64]) {
	net := dagtest.Random(t, dagtest.Options{Features: features, Type: dag.Float64, Zeros: 0.1})
	p, err := program.Compile[float64](net, program.Options{})
	if err != nil {
		if strings.Contains(err.Error(), "transposed") || strings.Contains(err.Error(), "nothing is left") {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	return net, p
}

func order(t *rapid.T) float64 { return rapid.SampledFrom([]float64{1, 2, 3, 1.5, 8}).Draw(t, "p") }

func policy(t *rapid.T) paths.Bias {
	return rapid.SampledFrom([]paths.Bias{paths.Include, paths.Exclude}).Draw(t, "bias")
}

func run(p *program.Program[float64], order float64, bias paths.Bias) *geometry.Geometry[float64] {
	g := geometry.New(p, geometry.Options{P: order, ExcludeBias: bias == paths.Exclude, BLAS: blas.Find(), Pool: pool.New(1)})
	g.Update()
	return g
}

// TestKappa compares 1/kappa of weight tensors with package paths, which works
// with an exponent a number and on the network as it stands.
func TestKappa(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		net, p := draw(t)
		q, bias := order(t), policy(t)
		g := run(p, q, bias)
		ref := paths.NewKappa(net, q, paths.Options{Bias: bias})
		for k, x := range p.Tensors {
			if x.Frozen {
				continue
			}
			want := make([]scaled.Num, len(x.Data))
			whole := true
			for i := range net.Nodes {
				l, ok := net.Nodes[i].Op.(*dag.Linear)
				for _, u := range net.Nodes[i].Uses() {
					if u.Param != x.Param {
						continue
					}
					if !ok || l.Map == nil || l.Map.Weight() != u {
						whole = false
						continue
					}
					for e, v := range dagtest.Stored(l, ref.Edges(i)) {
						want[e] = want[e].Add(v)
					}
				}
			}
			if !whole {
				continue // serves as a bias or a scale too: see TestKappaIsADerivative
			}
			f := g.Inverse(k)
			for e := range want {
				got := f.At(e) * math.Exp2(float64(f.Exp()))
				w := 0.0
				if !want[e].IsZero() {
					w = 1 / want[e].Float64()
				}
				// Both sum the same terms; the order differs.
				if !(math.Abs(got-w) <= 1e-10*math.Abs(w)) {
					t.Fatalf("1/kappa of %q[%d] is %v, want %v (p = %v, %v)\n%v", x.Param.Name, e, got, w, q, bias, net)
				}
			}
		}
	})
}

// norm is ||pi||_p of the program's network, by package paths.
func norm(p *program.Program[float64], q float64, bias paths.Bias) float64 {
	h := paths.Forward(p.Network(nil), []float64{q}, paths.Options{Bias: bias}).H(0, p.LogitNode)
	return scaled.Norm(h, q).Float64()
}

// TestSlope compares the derivative of ||pi||_p^p by every kind of stored
// number with a difference. For p = 2 it is 2 w kappa: that checks kappa of
// biases, scales and slopes too.
func TestSlope(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, p := draw(t)
		q, bias := order(t), policy(t)
		g := run(p, q, bias)
		if g.Folded() {
			t.Skip("a bias before another stage")
		}
		k := rapid.IntRange(0, len(p.Tensors)-1).Draw(t, "tensor")
		x := p.Tensors[k]
		if x.Frozen {
			return
		}
		e := rapid.IntRange(0, len(x.Data)-1).Draw(t, "element")
		w := x.Data[e]
		if x.Slope && math.Abs(math.Abs(w)-1) < 0.1 || math.Abs(w) < 0.05 {
			return // the kinks of a gain of max(1, |slope|) and of |w|
		}
		at := func(h float64) float64 {
			x.Data[e] = w + h
			n := norm(p, q, bias)
			x.Data[e] = w
			return math.Pow(n, q)
		}
		const h = 1e-5
		want := (at(h) - at(-h)) / (2 * h)
		f := g.Slope(k)
		got := q * math.Pow(math.Abs(w), q-1) * math.Copysign(1, w) * f.At(e) * math.Exp2(float64(f.Exp()))
		// Rounding of the norm over 2h, and the third derivative times h^2 of a
		// polynomial of degree up to 8 a layer.
		if !(math.Abs(got-want) <= 1e-5*(math.Abs(want)+at(0))) {
			t.Fatalf("derivative by %q[%d] = %v is %v, the difference %v (p = %v, %v)\n%v", x.Param.Name, e, w, got, want, q, bias, p.Net)
		}
		if q != 2 || bias == paths.Exclude || x.Slope && math.Abs(w) < 1 {
			return
		}
		r := g.Inverse(k)
		if kappa := want / (2 * w); kappa > 1e-4*at(0) {
			if got := 1 / (r.At(e) * math.Exp2(float64(r.Exp()))); !(math.Abs(got-kappa) <= 1e-3*kappa) {
				t.Fatalf("kappa of %q[%d] is %v, the difference gives %v\n%v", x.Param.Name, e, got, kappa, p.Net)
			}
		}
	})
}

// TestSlopeOfTied: ||pi||_1 of a weight w that is also the slope after it is |w|
// max(1, |w|): its derivative by |w| is 1 below 1, and 2 |w| above.
func TestSlopeOfTied(t *testing.T) {
	for w, want := range map[float64]float64{-0.5: 1, 1.5: 3} {
		use := dag.Use{Param: dag.NewParam64("w", []int{1, 1}, []float64{w})}
		var b dag.Builder
		h := b.Node(dag.Node{In: []int{b.Input("x", 1)}, Shape: []int{1}, Op: &dag.Linear{Map: &dag.Dense{W: use, Rows: 1, Cols: 1}}})
		b.Output("y", b.Node(dag.Node{In: []int{h}, Shape: []int{1}, Op: &dag.Activation{Slope: []float64{w}, Param: &use}}))
		net, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		p, err := program.Compile[float64](net, program.Options{})
		if err != nil {
			t.Fatal(err)
		}
		f := run(p, 1, paths.Include).Slope(0)
		// A sum of two numbers.
		if got := f.At(0) * math.Exp2(float64(f.Exp())); !(math.Abs(got-want) <= 1e-15) {
			t.Errorf("w = %v: %v, want %v", w, got, want)
		}
	}
}

// TestSharedRange: of two uses of a weight, the first behind layers of 2^-300 each, the second counts alone:
// kappa is 1 + 2^-1200, of which float64 keeps 1.
func TestSharedRange(t *testing.T) {
	var b dag.Builder
	layer := func(in int, p *dag.Param) int {
		return b.Node(dag.Node{In: []int{in}, Shape: []int{1}, Op: &dag.Linear{Map: &dag.Dense{W: dag.Use{Param: p}, Rows: 1, Cols: 1}}})
	}
	small, w := dag.NewParam64("small", []int{1, 1}, []float64{0x1p-300}), dag.NewParam64("w", []int{1, 1}, []float64{0.5})
	x := b.Input("x", 1)
	first := layer(layer(layer(x, small), small), w)
	b.Output("y", b.Sum("", first, layer(x, w)))
	net, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	p, err := program.Compile[float64](net, program.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := run(p, 2, paths.Include).Inverse(1)
	if got := f.At(0) * math.Exp2(float64(f.Exp())); got != 1 {
		t.Errorf("1/kappa is %v, want 1", got)
	}
}

func TestLog10Norm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, p := draw(t)
		q, bias := order(t), policy(t)
		got, want := run(p, q, bias).Log10Norm(), math.Log10(norm(p, q, bias))
		if got != want && !(math.Abs(got-want) < 1e-10) {
			t.Fatalf("log10 ||pi||_%v is %v, want %v\n%v", q, got, want, p.Net)
		}
	})
}

// sharedZeros tells whether a tensor with a zero is used more than once. A
// rescaling leaves such zeros shared, though the units of both places have
// factors of their own; kappa, a sum over the places, then changes by no one
// factor.
func sharedZeros(net *dag.Network) bool {
	uses := map[*dag.Param]int{}
	for i := range net.Nodes {
		for _, u := range net.Nodes[i].Uses() {
			if uses[u.Param]++; uses[u.Param] == 2 && slices.Contains(u.Param.Float64s(), 0) {
				return true
			}
		}
	}
	return false
}

// TestPowersOfTwo: rescaling by powers of two changes 1/kappa of every weight by
// exactly a power of two, for p = 1 and 2.
func TestPowersOfTwo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		net, p := draw(t)
		groups := net.Groups()
		c := groups.Ones()
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "factors"), 1))
		for i := range c {
			if groups.Pin[i] == "" {
				c[i] = math.Exp2(float64(rng.IntN(21) - 10))
			}
		}
		other, err := net.Rescale(groups, c)
		if err != nil {
			t.Fatal(err)
		}
		p2, err := program.Compile[float64](other, program.Options{})
		if err != nil || len(p2.Tensors) != len(p.Tensors) {
			t.Skip("a shared tensor was split")
		}
		if sharedZeros(net) {
			t.Skip("zeros in two places take part in two rescalings without being split")
		}
		for i, op := range p.Ops {
			x, y := vectorOf(op), vectorOf(p2.Ops[i])
			if x != nil && x.Tensor >= 0 && (len(p.Tensors[x.Tensor].Data) != len(p2.Tensors[y.Tensor].Data) || len(x.Index) != len(y.Index)) {
				t.Skip("a broadcast was split")
			}
		}
		q := rapid.SampledFrom([]float64{1, 2}).Draw(t, "p")
		a, b := run(p, q, paths.Include), run(p2, q, paths.Include)
		for k, x := range p.Tensors {
			if x.Frozen {
				continue
			}
			fa, fb := a.Inverse(k), b.Inverse(k)
			for e := range x.Data {
				ma, _ := math.Frexp(fa.At(e))
				mb, _ := math.Frexp(fb.At(e))
				if ma != mb {
					t.Fatalf("1/kappa of %q[%d]: mantissas %v and %v (p = %v)\n%v", x.Param.Name, e, ma, mb, q, net)
				}
			}
		}
	})
}

// vectorOf is that of a bias or of a factor, nil for others.
func vectorOf(op program.Op) *program.Vector {
	switch op := op.(type) {
	case *program.Shift:
		return &op.V
	case *program.Scale:
		return &op.V
	}
	return nil
}

package paths_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/scaled"
)

// mlp is a multi-layer perceptron of the given weights (out x in, row-major)
// and biases (nil: none).
func mlp(t testing.TB, in int, weights [][]float64, bias [][]float64) *dag.Network {
	t.Helper()
	var b dag.Builder
	at := b.Input("x", in)
	for l, w := range weights {
		if l > 0 {
			at = b.Activation("relu", at, 0)
		}
		var v []float64
		if bias != nil {
			v = bias[l]
		}
		at = b.Affine("fc", at, len(w)/in, w, v)
		in = len(w) / in
	}
	b.Output("y", at)
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// toy has the path products 6, 6, 1, 2, 1, 1, 4, 8.
func toy(t testing.TB) *dag.Network {
	return mlp(t, 2, [][]float64{{6, 1, 1, 4}, {1, 1, 1, 2}}, nil)
}

func TestToy(t *testing.T) {
	n := toy(t)
	v := paths.Forward(n, []float64{1, 2, math.Inf(1)}, paths.Options{})
	// Small integers: exact, but for one square root.
	for k, want := range []float64{29, math.Sqrt(36 + 36 + 1 + 4 + 1 + 1 + 16 + 64), 8} {
		if got := v.PathNorm(k).Float64(); !(math.Abs(got-want) <= 1e-14*want) {
			t.Errorf("p = %v: %v, want %v", v.P[k], got, want)
		}
	}
	if got := v.MaxOutput(0).Float64(); got != 17 {
		t.Errorf("largest output %v, want 17", got)
	}
	if got := paths.Count(n, paths.Include).String(); got != "8" {
		t.Errorf("%s paths, want 8", got)
	}
	k := paths.NewKappa(n, 1, paths.Options{})
	// Inputs reach unit 1 with 1 + 1; output 2 is one edge further.
	var got []float64
	for _, x := range k.Edges(3) {
		got = append(got, x.Float64())
	}
	if diff := cmp.Diff([]float64{49, 25, 49, 25}, got); diff != "" {
		t.Errorf("kappa of the last layer, p = 1 (-want +got):\n%s", diff)
	}
}

// The norms of 400 layers, and of orders up to 64, leave float64 on both
// sides. math/big with 200 bits and an exponent of its own does not.
func TestRangeAgainstBig(t *testing.T) {
	const width, depth = 3, 400
	for _, scale := range []float64{1e-30, 1, 1e30} {
		rng := rand.New(rand.NewPCG(5, 5))
		weights, bias := make([][]float64, depth), make([][]float64, depth)
		for l := range weights {
			weights[l], bias[l] = make([]float64, width*width), make([]float64, width)
			for _, s := range [][]float64{weights[l], bias[l]} {
				for i := range s {
					s[i] = scale * rng.NormFloat64()
				}
			}
		}
		n := mlp(t, width, weights, bias)
		orders := []int{1, 2, 16, 64}
		var ps []float64
		for _, p := range orders {
			ps = append(ps, float64(p))
		}
		v := paths.Forward(n, ps, paths.Options{})
		kappa := paths.Backward(n, ps, paths.Options{})
		for k, p := range orders {
			want := bigLog10(weights, bias, width, p)
			got := v.PathNorm(k)
			if got.IsZero() || !got.IsFinite() {
				t.Fatalf("scale %g, p = %d: %v", scale, p, got)
			}
			// The relative error of the norm is some 400 roundings.
			if !(math.Abs(got.Log10()-want) <= 1e-12*math.Max(1, math.Abs(want))) {
				t.Errorf("scale %g, p = %d: log10 %v, want %v", scale, p, got.Log10(), want)
			}
			if h := kappa.H(k, 0)[0]; h.IsZero() || !h.IsFinite() {
				t.Errorf("scale %g, p = %d: g_out of an input is %v", scale, p, h)
			}
		}
	}
}

// bigLog10 is log10 of the path norm of integer order p.
func bigLog10(weights, bias [][]float64, width, p int) float64 {
	power := func(x float64) *big.Float {
		f := new(big.Float).SetPrec(200).SetFloat64(math.Abs(x))
		out := new(big.Float).SetPrec(200).SetInt64(1)
		for range p {
			out.Mul(out, f)
		}
		return out
	}
	g := make([]*big.Float, width)
	for i := range g {
		g[i] = new(big.Float).SetPrec(200).SetInt64(1)
	}
	for l := range weights {
		next := make([]*big.Float, width)
		for i := range next {
			next[i] = power(bias[l][i])
			for j := range g {
				next[i].Add(next[i], new(big.Float).Mul(power(weights[l][i*width+j]), g[j]))
			}
		}
		g = next
	}
	sum := new(big.Float).SetPrec(200)
	for _, x := range g {
		sum.Add(sum, x)
	}
	m := new(big.Float)
	e := sum.MantExp(m)
	f, _ := m.Float64()
	return (float64(e)*math.Log10(2) + math.Log10(f)) / float64(p)
}

// fan is a layer of n units, each read by itself, some twice, as the values of a Split
// are; a layer of one weight behind each reader, and their sum. It returns the weights
// behind each unit.
func fan(t testing.TB, n int) (net *dag.Network, units int, behind [][]float64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	var b dag.Builder
	draw := func(n int) []float64 {
		w := make([]float64, n)
		for i := range w {
			w[i] = rng.NormFloat64()
		}
		return w
	}
	units = b.Affine("fc", b.Input("x", 2), n, draw(2*n), nil)
	behind = make([][]float64, n)
	var all []int
	for k := range n + n/3 {
		j := k * 7 % n
		part := b.Node(dag.Node{Name: "part", In: []int{units}, Shape: []int{1}, Op: &dag.Select{Index: []int32{int32(j)}}})
		w := draw(1)
		behind[j] = append(behind[j], w[0])
		all = append(all, b.Affine("one", part, 1, w, nil))
	}
	b.Output("y", b.Sum("sum", all...))
	net, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return net, units, behind
}

// TestManyReaders: what leaves a unit is the norm of the weights behind it, for few
// readers of its layer and for many.
func TestManyReaders(t *testing.T) {
	p := []float64{1, 1.5, 2, math.Inf(1)}
	for _, n := range []int{4, 40} {
		net, units, behind := fan(t, n)
		v := paths.Backward(net, p, paths.Options{})
		for k := range p {
			for j, h := range v.H(k, units) {
				var want scaled.Num
				for _, w := range behind[j] {
					want = scaled.Plus(want, scaled.New(math.Abs(w)), p[k])
				}
				if got := h.Float64(); !(math.Abs(got-want.Float64()) <= 1e-14*want.Float64()) {
					t.Errorf("%d units, p = %v, unit %d: %v, want %v", n, p[k], j, got, want)
				}
			}
		}
	}
}

// TestManyReadersCost: what the backward pass takes is linear in the readers. Bytes are
// counted, which do not depend on the machine.
func TestManyReadersCost(t *testing.T) {
	bytes := func(n int) float64 {
		net, _, _ := fan(t, n)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		paths.NewKappa(net, 1, paths.Options{})
		runtime.ReadMemStats(&after)
		return float64(after.TotalAlloc - before.TotalAlloc)
	}
	// Four times the units; quadratic cost would be 16 times the bytes.
	if few, many := bytes(500), bytes(2000); many > 8*few {
		t.Errorf("%.0f bytes for 500 units, %.0f for 2000", few, many)
	}
}

// NaN and Inf come out where a path reaches them, and nowhere else.
func TestNotFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		n := mlp(t, 2, [][]float64{{bad, 1, 1, 1}, {1, 0, 0, 1}}, nil)
		v := paths.Forward(n, []float64{1, 2, 3, math.Inf(1)}, paths.Options{})
		for k, p := range v.P {
			if got := v.PathNorm(k); got.IsFinite() {
				t.Errorf("%v, p = %v: path norm %v", bad, p, got)
			}
			if got := v.PerOutput(k)[0]; got.IsFinite() {
				t.Errorf("%v, p = %v: output 0 is %v", bad, p, got)
			}
		}
	}
}

func TestOrderOutsidePanics(t *testing.T) {
	defer func() {
		if s, _ := recover().(string); !strings.Contains(s, "0.5") {
			t.Errorf("no panic that names the order: %q", s)
		}
	}()
	paths.Forward(toy(t), []float64{0.5}, paths.Options{})
}

// TestCountOfNothing: no path goes through a layer without units, and none to its value.
func TestCountOfNothing(t *testing.T) {
	for _, behind := range []bool{false, true} {
		var b dag.Builder
		at := b.Input("x", 3)
		dense := func(name string, rows, cols int) *dag.Linear {
			w := dag.NewParam32(name, dag.Float32, []int{rows, cols}, nil)
			return &dag.Linear{Map: &dag.Dense{W: dag.Use{Param: w}, Rows: rows, Cols: cols}}
		}
		at = b.Node(dag.Node{Name: "a", In: []int{at}, Shape: []int{0}, Op: dense("a", 0, 3)})
		if behind {
			at = b.Node(dag.Node{Name: "b", In: []int{at}, Shape: []int{2}, Op: dense("b", 2, 0)})
		}
		b.Output("y", at)
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		if got := paths.Count(n, paths.Include); got.Sign() != 0 {
			t.Errorf("%v paths", got)
		}
	}
}

// 784-256-256-10 has 784*256*256*10 paths from inputs, and 256*256*10 + 256*10 + 10
// from biases; deeper networks leave 64 bits.
func TestCount(t *testing.T) {
	net := func(widths ...int) *dag.Network {
		var w, b [][]float64
		for l := 1; l < len(widths); l++ {
			w = append(w, make([]float64, widths[l]*widths[l-1]))
			b = append(b, make([]float64, widths[l]))
		}
		return mlp(t, widths[0], w, b)
	}
	if got := paths.Count(net(784, 256, 256, 10), paths.Include).String(); got != "514460170" {
		t.Errorf("%s paths, want 514460170", got)
	}
	if got := paths.Count(net(784, 256, 256, 10), paths.Exclude).String(); got != "513802240" {
		t.Errorf("%s paths without biases, want 513802240", got)
	}
	deep := slices.Repeat([]int{10}, 101)
	if got, want := paths.Count(net(deep...), paths.Exclude).String(), "1"+strings.Repeat("0", 101); got != want {
		t.Errorf("%s paths, want %s", got, want)
	}
}

// residual is a stack of 3x3 convolutions with skips and a pooled head, as of
// an image network.
func residual(t testing.TB, blocks, channels, side int) *dag.Network {
	t.Helper()
	var b dag.Builder
	conv := func(in, ci int) int {
		w := dag.Window{
			In: []int{side, side}, Kernel: []int{3, 3}, Stride: []int{1, 1}, Dilation: []int{1, 1},
			Before: []int{1, 1}, After: []int{1, 1},
		}
		return b.Node(dag.Node{Name: "conv", Source: "Conv", In: []int{in}, Shape: []int{channels, side, side}, Op: &dag.Linear{
			Map: &dag.Conv{
				W:          dag.Use{Param: dag.NewParam64("w", []int{channels, ci, 3, 3}, slices.Repeat([]float64{0.1}, channels*ci*9))},
				InChannels: ci, OutChannels: channels, Groups: 1, Window: w,
			},
		}})
	}
	at := b.Activation("relu", conv(b.Input("x", 3, side, side), 3), 0)
	for range blocks {
		h := conv(b.Activation("relu", conv(at, channels), 0), channels)
		at = b.Activation("relu", b.Sum("add", at, h), 0)
	}
	w := &dag.Window{
		In: []int{side, side}, Kernel: []int{side, side}, Stride: []int{1, 1}, Dilation: []int{1, 1},
		Before: []int{0, 0}, After: []int{0, 0},
	}
	pool := b.Node(dag.Node{
		Name: "pool", Source: "AveragePool", In: []int{at}, Shape: []int{channels, 1, 1},
		Op: &dag.Linear{Map: &dag.Average{Channels: channels, Window: *w, Weights: []float64{1 / float64(side*side)}}},
	})
	flat := b.Node(dag.Node{Name: "flatten", Source: "Flatten", In: []int{pool}, Shape: []int{channels}, Op: &dag.Select{}})
	b.Output("y", b.Affine("fc", flat, 10, make([]float64, 10*channels), nil))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Layers of 100,000 elements with numbers of some hundred bits are counted in
// milliseconds: elements with equal counts share a number.
func TestCountOfWideConvolutions(t *testing.T) {
	n := residual(t, 8, 32, 56)
	start := time.Now()
	got := paths.Count(n, paths.Include)
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("counting took %v", d)
	}
	// Far from the border a block multiplies by 1 + (9*32)^2, at most.
	most := new(big.Int).Exp(big.NewInt(1+288*288), big.NewInt(8), nil)
	most.Mul(most, big.NewInt(27*10*32*56*56))
	if got.Cmp(most) >= 0 || new(big.Int).Mul(got, big.NewInt(2)).Cmp(most) <= 0 {
		t.Errorf("%s paths, want a little below %s", got, most)
	}
}

func BenchmarkCount(b *testing.B) {
	n := residual(b, 8, 32, 56)
	b.ReportAllocs()
	for b.Loop() {
		paths.Count(n, paths.Include)
	}
}

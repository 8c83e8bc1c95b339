package proof

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis/dag"
)

// net is x -> W2 relu(W1 x + b), with the example of Neyshabur, Tomioka and
// Srebro's rescaling: unit 1's incoming weights times c, its outgoing divided.
func net(t *testing.T, c float64) *dag.Network {
	t.Helper()
	var b dag.Builder
	x := b.Input("x", 2)
	h := b.Affine("fc1", x, 2, []float64{6 * c, 1 * c, 1, 4}, []float64{0.5 * c, -0.25})
	h = b.Activation("relu", h, 0)
	b.Output("y", b.Affine("fc2", h, 2, []float64{1 / c, 1, 1 / c, 2}, nil))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func compare(t *testing.T, a, b *dag.Network, opt Options) *Result {
	t.Helper()
	r, err := Compare(context.Background(), a, b, opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestPowerOfTwoIsBitIdentical(t *testing.T) {
	r := compare(t, net(t, 1), net(t, 8), Options{Samples: 10})
	if !r.BitIdentical || r.MaxAbs != 0 || r.MaxRel != 0 || r.Samples != 10 {
		t.Errorf("%+v", r)
	}
	// Zeros, ones, minus ones, two one-hots and four large ones.
	if want := 10 + 3 + 2 + 4; r.Inputs != want {
		t.Errorf("%d inputs, want %d", r.Inputs, want)
	}
}

func TestEveryKindIsReported(t *testing.T) {
	a := net(t, 1)
	r := compare(t, a, net(t, 10.0/3), Options{Samples: 5, Inputs: [][]float64{{1, 2}}, Batch: 1})
	var got []Kind
	worst := 0.0
	for _, k := range r.Kinds {
		worst = max(worst, k.MaxRel)
		k.MaxAbs, k.MaxRel, k.Decides, k.BitIdentical = 0, 0, false, false
		got = append(got, k)
	}
	want := []Kind{{Name: "random", Inputs: 9}, {Name: "zero", Inputs: 1}, {Name: "large", Inputs: 4}, {Name: "given", Inputs: 1}}
	if diff := cmp.Diff(want, got); diff != "" || worst != r.MaxRel {
		t.Errorf("worst %v of %v: %s", worst, r.MaxRel, diff)
	}
}

func TestRealFactorIsWithinTolerance(t *testing.T) {
	a := net(t, 1)
	r := compare(t, a, net(t, 10.0/3), Options{})
	if r.BitIdentical || r.MaxRel == 0 || r.MaxRel > Tolerance(a) || r.Samples != DefaultSamples {
		t.Errorf("%+v", r)
	}
}

// TestDifferentFunctionIsSeen breaks one weight by 1e-6, and a bias that only
// counts where it is not drowned by large inputs.
func TestDifferentFunctionIsSeen(t *testing.T) {
	a := net(t, 1)
	for _, i := range []int{0, 1} {
		k := 0
		b := a.Replace(func(u *dag.Use) *dag.Param {
			if k++; k != i+1 {
				return u.Param
			}
			v := u.Param.Values()
			v[0] *= 1 + 1e-6
			return u.Param.WithValues(nil, v)
		})
		r := compare(t, a, b, Options{})
		if r.MaxRel < 1e-8 || r.BitIdentical || !strings.Contains(r.Where, "fc2") {
			t.Errorf("use %d changed: %+v", i, r)
		}
	}
}

func TestGivenInputsAreCompared(t *testing.T) {
	a := net(t, 1)
	r := compare(t, a, a, Options{Inputs: [][]float64{{1, 2, 3, 4, 5, 6}}, Batch: 3})
	if want := DefaultSamples + 3 + 2 + 4 + 3; r.Inputs != want {
		t.Errorf("%d inputs, want %d", r.Inputs, want)
	}
	for _, in := range [][][]float64{{{1, 2, 3}}, {{1, 2}, {1, 2}}} {
		if _, err := Compare(context.Background(), a, a, Options{Inputs: in, Batch: 1}); err == nil {
			t.Errorf("inputs %v give no error", in)
		}
	}
}

func TestNaNIsInfinitelyFar(t *testing.T) {
	nan := math.NaN()
	for _, k := range []struct{ y, z, want float64 }{
		{1, 1, 0},
		{nan, nan, 0},
		{math.Inf(1), math.Inf(1), 0},
		{1, nan, math.Inf(1)},
		{nan, 1, math.Inf(1)},
		{1, math.Inf(1), math.Inf(1)},
		{3, 1, 2},
	} {
		var largest, diff float64
		values([]float64{k.y}, []float64{k.z}, &largest, &diff)
		if diff != k.want {
			t.Errorf("%v beside %v: %v, want %v", k.y, k.z, diff, k.want)
		}
	}
}

func TestCompareStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Compare(ctx, net(t, 1), net(t, 1), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

// A network of many multiplications is compared on as many inputs as a budget of them
// allows, two random ones at least; a number that is asked for is taken.
func TestInputsWithinABudget(t *testing.T) {
	given := make([]sample, 10)
	for _, c := range []struct {
		inputs               float64
		random, given, large int
	}{
		{1e9, 64, 10, 4},
		{79, 64, 10, 4},
		{78, 63, 10, 4},
		{40, 25, 10, 4},
		{13, 8, 3, 1},
		{4, 2, 1, 1},
		{1, 2, 0, 1},
		{0.1, 2, 0, 1},
	} {
		random, of, large := within(c.inputs, given, 4)
		if random != c.random || len(of) != c.given || large != c.large {
			t.Errorf("%v inputs: %d random, %d given, %d large, want %d, %d, %d", c.inputs, random, len(of), large, c.random, c.given, c.large)
		}
	}
	// 3 x 5 weights at 2 x 4 positions, 7 x 24 weights, and perRead for every element.
	w := dag.Window{In: []int{2, 4}, Kernel: []int{1, 1}, Stride: []int{1, 1}, Dilation: []int{1, 1}, Before: []int{0, 0}, After: []int{0, 0}}
	conv := &dag.Conv{W: dag.Use{Param: dag.NewParam64("c", []int{3, 5, 1, 1}, make([]float64, 15))}, InChannels: 5, OutChannels: 3, Groups: 1, Window: w}
	dense := &dag.Dense{W: dag.Use{Param: dag.NewParam64("d", []int{7, 24}, make([]float64, 7*24))}, Rows: 7, Cols: 24}
	n := &dag.Network{Nodes: []dag.Node{
		{Op: &dag.Input{}, Shape: []int{5, 2, 4}},
		{Op: &dag.Linear{Map: conv}, In: []int{0}, Shape: []int{3, 2, 4}},
		{Op: &dag.Linear{Map: dense}, In: []int{1}, Shape: []int{7}},
	}}
	if got, want := cost(n), float64(15*8+7*24+perRead*(40+24+7)); got != want {
		t.Errorf("cost %v, want %v", got, want)
	}
	var seen []int
	r, err := Compare(t.Context(), net(t, 1), net(t, 2), Options{Samples: 3, Progress: func(done, all int) { seen = append(seen, done, all) }})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != 2 || seen[0] != r.Inputs || seen[1] != r.Inputs || r.Samples != 3 {
		t.Errorf("progress %v of %d inputs, %d of them random", seen, r.Inputs, r.Samples)
	}
}

// TestInfiniteValueHidesNothing: beside an element that is infinite in both networks, a
// difference of another one is as large as it is.
func TestInfiniteValueHidesNothing(t *testing.T) {
	var largest, diff float64
	if _, same := values([]float64{math.Inf(1), 1, math.Inf(-1)}, []float64{math.Inf(1), 3, math.Inf(-1)}, &largest, &diff); same {
		t.Error("the same bits")
	}
	if largest != 1 || diff != 2 {
		t.Errorf("largest value %v and difference %v, want 1 and 2", largest, diff)
	}
}

// TestPoolingsCost: a maximum or a mean of 3,000 elements at as many places reads 9 million in each
// network, which counts against multiplyAdds as products with weights do.
func TestPoolingsCost(t *testing.T) {
	const k = 3000
	w := &dag.Window{In: []int{2*k - 1}, Kernel: []int{k}, Stride: []int{1}, Dilation: []int{1}, Before: []int{0}, After: []int{0}}
	weights := slices.Repeat([]float64{1. / k}, k)
	for _, op := range []dag.Op{&dag.Pool{Window: w, Channels: 1}, &dag.Linear{Map: &dag.Average{Window: *w, Channels: 1, Weights: weights}, Units: 1}} {
		var b dag.Builder
		x := b.Input("x", 1, 2*k-1)
		b.Output("y", b.Node(dag.Node{Source: "pool", In: []int{x}, Shape: []int{1, k}, Op: op}))
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		r, err := Compare(context.Background(), n, n, Options{Samples: 1})
		if err != nil {
			t.Fatal(err)
		}
		if r.Cost < 2*k*k {
			t.Errorf("%T: the evaluations of both cost %g, want %d reads at least", op, r.Cost, 2*k*k)
		}
	}
}

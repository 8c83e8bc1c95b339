package proof

import (
	"context"
	"errors"
	"math"
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
		k.MaxAbs, k.MaxRel, k.BitIdentical = 0, 0, false
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

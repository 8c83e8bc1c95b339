package lower

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

// The elements of a constant that units are paired with, against NumPy's rule for each
// element of the value: coordinates of extent 1 are 0.
func TestUnitIndex(t *testing.T) {
	rng := rand.New(rand.NewPCG(18, 1))
	fits := 0
	for range 2000 {
		sample := make([]int, rng.IntN(5))
		for i := range sample {
			sample[i] = 1 + rng.IntN(3)
		}
		dims := slices.Clone(sample[rng.IntN(len(sample)+1):])
		for i := range dims {
			if rng.IntN(2) == 0 {
				dims[i] = 1
			}
		}
		lo := rng.IntN(len(sample) + 1)
		hi := lo + rng.IntN(len(sample)-lo+1)
		a := dag.Axis{Outer: dag.Size(sample[:lo]), N: dag.Size(sample[lo:hi]), Inner: dag.Size(sample[hi:])}
		if n := a.N * a.Inner; rng.IntN(4) == 0 && n%2 == 0 { // units that are no whole axes
			a.N, a.Inner = 2, n/2
		}
		want, ok := slices.Repeat([]int32{-1}, a.N), true
		for e := range dag.Size(sample) {
			at, rest, stride := 0, e, 1
			for d := len(sample) - 1; d >= 0; d-- {
				x := rest % sample[d]
				rest /= sample[d]
				if k := d - len(sample) + len(dims); k >= 0 {
					if dims[k] > 1 {
						at += x * stride
					}
					stride *= dims[k]
				}
			}
			if u := a.At(e); want[u] >= 0 && want[u] != int32(at) {
				ok = false
			} else {
				want[u] = int32(at)
			}
		}
		got, gotOK := unitIndex(dims, sample, a)
		if gotOK != ok || ok && !slices.Equal(got, want) {
			t.Fatalf("a constant of %v, a value of %v, units %v: %v %v, want %v %v", dims, sample, a, got, gotOK, want, ok)
		}
		if ok {
			fits++
		}
	}
	if fits < 200 || fits > 1800 {
		t.Errorf("%d of 2000 fit: both cases are to be tried", fits)
	}
}

// A number repeated for more elements than maxUniform has the channels for units, or one
// for all: the elements themselves would cost a hundred bytes each.
func TestChannelsOf(t *testing.T) {
	for _, c := range []struct {
		shape, axes []int
		want        dag.Axis
	}{
		{[]int{tensor.BatchDim, 9}, nil, dag.Axis{Outer: 1, N: 1, Inner: 9}},
		{[]int{9}, nil, dag.Axis{Outer: 1, N: 1, Inner: 9}},
		{[]int{tensor.BatchDim, 1, 9, 1}, nil, dag.Axis{Outer: 1, N: 1, Inner: 9}},
		{[]int{tensor.BatchDim, 3, 4, 5}, []int{1}, dag.Axis{Outer: 1, N: 3, Inner: 20}},
		{[]int{2, tensor.BatchDim, 4}, []int{0}, dag.Axis{Outer: 1, N: 2, Inner: 4}},
	} {
		got, axes := channelsOf(c.shape)
		if got != c.want || !slices.Equal(axes, c.axes) {
			t.Errorf("%v: %v along %v, want %v along %v", c.shape, got, axes, c.want, c.axes)
		}
	}
}

package sums_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/internal/sums"
	pathnorms "github.com/relupath/relupath/analysis/paths"
)

// A pass that writes its numbers over those of dropped values finds bit by bit what one that keeps
// everything finds, and so it does where NaN lies over what is dropped.
func TestMemoryIsReusedUnseen(t *testing.T) {
	defer sums.Poisoned()()
	orders := []float64{1, 1.5, 2, math.Inf(1)}
	rapid.Check(t, func(t *rapid.T) {
		n := dagtest.Random(t, dagtest.Options{Features: dagtest.All | dagtest.Partly, Steps: 16, Zeros: 0.1})
		opt := pathnorms.Options{Threads: rapid.IntRange(1, 2).Draw(t, "threads")}
		all := pathnorms.Forward(n, orders, opt)
		opt.Keep = rapid.SliceOfN(rapid.IntRange(0, len(n.Nodes)-1), 0, 3).Draw(t, "keep")
		if opt.Keep == nil {
			opt.Keep = []int{}
		}
		some := pathnorms.Forward(n, orders, opt)
		for _, i := range append(n.Ends(), opt.Keep...) {
			for k, p := range orders {
				if want, got := all.H(k, i), some.H(k, i); !slices.Equal(got, want) {
					t.Fatalf("node %d, p = %v: %v, want %v\n%s", i, p, got, want, n)
				}
			}
		}
	})
}

package analysis_test

import (
	"runtime"
	"testing"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
)

// What an audit of a value with n readers and of n outputs allocates follows n: no
// reader makes the layout of the value again.
func TestCostIsLinearInReaders(t *testing.T) {
	split := func(n int) *dag.Network {
		var b dag.Builder
		x := b.Affine("fc", b.Input("x", 1), n, make([]float64, n), nil)
		for k := range n {
			y := b.Node(dag.Node{In: []int{x}, Shape: []int{1}, Op: &dag.Select{Index: []int32{int32(k)}}})
			b.Output("y", b.Activation("", y, 0))
		}
		net, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return net
	}
	allocated := func(n int) uint64 {
		net := split(n)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := measure(t, net, analysis.Options{Names: []string{"path_norm"}, Uncounted: true})
		runtime.ReadMemStats(&after)
		if r.HiddenUnits != n {
			t.Errorf("%d hidden units, want %d", r.HiddenUnits, n)
		}
		if r.Paths != nil {
			t.Errorf("%v paths are counted", r.Paths)
		}
		return after.TotalAlloc - before.TotalAlloc
	}
	const n = 500
	allocated(n)
	// Four times as much, and lists that grow by up to twice.
	if a, b := allocated(n), allocated(4*n); b > 8*a {
		t.Errorf("%d readers take %d bytes, %d take %d", n, a, 4*n, b)
	}
}

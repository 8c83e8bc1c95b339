package eval

import (
	"testing"

	"github.com/relupath/relupath/analysis/dag"
)

// TestTurnsOfWideLayers: layers of few positions are computed for many samples at a time, as long as the values of one
// node take no more than stageMost, and one of any size for a single sample.
func TestTurnsOfWideLayers(t *testing.T) {
	for wide, want := range map[int]int{100: 1 << 12, 1 << 10: stageColumns, 1 << 16: 64, 1 << 23: 1} {
		var b dag.Builder
		w := dag.Use{Param: dag.NewParam64("w", []int{wide, 1}, make([]float64, wide))}
		y := b.Node(dag.Node{Name: "fc", In: []int{b.Input("x", 1)}, Shape: []int{wide}, Op: &dag.Linear{Map: &dag.Dense{W: w, Rows: wide, Cols: 1}}})
		b.Output("y", b.Activation("relu", y, 0))
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		ev := &evaluator{net: n}
		st := ev.stages(n.Ancestors(ev.want(nil)), 1<<20)
		if last := st[len(st)-1]; last.samples != want {
			t.Errorf("%d units: turns of %d samples, want %d", wide, last.samples, want)
		}
	}
}

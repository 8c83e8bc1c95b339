package dag_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/dag"
)

// drawWindow is any window over one dimension that a network may have.
func drawWindow(t *rapid.T) *dag.Window {
	pick := func(name string, lo, hi int) []int { return []int{rapid.IntRange(lo, hi).Draw(t, name)} }
	w := &dag.Window{
		In: pick("in", 1, 9), Kernel: pick("kernel", 1, 4), Stride: pick("stride", 1, 3), Dilation: pick("dilation", 1, 3),
		Before: pick("before", -2, 4), After: pick("after", -2, 4),
	}
	if w.In[0]+w.Before[0]+w.After[0] < w.Extent(0) {
		t.Skip("the window exceeds its operand")
	}
	return w
}

// taps lists (out, in, kernel).
func taps(w *dag.Window) (all [][3]int) {
	w.Taps(func(out, in, kernel int) { all = append(all, [3]int{out, in, kernel}) })
	slices.SortFunc(all, func(a, b [3]int) int { return slices.Compare(a[:], b[:]) })
	return all
}

// TestWindowAt compares the runs of a window with its definition.
func TestWindowAt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWindow(t)
		var want [][3]int
		end := w.At(0, 0, 0)
		for o := range w.Out()[0] {
			for k := range w.Kernel[0] {
				at := o*w.Stride[0] + k*w.Dilation[0] - w.Before[0]
				if at >= 0 && at < w.In[0] {
					want = append(want, [3]int{o, at, k})
				}
				if got := w.At(0, o, k); got != at {
					t.Fatalf("output %d at kernel position %d reads %d, want %d", o, k, got, at)
				}
				end = max(end, at+1)
			}
		}
		slices.SortFunc(want, func(a, b [3]int) int { return slices.Compare(a[:], b[:]) })
		if diff := cmp.Diff(want, taps(w)); diff != "" {
			t.Error(diff)
		}
		if got := w.End(0, w.Out()[0]); got != end {
			t.Errorf("the windows end at %d, want %d", got, end)
		}
	})
}

// TestWindowAdjoint: the taps of the adjoint are those of the window, from the operand to the
// outputs, with the kernel turned round.
func TestWindowAdjoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWindow(t)
		w.Stride[0] = 1
		a := w.Adjoint()
		if a.Out()[0] != w.In[0] {
			t.Fatalf("%v outputs, want %v", a.Out(), w.In)
		}
		got := taps(&a)
		for i, x := range got {
			got[i] = [3]int{x[1], x[0], w.Kernel[0] - 1 - x[2]}
		}
		slices.SortFunc(got, func(a, b [3]int) int { return slices.Compare(a[:], b[:]) })
		if diff := cmp.Diff(taps(w), got); diff != "" {
			t.Error(diff)
		}
	})
}

package dag_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/dag"
)

// What an output reads at a kernel position in the layout is what the window's taps say, and zero in the
// padding.
func TestPhases(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pick := func(what string, lo, hi int) int { return rapid.IntRange(lo, hi).Draw(t, what) }
		var w dag.Window
		for d := range pick("dims", 0, 3) {
			w.In = append(w.In, pick("in", 1, 7))
			w.Kernel = append(w.Kernel, pick("kernel", 1, 3))
			w.Stride = append(w.Stride, pick("stride", 1, 4))
			w.Dilation = append(w.Dilation, pick("dilation", 1, 3))
			w.Before = append(w.Before, max(pick("before", -2, 3), 1-w.In[d]))
			w.After = append(w.After, max(pick("after", -2, 3), w.Extent(d)-w.In[d]-w.Before[d]))
			w.Extra = append(w.Extra, pick("extra", 0, 1))
		}
		p := w.Phases(math.MaxInt)
		padded := make([]int, p.Len)
		for _, l := range p.Lines {
			for i := range l.N {
				if padded[l.To+i] != 0 {
					t.Fatalf("%+v: element %d is written twice", w, l.To+i)
				}
				padded[l.To+i] = 1 + l.From + i*p.Step
			}
		}
		if p.Plain {
			for i, v := range padded {
				if v != i+1 || p.Len != dag.Size(w.In) {
					t.Fatalf("%+v: plain, but element %d of %d is %d", w, i, p.Len, v-1)
				}
			}
		}
		outputs, taps := dag.Size(w.Out()), dag.Size(w.Kernel)
		want := make([]int, outputs*taps)
		w.Taps(func(out, in, kernel int) { want[out*taps+kernel] = in + 1 })
		if len(p.Rows)*p.Width != outputs || len(p.Taps) != taps {
			t.Fatalf("%+v: %d rows of %d outputs and %d taps, want %d and %d", w, len(p.Rows), p.Width, len(p.Taps), outputs, taps)
		}
		for i, v := range want {
			o, k := i/taps, i%taps
			if got := padded[p.Rows[o/p.Width]+o%p.Width+p.Taps[k]]; got != v {
				t.Fatalf("%+v: output %d reads %d at kernel position %d, want %d (from 1; 0 is padding)", w, o, got, k, v)
			}
		}
		if w.Phases(p.Len-1) != nil || w.Phases(p.Len) == nil {
			t.Fatalf("%+v: the bound of %d elements is not kept", w, p.Len)
		}
	})
}

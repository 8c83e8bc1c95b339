package dag

import (
	"fmt"
	"math"

	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/analysis/scaled"
)

// Diagonal maps each element to itself; the weights, if any, are the layer's
// multiplying stages (BatchNormalization, Mul by a constant). Without them its
// edges are identity edges.
type Diagonal struct {
	// Axis says which elements belong to one unit (a channel, or an element
	// each when Outer and Inner are 1).
	Axis Axis
}

// Out implements Map.
func (d *Diagonal) Out() Axis { return d.Axis }

// In implements Map.
func (d *Diagonal) In() Axis { return d.Axis }

// Weight implements Map: none.
func (d *Diagonal) Weight() *Use { return nil }

func (d *Diagonal) check() error                 { return d.Axis.check() }
func (d *Diagonal) withWeight(Use) Map           { return d }
func (d *Diagonal) edit(a, b []float64) *scaling { return nil }

func (d *Diagonal) eval(_ *evaluator, dst, src []float64, _ int) { copy(dst, src) }

func (d *Diagonal) sums(q *SumRequest, s *Sums) {
	for k := range q.Powers {
		for i := range s.Rows[k] {
			s.Rows[k][i] = scaled.One
		}
	}
	for k := range q.columns {
		copy(s.Columns[k], q.columns[k].H)
	}
	for k := range q.Forward {
		copy(s.Forward[k], q.Forward[k].H)
	}
	for k := range q.Backward {
		copy(s.Backward[k], q.Backward[k].H)
	}
}

func (d *Diagonal) elements(f func(row, col, out, in int, w float64)) {
	for e := range d.Axis.Len() {
		f(d.Axis.At(e), d.Axis.At(e), e, e, 1)
	}
}

// Average maps each output position to the weighted sum of its window's
// elements within one channel: average pooling. Its weights are fixed, so it
// ties a channel's units before and after.
type Average struct {
	// Channels is the number of leading channels.
	Channels int
	// Window is the geometry.
	Window Window
	// Weights holds the weight of each output position (1 over the elements that
	// it averages).
	Weights []float64
}

// Out implements Map.
func (v *Average) Out() Axis { return Axis{1, v.Channels, Size(v.Window.Out())} }

// In implements Map.
func (v *Average) In() Axis { return Axis{1, v.Channels, Size(v.Window.In)} }

// Weight implements Map: none.
func (v *Average) Weight() *Use { return nil }

func (v *Average) check() error {
	if err := v.Window.check(); err != nil {
		return err
	}
	if v.Channels < 1 {
		return fmt.Errorf("average pooling of %d channels", v.Channels)
	}
	if got, want := len(v.Weights), Size(v.Window.Out()); got != want {
		return errLength("average weights", got, want)
	}
	return nil
}
func (v *Average) withWeight(Use) Map           { return v }
func (v *Average) edit(a, b []float64) *scaling { return nil }

func (v *Average) eval(ev *evaluator, dst, src []float64, batch int) {
	nOut, nIn := v.Out().Inner, v.In().Inner
	step := v.Window.step()
	kernel.Parallel(batch*v.Channels, ev.threads, 1+1<<14/max(1, nIn), func(lo, hi int) {
		v.Window.Runs(func(out, in, _, n int) {
			for c := lo; c < hi; c++ {
				d, x := dst[c*nOut+out:][:n], src[c*nIn+in:]
				for i, w := range v.Weights[out:][:n] {
					d[i] += w * x[i*step]
				}
			}
		})
	})
}

func (v *Average) sums(q *SumRequest, s *Sums) {
	nOut := v.Out().Inner
	// The row sums of a channel are those of its fullest position.
	taps := make([]float64, nOut)
	v.Window.Taps(func(out, _, _ int) { taps[out]++ })
	for k, p := range q.Powers {
		var best scaled.Num
		for o, w := range v.Weights {
			x := scaled.New(w)
			if !math.IsInf(p, 1) {
				x = x.MulFloat(math.Pow(taps[o], 1/p))
			}
			best = scaled.Max(best, x)
		}
		for i := range s.Rows[k] {
			s.Rows[k][i] = best
		}
	}
	// A column's sums are not asked of fixed weights; they are those of identity
	// edges.
	for k := range q.columns {
		copy(s.Columns[k], q.columns[k].H)
	}
	for k, pr := range q.Forward {
		v.path(pr, s.Forward[k], false, q.Threads)
	}
	for k, pr := range q.Backward {
		v.path(pr, s.Backward[k], true, q.Threads)
	}
}

// path runs one path programme through the windows, backward when asked.
func (v *Average) path(pr Path, dst []scaled.Num, backward bool, threads int) {
	if v.fastPath(pr, dst, backward, threads) {
		return
	}
	nOut, nIn := v.Out().Inner, v.In().Inner
	acc := make([]scaled.Accumulator, len(dst))
	for i := range acc {
		acc[i].Reset(pr.P)
	}
	v.Window.Taps(func(out, in, _ int) {
		for c := range v.Channels {
			if backward {
				acc[c*nIn+in].Add(pr.H[c*nOut+out].MulFloat(v.Weights[out]))
			} else {
				acc[c*nOut+out].Add(pr.H[c*nIn+in].MulFloat(v.Weights[out]))
			}
		}
	})
	for i := range acc {
		dst[i] = acc[i].Norm()
	}
}

// fastPath is path in float64; it returns false when that may lose terms.
func (v *Average) fastPath(pr Path, dst []scaled.Num, backward bool, threads int) bool {
	h, exp, ok := common(pr.H, threads)
	w := make([]float64, len(v.Weights))
	for i, x := range v.Weights {
		w[i] = math.Abs(x)
	}
	if !ok || raise(h, h, 1, pr.P, threads)*raise(w, w, 1, pr.P, 1) < 1e-290 {
		return false
	}
	nOut, nIn, step := v.Out().Inner, v.In().Inner, v.Window.step()
	s := &series{p: pr.P}
	acc := make([]float64, len(dst))
	kernel.Parallel(v.Channels, threads, 1+1<<14/max(1, nIn), func(lo, hi int) {
		v.Window.Runs(func(out, in, _, n int) {
			for c := lo; c < hi; c++ {
				o, x := c*nOut+out, c*nIn+in
				for i := range n {
					if backward {
						acc[x+i*step] = s.join(acc[x+i*step], h[o+i]*w[out+i])
					} else {
						acc[o+i] = s.join(acc[o+i], h[x+i*step]*w[out+i])
					}
				}
			}
		})
	})
	for i, x := range acc {
		if x > 1e300 {
			return false
		}
		dst[i] = scaled.New(x).Root(rootOf(pr.P)).Scale(exp)
	}
	return true
}

func (v *Average) elements(f func(row, col, out, in int, w float64)) {
	nOut, nIn := v.Out().Inner, v.In().Inner
	v.Window.Taps(func(out, in, _ int) {
		for c := range v.Channels {
			f(c, c, c*nOut+out, c*nIn+in, v.Weights[out])
		}
	})
}

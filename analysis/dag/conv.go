package dag

import (
	"fmt"

	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/analysis/scaled"
)

// Conv is a convolution over (channels, spatial...), or a transposed one. Its
// weights are shared over positions: they count once as parameters and in row
// norms, and once a position as edges of paths.
type Conv struct {
	// W is stored (OutChannels, InChannels/Groups, kernel...), or transposed
	// (InChannels, OutChannels/Groups, kernel...).
	W Use
	// InChannels and OutChannels are counted over all groups.
	InChannels, OutChannels int
	// Groups is the number of groups, at least 1.
	Groups int
	// Window is the geometry. Of a transposed convolution it is the one of the
	// convolution whose transpose it is: Window.In is the value's shape and
	// Window.Out the operand's.
	Window Window
	// Transposed makes it a ConvTranspose.
	Transposed bool
}

func (c *Conv) spatial() (in, out []int) {
	in, out = c.Window.In, c.Window.Out()
	if c.Transposed {
		in, out = out, in
	}
	return in, out
}

// Out implements Map.
func (c *Conv) Out() Axis {
	_, out := c.spatial()
	return Axis{1, c.OutChannels, Size(out)}
}

// In implements Map.
func (c *Conv) In() Axis {
	in, _ := c.spatial()
	return Axis{1, c.InChannels, Size(in)}
}

// Weight implements Map.
func (c *Conv) Weight() *Use { return &c.W }

func (c *Conv) check() error {
	if c.W.Param == nil {
		return fmt.Errorf("a convolution without a weight")
	}
	if err := c.Window.check(); err != nil {
		return err
	}
	g := c.Groups
	if g < 1 || c.InChannels%g != 0 || c.OutChannels%g != 0 {
		return fmt.Errorf("%d groups of %d input and %d output channels", g, c.InChannels, c.OutChannels)
	}
	want := c.OutChannels * (c.InChannels / g) * Size(c.Window.Kernel)
	if c.W.Param.Len() != want {
		return errLength(fmt.Sprintf("weight %q", c.W.Param.Name), c.W.Param.Len(), want)
	}
	return nil
}

func (c *Conv) withWeight(u Use) Map {
	d := *c
	d.W = u
	return &d
}

func (c *Conv) edit(a, b []float64) *scaling {
	k := Size(c.Window.Kernel)
	if c.Transposed {
		return &scaling{base: c.W.Param, a: b, b: a, B: c.OutChannels / c.Groups, K: k, groups: c.Groups}
	}
	return &scaling{base: c.W.Param, a: a, b: b, B: c.InChannels / c.Groups, K: k, groups: c.Groups}
}

// taps calls f for every pair of positions that a kernel position joins.
func (c *Conv) taps(f func(out, in, kernel int)) {
	if c.Transposed {
		c.Window.Taps(func(out, in, k int) { f(in, out, k) })
		return
	}
	c.Window.Taps(f)
}

// index returns where the weight from input channel j of group g to its output
// channel i at kernel position 0 is stored.
func (c *Conv) index(g, i, j int) int {
	k, ci, co := Size(c.Window.Kernel), c.InChannels/c.Groups, c.OutChannels/c.Groups
	if c.Transposed {
		return ((g*ci+j)*co + i) * k
	}
	return ((g*co+i)*ci + j) * k
}

func (c *Conv) elements(f func(row, col, out, in int, w float64)) {
	nOut, nIn := c.Out().Inner, c.In().Inner
	ci, co := c.InChannels/c.Groups, c.OutChannels/c.Groups
	c.taps(func(o, p, k int) {
		for g := range c.Groups {
			for i := range co {
				for j := range ci {
					row, col := g*co+i, g*ci+j
					f(row, col, row*nOut+o, col*nIn+p, c.W.Param.At(c.index(g, i, j)+k))
				}
			}
		}
	})
}

// table lists, for each kernel position and output position, the input
// position that it reads; -1 in the padding.
func (c *Conv) table() []int32 {
	nOut := c.Out().Inner
	t := make([]int32, Size(c.Window.Kernel)*nOut)
	for i := range t {
		t[i] = -1
	}
	c.taps(func(o, p, k int) { t[k*nOut+o] = int32(p) })
	return t
}

// matrix returns the weights of one group, as (out channels) x (in channels *
// kernel), in float64.
func (c *Conv) matrix(g int) []float64 {
	k, ci, co := Size(c.Window.Kernel), c.InChannels/c.Groups, c.OutChannels/c.Groups
	m := make([]float64, co*ci*k)
	f32, f64 := c.W.Param.Float32s(), c.W.Param.Float64s()
	for i := range co {
		for j := range ci {
			dst, at := m[(i*ci+j)*k:][:k], c.index(g, i, j)
			if f64 != nil {
				copy(dst, f64[at:])
				continue
			}
			for x, v := range f32[at:][:k] {
				dst[x] = float64(v)
			}
		}
	}
	return m
}

// unfold writes the (in channels of group g * kernel) x (output positions)
// matrix of the operand's values that each output position reads.
func unfold[T any](c *Conv, dst, src []T, table []int32, g int) {
	nOut, nIn := c.Out().Inner, c.In().Inner
	ci, k := c.InChannels/c.Groups, Size(c.Window.Kernel)
	var zero T
	for j := range ci {
		x := src[(g*ci+j)*nIn:][:nIn]
		for t := range k {
			row := dst[(j*k+t)*nOut:][:nOut]
			for o, p := range table[t*nOut:][:nOut] {
				if p < 0 {
					row[o] = zero
				} else {
					row[o] = x[p]
				}
			}
		}
	}
}

func (c *Conv) sums(q *SumRequest, s *Sums) {
	k, ci, co := Size(c.Window.Kernel), c.InChannels/c.Groups, c.OutChannels/c.Groups
	nOut, nIn := c.Out().Inner, c.In().Inner
	var table []int32
	if len(q.Forward)+len(q.Backward) > 0 {
		table = c.table()
	}
	for g := range c.Groups {
		m := c.matrix(g)
		for _, w := range m {
			if w == 0 {
				s.Zeros++
			}
		}
		s.Weights += len(m)
		for n, p := range q.Powers {
			for i := range co {
				s.Rows[n][g*co+i] = rowNorm(m[i*ci*k:][:ci*k], p, nil, 0, true, nil)
			}
		}
		for n, pr := range q.columns {
			for j := range ci {
				var acc scaled.Accumulator
				acc.Reset(pr.P)
				for i := range co {
					acc.Add(rowNorm(m[(i*ci+j)*k:][:k], pr.P, nil, 0, true, nil).Mul(pr.H[g*co+i]))
				}
				s.Columns[n][g*ci+j] = acc.Norm()
			}
		}
		for n, pr := range q.Forward {
			cols := make([]scaled.Num, ci*k*nOut)
			unfold(c, cols, pr.H, table, g)
			kernel.Parallel(nOut, q.Threads, 16, func(lo, hi int) {
				hs := make([]scaled.Num, ci*k)
				for o := lo; o < hi; o++ {
					for t := range hs {
						hs[t] = cols[t*nOut+o]
					}
					h, exp, ok := floats(hs)
					for i := range co {
						s.Forward[n][(g*co+i)*nOut+o] = rowNorm(m[i*ci*k:][:ci*k], pr.P, h, exp, ok, hs)
					}
				}
			})
		}
		for n, pr := range q.Backward {
			// One reversed convolution: each input element gathers from the
			// positions that read it.
			acc := make([]scaled.Accumulator, ci*nIn)
			for i := range acc {
				acc[i].Reset(pr.P)
			}
			for t := range k {
				for o, p := range table[t*nOut:][:nOut] {
					if p < 0 {
						continue
					}
					for j := range ci {
						for i := range co {
							acc[j*nIn+int(p)].Add(pr.H[(g*co+i)*nOut+o].MulFloat(m[(i*ci+j)*k+t]))
						}
					}
				}
			}
			for i := range acc {
				s.Backward[n][g*ci*nIn+i] = acc[i].Norm()
			}
		}
	}
}

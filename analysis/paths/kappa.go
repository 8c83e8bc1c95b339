package paths

import (
	"math"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/scaled"
)

// Kappa holds what kappa of one order is made of:
//
//	kappa(u->v) = (g_in(u) g_out(v))^(2/p) = (In(u) Out(v))^2
//
// the geometry of Path-SGD (Neyshabur, Salakhutdinov, Srebro, NeurIPS 2015,
// section 4) and the diagonal of the path Gram matrix. For p = 2 it is
// d||pi||_2^2 / d(w^2) of every weight. Under rescaling by c of a unit, kappa of
// its incoming weights is divided by c^2 and of its outgoing ones multiplied.
type Kappa struct {
	// P is the order.
	P float64
	// In and Out hold h_in and h_out of each node's elements, as Forward and
	// Backward give them.
	In, Out [][]scaled.Num

	net *dag.Network
}

// NewKappa runs one forward and one backward programme of order p. Options.Rows,
// Columns and Keep play no part. It panics on an order outside [1, Inf].
func NewKappa(n *dag.Network, p float64, opt Options) *Kappa {
	o := Options{Bias: opt.Bias, Threads: opt.Threads}
	return Forward(n, []float64{p}, o).Kappa(0, opt)
}

// Kappa runs the backward programme that goes with order k of v, which Forward
// made with all values kept and the same bias policy. Of opt, Threads alone plays
// a part.
func (v *Values) Kappa(k int, opt Options) *Kappa {
	p := v.P[k]
	b := Backward(v.net, []float64{p}, Options{Threads: opt.Threads})
	return &Kappa{P: p, In: v.H[k], Out: b.H[0], net: v.net}
}

// Live reports whether paths of non-zero product pass through an element:
// g_in > 0 and g_out > 0. Only edges between live ends have a kappa that
// matters; elsewhere it is 0.
func (k *Kappa) Live(node, element int) bool {
	return k.Out[node] != nil && !k.In[node][element].IsZero() && !k.Out[node][element].IsZero()
}

// Factors returns kappa of a fully connected layer's stored weights as the
// outer product that it is, kappa_ij = out_i in_j, with in one number an input
// and out one a unit. ok is false for other layers and where one weight serves
// several positions: see Weight.
func (k *Kappa) Factors(node int) (out, in []scaled.Num, ok bool) {
	l, isLinear := k.net.Nodes[node].Op.(*dag.Linear)
	if !isLinear {
		return nil, nil, false
	}
	d, isDense := l.Map.(*dag.Dense)
	if !isDense || d.Out().Outer != 1 || d.Out().Inner != 1 {
		return nil, nil, false
	}
	return k.rowSquares(node, l), squares(k.In[k.net.Nodes[node].In[0]]), true
}

func squares(h []scaled.Num) []scaled.Num {
	out := make([]scaled.Num, len(h))
	for e, x := range h {
		out[e] = x.Mul(x)
	}
	return out
}

// rowSquares is (|Scale| h_out)^2 of each element of a layer's value: kappa of
// a stored weight sees the multiplying stages after it.
func (k *Kappa) rowSquares(node int, l *dag.Linear) []scaled.Num {
	out := squares(k.Out[node])
	if s, ax := l.Scale(), l.Out(); s != nil {
		for e := range out {
			out[e] = out[e].MulFloat(s[ax.At(e)]).MulFloat(s[ax.At(e)])
		}
	}
	return out
}

// Weight returns kappa of each stored scalar of a layer's weight tensor, in
// storage order: the sum over the positions at which the scalar is used. Nil
// for a layer without stored weights. A tensor that several layers share has
// the sum of what each gives.
//
// Cost: the number of weights for a fully connected layer, one matrix product
// of the convolution's size for a convolution.
func (k *Kappa) Weight(node int) []scaled.Num {
	if l, ok := k.net.Nodes[node].Op.(*dag.Linear); ok {
		return k.weight(node, l, k.rowSquares(node, l))
	}
	return nil
}

// Edges is Weight for the effective weights diag(Scale) W: kappa of the network
// with its multiplying stages folded in.
func (k *Kappa) Edges(node int) []scaled.Num {
	if l, ok := k.net.Nodes[node].Op.(*dag.Linear); ok {
		return k.weight(node, l, squares(k.Out[node]))
	}
	return nil
}

func (k *Kappa) weight(node int, l *dag.Linear, out []scaled.Num) []scaled.Num {
	if l.Map == nil || l.Map.Weight() == nil {
		return nil
	}
	in := squares(k.In[k.net.Nodes[node].In[0]])
	switch m := l.Map.(type) {
	case *dag.Dense:
		return denseKappa(m, out, in)
	case *dag.Conv:
		return convKappa(m, out, in)
	}
	return nil
}

func denseKappa(d *dag.Dense, out, in []scaled.Num) []scaled.Num {
	kappa := make([]scaled.Num, d.Rows*d.Cols)
	ao, ai := d.Out(), d.In()
	at := func(i, j int) int {
		if d.InOut {
			return j*d.Rows + i
		}
		return i*d.Cols + j
	}
	of, oe, ok1 := spread(out)
	xf, xe, ok2 := spread(in)
	if ok1 && ok2 && ao.Outer*ao.Inner > 1 {
		prod := make([]float64, d.Rows*d.Cols)
		for a := range ao.Outer {
			blas.Find().Dgemm(false, true, d.Rows, d.Cols, ao.Inner, 1, of[a*ao.N*ao.Inner:], ao.Inner,
				xf[a*ai.N*ai.Inner:], ai.Inner, 1, prod, d.Cols)
		}
		for i := range d.Rows {
			for j := range d.Cols {
				kappa[at(i, j)] = scaled.New(prod[i*d.Cols+j]).Scale(oe + xe)
			}
		}
		return kappa
	}
	for a := range ao.Outer {
		for b := range ao.Inner {
			for i := range d.Rows {
				o := out[(a*ao.N+i)*ao.Inner+b]
				for j := range d.Cols {
					k := at(i, j)
					kappa[k] = kappa[k].Add(o.Mul(in[(a*ai.N+j)*ai.Inner+b]))
				}
			}
		}
	}
	return kappa
}

// convKappa multiplies, group by group, the squares of the value (output
// channels x positions) by the unfolded ones of the operand.
func convKappa(c *dag.Conv, out, in []scaled.Num) []scaled.Num {
	nOut, nIn := c.Out().Inner, c.In().Inner
	ci, co, taps := c.InChannels/c.Groups, c.OutChannels/c.Groups, dag.Size(c.Window.Kernel)
	kappa := make([]scaled.Num, c.W.Param.Len())
	store := func(g, i, j, t int) *scaled.Num {
		if c.Transposed {
			return &kappa[((g*ci+j)*co+i)*taps+t]
		}
		return &kappa[((g*co+i)*ci+j)*taps+t]
	}
	pairs := func(f func(o, p, t int)) {
		if c.Transposed {
			c.Window.Taps(func(o, p, t int) { f(p, o, t) })
			return
		}
		c.Window.Taps(f)
	}
	cols, prod := make([]float64, ci*taps*nOut), make([]float64, co*ci*taps)
	for g := range c.Groups {
		og, ig := out[g*co*nOut:][:co*nOut], in[g*ci*nIn:][:ci*nIn]
		of, oe, ok1 := spread(og)
		xf, xe, ok2 := spread(ig)
		if !ok1 || !ok2 {
			pairs(func(o, p, t int) {
				for i := range co {
					for j := range ci {
						w := store(g, i, j, t)
						*w = w.Add(og[i*nOut+o].Mul(ig[j*nIn+p]))
					}
				}
			})
			continue
		}
		clear(cols)
		pairs(func(o, p, t int) {
			for j := range ci {
				cols[(j*taps+t)*nOut+o] = xf[j*nIn+p]
			}
		})
		blas.Find().Dgemm(false, true, co, ci*taps, nOut, 1, of, nOut, cols, nOut, 0, prod, ci*taps)
		for i := range co {
			for j := range ci {
				for t := range taps {
					*store(g, i, j, t) = scaled.New(prod[(i*ci+j)*taps+t]).Scale(oe + xe)
				}
			}
		}
	}
	return kappa
}

// spread returns h as float64 over 2^exp; ok is false where products of the
// result could underflow or where h is not finite.
func spread(h []scaled.Num) (v []float64, exp int64, ok bool) {
	const bits = 400
	lo, hi := int64(math.MaxInt64), int64(math.MinInt64)
	for _, x := range h {
		if !x.IsFinite() {
			return nil, 0, false
		}
		if !x.IsZero() {
			lo, hi = min(lo, x.Exp), max(hi, x.Exp)
		}
	}
	if lo > hi {
		return make([]float64, len(h)), 0, true
	}
	if hi-lo > bits {
		return nil, 0, false
	}
	v = make([]float64, len(h))
	for e, x := range h {
		v[e] = x.Scale(-hi).Float64()
	}
	return v, hi, true
}

// Bias returns kappa of a layer's effective bias, one number a unit: the sum
// over the unit's elements of h_out^2, since the constant unit has h_in 1. It
// is the same under both policies.
func (k *Kappa) Bias(node int) []scaled.Num {
	l, ok := k.net.Nodes[node].Op.(*dag.Linear)
	if !ok {
		return nil
	}
	return overUnits(l, squares(k.Out[node]))
}

// overUnits sums a value's elements unit by unit.
func overUnits(l *dag.Linear, sq []scaled.Num) []scaled.Num {
	out := make([]scaled.Num, l.Rows())
	ax := l.Out()
	for e, x := range sq {
		i := ax.At(e)
		out[i] = out[i].Add(x)
	}
	return out
}

// Scale returns kappa of a layer's effective row factors (BatchNormalization's
// scale, a multiplication by stored values), one number a unit: the edge runs
// from the map's result, before any stage, to the value. Stages that add before
// they multiply are seen as folded, with the sum as bias.
func (k *Kappa) Scale(node int, opt Options) []scaled.Num {
	nd := &k.net.Nodes[node]
	l, ok := nd.Op.(*dag.Linear)
	if !ok || l.Map == nil {
		return nil
	}
	bare := &dag.Linear{Map: l.Map}
	s := bare.Sums(dag.SumRequest{Threads: opt.Threads, Forward: []dag.Path{{P: k.P, H: k.In[nd.In[0]]}}})
	sq := squares(k.Out[node])
	for e, h := range s.Forward[0] {
		sq[e] = sq[e].Mul(h).Mul(h)
	}
	return overUnits(l, sq)
}

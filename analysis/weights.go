package analysis

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/internal/lists"
)

// weightEntries are the measures of weights that the first pass gives.
func weightEntries() []*entry {
	return []*entry{
		{
			Info: Info{
				Name: "parameter_count", Formula: "number of stored scalars, a shared tensor once",
				LaTeX: `n_{\mathrm{par}}`, Source: j20, Unit: "count", Invariant: true, Scope: OfNet, Policy: true,
			},
			net: func(r *run) []Measure { return one(scaled.New(float64(Parameters(r.file)))) },
		},
		{
			Info: Info{
				Name: "group_norm", Params: []string{"p", "q"},
				Formula: "(sum_v (sum_{u->v} |w_{u->v}|^p)^(q/p))^(1/q) over the incoming weights of non-input units",
				LaTeX:   `\Bigl(\sum_v\bigl(\sum_{u\to v}|w_{u\to v}|^p\bigr)^{q/p}\Bigr)^{1/q}`,
				Source:  n15a, Unit: "norm", Scope: OfBoth, Policy: true,
			},
			groups: true, overMargin: linear,
			net: func(r *run) []Measure {
				var out []Measure
				for k, g := range r.opt.Groups {
					out = append(out, Measure{P: order(g.P), Q: order(g.Q), Value: r.groupNorm(k)})
				}
				return out
			},
			layer: func(r *run, l *layer) []Measure {
				out := make([]Measure, 0, len(r.opt.Groups))
				for k, x := range r.groupNorms(l.index, l.op) {
					g := r.opt.Groups[k]
					out = append(out, Measure{P: order(g.P), Q: order(g.Q), Value: x})
				}
				return out
			},
		},
		{
			Info: Info{
				Name: "product_group_norm", Params: []string{"p", "q"},
				Formula: "prod_l ||W_l||_{p,q}, p within a row, q over rows",
				LaTeX:   `\prod_l\lVert W_l\rVert_{p,q}`,
				Source:  n15a, Unit: "norm", Scope: OfNet,
			},
			groups: true, overMargin: linear,
			net: func(r *run) []Measure {
				return lists.Map(r.opt.Groups, func(g PQ) Measure {
					x := r.product(func(l *layer) scaled.Num { return r.norm(l.index, g) })
					return Measure{P: order(g.P), Q: order(g.Q), Value: x}
				})
			},
		},
		{
			Info: Info{
				Name: "frobenius", Formula: "||W||_F; whole net: the square root of the sum of squares over layers",
				LaTeX: `\lVert W\rVert_F`, Source: la, Unit: "norm", Scope: OfBoth,
			},
			rows: []float64{2}, overMargin: linear,
			net:   func(r *run) []Measure { return one(scaled.Norm(r.each(r.frobenius), 2)) },
			layer: func(r *run, l *layer) []Measure { return one(r.frobenius(l)) },
		},
		{
			Info: Info{
				Name: "product_frobenius", Formula: "prod_l ||W_l||_F", LaTeX: `\prod_l\lVert W_l\rVert_F`,
				Source: n15a, Unit: "norm", Scope: OfNet,
			},
			rows: []float64{2}, overMargin: linear,
			net: func(r *run) []Measure { return one(r.product(r.frobenius)) },
		},
		{
			Info: Info{
				Name: "sum_frobenius_squared", Formula: "sum_l ||W_l||_F^2", LaTeX: `\sum_l\lVert W_l\rVert_F^2`,
				Source: j20 + " (param-norm)", Unit: "norm squared", Scope: OfNet,
			},
			rows: []float64{2}, overMargin: squared,
			net: func(r *run) []Measure {
				return one(r.sum(func(l *layer) scaled.Num { return r.frobenius(l).Pow(2) }))
			},
		},
		{
			Info: Info{
				Name: "sum_log_frobenius_squared", Formula: "sum_l ln ||W_l||_F^2",
				LaTeX:  `\sum_l\ln\lVert W_l\rVert_F^2`,
				Source: j20 + " (log-prod-of-fro)", Unit: "log", Scope: OfNet,
			},
			rows: []float64{2}, overMargin: logarithm,
			net: func(r *run) []Measure { return one(r.sumLog(r.frobenius)) },
		},
		{
			Info: Info{
				Name: "sum_of_frobenius", Formula: "d (prod_l ||W_l||_F^2)^(1/d)",
				LaTeX:  `d\,\bigl(\prod_l\lVert W_l\rVert_F^2\bigr)^{1/d}`,
				Source: j20 + " (sum-of-fro)", Unit: "norm squared", Scope: OfNet,
			},
			rows: []float64{2}, overMargin: rooted,
			net: func(r *run) []Measure { return one(r.geometric(r.frobenius)) },
		},
		{
			Info: Info{Name: "max_abs", Formula: "max |w|", LaTeX: `\max|w|`, Source: s19, Unit: "norm", Scope: OfBoth},
			rows: []float64{math.Inf(1)}, overMargin: linear,
			net:   func(r *run) []Measure { return one(scaled.Norm(r.each(r.maxAbs), math.Inf(1))) },
			layer: func(r *run, l *layer) []Measure { return one(r.maxAbs(l)) },
		},
		{
			Info: Info{
				Name: "zero_share", Formula: "number of weights that are zero over the number of weights",
				LaTeX: `\#\{w=0\}/\#\{w\}`, Source: "a count", Unit: "share", Invariant: true, Scope: OfBoth,
			},
			zeros: true,
			net: func(r *run) []Measure {
				var zeros, weights int
				for _, l := range r.layers {
					zeros += r.forward.Layers[l.index].Zeros
					weights += r.forward.Layers[l.index].Weights
				}
				return one(share(zeros, weights))
			},
			layer: func(r *run, l *layer) []Measure {
				s := r.forward.Layers[l.index]
				return one(share(s.Zeros, s.Weights))
			},
		},
	}
}

func share(part, whole int) scaled.Num {
	if whole == 0 {
		return scaled.Num{}
	}
	return scaled.New(float64(part) / float64(whole))
}

// groupNorm is mu_{p,q} of the whole network, of group k of Options.Groups: over
// the units of all layers, and over biases that stand alone behind identity
// edges.
func (r *run) groupNorm(k int) scaled.Num {
	var acc scaled.Accumulator
	acc.Reset(r.opt.Groups[k].Q)
	for nd, l := range body[*dag.Linear](r.net) {
		acc.Add(r.groupNorms(nd.ID, l)[k])
	}
	return acc.Norm()
}

func (r *run) frobenius(l *layer) scaled.Num { return r.norm(l.index, PQ{2, 2}) }

func (r *run) maxAbs(l *layer) scaled.Num {
	return r.norm(l.index, PQ{math.Inf(1), math.Inf(1)})
}

// matrices returns the layers that have a weight matrix: all but constants.
func (r *run) matrices() []*layer {
	return slices.DeleteFunc(slices.Clone(r.layers), func(l *layer) bool { return l.op.Map == nil })
}

func (r *run) each(f func(*layer) scaled.Num) []scaled.Num { return lists.Map(r.matrices(), f) }

// product multiplies over layers; 1 without layers.
func (r *run) product(f func(*layer) scaled.Num) scaled.Num {
	out := scaled.One
	for _, x := range r.each(f) {
		out = out.Mul(x)
	}
	return out
}

func (r *run) sum(f func(*layer) scaled.Num) scaled.Num {
	var out scaled.Num
	for _, x := range r.each(f) {
		out = out.Add(x)
	}
	return out
}

// sumLog is sum_l ln f_l^2; minus infinity when one is zero.
func (r *run) sumLog(f func(*layer) scaled.Num) scaled.Num {
	var out float64
	for _, x := range r.each(f) {
		out += 2 * x.Ln()
	}
	return scaled.New(out)
}

// geometric is d (prod_l f_l^2)^(1/d).
func (r *run) geometric(f func(*layer) scaled.Num) scaled.Num {
	d := float64(len(r.matrices()))
	if d == 0 {
		return scaled.Num{}
	}
	return r.product(f).Pow(2).Root(d).MulFloat(d)
}

package analysis

import (
	"maps"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/scaled"
)

// boundEntries are generalization bounds. They leave out constants, logarithms
// and input norms where the released code of their authors does; what is there
// is in the formula, and each symbol's value comes with the measure.
func boundEntries() []*entry {
	inf := math.Inf(1)
	product := func(name, formula, latex string, g PQ, root float64) *entry {
		return &entry{
			Info: Info{
				Name: name, Params: []string{"percentile"}, Formula: formula, LaTeX: latex,
				Source: n15a, Unit: "bound", Needs: NeedsData, Scope: OfNet,
			},
			rows: []float64{g.P}, margin: true, whole: true,
			net: func(r *run) []Measure {
				return r.withMargin(func(gamma scaled.Num) []Measure {
					p := r.product(func(l *layer) scaled.Num { return r.norm(l.index, g) })
					alpha, d, din, m := r.alpha()
					x := p.MulFloat(alpha).Div(gamma).MulFloat(math.Pow(m, -1/root))
					return []Measure{{Value: x, Symbols: symbols(gamma, "alpha", alpha, "d", d, "d_in", din, "m", m, "product", p)}}
				})
			},
		}
	}
	return []*entry{
		product("bound_l1_inf", "alpha prod_l ||W_l||_{1,inf} / (gamma sqrt(m)), alpha = sqrt(d + ln d_in)",
			`\alpha\prod_l\lVert W_l\rVert_{1,\infty}/(\gamma\sqrt m)`, PQ{1, inf}, 2),
		product("bound_frobenius", "alpha prod_l ||W_l||_F / (gamma sqrt(m)), alpha = sqrt(d + ln d_in)",
			`\alpha\prod_l\lVert W_l\rVert_F/(\gamma\sqrt m)`, PQ{2, 2}, 2),
		product("bound_l3_15", "alpha prod_l ||W_l||_{3,1.5} / (gamma m^(1/3)), alpha = sqrt(d + ln d_in)",
			`\alpha\prod_l\lVert W_l\rVert_{3,1.5}/(\gamma m^{1/3})`, PQ{3, 1.5}, 3),
		{
			Info: Info{
				Name: "bound_spectral_l21", Params: []string{"percentile"},
				Formula: "ln m ln n_par (prod_l sigma_l / gamma) (sum_l (||dW_l||_{2,1} / sigma_l)^(2/3))^(3/2) / sqrt(m); dW = W - W0, W0 = 0 without a reference",
				LaTeX:   `\ln m\,\ln n_{\mathrm{par}}\,\frac{\prod_l\sigma_l}{\gamma\sqrt m}\Bigl(\sum_l\bigl(\lVert\Delta W_l\rVert_{2,1}/\sigma_l\bigr)^{2/3}\Bigr)^{3/2}`,
				Source:  b17, Unit: "bound", Cost: Spectral, Needs: NeedsData, Scope: OfNet,
			},
			rows: []float64{2, inf}, margin: true, whole: true,
			net: func(r *run) []Measure {
				return r.withMargin(func(gamma scaled.Num) []Measure {
					sum := r.sum(func(l *layer) scaled.Num {
						return scaled.Norm(r.moved(l), 1).Div(r.spectral(l)).Pow(2. / 3)
					})
					p := r.product(r.spectral)
					m, npar := float64(r.opt.Data.Batch), float64(effective(r.net))
					x := p.Div(gamma).Mul(sum.Pow(1.5)).MulFloat(math.Log(m) * math.Log(npar) / math.Sqrt(m))
					return []Measure{{Value: x, Symbols: symbols(gamma, "m", m, "n_par", npar, "product", p, "sum", sum)}}
				})
			},
		},
		spectralFrobenius("bound_spectral_frobenius", "dW", "W - W0, W0 = 0 without a reference", `\Delta W_l`,
			" (released code)", func(r *run, l *layer) scaled.Num { return scaled.Norm(r.moved(l), 2) }),
		spectralFrobenius("bound_spectral_frobenius_theorem", "W", "the weights themselves", `W_l`,
			", theorem 1", func(r *run, l *layer) scaled.Num { return r.frobenius(l) }),
		{
			Info: Info{
				Name: "bound_path_g24", Params: []string{"percentile"},
				Formula: "(4 B / (gamma sqrt(m))) ||pi||_1 sqrt(D ln((3 + 2P) K) + ln((3 + 2P)/(1 + P) (d_in + 1) d_out)); " +
					"||pi||_1 with biases, B the largest |x_i| of what the preamble gives, at least 1 (the constant unit), D depth, " +
					"P number of distinct pooling sizes, K the largest of them, 1 without pooling",
				LaTeX:  `\frac{4B}{\gamma\sqrt m}\lVert\pi\rVert_1\sqrt{D\ln((3+2P)K)+\ln\bigl(\tfrac{3+2P}{1+P}(d_{\mathrm{in}}+1)d_{\mathrm{out}}\bigr)}`,
				Source: g24, Unit: "bound", Invariant: true, Needs: NeedsData, Scope: OfNet,
			},
			path: []float64{1}, margin: true, biased: true,
			net: func(r *run) []Measure {
				return r.pathBound(func(f *pathFacts) (float64, []Symbol) {
					ways := 3 + 2*f.pools
					logs := f.d*math.Log(ways*f.k) + math.Log(ways/(1+f.pools)*(f.din+1)*f.dout)
					return logs, []Symbol{{"P", scaled.New(f.pools)}}
				})
			},
		},
		{
			Info: Info{
				Name: "bound_path_g24_sharpened", Params: []string{"percentile"},
				Formula: "(4 B / (gamma sqrt(m))) ||pi||_1 sqrt(D ln 3 + M ln K + ln((d_in + 1) d_out)); " +
					"||pi||_1, B, D and K of bound_path_g24, M the most poolings on a path",
				LaTeX:  `\frac{4B}{\gamma\sqrt m}\lVert\pi\rVert_1\sqrt{D\ln3+M\ln K+\ln((d_{\mathrm{in}}+1)d_{\mathrm{out}})}`,
				Source: g24 + ", remark 3.1", Unit: "bound", Invariant: true, Needs: NeedsData, Scope: OfNet,
			},
			path: []float64{1}, margin: true, biased: true,
			net: func(r *run) []Measure {
				return r.pathBound(func(f *pathFacts) (float64, []Symbol) {
					most := float64(longest(r.net, func(op dag.Op) bool { _, ok := op.(*dag.Pool); return ok }))
					logs := f.d*math.Log(3) + most*math.Log(f.k) + math.Log((f.din+1)*f.dout)
					return logs, []Symbol{{"M", scaled.New(most)}}
				})
			},
		},
	}
}

// pathFacts is what the logarithms of the path norm's bounds are of: the depth, the
// number of pooling sizes, the largest of them, inputs and outputs.
type pathFacts struct{ d, pools, k, din, dout float64 }

func spectralFrobenius(name, w, means, latex, where string, f func(*run, *layer) scaled.Num) *entry {
	return &entry{
		Info: Info{
			Name: name, Params: []string{"percentile"},
			Formula: "d (prod_l sigma_l / gamma) (sum_l h_l ||" + w + "_l||_F^2 / sigma_l^2)^(1/2) / sqrt(m); h_l rows of W_l, " + w + " " + means,
			LaTeX:   `\frac{d\prod_l\sigma_l}{\gamma\sqrt m}\Bigl(\sum_l h_l\lVert ` + latex + `\rVert_F^2/\sigma_l^2\Bigr)^{1/2}`,
			Source:  n18 + where, Unit: "bound", Cost: Spectral, Needs: NeedsData, Scope: OfNet,
		},
		rows: []float64{2, math.Inf(1)}, margin: true, whole: true,
		net: func(r *run) []Measure {
			return r.withMargin(func(gamma scaled.Num) []Measure {
				sum := r.sum(func(l *layer) scaled.Num {
					return f(r, l).Div(r.spectral(l)).Pow(2).MulFloat(float64(l.op.Rows()))
				})
				p := r.product(r.spectral)
				d, m := float64(len(r.matrices())), float64(r.opt.Data.Batch)
				x := p.Div(gamma).Mul(sum.Pow(0.5)).MulFloat(d / math.Sqrt(m))
				return []Measure{{Value: x, Symbols: symbols(gamma, "d", d, "m", m, "product", p, "sum", sum)}}
			})
		},
	}
}

// symbols lists gamma and pairs of a name and a float64 or a scaled.Num.
func symbols(gamma scaled.Num, pairs ...any) []Symbol {
	out := []Symbol{{"gamma", gamma}}
	for i := 0; i < len(pairs); i += 2 {
		s := Symbol{Name: pairs[i].(string)}
		switch x := pairs[i+1].(type) {
		case float64:
			s.Value = scaled.New(x)
		case scaled.Num:
			s.Value = x
		}
		out = append(out, s)
	}
	return out
}

// alpha is sqrt(d + ln d_in), with the d layers, d_in inputs and m examples.
func (r *run) alpha() (alpha, d, din, m float64) {
	d, din, m = float64(len(r.matrices())), float64(r.inputs()), float64(r.opt.Data.Batch)
	return math.Sqrt(d + math.Log(din)), d, din, m
}

// inputs is the number of elements of the network's inputs.
func (r *run) inputs() int {
	n := 0
	for _, p := range r.net.Inputs {
		n += r.net.Nodes[p.Node].Len()
	}
	return n
}

// moved returns the row norms of dW: of W itself without a reference.
func (r *run) moved(l *layer) []scaled.Num {
	if l.ref == nil {
		return r.rows(l.index, 2)
	}
	return r.differenceRows(l)
}

// pathBound is (4 B / (gamma sqrt(m))) ||pi||_1 times the root of a sum of logarithms.
func (r *run) pathBound(logarithms func(*pathFacts) (float64, []Symbol)) []Measure {
	return r.withMargin(func(gamma scaled.Num) []Measure {
		pi := r.forward.PathNorm(r.path(1))
		if r.opt.Bias == ExcludeBias {
			pi = paths.Forward(r.net, []float64{1}, paths.Options{Threads: r.opt.Threads, Keep: []int{}}).PathNorm(0)
		}
		b := r.largestInput()
		sizes := map[int]bool{}
		f := pathFacts{d: float64(depth(r.net)), k: 1, din: float64(r.inputs()), dout: float64(r.ends)}
		for nd, op := range body[*dag.Pool](r.net) {
			size := len(nd.In)
			if op.Window != nil {
				size = dag.Size(op.Window.Kernel)
			}
			sizes[size] = true
			f.k = max(f.k, float64(size))
		}
		f.pools = float64(len(sizes))
		m := float64(r.opt.Data.Batch)
		logs, more := logarithms(&f)
		x := pi.MulFloat(4 * b / math.Sqrt(m) * math.Sqrt(logs)).Div(gamma)
		named := symbols(gamma, "B", b, "m", m, "path_norm", pi, "D", f.d, "K", f.k, "d_in", f.din, "d_out", f.dout)
		return []Measure{{Value: x, Symbols: append(named, more...)}}
	})
}

// largestInput is the largest magnitude among the values that the body reads,
// behind the preamble, on the data; at least 1, the value of the constant unit.
func (r *run) largestInput() float64 {
	read := map[int]bool{}
	for nd := range body[dag.Op](r.net) {
		for _, j := range nd.In {
			read[j] = r.net.Nodes[j].Zone == dag.Preamble
		}
	}
	maps.DeleteFunc(read, func(_ int, preamble bool) bool { return !preamble })
	b := 1.0
	err := r.evaluate(r.net, r.opt.Data, slices.Sorted(maps.Keys(read)), func(_, _ int, values [][]float64) {
		for _, x := range values {
			for _, v := range x {
				b = math.Max(b, math.Abs(v))
			}
		}
	})
	if err != nil {
		r.err = err
	}
	return b
}

package analysis

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/internal/lists"
)

// Registry lists every measure, in the order of reports.
func Registry() []Info { return slices.Clone(registry()) }

// registry is made once: a command asks for it many times.
var registry = sync.OnceValue(func() []Info {
	var out []Info
	for _, e := range entries() {
		e.Says, e.Code = sentenceOf(e.Name), departureOf(e.Name)
		out = append(out, e.Info)
	}
	return out
})

// entries makes the registry: the measures, then those of them that are also
// reported over the margin.
func entries() []*entry {
	base := slices.Concat(pathEntries(), weightEntries(), spectralEntries(), operatorEntries(), tailEntries(), referenceEntries())
	var over []*entry
	for _, e := range base {
		if e.overMargin != notOver {
			over = append(over, e.over())
		}
	}
	return slices.Concat(base, diagnosticEntries(), marginEntries(), over, boundEntries(), flatnessEntries(), sharpnessEntries())
}

// one wraps a value that nothing else tells apart.
func one(x scaled.Num) []Measure { return []Measure{{Value: x}} }

// byOrder measures a number of the path programme of each order.
func byOrder(of func(v *paths.Values, k int) scaled.Num) func(*run) []Measure {
	return func(r *run) []Measure {
		return lists.Map(r.opt.P, func(p float64) Measure { return Measure{P: order(p), Value: of(r.forward, r.path(p))} })
	}
}

// pathEntries are the path norms.
func pathEntries() []*entry {
	return append([]*entry{
		{
			Info: Info{
				Name: "path_norm", Params: []string{"p"},
				Formula: "(sum over paths of prod |w_e|^p)^(1/p); p = inf: the largest product",
				LaTeX:   `\Bigl(\sum_{\text{paths}}\prod_e |w_e|^p\Bigr)^{1/p}`,
				Source:  n15a, Unit: "norm", Invariant: true, Scope: OfNet, Policy: true,
			},
			orders: true, overMargin: linear,
			net: byOrder((*paths.Values).PathNorm),
		},
		{
			Info: Info{
				Name: "path_norm_max_output", Params: []string{"p"},
				Formula: "max_j phi_j, phi_j = (sum over paths to output j of prod |w_e|^p)^(1/p)",
				LaTeX:   `\max_j \phi_j,\quad \phi_j=\Bigl(\sum_{\text{paths to }j}\prod_e |w_e|^p\Bigr)^{1/p}`,
				Source:  n15a, Unit: "norm", Invariant: true, Scope: OfNet, Policy: true,
			},
			orders: true, overMargin: linear,
			net: byOrder((*paths.Values).MaxOutput),
		},
		{
			Info: Info{
				Name: "path_norm_output", Params: []string{"p", "output"},
				Formula: "phi_j = (sum over paths to output j of prod |w_e|^p)^(1/p)",
				LaTeX:   `\phi_j=\Bigl(\sum_{\text{paths to }j}\prod_e |w_e|^p\Bigr)^{1/p}`,
				Source:  n15a, Unit: "norm", Invariant: true, Scope: OfNet, Policy: true,
			},
			orders: true,
			net: func(r *run) []Measure {
				if r.ends > maxPorts {
					return []Measure{{Value: scaled.New(math.NaN()), Reason: fmt.Sprintf("%d outputs are more than %d: path_norm_max_output has the largest", r.ends, maxPorts)}}
				}
				out := make([]Measure, 0, len(r.opt.P)*len(r.ports))
				for _, p := range r.opt.P {
					for j, x := range r.forward.PerOutput(r.path(p)) {
						out = append(out, Measure{P: order(p), Output: r.ports[j], Value: x})
					}
				}
				return out
			},
		},
		{
			Info: Info{
				Name: "path_2", Formula: "sum over paths of prod w_e^2",
				LaTeX:  `\sum_{\text{paths}}\prod_e w_e^2`,
				Source: j20, Unit: "norm squared", Invariant: true, Scope: OfNet, Policy: true,
			},
			path: []float64{2}, overMargin: squared,
			net: func(r *run) []Measure { return one(r.forward.PathNorm(r.path(2)).Pow(2)) },
		},
	}, lipschitzEntries()...)
}

// lipschitzEntries bound the Lipschitz constant.
func lipschitzEntries() []*entry {
	const source = n15a + "; curves: docs/measures.md"
	var out []*entry
	for _, largest := range []bool{false, true} {
		suffix, words, index := "", "", ""
		if largest {
			suffix, words, index = "_maxpool", "; a maximum passes on its largest operand, not the sum", `_{\max}`
		}
		add := func(name, formula, latex string, of func(v *paths.Values, k int) scaled.Num) {
			out = append(out, &entry{
				Info: Info{
					Name: name, Formula: formula + words, LaTeX: latex, Source: source, Unit: "norm",
					Invariant: true, Cost: TwoPasses, Scope: OfNet,
				},
				paths: true,
				net:   func(r *run) []Measure { return r.lipschitz(largest, of) },
			})
		}
		add("lipschitz_path"+suffix, "sum over paths of prod |w_e| prod L_f, L_f the Lipschitz constant of each curve on the path",
			`\sum`+index+`\prod_e |w_e|\prod_f L_f`, (*paths.Values).PathNorm)
		add("lipschitz_path"+suffix+"_max_output", "max_j of the sum over paths to output j of prod |w_e| prod L_f",
			`\max_j\sum`+index+`\prod_e |w_e|\prod_f L_f`, (*paths.Values).MaxOutput)
	}
	return out
}

// lipschitz is one number of the programme with Lipschitz constants, or the reason
// why there is none.
func (r *run) lipschitz(largest bool, of func(v *paths.Values, k int) scaled.Num) []Measure {
	if r.memo.lipschitz[largest] == nil && r.memo.steep == "" {
		v, why := paths.Lipschitz(r.net, paths.Options{Threads: r.opt.Threads, Largest: largest})
		if r.memo.lipschitz == nil {
			r.memo.lipschitz = map[bool]*paths.Values{}
		}
		r.memo.lipschitz[largest], r.memo.steep = v, why
	}
	if r.memo.steep != "" {
		return []Measure{{Value: scaled.New(math.NaN()), Reason: r.memo.steep}}
	}
	return one(of(r.memo.lipschitz[largest], 0))
}

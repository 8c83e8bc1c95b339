package prune

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/scaled"
)

// Score says what a weight is worth.
type Score string

// The scores: see the package.
const (
	ByPath      Score = "path"
	ByMagnitude Score = "magnitude"
)

// Scores lists them, the default first.
func Scores() []Score { return []Score{ByPath, ByMagnitude} }

// Scope says among which weights the smallest are looked for.
type Scope string

// The scopes.
const (
	// Global is all weights together: layers lose different shares.
	Global Scope = "global"
	// PerLayer is each layer for itself: each loses the same share.
	PerLayer Scope = "layer"
)

// Scopes lists them, the default first.
func Scopes() []Scope { return []Scope{Global, PerLayer} }

// Options says what to prune. Sparsity must be given; the rest may be zero.
type Options struct {
	// Sparsity is the share of the weights that are zero afterwards, in [0, 1): the
	// number is rounded down, and weights that are zero before count.
	Sparsity float64
	// By is the score. Default: ByPath.
	By Score
	// Scope is where the smallest are looked for. Default: Global.
	Scope Scope
	// Bias says whether paths begin at biases too. Default: paths.Include.
	Bias paths.Bias
	// Threads is the number of goroutines. Default: 1.
	Threads int
}

// Layer is what happened to one layer.
type Layer struct {
	// Node is the layer's; Weights counts its weights.
	Node, Weights int
	// Before and After count its zeros.
	Before, After int
	// Kept says why its weights stay as they are; empty where they may go.
	Kept string
}

// Result is a pruned network.
type Result struct {
	// Net is the network with zeros: its other numbers are those of the source.
	Net    *dag.Network
	Layers []Layer
	// Before and After are ||pi||_1 of the networks, paths from biases included; over all
	// segments, where there are several.
	Before, After scaled.Num
	// Metric is ||pi(w) - pi(w')||_1, which is Before - After here: every path has its
	// product or none. See paths.Metric for what it says of the function.
	Metric scaled.Num
}

// candidate is a weight that may go.
type candidate struct {
	score   scaled.Num
	param   *dag.Param
	element int
	zero    bool
}

// Run prunes the weights of fully connected layers and convolutions; biases, normalisers,
// constants and what is inside functions, as the matrices of recurrent cells are, stay. A
// tensor with several uses is pruned as one, its score is the sum over them. Of equal scores
// those of earlier layers go first, and in a layer those of earlier elements.
//
// A dead weight has the score 0 by paths, and goes first. Errors: a sparsity outside [0, 1),
// NaN or infinite weights. Cost: two path programmes and a product a layer, and sorting the
// scores.
func Run(n *dag.Network, opt Options) (*Result, error) {
	if !(opt.Sparsity >= 0 && opt.Sparsity < 1) {
		return nil, fmt.Errorf("prune: sparsity %v: want a number in [0, 1)", opt.Sparsity)
	}
	opt.By, opt.Scope = cmp.Or(opt.By, ByPath), cmp.Or(opt.Scope, Global)
	layers, lists, err := candidates(n, opt)
	if err != nil {
		return nil, err
	}
	if opt.Scope == Global {
		lists = [][]candidate{slices.Concat(lists...)}
	}
	gone := map[*dag.Param][]int{}
	for _, list := range lists {
		for _, c := range smallest(list, opt.Sparsity) {
			gone[c.param] = append(gone[c.param], c.element)
		}
	}
	res := &Result{Net: cleared(n, gone), Layers: layers}
	for i := range layers {
		l := &layers[i]
		l.After = zeros(res.Net.Nodes[l.Node].Op.(*dag.Linear).Map.Weight().Param)
	}
	po := paths.Options{Threads: opt.Threads}
	res.Before, res.After = norm(n, po), norm(res.Net, po)
	res.Metric = difference(res.Before, res.After)
	return res, nil
}

// candidates lists the layers, and with their scores the weights of each tensor that may go.
func candidates(n *dag.Network, opt Options) (layers []Layer, lists [][]candidate, err error) {
	var kappa *paths.Kappa
	if opt.By == ByPath {
		kappa = paths.NewKappa(n, 1, paths.Options{Bias: opt.Bias, Threads: opt.Threads, Carries: n.Groups().Carries})
	}
	inside, at := inside(n), map[*dag.Param]int{}
	for nd, l := range dag.Each[*dag.Linear](n) {
		if !l.Learned() || l.Matrices() == nil {
			continue
		}
		p := l.Map.Weight().Param
		layer := Layer{Node: nd.ID, Weights: p.Len(), Before: zeros(p)}
		var through []scaled.Num // the sum over the paths through each weight, without it
		switch {
		case p.Storage == dag.Unwritable:
			layer.Kept = p.Reason
		case inside[nd.ID] != "":
			layer.Kept = "they are inside " + inside[nd.ID]
		case kappa != nil:
			if through = kappa.Derivatives(nd.ID); through == nil {
				layer.Kept = "no path of the network's homogeneous part goes through it"
			}
		}
		layers = append(layers, layer)
		if layer.Kept != "" {
			continue
		}
		w := magnitudes(l)
		if w == nil {
			return nil, nil, fmt.Errorf("prune: %s has NaN or infinite weights", nd.Label())
		}
		k, again := at[p]
		if !again {
			k = len(lists)
			at[p] = k
			lists = append(lists, make([]candidate, p.Len()))
			for e := range lists[k] {
				lists[k][e] = candidate{param: p, element: e, zero: p.At(e) == 0}
			}
		}
		for e, x := range w {
			score := scaled.New(x)
			if kappa != nil {
				if !through[e].IsFinite() {
					return nil, nil, fmt.Errorf("prune: paths through %s are NaN or infinite", nd.Label())
				}
				score = score.Mul(through[e])
			}
			lists[k][e].score = lists[k][e].score.Add(score)
		}
	}
	return layers, lists, nil
}

// cleared is the network in which some elements of its tensors are zero.
func cleared(n *dag.Network, gone map[*dag.Param][]int) *dag.Network {
	made := map[*dag.Param]*dag.Param{}
	return n.Replace(func(u *dag.Use) *dag.Param {
		p := u.Param
		if len(gone[p]) == 0 {
			return p
		}
		if made[p] == nil {
			v := p.Values()
			for _, e := range gone[p] {
				v[e] = 0
			}
			made[p] = p.WithValues(nil, v)
		}
		return made[p]
	})
}

// inside names the function that a layer is inside of, by the layer's node: what such a function computes
// with its weights does not follow them here.
func inside(n *dag.Network) map[int]string {
	out := map[int]string{}
	for nd, f := range dag.Each[*dag.Func](n) {
		for _, j := range nd.In[len(nd.In)-f.Inside:] {
			out[j] = nd.Label()
		}
	}
	return out
}

// smallest returns the candidates that are to become zero and are not.
func smallest(list []candidate, sparsity float64) []candidate {
	// Zeros first, then by score; the order of equal ones is that of the list.
	slices.SortStableFunc(list, func(a, b candidate) int {
		if a.zero != b.zero {
			if a.zero {
				return -1
			}
			return 1
		}
		return a.score.Cmp(b.score)
	})
	n := int(math.Floor(sparsity * float64(len(list))))
	from := slices.IndexFunc(list, func(c candidate) bool { return !c.zero })
	if from < 0 || from >= n {
		return nil
	}
	return list[from:n]
}

// magnitudes are |w| of the effective weights in the order of storage, of which there may be none; nil where one is NaN
// or infinite.
func magnitudes(l *dag.Linear) []float64 {
	out := []float64{}
	scale := l.Scale()
	for _, m := range l.Matrices() {
		for e := range m.Len() {
			w := math.Abs(m.At(e))
			if scale != nil {
				row, _ := m.Place(e)
				w *= math.Abs(scale[row])
			}
			if w-w != 0 {
				return nil
			}
			out = append(out, w)
		}
	}
	return out
}

func zeros(p *dag.Param) int {
	n := 0
	for i := range p.Len() {
		if p.At(i) == 0 {
			n++
		}
	}
	return n
}

// norm is ||pi||_1, over segments where there are several.
func norm(n *dag.Network, opt paths.Options) scaled.Num {
	opt.Keep = []int{}
	return paths.Forward(n, []float64{1}, opt).PathNorm(0)
}

// difference is a - b, no less than zero.
func difference(a, b scaled.Num) scaled.Num {
	d := a.Add(b.MulFloat(-1))
	if d.Frac < 0 {
		return scaled.Num{}
	}
	return d
}

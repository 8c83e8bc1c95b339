package analysis

import (
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/internal/words"
)

// marginEntries are the measures of margins alone.
func marginEntries() []*entry {
	return []*entry{
		{
			Info: Info{
				Name: "margin", Params: []string{"percentile"},
				Formula: "percentile of f_y - max_{c != y} f_c over the examples, linearly interpolated",
				LaTeX:   `\gamma=\operatorname{perc}\bigl(f_y-\max_{c\ne y}f_c\bigr)`,
				Source:  n17, Unit: "output", Invariant: true, Needs: NeedsData, Scope: OfNet,
			},
			margin: true,
			net:    func(r *run) []Measure { return one(r.gamma()) },
		},
		{
			Info: Info{
				Name: "inverse_margin_squared", Params: []string{"percentile"}, Formula: "1 / gamma^2", LaTeX: `1/\gamma^2`,
				Source: j20 + " (inverse-margin)", Unit: "output^-2", Invariant: true, Needs: NeedsData, Scope: OfNet,
			},
			margin: true,
			net: func(r *run) []Measure {
				return r.withMargin(func(gamma scaled.Num) []Measure { return one(scaled.One.Div(gamma.Pow(2))) })
			},
		},
	}
}

// overMargin says what dividing by the margin means for a measure.
type overMargin uint8

const (
	notOver   overMargin = iota
	linear               // x / gamma
	squared              // x / gamma^2
	logarithm            // x - ln gamma^2
	rooted               // x / gamma^(2/d)
)

// over is the entry of a measure over the margin.
func (e *entry) over() *entry {
	out := *e
	out.Name += "_over_margin"
	out.Params = append(slices.Clone(e.Params), "percentile")
	out.Needs |= NeedsData
	out.Scope = OfNet
	out.margin, out.layer = true, nil
	plain := e.net
	form := map[overMargin][2]string{
		linear:    {"(%s) / gamma", `%s/\gamma`},
		squared:   {"(%s) / gamma^2", `%s/\gamma^2`},
		logarithm: {"%s - ln gamma^2", `%s-\ln\gamma^2`},
		rooted:    {"(%s) / gamma^(2/d)", `%s/\gamma^{2/d}`},
	}[e.overMargin]
	out.Formula, out.LaTeX = fmt.Sprintf(form[0], e.Formula), fmt.Sprintf(form[1], e.LaTeX)
	out.net = func(r *run) []Measure {
		return r.withMargin(func(gamma scaled.Num) []Measure {
			ms := plain(r)
			for i := range ms {
				x := ms[i].Value
				switch e.overMargin {
				case linear:
					ms[i].Value = x.Div(gamma)
				case squared:
					ms[i].Value = x.Div(gamma.Pow(2))
				case logarithm:
					ms[i].Value = scaled.New(x.Float64() - 2*gamma.Ln())
				case rooted:
					ms[i].Value = x.Div(gamma.Pow(2).Root(float64(max(len(r.matrices()), 1))))
				}
				ms[i].Symbols = append(ms[i].Symbols, Symbol{e.Name, x}, Symbol{"gamma", gamma})
			}
			return ms
		})
	}
	return &out
}

// withMargin gives f a positive margin; without one the value is undefined.
func (r *run) withMargin(f func(gamma scaled.Num) []Measure) []Measure {
	gamma := r.gamma()
	if gamma.Frac > 0 {
		return f(gamma)
	}
	ms := f(scaled.One)
	for i := range ms {
		ms[i].Value, ms[i].Symbols = scaled.New(math.NaN()), []Symbol{{"gamma", gamma}}
		ms[i].Reason = fmt.Sprintf("the margin's %v%% percentile is %v, and has to be positive", r.opt.Percentile, gamma)
	}
	return ms
}

// checkData checks that data fit the network's inputs and its scores.
func (r *run) checkData(d *Labelled) error {
	if d.Batch < 1 || len(d.Labels) != d.Batch {
		return fmt.Errorf("data of %s with %s: want one label an example, and an example at least", words.Count(d.Batch, "example"), words.Count(len(d.Labels), "label"))
	}
	if d.Read == nil {
		if len(d.Inputs) != len(r.file.Inputs) {
			return fmt.Errorf("data for %s, the network has %d", words.Count(len(d.Inputs), "input"), len(r.file.Inputs))
		}
		for k, p := range r.file.Inputs {
			if got, want := len(d.Inputs[k]), d.Batch*r.file.Nodes[p.Node].Len(); got != want {
				return fmt.Errorf("input %q: %s for %s, want %d: rows of shape %v", p.Name, words.Count(got, "value"), words.Count(d.Batch, "example"), want, r.file.Nodes[p.Node].Shape)
			}
		}
	}
	if out := r.file.Boundary(); d.Scores == 0 && d.Apart == nil && len(out) != 1 {
		return fmt.Errorf("margins need one output, the network's homogeneous part has %d", len(out))
	}
	classes := len(d.Apart)
	if d.Apart == nil {
		classes = max(r.file.Nodes[r.scores(r.file)[0]].Len(), 2)
	}
	for i, y := range d.Labels {
		if y < 0 || y >= classes {
			return fmt.Errorf("label %d of example %d is outside the network's %s", y, i, words.Count(classes, "class"))
		}
	}
	return nil
}

// scores are the nodes whose values are the scores.
func (r *run) scores(n *dag.Network) []int {
	switch d := r.opt.Data; {
	case d.Apart != nil:
		return d.Apart
	case d.Scores != 0:
		return []int{d.Scores}
	}
	return n.Boundary()[:1]
}

// evalBatch is the number of examples that are evaluated at a time.
const evalBatch = 256

// outputs calls f with the output of each example; a network with one output
// unit f decides between class 1 and class 0 and gives (0, f).
func (r *run) outputs(n *dag.Network, d *Labelled, f func(example int, out []float64)) error {
	nodes := r.scores(n)
	row := make([]float64, max(len(nodes), 2))
	return r.evaluate(n, d, nodes, func(lo, hi int, values [][]float64) {
		for i := range hi - lo {
			y := row
			for k, node := range nodes {
				width := n.Nodes[node].Len()
				switch v := values[k][i*width:][:width]; {
				case d.Apart != nil:
					y[k] = LogOdds(v)
				case width == 1:
					y[0], y[1] = 0, v[0]
				default:
					y = v
				}
			}
			f(lo+i, y)
		}
	})
}

// LogOdds returns the score of one class from the values of a classifier of its own: the only
// value, or the second, that of the class, less the first.
func LogOdds(v []float64) float64 {
	if len(v) == 1 {
		return v[0]
	}
	return v[1] - v[0]
}

// evaluate calls f with the values of nodes on the examples [lo, hi) of d, batch by
// batch.
func (r *run) evaluate(n *dag.Network, d *Labelled, nodes []int, f func(lo, hi int, values [][]float64)) error {
	var buffers eval.Buffers
	for lo := 0; lo < d.Batch; lo += evalBatch {
		hi := min(lo+evalBatch, d.Batch)
		values, err := eval.Run(r.ctx, n, d.rows(lo, hi), hi-lo, eval.Options{Threads: r.opt.Threads, Values: nodes, Buffers: &buffers})
		if err != nil {
			return err
		}
		f(lo, hi, values)
	}
	return nil
}

// rows are the rows [lo, hi) of each input.
func (d *Labelled) rows(lo, hi int) [][]float64 {
	if d.Read != nil {
		return d.Read(lo, hi)
	}
	in := make([][]float64, len(d.Inputs))
	for k, x := range d.Inputs {
		m := len(x) / d.Batch
		in[k] = x[lo*m : hi*m]
	}
	return in
}

// margin is f_y - max_{c != y} f_c.
func margin(out []float64, y int) float64 {
	best := math.Inf(-1)
	for c, v := range out {
		if c != y && !(v <= best) {
			best = v
		}
	}
	return out[y] - best
}

// publishedPercentile is that of Options.Published.
const publishedPercentile = 10

// gamma is the percentile of the margins on the body's output: logits, before
// a softmax in the head.
func (r *run) gamma() scaled.Num {
	if r.memo.gamma != nil {
		return *r.memo.gamma
	}
	var m []float64
	if err := r.outputs(r.file, r.opt.Data, func(i int, out []float64) {
		m = append(m, margin(out, r.opt.Data.Labels[i]))
	}); err != nil {
		r.err = err
		return scaled.New(math.NaN())
	}
	g := scaled.New(percentile(m, r.opt.Percentile))
	if r.opt.Published {
		slices.Sort(m) // NaN first
		g = scaled.New(math.Abs(m[max(len(m)*publishedPercentile/100, 1)-1]))
		if math.IsNaN(m[0]) {
			g = scaled.New(m[0])
		}
	}
	r.memo.gamma = &g
	return g
}

// percentile interpolates linearly between order statistics, as NumPy does; NaN
// if there is one.
func percentile(x []float64, p float64) float64 {
	x = slices.Clone(x)
	slices.Sort(x) // NaN first
	if len(x) == 0 || math.IsNaN(x[0]) {
		return math.NaN()
	}
	at := p / 100 * float64(len(x)-1)
	lo := int(at)
	if lo+1 >= len(x) {
		return x[len(x)-1]
	}
	return x[lo] + (at-float64(lo))*(x[lo+1]-x[lo])
}

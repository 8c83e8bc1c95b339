package analysis_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/finetune"
)

// fataler is a *testing.T or a *rapid.T.
type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func mlp(t fataler, in int, weights, bias [][]float64) *dag.Network {
	t.Helper()
	var b dag.Builder
	at := b.Input("x", in)
	for l, w := range weights {
		if l > 0 {
			at = b.Activation(fmt.Sprintf("relu%d", l), at, 0)
		}
		var v []float64
		if bias != nil {
			v = bias[l]
		}
		at = b.Affine(fmt.Sprintf("fc%d", l+1), at, len(w)/in, w, v)
		in = len(w) / in
	}
	b.Output("y", at)
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func measure(t fataler, n *dag.Network, opt analysis.Options) *analysis.Report {
	t.Helper()
	r, err := analysis.Measures(context.Background(), n, opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// find returns the entry of a measure with P, Q and Output as given.
func find(t fataler, ms []analysis.Measure, name string, more ...string) analysis.Measure {
	t.Helper()
	for _, m := range ms {
		have := append([]string{m.P, m.Q, m.Output}, "")
		ok := m.Name == name
		for i, s := range more {
			ok = ok && have[i] == s
		}
		if ok {
			return m
		}
	}
	t.Fatalf("no measure %s%v", name, more)
	return analysis.Measure{}
}

// The two-layer network of the papers: multiplying unit 1's incoming weights by
// 10 and dividing its outgoing ones makes mu_{1,inf} ten times larger; function
// and path norms stay.
func TestToy(t *testing.T) {
	a := mlp(t, 2, [][]float64{{6, 1, 1, 4}, {1, 1, 1, 2}}, nil)
	g := a.Groups()
	c := g.Ones()
	c[g.Rows[1][0]] = 10
	b, err := a.Rescale(g, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []struct {
		name string
		arg  []string
		a, b float64
	}{
		{"path_norm", []string{"1"}, 29, 29},
		{"path_norm_max_output", []string{"1"}, 17, 17},
		{"path_norm_output", []string{"1", "", "y[0]"}, 12, 12},
		{"path_norm_output", []string{"1", "", "y[1]"}, 17, 17},
		{"path_norm", []string{"inf"}, 8, 8},
		{"path_2", nil, 159, 159},
		{"group_norm", []string{"1", "inf"}, 7, 70},
		{"product_group_norm", []string{"1", "inf"}, 21, 147},
		{"max_abs", nil, 6, 60},
		{"zero_share", nil, 0, 0},
		{"parameter_count", nil, 8, 8},
	} {
		for i, n := range []*dag.Network{a, b} {
			got := find(t, measure(t, n, analysis.Options{}).Measures, w.name, w.arg...)
			// Small integers, up to the rounding of 0.1.
			if want := []float64{w.a, w.b}[i]; !(math.Abs(got.Value.Float64()-want) <= 1e-14*want) {
				t.Errorf("net %d, %s%v: %v, want %v", i, w.name, w.arg, got.Value, want)
			}
		}
	}
	r := measure(t, a, analysis.Options{})
	if r.Parameters != 8 || r.HiddenUnits != 2 || r.Depth != 2 || r.Paths.String() != "8" {
		t.Errorf("facts %d %d %d %s", r.Parameters, r.HiddenUnits, r.Depth, r.Paths)
	}
}

// Group norms of random networks against their definition on single edges.
// Convolutions, some of whose weights may meet padding alone and so have no
// edge, are in TestAgainstNumPy.
func TestGroupNormsAgainstEdges(t *testing.T) {
	groups := []analysis.PQ{{P: 1, Q: math.Inf(1)}, {P: 2, Q: 2}, {P: 3, Q: 1.5}, {P: math.Inf(1), Q: 1}, {P: 1.5, Q: 4}}
	rapid.Check(t, func(t *rapid.T) {
		n := dagtest.Random(t, dagtest.Options{Features: dagtest.All &^ dagtest.Conv, Type: dag.Float64, Zeros: 0.1})
		opt := analysis.Options{Groups: groups, Names: []string{"group_norm"}, Bias: analysis.Bias(rapid.IntRange(0, 1).Draw(t, "bias"))}
		r := measure(t, n, opt)
		for k, g := range groups {
			want := groupNorm(analysis.Normal(n), g, opt.Bias)
			// Some hundred terms, raised to powers up to 4.
			if got := r.Measures[k].Value.Float64(); !(math.Abs(got-want) <= 1e-12*want) {
				t.Fatalf("%v: %v, want %v\n%s", g, got, want, n)
			}
		}
	})
}

// groupNorm follows the definition: the distinct weights of each unit of a layer
// with stored weights, and biases.
func groupNorm(n *dag.Network, g analysis.PQ, bias analysis.Bias) float64 {
	norm := func(x []float64, p float64) float64 {
		var s float64
		for _, v := range x {
			if math.IsInf(p, 1) {
				s = math.Max(s, math.Abs(v))
			} else {
				s += math.Pow(math.Abs(v), p)
			}
		}
		if math.IsInf(p, 1) {
			return s
		}
		return math.Pow(s, 1/p)
	}
	var units []float64
	for i := range n.Nodes {
		l, ok := n.Nodes[i].Op.(*dag.Linear)
		if !ok || n.Nodes[i].Zone != dag.Body {
			continue
		}
		in := make([][]float64, l.Rows())
		if d, ok := l.Map.(*dag.Diagonal); ok && l.Free() {
			for r := range d.Axis.N {
				in[r] = []float64{l.Scale()[r]}
			}
		}
		if l.Map != nil && l.Map.Weight() != nil {
			// A stored weight is known by its row and the position in storage: the
			// effective one by position is made of all its uses.
			at := map[[2]int]float64{}
			probe := n.Replace(func(u *dag.Use) *dag.Param {
				if u != l.Map.Weight() {
					return u.Param
				}
				v := u.Param.Values()
				for k := range v {
					v[k] = float64(k + 1)
				}
				return dag.NewParam64("probe", u.Param.Shape, v)
			}).Nodes[i].Op.(*dag.Linear)
			var ids []int
			bare := dag.Linear{Map: probe.Map}
			bare.Elements(func(_, _, _, _ int, w float64) { ids = append(ids, int(w)) })
			k := 0
			l.Elements(func(row, _, _, _ int, w float64) {
				at[[2]int{row, ids[k]}] = w
				k++
			})
			for id, w := range at {
				in[id[0]] = append(in[id[0]], w)
			}
		}
		for r, b := range l.Bias() {
			if bias == analysis.IncludeBias {
				in[r] = append(in[r], b)
			}
		}
		for _, x := range in {
			units = append(units, norm(x, g.P))
		}
	}
	return norm(units, g.Q)
}

// What the registry calls invariant stays under rescaling, and nothing else
// does.
func TestInvarianceIsAsRegistered(t *testing.T) {
	moved := map[string]bool{}
	names := everyName()
	for _, i := range analysis.Registry() {
		if strings.HasPrefix(i.Name, "sharpness") {
			names = append(names, i.Name)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		widths := []int{3, 5, 4, 3}
		seed := rapid.Uint64().Draw(t, "seed")
		g := generator(seed)
		var w, b [][]float64
		for l := 1; l < len(widths); l++ {
			w, b = append(w, g.values(widths[l]*widths[l-1])), append(b, g.values(widths[l]))
		}
		n := mlp(t, 3, w, b)
		groups := n.Groups()
		c := groups.Ones()
		for i := range c {
			if groups.Pin[i] == "" {
				c[i] = math.Exp(4 * g.values(1)[0])
			}
		}
		m, err := n.Rescale(groups, c)
		if err != nil {
			t.Fatal(err)
		}
		x := g.values(3 * 20)
		opt := analysis.Options{
			Names: names, Reference: n, FlatnessError: 10, Differentiate: finetune.Differentiate, // few draws
			Data: &analysis.Labelled{Inputs: [][]float64{x}, Batch: 20, Labels: predict(t, n, x, 20)},
		}
		before, after := measure(t, n, opt), measure(t, m, opt)
		for k := range before.Measures {
			p, q := before.Measures[k], after.Measures[k]
			far := !(math.Abs(p.Value.Float64()-q.Value.Float64()) <= 1e-9*math.Abs(p.Value.Float64()))
			if p.Invariant && far {
				t.Fatalf("%s %s %s: %v, rescaled %v", p.Name, p.P, p.Q, p.Value, q.Value)
			}
			moved[p.Name] = moved[p.Name] || far
		}
	})
	for _, i := range analysis.Registry() {
		if i.Scope&analysis.OfNet != 0 && !i.Invariant && !moved[i.Name] {
			t.Errorf("%s is not said to be invariant and never moved", i.Name)
		}
	}
}

// predict returns the network's own classes, so that margins are positive.
func predict(t fataler, n *dag.Network, x []float64, batch int) []int {
	t.Helper()
	out, err := eval.Run(context.Background(), n, [][]float64{x}, batch, eval.Options{})
	if err != nil {
		t.Fatal(err)
	}
	classes := len(out[0]) / batch
	labels := make([]int, batch)
	for i := range labels {
		for c, v := range out[0][i*classes:][:classes] {
			if v > out[0][i*classes+labels[i]] {
				labels[i] = c
			}
		}
	}
	return labels
}

// Deep networks, and high orders, leave float64: the values stay finite.
func TestRange(t *testing.T) {
	for _, scale := range []float64{1e-3, 1e3} {
		var w, b [][]float64
		g := generator(7)
		for range 400 {
			w, b = append(w, g.values(9)), append(b, g.values(3))
			for i := range w[len(w)-1] {
				w[len(w)-1][i] *= scale
			}
		}
		r := measure(t, mlp(t, 3, w, b), analysis.Options{P: []float64{1, 16, math.Inf(1)}, Names: []string{"all"}})
		for _, m := range r.Measures {
			if m.Reason == "no layer has it" { // a spectrum, of matrices as small as these
				continue
			}
			if v := m.Value; !m.Defined || (v.IsZero() && m.Name != "zero_share") {
				t.Errorf("scale %g: %s %s %s = %v", scale, m.Name, m.P, m.Q, v)
			}
		}
		p := find(t, r.Measures, "product_frobenius").Value.Log10()
		if want := find(t, r.Measures, "sum_log_frobenius_squared").Value.Float64() / 2 / math.Ln10; !(math.Abs(p-want) <= 1e-9*math.Abs(want)) {
			t.Errorf("log10 of the product %v, by logarithms %v", p, want)
		}
		if s, f := find(t, r.Measures, "product_spectral").Value, find(t, r.Measures, "product_frobenius").Value; s.Cmp(f) > 0 {
			t.Errorf("product of sigma_1 %v exceeds that of Frobenius norms %v", s, f)
		}
	}
	// Weights whose squares leave float64.
	for _, scale := range []float64{1e-200, 1e200} {
		g := generator(3)
		w := [][]float64{g.values(60 * 70), g.values(70 * 60)}
		n := mlp(t, 60, w, nil)
		small := measure(t, n, analysis.Options{Names: []string{"all"}})
		for _, x := range w {
			for i := range x {
				x[i] *= scale
			}
		}
		big := measure(t, mlp(t, 60, w, nil), analysis.Options{Names: []string{"all"}})
		for _, name := range []string{"spectral", "nuclear", "frobenius"} {
			for l := range big.Layers {
				a, b := find(t, small.Layers[l].Measures, name).Value, find(t, big.Layers[l].Measures, name).Value
				if rel := math.Abs(b.Div(a).Log10() - math.Log10(scale)); !(rel <= 1e-10) {
					t.Errorf("%s of layer %d: %v, times %g it is %v", name, l, a, scale, b)
				}
			}
		}
	}
}

func TestNotFinite(t *testing.T) {
	n := mlp(t, 2, [][]float64{{math.NaN(), 1, 1, 1}, {1, 1, 1, 1}}, nil)
	r := measure(t, n, analysis.Options{Names: []string{"all"}})
	if diff := cmp.Diff([]string{`NaN or Inf in "fc1.weight": the measures that it reaches are undefined`}, r.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	for _, name := range []string{"path_norm", "group_norm", "frobenius", "max_abs", "product_spectral"} {
		if find(t, r.Measures, name).Defined {
			t.Errorf("%s is defined", name)
		}
	}
	if m := find(t, r.Layers[1].Measures, "spectral"); !m.Defined || !(math.Abs(m.Value.Float64()-2) <= 1e-12) {
		t.Errorf("the other layer's spectral norm: %+v", m)
	}
}

func TestErrors(t *testing.T) {
	n := mlp(t, 2, [][]float64{{6, 1, 1, 4}, {1, 1, 1, 2}}, nil)
	other := mlp(t, 2, [][]float64{{6, 1, 1, 4}, {1, 1}}, nil)
	shallow := mlp(t, 2, [][]float64{{6, 1, 1, 4}}, nil)
	data := func(x []float64, labels ...int) *analysis.Labelled {
		return &analysis.Labelled{Inputs: [][]float64{x}, Batch: len(labels), Labels: labels}
	}
	for want, opt := range map[string]analysis.Options{
		`"path_nrom"`:         {Names: []string{"path_nrom"}},
		`"margin" needs data`: {Names: []string{"margin"}},
		`needs reference`:     {Names: []string{"distance_frobenius"}},
		"order 0.5":           {P: []float64{0.5}},
		"group norm (1, 0)":   {Groups: []analysis.PQ{{P: 1}}},
		"Linear 1x2, the network's \"fc2\" (Gemm) is Linear 2x2": {Reference: other},
		"has 1 layer, the network 2":                             {Reference: shallow},
		"3 values for 1 example, want 2":                         {Data: data([]float64{1, 2, 3}, 0)},
		"label 2 of example 0":                                   {Data: data([]float64{1, 2}, 2)},
		"percentile 101":                                         {Percentile: 101},
	} {
		if _, err := analysis.Measures(context.Background(), n, opt); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := analysis.Measures(ctx, n, analysis.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// fast takes what one pass gives, and what needs data or a reference only when
// they are there.
func TestFastNeedsOnePass(t *testing.T) {
	n := mlp(t, 2, [][]float64{{6, 1, 1, 4}, {1, 1, 1, 2}}, nil)
	cost := map[string]analysis.Info{}
	for _, i := range analysis.Registry() {
		cost[i.Name] = i
	}
	for _, m := range measure(t, n, analysis.Options{}).Measures {
		if i := cost[m.Name]; i.Cost != analysis.OnePass || i.Needs != 0 {
			t.Errorf("%s: %s, needs %s", m.Name, i.Cost, i.Needs)
		}
	}
	r := measure(t, n, analysis.Options{Data: &analysis.Labelled{Inputs: [][]float64{{1, 1}}, Batch: 1, Labels: []int{0}}})
	m := find(t, r.Measures, "path_norm_over_margin", "1")
	if m.Defined || m.Percentile != 5 || m.Reason != "the margin's 5% percentile is -5, and has to be positive" {
		t.Errorf("a negative margin: %+v, warnings %q", m, r.Warnings)
	}
}

// One linear unit that is right by f = w x, w = x = 1: noise sigma flips the
// sign of half the examples when it is large; the error e = P(z < -1/sigma) =
// 0.1 at sigma = 1/1.2816, where the draws are many.
// WeightsRead is for what needs no second read alone.
func TestWeightsRead(t *testing.T) {
	n := mlp(t, 2, [][]float64{{1, 2, 3, 4}, {5, 6}}, nil)
	data := &analysis.Labelled{Inputs: [][]float64{{1, 2}}, Batch: 1, Labels: []int{0}}
	for _, c := range []struct {
		opt  analysis.Options
		want int
	}{
		{analysis.Options{}, 1},
		{analysis.Options{Names: []string{"path_norm"}}, 1},
		{analysis.Options{Data: data}, 0},
		{analysis.Options{Reference: n}, 0},
		{analysis.Options{Names: []string{"fast", "spectral"}}, 0},
	} {
		calls := 0
		c.opt.WeightsRead = func() { calls++ }
		measure(t, n, c.opt)
		if calls != c.want {
			t.Errorf("%+v: %d calls, want %d", c.opt, calls, c.want)
		}
	}
}

// TestPathBoundBehindPreamble checks that the bound's B is the largest number
// that the body reads: what a preamble scales and shifts does not enter it.
func TestPathBoundBehindPreamble(t *testing.T) {
	var b dag.Builder
	x := b.Input("x", 2)
	scaledX := b.Node(dag.Node{
		Name: "scale", Source: "Mul", In: []int{x}, Shape: []int{2},
		Op: &dag.Linear{Map: &dag.Diagonal{Axis: dag.Axis{Outer: 1, N: 2, Inner: 1}}, Stages: []dag.Stage{{
			Mul: &dag.Vector{Coef: 1. / 64}, Add: &dag.Vector{Coef: -1},
		}}},
	})
	b.Output("y", b.Affine("fc", scaledX, 2, []float64{1, 0, 0, 1}, nil))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	r := measure(t, n, analysis.Options{
		Names: []string{"bound_path_g24"}, Percentile: 50,
		Data: &analysis.Labelled{Inputs: [][]float64{{256, 0, 0, 128}}, Batch: 2, Labels: []int{0, 1}},
	})
	// 256/64 - 1 = 3; the inputs themselves reach 256.
	for _, s := range r.Measures[0].Symbols {
		if s.Name == "B" && s.Value != scaled.New(3) {
			t.Errorf("B = %v, want 3", s.Value)
		}
	}
}

// The bounds of a network with poolings of 4 and 2 on one branch and of 2 on the other,
// against their formulas: P = 2 sizes, K = 4, M = 2 poolings on a path.
func TestPathBoundsOfPooling(t *testing.T) {
	var b dag.Builder
	pool := func(x, size int) int {
		n := dag.Size(b.Shape(x)) / size
		w := dag.NewWindow([]int{n * size}, []int{size})
		w.Stride = []int{size}
		return b.Node(dag.Node{In: []int{x}, Shape: []int{1, n}, Op: &dag.Pool{Channels: 1, Window: &w}})
	}
	x := b.Input("x", 1, 16)
	h := b.Affine("first", x, 16, slices.Repeat([]float64{1}, 256), nil)
	h = b.Node(dag.Node{In: []int{h}, Shape: []int{1, 16}, Op: &dag.Select{}})
	one, two := pool(h, 2), pool(pool(h, 4), 2)
	y := b.Sum("sum", b.Affine("one", one, 2, slices.Repeat([]float64{1}, 16), nil), b.Affine("two", two, 2, []float64{1, -1, 1, 1}, nil))
	b.Output("y", y)
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	r := measure(t, n, analysis.Options{
		Names: []string{"bound_path_g24", "bound_path_g24_sharpened"}, Percentile: 50,
		Data: &analysis.Labelled{Inputs: [][]float64{slices.Repeat([]float64{2}, 32)}, Batch: 2, Labels: []int{1, 1}},
	})
	// Each of the 16 first units ends 16 paths; each output has both branches.
	pi, gamma := 2*2*256., 64.
	for name, logs := range map[string]float64{
		"bound_path_g24":           2*math.Log(7*4) + math.Log(7./3*17*2),
		"bound_path_g24_sharpened": 2*math.Log(3) + 2*math.Log(4) + math.Log(17*2),
	} {
		want := 4 * 2 / (gamma * math.Sqrt2) * pi * math.Sqrt(logs)
		i := slices.IndexFunc(r.Measures, func(m analysis.Measure) bool { return m.Name == name })
		if got := r.Measures[i].Value.Float64(); !(math.Abs(got-want) <= 1e-12*want) { // a product of few numbers
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
}

// A block whose two branches, each of three channels, meet in a sum before the
// ReLU has three units there: the projection of the skip is not counted again. A
// value that two activations read is one too.
func TestHiddenUnitsBehindSkips(t *testing.T) {
	var b dag.Builder
	weights := func(n int) []float64 { return slices.Repeat([]float64{0.5}, n) }
	x := b.Input("x", 4)
	first := b.Activation("relu", b.Affine("first", x, 5, weights(20), nil), 0)
	branch := b.Affine("branch", first, 3, weights(15), nil)
	skip := b.Affine("projection", first, 3, weights(15), nil)
	sum := b.Sum("sum", branch, skip)
	block := b.Sum("block", b.Activation("relu", sum, 0), b.Activation("leaky", sum, 0.1))
	// The sum of the block and of one more layer is another value than its parts.
	last := b.Sum("last", b.Affine("more", block, 3, weights(9), nil), branch)
	b.Output("y", b.Affine("out", b.Activation("relu", last, 0), 2, weights(6), nil))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if got := measure(t, n, analysis.Options{}).HiddenUnits; got != 5+3+3 {
		t.Errorf("%d hidden units, want 11", got)
	}
}

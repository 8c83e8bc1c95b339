package analysis

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/scaled"
)

// entry is a measure of the registry with the functions that compute it. Their
// results carry what tells them apart (P, Q, Output), Value and Symbols; the rest
// is filled in from Info.
type entry struct {
	Info
	net   func(r *run) []Measure
	layer func(r *run, l *layer) []Measure
	// rows lists the orders of row norms that it needs, groups says that it
	// needs those of Options.Groups, columns the columns' norms, orders those of
	// Options.P, path the orders of path norms beyond.
	rows                    []float64
	groups, columns, orders bool
	path                    []float64
	// zeros says that it needs the numbers of weights that are zero.
	zeros bool
	// kappa says that it needs kappa, which wants all values of its order.
	kappa bool
	// whole says that it is of a network that is homogeneous as a whole.
	whole bool
	// paths says that it is a number of paths in some other way.
	paths bool
	// overMargin says how the measure is reported over the margin too.
	overMargin overMargin
	// biased says that biases count under either policy.
	biased bool
	// tail says that it is of the tails of spectra, as convolutions are read by default.
	tail bool
	// asked says that it is measured only where its name is given.
	asked bool
	// floored says that it is not invariant with the floor of Options.Published.
	floored bool
	// margin says that the value depends on the margin's percentile.
	margin bool
}

// readsAgain reports whether the measure reads weights after the first pass.
func (e *entry) readsAgain() bool { return e.Cost != OnePass || e.Needs != 0 }

// ofPaths reports whether it depends on how often the inputs' extents make paths use a
// weight.
func (e *entry) ofPaths() bool { return e.whole || e.orders || e.path != nil || e.kappa || e.paths }

// run is one call of Measures: what is shared between measures is computed
// once, when it is first asked for.
type run struct {
	ctx context.Context
	// file is the network as given, net the one that is measured: see normal.
	file, net *dag.Network
	opt       Options

	layers  []*layer
	forward *paths.Values
	orders  []float64 // of the row norms in forward
	kept    bool      // forward has the values of all nodes
	ends    int       // elements of outputs
	ports   []string  // their names, of up to maxPorts
	memo    memo
	// apart says why the network is not homogeneous as a whole, or is not known in its
	// extents; empty where neither is so.
	apart string
	// err is the first error; what comes after it is not reported.
	err error
}

// memo holds what some measures share and others never need.
type memo struct {
	gamma *scaled.Num
	kappa *paths.Kappa
	live  *paths.Live
	// lipschitz is paths.Lipschitz, with Options.Largest or without, steep why there is none.
	lipschitz map[bool]*paths.Values
	steep     string
	flat      [inProportion + 1]*found
	sharp     [inProportion + 1]*found
	notes     []string
	norms     map[normKey]scaled.Num
	groups    map[int][]scaled.Num
	// spectra are those of all layers, in each reading; nil until they are asked for.
	spectra [readings][]spectrum
}

// normKey names the norm of the rows of one node.
type normKey struct {
	node int
	PQ
}

// note adds a warning, once.
func (r *run) note(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	if !slices.Contains(r.memo.notes, s) {
		r.memo.notes = append(r.memo.notes, s)
	}
}

// layer is one linear layer with stored weights.
type layer struct {
	node *dag.Node
	op   *dag.Linear
	// index is the node's.
	index int
	// ref is the same layer of the reference network.
	ref *dag.Linear

	sigma *scaled.Num
	// values are all singular values.
	values []scaled.Num
	// operator and circular are the measures of these names.
	operator, circular *scaled.Num
	// diff has the 2-norms of the rows of W - W0, diffSigma its largest singular
	// value.
	diff      []scaled.Num
	diffSigma *scaled.Num
}

// Measures measures a network. Measures come in the order of the registry.
//
// Cost: one pass over the weights for everything that Registry calls OnePass,
// and what the others say.
//
// NaN and infinite weights make the measures that they reach undefined and are
// named in a warning. Errors: unknown names, orders outside [1, Inf], a measure
// asked for by name without its data or reference, a reference of another
// architecture, data that do not fit, a cancelled context.
func Measures(ctx context.Context, n *dag.Network, opt Options) (*Report, error) {
	r, chosen, err := newRun(ctx, n, opt)
	if err != nil {
		return nil, fmt.Errorf("analysis: %w", err)
	}
	rep := &Report{Apart: r.apart}
	// What reads no weights goes along, where the pass leaves a thread idle.
	kernel.Parallel(2, r.opt.Threads, 1, func(lo, hi int) {
		if lo == 0 {
			r.pass(chosen)
		}
		if hi < 2 {
			return
		}
		if r.apart == "" && !opt.Uncounted {
			rep.Paths = paths.Count(r.net, r.opt.Bias)
		}
		rep.Parameters, rep.HiddenUnits, rep.Depth = Parameters(n), hiddenUnits(r.net), depth(r.net)
	})
	if opt.WeightsRead != nil && !slices.ContainsFunc(chosen, (*entry).readsAgain) {
		opt.WeightsRead()
	}
	rep.Segments = r.segments(chosen)
	r.capped()
	for _, e := range chosen {
		switch {
		case e.net == nil:
		case opt.Open != "" && e.ofPaths(), r.apart != "" && e.ofPaths() && !e.paths:
			rep.Measures = append(rep.Measures, r.finish(e, r.missing(e))...)
		default:
			r.tell(e.Name, 0, 0)
			rep.Measures = append(rep.Measures, r.finish(e, e.net(r))...)
		}
		if err := r.failed(); err != nil {
			return nil, err
		}
	}
	each := 0 // measures of a layer
	rep.Layers = slices.Grow(rep.Layers, len(r.layers))
	for i, l := range r.layers {
		out := Layer{Name: l.node.Ref(), Op: l.node.Source, Outputs: l.op.Rows(), Measures: slices.Grow([]Measure(nil), each)}
		if l.op.Map != nil {
			out.Inputs = l.op.Map.In().N
		}
		for _, e := range chosen {
			if e.layer != nil {
				out.Measures = append(out.Measures, r.finish(e, e.layer(r, l))...)
			}
			if err := r.failed(); err != nil {
				return nil, err
			}
		}
		each = len(out.Measures)
		out.Spectra = r.described(i)
		rep.Layers = append(rep.Layers, out)
	}
	rep.Warnings = r.warnings()
	return rep, nil
}

// tell tells how far the work is: see Options.Progress.
func (r *run) tell(stage string, done, all int) {
	if r.opt.Progress != nil {
		r.opt.Progress(stage, done, all)
	}
}

func (r *run) failed() error {
	if r.err == nil {
		r.err = r.ctx.Err()
	}
	if r.err != nil {
		return fmt.Errorf("analysis: %w", r.err)
	}
	return nil
}

// newRun checks the options, fills in the defaults and picks the measures.
func newRun(ctx context.Context, n *dag.Network, opt Options) (*run, []*entry, error) {
	if opt.P == nil {
		opt.P = []float64{1, 2, math.Inf(1)}
	}
	if opt.Groups == nil {
		inf := math.Inf(1)
		opt.Groups = []PQ{{1, inf}, {2, inf}, {1, 1}, {2, 1}, {2, 2}}
	}
	if opt.Names == nil {
		opt.Names = []string{"fast"}
	}
	if opt.FlatnessError <= 0 {
		opt.FlatnessError = 0.1
	}
	if opt.Percentile == 0 {
		opt.Percentile = 5
	}
	if !(opt.Percentile > 0 && opt.Percentile <= 100) {
		return nil, nil, fmt.Errorf("percentile %v of the margins: want a number in (0, 100]", opt.Percentile)
	}
	for _, p := range opt.P {
		if !(p >= 1) {
			return nil, nil, fmt.Errorf("path norm of order %v: want a number from 1 to Inf", p)
		}
	}
	for _, g := range opt.Groups {
		if !(g.P >= 1) || !(g.Q >= 1) {
			return nil, nil, fmt.Errorf("group norm (%v, %v): want numbers from 1 to Inf", g.P, g.Q)
		}
	}
	chosen, err := choose(opt)
	if err != nil {
		return nil, nil, err
	}
	r := &run{ctx: ctx, file: n, opt: opt, apart: apart(n)}
	if opt.Open != "" {
		r.apart = opt.Open
	}
	if err := r.pair(); err != nil {
		return nil, nil, err
	}
	if opt.Data != nil {
		if err := r.checkData(opt.Data); err != nil {
			return nil, nil, err
		}
	}
	return r, chosen, nil
}

// choose resolves the names of measures, in the registry's order.
func choose(opt Options) ([]*entry, error) {
	have := Need(0)
	if opt.Data != nil {
		have |= NeedsData
	}
	if opt.Reference != nil {
		have |= NeedsReference
	}
	all := entries()
	want := map[string]bool{}
	var unknown []string
	for _, name := range opt.Names {
		known := name == "fast" || name == "all" || name == "tails"
		for _, e := range all {
			switch {
			case name == "all" && !e.asked, name == "fast" && e.Cost == OnePass, name == "tails" && e.tail:
				if e.Needs&^have == 0 {
					want[e.Name] = true
				}
			case name == e.Name:
				known = true
				if lack := e.Needs &^ have; lack != 0 {
					return nil, fmt.Errorf("measure %q needs %s, which is not given", name, lack)
				}
				want[e.Name] = true
			}
		}
		if !known {
			unknown = append(unknown, fmt.Sprintf("%q", name))
		}
	}
	if unknown != nil {
		return nil, fmt.Errorf("no measure is named %s: see Registry", strings.Join(unknown, ", "))
	}
	return slices.DeleteFunc(all, func(e *entry) bool { return !want[e.Name] }), nil
}

// pass reads the weights once, for everything that the chosen measures need.
func (r *run) pass(chosen []*entry) {
	o := paths.Options{Bias: r.opt.Bias, Threads: r.opt.Threads, Keep: []int{}}
	var orders []float64
	for _, e := range chosen {
		o.Rows = append(o.Rows, e.rows...)
		o.Columns, o.Zeros = o.Columns || e.columns, o.Zeros || e.zeros
		if e.groups {
			for _, g := range r.opt.Groups {
				o.Rows = append(o.Rows, g.P)
			}
		}
		if (r.opt.Open != "" || r.apart != "" && r.opt.Uncounted && !e.paths) && e.ofPaths() {
			continue
		}
		if e.orders {
			orders = append(orders, r.opt.P...)
		}
		orders = append(orders, e.path...)
		if e.kappa {
			orders = append(orders, 2)
			o.Keep = nil
		}
	}
	o.Progress = func(done, all int) { r.tell("reading the weights", done, all) }
	o.Rows, orders = unique(o.Rows), unique(orders)
	r.forward = paths.Forward(r.net, orders, o)
	r.orders, r.kept = o.Rows, o.Keep == nil
	outputs := map[int]string{}
	for _, p := range r.net.Outputs {
		outputs[p.Node] = p.Name
	}
	for _, i := range r.net.Boundary() {
		r.ends += r.net.Nodes[i].Len()
	}
	if r.ends > maxPorts {
		return
	}
	for _, i := range r.net.Boundary() {
		name := cmp.Or(outputs[i], r.net.Nodes[i].Ref())
		for e := range r.net.Nodes[i].Len() {
			r.ports = append(r.ports, fmt.Sprintf("%s[%d]", name, e))
		}
	}
}

// maxPorts is how many outputs have measures of their own: those of pixels, or of products
// of all pairs, are millions in a small file.
const maxPorts = 1 << 16

func unique(p []float64) []float64 {
	p = slices.Clone(p)
	slices.Sort(p)
	return slices.Compact(p)
}

// path returns the index of an order in the forward programmes.
func (r *run) path(p float64) int { return slices.Index(r.forward.P, p) }

// rows returns the p-norms of the rows of a linear node, biases left out.
func (r *run) rows(node int, p float64) []scaled.Num {
	return r.forward.Layers[node].Rows[slices.Index(r.orders, p)]
}

// norm returns ||W||_{p,q} of a linear node, p within a row and q over rows,
// biases left out.
func (r *run) norm(node int, g PQ) scaled.Num {
	key := normKey{node, g}
	x, ok := r.memo.norms[key]
	if !ok {
		x = scaled.Norm(r.rows(node, g.P), g.Q)
		if r.memo.norms == nil {
			r.memo.norms = map[normKey]scaled.Num{}
		}
		r.memo.norms[key] = x
	}
	return x
}

// incoming yields the p-norms of the incoming weights of a linear node's units,
// with biases under IncludeBias. Fixed weights are none, and what is made of shapes.
func (r *run) incoming(node int, l *dag.Linear, p float64) func(yield func(int, scaled.Num) bool) {
	var rows []scaled.Num
	if l.Map != nil && l.Free() {
		rows = r.rows(node, p)
	}
	var bias []float64
	if r.opt.Bias == IncludeBias && !l.MadeBias() {
		bias = l.Bias()
	}
	return func(yield func(int, scaled.Num) bool) {
		for i := range l.Rows() {
			var x scaled.Num
			if rows != nil {
				x = rows[i]
			}
			if bias != nil {
				x = scaled.Plus(x, scaled.New(math.Abs(bias[i])), p)
			}
			if !yield(i, x) {
				return
			}
		}
	}
}

// groupNorms returns, for each of Options.Groups, the (p, q) norm of the incoming
// weights of a linear node's units.
func (r *run) groupNorms(node int, l *dag.Linear) []scaled.Num {
	if out, ok := r.memo.groups[node]; ok {
		return out
	}
	out := make([]scaled.Num, len(r.opt.Groups))
	done := make([]bool, len(out))
	rows := make([]scaled.Num, l.Rows())
	for k, g := range r.opt.Groups {
		if done[k] {
			continue
		}
		for i, x := range r.incoming(node, l, g.P) {
			rows[i] = x
		}
		for j := k; j < len(out); j++ {
			if h := r.opt.Groups[j]; h.P == g.P {
				out[j], done[j] = scaled.Norm(rows, h.Q), true
			}
		}
	}
	if r.memo.groups == nil {
		r.memo.groups = map[int][]scaled.Num{}
	}
	r.memo.groups[node] = out
	return out
}

// finish fills in what the registry knows.
func (r *run) finish(e *entry, ms []Measure) []Measure {
	for i := range ms {
		m := &ms[i]
		m.Name, m.Invariant = e.Name, e.Invariant && !(e.floored && r.opt.Published)
		m.Bias = ExcludeBias.String()
		switch {
		case e.biased:
			m.Bias = IncludeBias.String()
		case e.Policy:
			m.Bias = r.opt.Bias.String()
		}
		if e.margin {
			m.Percentile = r.opt.Percentile
			if r.opt.Published {
				m.Percentile = publishedPercentile
			}
		}
		if m.Defined = m.Value.IsFinite() && m.Reason == ""; !m.Defined && m.Reason == "" {
			m.Reason = "a weight is NaN or infinite, or a logarithm of zero is taken"
		}
	}
	return ms
}

// warnings names tensors that hold NaN or Inf. The tensors are searched only
// when a sum came out so.
func (r *run) warnings() []string {
	suspect := false
	for _, s := range r.forward.Layers {
		if s == nil {
			continue
		}
		for _, rows := range s.Rows {
			for _, x := range rows {
				suspect = suspect || !x.IsFinite()
			}
		}
	}
	for k := range r.forward.P {
		suspect = suspect || !r.forward.PathNorm(k).IsFinite()
	}
	for _, l := range dag.Each[*dag.Linear](r.net) {
		for _, b := range l.Bias() {
			suspect = suspect || b-b != 0
		}
	}
	var out []string
	if suspect {
		for _, p := range r.file.Counted() {
			if !p.Finite() {
				out = append(out, fmt.Sprintf("NaN or Inf in %q: the measures that it reaches are undefined", p.Name))
			}
		}
	}
	return append(out, r.memo.notes...)
}

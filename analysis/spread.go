package analysis

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/scaled"
)

// diagnosticEntries tell how far a network is from balanced.
func diagnosticEntries() []*entry {
	return []*entry{
		{
			Info: Info{
				Name:    "balance_spread",
				Formula: "max - min over live free units of ln(||in||_2 / ||out||_2); tied units count as one",
				LaTeX:   `\max-\min_v\,\ln\bigl(\lVert\mathrm{in}_v\rVert_2/\lVert\mathrm{out}_v\rVert_2\bigr)`,
				Source:  s19, Unit: "log", Scope: OfNet, Policy: true,
			},
			rows: []float64{2}, columns: true,
			net: (*run).balanceSpread,
		},
		{
			Info: Info{
				Name: "kappa_spread", Params: []string{"p"},
				Formula: "max - min over edges between live units of ln kappa, kappa = g_in(u) g_out(v), p = 2; a convolution's weight has the sum over its positions",
				LaTeX:   `\max-\min_{u\to v}\,\ln\kappa_{u\to v}`,
				Source:  n15b, Unit: "log", Cost: TwoPasses, Scope: OfNet, Policy: true,
			},
			kappa: true,
			net:   func(r *run) []Measure { return []Measure{{P: order(2), Value: r.kappaSpread()}} },
		},
	}
}

// kappa is that of p = 2.
func (r *run) kappa() *paths.Kappa {
	if r.memo.kappa == nil {
		opt := paths.Options{Bias: r.opt.Bias, Threads: r.opt.Threads}
		if r.kept {
			r.memo.kappa = r.forward.Kappa(r.path(2), opt)
		} else {
			r.memo.kappa = paths.NewKappa(r.net, 2, opt)
		}
	}
	return r.memo.kappa
}

// extremes gathers the largest and the smallest of positive numbers.
type extremes struct {
	lo, hi scaled.Num
	any    bool
}

func (s *extremes) add(x scaled.Num) {
	if x.IsZero() {
		return
	}
	if !s.any {
		s.lo, s.hi, s.any = x, x, true
		return
	}
	s.hi = scaled.Max(s.hi, x)
	if x.Cmp(s.lo) < 0 {
		s.lo = x
	}
}

// log is ln(max/min); 0 for nothing.
func (s *extremes) log() float64 {
	if !s.any {
		return 0
	}
	return s.hi.Div(s.lo).Ln()
}

// balanceSpread needs no further read where every unit is live: where no row and
// no column is zero, each unit has an edge on each side, and so on to the inputs
// and the outputs. A row of zeros before no other layer has no edge that is dead, nor
// has such a column behind none. Else the live units are found first.
func (r *run) balanceSpread() []Measure {
	g := r.net.Groups()
	in, out := make([]scaled.Num, g.Count), make([]scaled.Num, g.Count)
	// A fresh page that is read before it is written is faulted in twice.
	clear(in)
	clear(out)
	behind, ahead := between(r.net)
	live := lossless(r.net, behind)
	for nd, l := range body[*dag.Linear](r.net) {
		for i, x := range r.incoming(nd.ID, l, 2) {
			live = live && (!l.Free() || !x.IsZero() || !ahead[nd.ID])
			square(in, g.Rows[nd.ID][i], x)
		}
		if l.Map == nil || !l.Free() {
			continue
		}
		for j, x := range r.forward.Layers[nd.ID].Columns {
			live = live && (!x.IsZero() || !behind[nd.In[0]])
			square(out, g.Cols[nd.ID][j], x)
		}
	}
	if !live {
		in, out = r.liveNorms(g)
	}
	var s extremes
	for id := range g.Count {
		if g.Pin[id] == "" && g.Size[id] > 0 && !in[id].IsZero() && !out[id].IsZero() {
			s.add(in[id].Div(out[id]))
		}
	}
	if !s.any && r.apart != "" {
		return []Measure{{Value: scaled.New(math.NaN()), Reason: "no unit between its functions is free"}}
	}
	return one(scaled.New(s.log() / 2))
}

// lossless reports whether the network's shape alone kills no unit: every value
// is used, no Select pads, and what those that read a value leave out has no weights
// before it, such as the ends of a signal that are cut off.
func lossless(n *dag.Network, behind []bool) bool {
	used := make([]bool, len(n.Nodes))
	for _, i := range n.Boundary() {
		used[i] = true
	}
	whole := slices.Clone(used)
	taken := make([][]bool, len(n.Nodes)) // by those that read parts
	for i := len(n.Nodes) - 1; i >= 0; i-- {
		nd := &n.Nodes[i]
		if nd.Zone != dag.Head && !used[i] {
			return false
		}
		s, part := nd.Op.(*dag.Select)
		part = part && s.Index != nil
		for _, j := range nd.In {
			used[j] = true
			whole[j] = whole[j] || !part
		}
		if !part {
			continue
		}
		j := nd.In[0]
		if taken[j] == nil {
			taken[j] = make([]bool, n.Nodes[j].Len())
		}
		for _, e := range s.Index {
			if e < 0 {
				return false
			}
			taken[j][e] = true
		}
	}
	for i, t := range taken {
		if behind[i] && !whole[i] && slices.Contains(t, false) {
			return false
		}
	}
	return true
}

// between tells which values have a layer before them in their segment, their own
// included, and which have one after them.
func between(n *dag.Network) (behind, ahead []bool) {
	behind, ahead = make([]bool, len(n.Nodes)), make([]bool, len(n.Nodes))
	layer, function := make([]bool, len(n.Nodes)), make([]bool, len(n.Nodes))
	for nd := range dag.Each[*dag.Linear](n) {
		layer[nd.ID] = true
	}
	for nd := range dag.Each[*dag.Func](n) {
		function[nd.ID] = true
	}
	for i := range n.Nodes {
		nd := &n.Nodes[i]
		if layer[i] {
			behind[i] = nd.Zone != dag.Preamble
		} else if !function[i] {
			behind[i] = slices.ContainsFunc(nd.In, func(j int) bool { return behind[j] })
		}
	}
	for i := len(n.Nodes) - 1; i >= 0; i-- {
		for _, j := range n.Nodes[i].In {
			ahead[j] = ahead[j] || layer[i] || ahead[i] && !function[i]
		}
	}
	return behind, ahead
}

// square adds x^2 to a group's sum.
func square(sum []scaled.Num, id int32, x scaled.Num) {
	if id != dag.NoGroup {
		sum[id] = sum[id].Add(x.Mul(x))
	}
}

// liveNorms sums the squares of incoming and outgoing weights of each group over
// edges between live ends.
func (r *run) liveNorms(g *dag.Groups) (in, out []scaled.Num) {
	in, out = make([]scaled.Num, g.Count), make([]scaled.Num, g.Count)
	for nd, l := range body[*dag.Linear](r.net) {
		rows, cols := r.live(nd, l)
		if r.opt.Bias == IncludeBias {
			for i, b := range l.Bias() {
				if rows[i] {
					square(in, g.Rows[nd.ID][i], scaled.New(b))
				}
			}
		}
		if !l.Free() {
			continue
		}
		if s := r.forward.Layers[nd.ID]; !slices.Contains(rows, false) && !slices.Contains(cols, false) {
			for i, x := range r.rows(nd.ID, 2) {
				square(in, g.Rows[nd.ID][i], x)
			}
			for j, x := range s.Columns {
				square(out, g.Cols[nd.ID][j], x)
			}
			continue
		}
		weights(l, func(row, col int, w float64) {
			if rows[row] && cols[col] && w != 0 {
				x := scaled.New(w)
				square(in, g.Rows[nd.ID][row], x)
				square(out, g.Cols[nd.ID][col], x)
			}
		})
	}
	return in, out
}

// live tells which rows and columns of a layer have a live element.
func (r *run) live(nd *dag.Node, l *dag.Linear) (rows, cols []bool) {
	if r.memo.live == nil {
		r.memo.live = paths.FindLive(r.net, paths.Options{Bias: r.opt.Bias})
	}
	rows = r.memo.live.Units(nd.ID, l.Out())
	if l.Map != nil {
		cols = r.memo.live.Units(nd.In[0], l.Map.In())
	}
	return rows, cols
}

// weights calls f for every effective weight once, with its unit and its input
// unit or channel.
func weights(l *dag.Linear, f func(row, col int, w float64)) {
	if d, ok := l.Map.(*dag.Diagonal); ok {
		for i := range d.Axis.N {
			w := 1.0
			if l.Scale() != nil {
				w = l.Scale()[i]
			}
			f(i, i, w)
		}
		return
	}
	for _, b := range l.Matrices() {
		m := matrixOf(b)
		tiles(&m, func(tile []float64, lo, _ int) {
			for e, w := range tile {
				f(b.Row+lo+e/b.Cols, b.Col+e%b.Cols/b.Kernel, w)
			}
		})
	}
}

// kappaSpread looks at every stored weight between live ends, and under
// IncludeBias at biases.
func (r *run) kappaSpread() scaled.Num {
	k := r.kappa()
	var s extremes
	for nd, l := range body[*dag.Linear](r.net) {
		rows, cols := r.live(nd, l)
		if r.opt.Bias == IncludeBias && l.Bias() != nil {
			for i, x := range k.Bias(nd.ID) {
				if rows[i] {
					s.add(x)
				}
			}
		}
		if l.Map == nil || !l.Free() {
			continue
		}
		if d, ok := l.Map.(*dag.Dense); ok && d.Out().Outer*d.Out().Inner == 1 {
			// Rank one: the extremes are products of extremes.
			var so, si extremes
			for i, h := range k.Out(nd.ID) {
				if rows[i] {
					so.add(h.Mul(h))
				}
			}
			for j, h := range k.In(nd.In[0]) {
				if cols[j] {
					si.add(h.Mul(h))
				}
			}
			if so.any && si.any {
				s.add(so.lo.Mul(si.lo))
				s.add(so.hi.Mul(si.hi))
			}
			continue
		}
		kappa := k.Edges(nd.ID)
		if kappa == nil { // a Diagonal's factors
			for i, x := range k.Scale(nd.ID, paths.Options{Threads: r.opt.Threads}) {
				if rows[i] && cols[i] {
					s.add(x)
				}
			}
		}
		for _, m := range l.Matrices() {
			for e, x := range kappa[:m.Len()] {
				if row, col := m.Place(e); rows[row] && cols[col] {
					s.add(x)
				}
			}
			kappa = kappa[m.Len():]
		}
	}
	return scaled.New(s.log())
}

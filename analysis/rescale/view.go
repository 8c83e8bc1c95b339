package rescale

import (
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/scaled"
)

// view is a network as the balancing methods see it: its weight tensors as
// matrices between groups, what is live, and factors to begin from.
type view struct {
	net    *dag.Network
	g      *dag.Groups
	layers []*layer
	// active lists the groups whose factor is to be chosen: not pinned, with a live
	// unit. index is each group's place in it, -1 for the others. The logarithm of a
	// group's factor is sign times that of the active group's: -1 for groups with an
	// inverse factor, which have the index of the other.
	active []int32
	index  []int32
	sign   []float64
	// start has a logarithm of a factor for each group that depends on the class
	// of equivalent networks only and keeps rescaled weights near unit scale.
	start []float64
	kappa *paths.Kappa
}

// layer is one linear layer of the body whose weights or bias a factor can
// change.
type layer struct {
	node int
	l    *dag.Linear
	// rows and cols hold the groups of rows (units) and columns; NoGroup where
	// they are not live.
	rows, cols []int32
	// parts make up the weight matrix; none for a layer that has a bias only.
	parts []matrix
	// scale is |Scale| of each row; nil is all ones. bias is |Bias|; nil is none.
	scale, bias []float64
}

// newView reads the weights forward and backward.
func newView(n *dag.Network, g *dag.Groups, p float64, opt Options) (*view, error) {
	v := &view{net: n, g: g}
	v.kappa = paths.NewKappa(n, p, paths.Options{Bias: opt.Bias, Threads: opt.Threads, Carries: g.Carries})
	if err := v.finite(); err != nil {
		return nil, err
	}
	v.fill(p, opt, v.kappa.Live)
	v.begin()
	return v, nil
}

// newLightView is newView without kappa and start, for networks whose liveness
// needs no path programmes; nil for others.
func newLightView(n *dag.Network, g *dag.Groups, p float64, opt Options) *view {
	if slices.ContainsFunc(g.Carries, func(k []int) bool { return k != nil }) {
		return nil
	}
	l, ok := newLiveness(n, opt.Bias)
	if !ok {
		return nil
	}
	v := &view{net: n, g: g}
	v.fill(p, opt, l.units)
	return v
}

// fill lists the layers and the active groups.
func (v *view) fill(p float64, opt Options, live func(node int, a dag.Axis) []bool) {
	v.start, v.index, v.sign = make([]float64, v.g.Count), make([]int32, v.g.Count), make([]float64, v.g.Count)
	active := make([]bool, v.g.Count)
	for i, weighted := range v.net.Weighted() {
		if !weighted {
			continue
		}
		m := &v.g.Units[i]
		for k, x := range live(i, m.Axis(v.net.Nodes[i].Len())) {
			if id := m.IDs[k]; id != dag.NoGroup && v.g.Pin[id] == "" && x {
				active[id] = true
			}
		}
		if l, ok := v.net.Nodes[i].Op.(*dag.Linear); ok && (l.Free() || l.Bias() != nil) {
			v.layers = append(v.layers, v.layer(i, l, p, opt, live))
		}
	}
	for id, a := range active {
		v.index[id], v.sign[id] = -1, 1
		of := v.g.Inverse[id]
		switch {
		case v.g.Follows(id):
			v.index[id], v.sign[id] = v.index[of], -1
		case a && (of < 0 || active[of]): // without either side nothing holds the other
			v.index[id] = int32(len(v.active))
			v.active = append(v.active, int32(id))
		}
	}
}

// paired reports whether an active group has another with inverse factors.
func (v *view) paired(k int32) bool { return v.g.Inverse[v.active[k]] >= 0 }

// finite looks for NaN and infinities where path norms have met them.
func (v *view) finite() error {
	if i, ok := v.kappa.NotFinite(); ok {
		return fmt.Errorf("rescale: %s: NaN or infinite weights", v.net.Nodes[i].Label())
	}
	return nil
}

func (v *view) layer(i int, l *dag.Linear, p float64, opt Options, live func(node int, a dag.Axis) []bool) *layer {
	y := &layer{node: i, l: l, rows: liveOf(v.g.Rows[i], live(i, l.Out()))}
	if s := l.Scale(); s != nil && l.Free() {
		y.scale = absolute(s)
	}
	if b := l.Bias(); b != nil && opt.Bias == paths.Include {
		y.bias = absolute(b)
	}
	if l.Map != nil && l.Free() {
		y.cols = liveOf(v.g.Cols[i], live(v.net.Nodes[i].In[0], l.Map.In()))
		y.parts = matrices(l, p)
	}
	return y
}

// liveOf returns the groups of units, NoGroup for those that are not live.
func liveOf(ids []int32, live []bool) []int32 {
	out := make([]int32, len(ids))
	for i := range out {
		out[i] = dag.NoGroup
		if live[i] {
			out[i] = ids[i]
		}
	}
	return out
}

func absolute(x []float64) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = math.Abs(v)
	}
	return out
}

// begin finds the active groups' starting factors. With the h of the
// path programmes,
//
//	ln c_v = (ln h_out - ln h_in)/2 + ln ||pi|| (d_in/(d_in + d_out) - 1/2),
//
// the mean over the group's elements, d counting the layers before and after:
// the incoming path norm of every rescaled unit then grows evenly from layer to
// layer. h_in grows by c under rescaling and h_out shrinks by it, so the
// rescaled network is the same for all members of a class.
//
// Each segment has its own ||pi|| and its own depths. Paths go through products, so
// that this holds there too; where one ends a segment, h_in h_out stands for h_in.
func (v *view) begin() {
	tops := make([]float64, len(v.net.Nodes)) // by node, NaN without paths
	for i := range tops {
		tops[i] = math.NaN()
	}
	for _, s := range v.net.Segments() {
		var top scaled.Num
		for _, i := range s.Ends {
			out := v.kappa.Out(i)
			for e, h := range v.kappa.In(i) {
				if id := v.g.Units[i].At(e); id != dag.NoGroup && v.g.Pin[id] == "" {
					h = h.Mul(out[e])
				}
				top = scaled.Max(top, h)
			}
		}
		for _, i := range s.Nodes {
			if !top.IsZero() {
				tops[i] = top.Ln()
			}
		}
	}
	before, after := v.depths()
	count := make([]float64, v.g.Count)
	for i, top := range tops {
		if math.IsNaN(top) {
			continue
		}
		at := before[i]/math.Max(before[i]+after[i], 1) - 0.5
		m := &v.g.Units[i]
		v.kappa.Units(i, m.Axis(v.net.Nodes[i].Len()), func(unit int, n int64, in, out scaled.Num) {
			id := m.IDs[unit]
			if id == dag.NoGroup || v.g.Pin[id] != "" || in.IsZero() || out.IsZero() {
				return
			}
			count[id] += float64(n)
			v.start[id] += float64(n) * ((out.Ln()-in.Ln())/2 + top*at)
		})
	}
	for id, c := range count {
		if of := v.g.Inverse[id]; of > int32(id) { // both sides, turned one way
			v.start[id] -= v.start[of]
			c += count[of]
			v.start[of] = 0
		}
		if c > 0 && !v.g.Follows(id) {
			v.start[id] /= c
		}
	}
	for id := range v.start {
		if v.g.Follows(id) {
			v.start[id] = -v.start[v.g.Inverse[id]]
		}
	}
}

// depths returns the largest number of layers on a path to and from each node,
// within its segment.
func (v *view) depths() (before, after []float64) {
	n := v.net
	before, after = make([]float64, len(n.Nodes)), make([]float64, len(n.Nodes))
	own := func(i int) float64 {
		if l, ok := n.Nodes[i].Op.(*dag.Linear); ok && n.Nodes[i].Zone == dag.Body && l.Free() {
			return 1
		}
		return 0
	}
	for i := range n.Nodes {
		if n.Nodes[i].Zone != dag.Body {
			continue
		}
		for _, j := range n.Nodes[i].In {
			before[i] = math.Max(before[i], before[j])
		}
		before[i] += own(i)
	}
	for i := len(n.Nodes) - 1; i >= 0; i-- {
		if n.Nodes[i].Zone != dag.Body {
			continue
		}
		for _, j := range n.Nodes[i].In {
			after[j] = math.Max(after[j], after[i]+own(i))
		}
	}
	return before, after
}

// factors returns exp of the logarithms z of the active groups, 1 for the
// others.
func (v *view) factors(z []float64) []float64 {
	c := v.g.Ones()
	for k, id := range v.active {
		c[id] = bounded(z[k])
	}
	v.g.Invert(c)
	return c
}

// logs returns the starting logarithms of the active groups.
func (v *view) logs() []float64 {
	z := make([]float64, len(v.active))
	for k, id := range v.active {
		z[k] = v.start[id]
	}
	return z
}

// lnRange returns the logarithm up to which factors may grow without making
// stored numbers useless: half the range of the smallest stored type.
func (v *view) lnRange() float64 {
	ln := 300.0
	for _, p := range v.net.Params() {
		switch p.Type {
		case dag.Float32, dag.BFloat16:
			ln = math.Min(ln, 44)
		case dag.Float16:
			ln = math.Min(ln, 11)
		}
	}
	return ln
}

package rescale

import (
	"math"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/internal/lists"
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
	kappa *paths.Kappa // PathConditioned's
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
	parts []dag.Matrix
	// scale is |Scale| of each row; nil is all ones. bias is |Bias|; nil is none.
	scale, bias []float64
}

// newView finds what is live, and where to begin.
func newView(n *dag.Network, g *dag.Groups, p float64, opt Options) (*view, error) {
	v := newLightView(n, g, p, opt)
	return v, v.begin(p, opt.Threads)
}

// newLightView is newView without a start.
func newLightView(n *dag.Network, g *dag.Groups, p float64, opt Options) *view {
	v := &view{net: n, g: g}
	v.fill(p, opt, paths.FindLive(n, paths.Options{Bias: opt.Bias, Carries: g.Carries}).Units)
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
		l, ok := v.net.Nodes[i].Op.(*dag.Linear)
		if !ok {
			continue
		}
		y := v.layer(i, l, p, opt, live)
		for _, id := range y.rows {
			if id != dag.NoGroup && v.g.Pin[id] == "" {
				active[id] = true
			}
		}
		if l.Free() || l.Bias() != nil {
			v.layers = append(v.layers, y)
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
	return lists.Map(x, math.Abs)
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
	return lists.Map(v.active, func(id int32) float64 { return v.start[id] })
}

// lnRange returns the logarithm up to which factors may grow without making
// stored numbers useless: half the range of the smallest stored type.
func lnRange(n *dag.Network) float64 {
	ln := 354.0
	for _, p := range n.Params() {
		switch p.Type {
		case dag.Float32, dag.BFloat16:
			ln = math.Min(ln, 44)
		case dag.Float16:
			ln = math.Min(ln, 11)
		}
	}
	return ln
}

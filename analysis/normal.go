package analysis

import (
	"slices"
	"sort"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/fold"
)

// normal returns the network with every chain of constant maps folded into one,
// so that one function has one number however its constants are written. A
// constant map multiplies each element by a constant and adds one: constants of
// Add, Sub, Mul and Div, BatchNormalization. A chain goes on through nodes that
// only move elements.
//
// A chain behind linear layers that nothing else reads becomes part of them where
// its constants fit their units. What does not fit stays one layer behind them,
// with the layers' biases: the factor where it differs within a unit, the
// constants where they do. Nodes keep their numbers.
func normal(n *dag.Network) *dag.Network {
	f := &folder{net: n, readers: n.Consumers(), layers: make([]*foldedLayer, len(n.Nodes)), open: make([]bool, len(n.Nodes))}
	for _, i := range n.Ends() {
		f.open[i] = true
	}
	maps := false
	for nd, l := range body[*dag.Linear](n) {
		// What maps inputs by constants is the first layer, if it is one.
		if !(elementwise(l) && n.Nodes[nd.In[0]].Zone == dag.Preamble) {
			f.layers[nd.ID] = newFolded(nd, l)
			maps = maps || f.layers[nd.ID].constant
		}
	}
	if !maps {
		return n
	}
	for changed := true; changed; {
		changed = false
		done := map[int]bool{}
		for i := range slices.Backward(f.layers) {
			if f.constant(i) && !done[i] && f.fold(i, done) {
				changed = true
			}
		}
	}
	return f.network()
}

// folder folds constant maps.
type folder struct {
	net     *dag.Network
	readers [][]int
	// open marks the body's outputs.
	open   []bool
	layers []*foldedLayer // by node, nil for others
}

// foldedLayer is a linear layer with the factor and the constant of each of its
// units; a constant map's become its elements once others differ within a unit.
type foldedLayer struct {
	l           *dag.Linear
	constant    bool // a constant map
	axis        dag.Axis
	fold.Affine // both lists are there
	// learned says that Scale holds stored numbers, biased that Shift counts as a bias, and made
	// that it is made of shapes alone.
	learned, biased, made bool
	// norm says that Scale holds factors of a BatchNormalization, which are weights behind
	// a curve too.
	norm          bool
	changed, gone bool
	// fixed is a tensor that cannot be written, which pins the units.
	fixed *dag.Param
}

// join takes in what a constant map is besides its numbers.
func (y *foldedLayer) join(m *foldedLayer) {
	y.made = (y.made || m.made) && (y.made || !y.biased) && (m.made || !m.biased)
	y.learned, y.biased = y.learned || m.learned, y.biased || m.biased
	y.norm = y.norm || m.norm
	if y.fixed == nil {
		y.fixed = m.fixed
	}
}

func newFolded(nd *dag.Node, l *dag.Linear) *foldedLayer {
	y := &foldedLayer{l: l, constant: elementwise(l), axis: l.Out(), learned: l.Free(), biased: l.Bias() != nil, made: l.MadeBias()}
	for _, st := range l.Stages {
		y.norm = y.norm || st.Norm != nil
	}
	for role, u := range nd.Uses() {
		if role != dag.Weight && u.Param.Storage == dag.Unwritable {
			y.fixed = u.Param
		}
	}
	y.Affine = fold.Of(l).Then(fold.Affine{}, y.axis.N)
	return y
}

// spread makes each element of a constant map a unit.
func (y *foldedLayer) spread() {
	y.Affine, y.axis = y.Over(y.axis), dag.Axis{Outer: 1, N: y.axis.Len(), Inner: 1}
}

// elementwise reports whether a layer maps each element to itself.
func elementwise(l *dag.Linear) bool {
	_, ok := l.Map.(*dag.Diagonal)
	return ok
}

// constant reports whether a node is a constant map that is still there.
func (f *folder) constant(i int) bool { y := f.layers[i]; return y != nil && y.constant && !y.gone }

// moves reports whether a node of the body only moves elements.
func (f *folder) moves(nd *dag.Node) bool {
	if nd.Zone != dag.Body {
		return false
	}
	if a, ok := nd.Op.(*dag.Activation); ok {
		return a.Param == nil && a.Identity()
	}
	return nd.Moves() || f.layers[nd.ID] != nil && f.layers[nd.ID].gone
}

// stretch is n elements of a node's, from one on and so many apart, as a row or a column is;
// padding has node -1.
type stretch struct{ node, at, n, step int }

// extend takes one element more, if it is the next.
func (s *stretch) extend(node, at int) bool {
	switch {
	case s.node != node:
		return false
	case node < 0:
	case s.n == 1:
		s.step = at - s.at
	case at != s.at+s.n*s.step:
		return false
	}
	s.n++
	return true
}

// sources returns where the elements of a node's value come from, in order, behind
// the nodes that only move elements. Known holds what was found before.
func (f *folder) sources(i int, known map[int][]stretch) []stretch {
	if out, ok := known[i]; ok {
		return out
	}
	nd := &f.net.Nodes[i]
	var out []stretch
	switch {
	case !f.moves(nd):
		out = []stretch{{i, 0, nd.Len(), 1}}
	case f.layers[i] != nil:
		out = f.sources(nd.In[0], known)
	default:
		var from []stretch
		for _, j := range nd.In {
			from = append(from, f.sources(j, known)...)
		}
		s, ok := nd.Op.(*dag.Select)
		if out = from; ok && s.Index != nil {
			out = selected(from, s.Index)
		}
	}
	known[i] = out
	return out
}

// selected has for each of index that element of from; -1 is padding.
func selected(from []stretch, index []int32) []stretch {
	first, n := make([]int, len(from)), 0 // of each stretch among all elements
	for k, s := range from {
		first[k] = n
		n += s.n
	}
	var out []stretch
	in := 0 // the stretch that had the last element
	for _, e := range index {
		node, at := -1, 0
		if e := int(e); e >= 0 {
			if e < first[in] || e >= first[in]+from[in].n {
				in = sort.SearchInts(first, e+1) - 1
			}
			if s := &from[in]; s.node >= 0 {
				node, at = s.node, s.at+(e-first[in])*s.step
			}
		}
		if k := len(out) - 1; k < 0 || !out[k].extend(node, at) {
			out = append(out, stretch{node, at, 1, 1})
		}
	}
	return slices.Clip(out)
}

// leaves finds the constant maps that read a node's value; ok is false when
// anything else does.
func (f *folder) leaves(i int, seen map[int]bool) (maps []int, ok bool) {
	if f.open[i] {
		return nil, false
	}
	for _, j := range f.readers[i] {
		switch {
		case seen[j]:
		case f.constant(j):
			maps = append(maps, j)
		case f.moves(&f.net.Nodes[j]):
			more, ok := f.leaves(j, seen)
			if !ok {
				return nil, false
			}
			maps = append(maps, more...)
		default:
			return nil, false
		}
		seen[j] = true
	}
	return maps, true
}

// chain is the constant maps that read some layers, with the source of each
// element, and these layers.
type chain struct {
	maps map[int][]stretch
	// layers tells of each source whether nothing but the maps reads it.
	layers map[int]bool
	// whole says that this is so of all, and that they are layers that can take
	// factors and constants.
	whole bool
}

// chain finds what belongs together with a constant map.
func (f *folder) chain(i int) chain {
	c := chain{map[int][]stretch{}, map[int]bool{}, true}
	known := map[int][]stretch{}
	for todo := []int{i}; len(todo) > 0; {
		m := todo[0]
		todo = todo[1:]
		if c.maps[m] != nil {
			continue
		}
		c.maps[m] = f.sources(f.net.Nodes[m].In[0], known)
		for _, x := range c.maps[m] {
			if _, seen := c.layers[x.node]; seen || x.node < 0 {
				continue
			}
			var to []int
			ok := f.layers[x.node] != nil
			if ok {
				to, ok = f.leaves(x.node, map[int]bool{})
			}
			if ok && f.layers[x.node].constant {
				f.layers[x.node].spread()
			}
			c.layers[x.node] = ok
			c.whole = c.whole && ok && fold.Takes(f.layers[x.node].l)
			todo = append(todo, to...)
		}
	}
	return c
}

// fold folds a constant map, and those that read the same layers, into the layers
// before it as far as they fit. It reports whether anything changed.
func (f *folder) fold(i int, done map[int]bool) (changed bool) {
	c := f.chain(i)
	for m := range c.maps {
		done[m] = true
		if _, both := c.layers[m]; both {
			return false // a map that reads another and its layer too
		}
	}
	alone := false
	for _, ok := range c.layers {
		alone = alone || ok
	}
	if !alone && !c.whole {
		return false // others read all that the maps read
	}
	asked, sameScale, sameShift := f.asked(c)
	if !sameScale {
		return f.shift(c)
	}
	for k, units := range asked {
		y, by := f.layers[k], units.Affine()
		if changed = changed || slices.ContainsFunc(by.Scale, func(s float64) bool { return s != 1 }); !sameShift {
			by.Shift = nil
		}
		y.Affine, y.changed = y.Then(by, y.axis.N), true
		for m := range c.maps {
			m := *f.layers[m]
			m.biased = m.biased && sameShift
			y.join(&m)
		}
	}
	for m := range c.maps {
		y := f.layers[m]
		if y.gone = sameShift; !sameShift {
			y.learned, y.changed, y.Scale = false, changed || y.changed, slices.Repeat([]float64{1}, y.axis.N)
		}
	}
	return sameShift || f.shift(c) || changed
}

// asked is what the maps of a chain ask of the units of each layer, and whether the layers take
// their factors, and their constants too.
func (f *folder) asked(c chain) (of map[int]*fold.Units, scale, shift bool) {
	of, scale, shift = map[int]*fold.Units{}, c.whole, c.whole
	for m, src := range c.maps {
		y, at := f.layers[m], 0
		for _, x := range src {
			if !scale {
				return of, false, false
			}
			if x.node >= 0 && of[x.node] == nil {
				of[x.node] = fold.NewUnits(f.layers[x.node].axis.N)
			}
			for e := range x.n {
				by, plus := y.At(y.axis.At(at + e))
				if x.node < 0 {
					shift = shift && plus == 0
					continue
				}
				of[x.node].Ask(f.layers[x.node].axis.At(x.at+e*x.step), by, plus)
			}
			if at += x.n; x.node >= 0 {
				scale, shift = scale && of[x.node].Scale, shift && of[x.node].Shift
			}
		}
	}
	return of, scale, shift
}

// shift moves the biases of the layers behind the factors of the maps, which read
// nothing else.
func (f *folder) shift(c chain) (changed bool) {
	for m, src := range c.maps {
		y := f.layers[m]
		at := 0
		for _, x := range src {
			if from := f.layers[max(x.node, 0)]; x.node >= 0 && c.layers[x.node] && from.l.Map != nil && from.biased {
				if y.axis.N != y.axis.Len() {
					y.spread()
				}
				for e := range x.n {
					y.Shift[at+e] += y.Scale[at+e] * from.Shift[from.axis.At(x.at+e*x.step)]
				}
				y.biased, y.changed = true, true
			}
			at += x.n
		}
	}
	for k, alone := range c.layers {
		y := f.layers[k]
		if !alone || y.l.Map == nil {
			continue
		}
		if !y.biased {
			continue
		}
		changed = true
		y.biased, y.changed = false, true
		clear(y.Shift)
		y.gone = y.constant && !y.learned && !slices.ContainsFunc(y.Scale, func(s float64) bool { return s != 1 })
	}
	return changed
}

// network returns the folded network.
func (f *folder) network() *dag.Network {
	out := &dag.Network{Nodes: slices.Clone(f.net.Nodes), Inputs: f.net.Inputs, Outputs: f.net.Outputs}
	for i, y := range f.layers {
		switch nd := &out.Nodes[i]; {
		case y == nil:
		case y.gone:
			nd.Op = &dag.Select{}
		case y.changed || y.constant && y.coarsest(nd.Shape) != y.l.Out():
			nd.Op = y.linear(nd)
		}
	}
	if err := out.Validate(); err != nil {
		panic("analysis: folding constants: " + err.Error())
	}
	return out
}

// linear returns the layer with its factor and constant as one stage.
func (y *foldedLayer) linear(nd *dag.Node) *dag.Linear {
	l := &dag.Linear{Map: y.l.Map, Units: y.l.Units}
	if y.constant {
		l.Map = &dag.Diagonal{Axis: y.coarsest(nd.Shape)}
	}
	st := dag.Stage{}
	unit := func(x []float64) []float64 {
		if !y.constant {
			return x
		}
		out := make([]float64, l.Rows())
		for e := range y.axis.Len() {
			out[l.Out().At(e)] = x[y.axis.At(e)]
		}
		return out
	}
	use := func(role string, x []float64) dag.Use {
		p := dag.NewParam64(nd.Name+role, []int{len(x)}, x)
		if y.fixed != nil {
			p.Name, p.Storage, p.Reason = y.fixed.Name, y.fixed.Storage, y.fixed.Reason
		}
		return dag.Use{Param: p}
	}
	vector := func(role string, x []float64, made bool) *dag.Vector {
		u := use(role, x)
		u.Param.Made = made
		return &dag.Vector{Use: u, Coef: 1}
	}
	uniform := func(s []float64) bool { return slices.Equal(s[1:], s[:len(s)-1]) }
	switch s := unit(y.Scale); {
	case l.Map == nil:
	case y.learned && y.constant && y.norm:
		zero, one := make([]float64, len(s)), slices.Repeat([]float64{1}, len(s))
		st.Norm = &dag.BatchNorm{Gamma: use(".scale", s), Beta: use(".shift", zero), Mean: use(".mean", zero), Var: use(".variance", one)}
	case y.learned && (y.constant || slices.ContainsFunc(s, func(x float64) bool { return x != 1 })):
		st.Mul = vector(".scale", s, false)
	case !y.learned && len(s) > 0 && !uniform(s):
		st.Mul = vector(".scale", s, true)
	case !y.learned && len(s) > 0 && s[0] != 1:
		st.Mul = &dag.Vector{Coef: s[0]}
	}
	if y.biased {
		st.Add = vector(".bias", unit(y.Shift), y.made)
	}
	l.Stages = []dag.Stage{st}
	return l
}

// coarsest returns the shortest run of the axes of a constant map's value along
// which its numbers vary; the units of the layer as it was read where none do.
func (y *foldedLayer) coarsest(shape []int) dag.Axis {
	// The axes that units run along; all of them, with elements for units, where
	// units do not keep to axes.
	first, end := 0, len(shape)
	for first < end && dag.Size(shape[:first]) < y.axis.Outer {
		first++
	}
	for end > first && dag.Size(shape[end:]) < y.axis.Inner {
		end--
	}
	if dag.Size(shape[:first]) != y.axis.Outer || dag.Size(shape[end:]) != y.axis.Inner {
		y.spread()
		first, end = 0, len(shape)
	}
	lo, hi := len(shape), -1
	inner := 1
	for d := end - 1; d >= first; d-- {
		block := inner * shape[d]
		for at := 0; at < len(y.Scale); at += block {
			n := block - inner
			if s, c := y.Scale[at:][:block], y.Shift[at:][:block]; !slices.Equal(s[:n], s[inner:]) || !slices.Equal(c[:n], c[inner:]) {
				lo, hi = min(lo, d), max(hi, d)
				break
			}
		}
		inner = block
	}
	if hi < 0 {
		return y.l.Out()
	}
	return dag.Axis{Outer: dag.Size(shape[:lo]), N: dag.Size(shape[lo : hi+1]), Inner: dag.Size(shape[hi+1:])}
}

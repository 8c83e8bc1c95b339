package dag

import (
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/internal/lists"
)

// Rescale applies one factor a group and returns the rescaled network: the
// incoming weights and bias of each unit times its factor, its outgoing weights
// divided by it. The function is unchanged (Neyshabur, Salakhutdinov, Srebro,
// Path-SGD, NeurIPS 2015, section 2). The row factor of a layer is written into
// its last multiplying stage (BatchNormalization's scale, a Mul) where it has
// one, else into its weights; the column factor into its weights. A shared
// tensor whose uses need different values is split; a broadcast scalar that
// does becomes a vector; zeros stay as they are. The bounds of caps take the factors of their elements. Weights
// are scaled lazily: nothing is computed here for the matrices. Factors that follow from
// others (see Groups.Invert) are taken from those. Errors: a factor that is not positive
// and finite, a pinned group with a factor other than 1. It panics when len(c) is not
// g.Count.
func (n *Network) Rescale(g *Groups, c []float64) (*Network, error) {
	return n.rescale(g, c, &editor{})
}

// rescale is Rescale by the given editor, whose maps it makes.
func (n *Network) rescale(g *Groups, c []float64, e *editor) (*Network, error) {
	mustLen("factors", len(c), g.Count)
	for i, f := range c {
		if !(f > 0) || math.IsInf(f, 1) {
			return nil, fmt.Errorf("dag: factor %d is %v, want a positive number", i, f)
		}
		if f != 1 && g.Pin[i] != "" {
			return nil, fmt.Errorf("dag: factor %d is %v, want 1: the group is pinned (%s)", i, f, g.Pin[i])
		}
	}
	c = slices.Clone(c)
	g.Invert(c)
	e.params, e.whole = map[*Use]*Param{}, map[*Use]bool{}
	e.made, e.done = map[uint64][]*scaling{}, map[*scaling]*Param{}
	for nd, l := range Each[*Linear](n) {
		if nd.Zone == Body {
			e.linear(l, expand(g.Rows[nd.ID], c), expand(g.Cols[nd.ID], c))
		}
	}
	out := n.replace(func(u *Use) *Param {
		if p := e.params[u]; p != nil {
			return p
		}
		return u.Param
	}, e.whole)
	for nd, bounds := range Each[*Cap](out) {
		if nd.Zone == Body {
			if e.unrounded {
				bounds = bounds.as(Float64)
			}
			nd.Op = bounds.rescaled(nd.Len(), &g.Units[nd.ID], c)
		}
	}
	return out, nil
}

// expand returns the factor of each row or column; nil when all are 1.
func expand(ids []int32, c []float64) []float64 {
	var out []float64
	for i, id := range ids {
		if id == NoGroup || c[id] == 1 {
			continue
		}
		if out == nil {
			out = slices.Repeat([]float64{1}, len(ids))
		}
		out[i] = c[id]
	}
	return out
}

// editor collects what each use of a Param becomes; equal edits of one Param
// make one new Param.
type editor struct {
	params map[*Use]*Param
	whole  map[*Use]bool         // vectors that now have one value a unit
	made   map[uint64][]*scaling // by their hash
	done   map[*scaling]*Param
	// unrounded says that edited numbers are float64, whatever is stored.
	unrounded bool
}

// linear edits one layer for row factors r and column factors c (of the
// operand's units); nil is all ones.
func (e *editor) linear(l *Linear, r, c []float64) {
	gain := l.gain()
	// cur is the factor of the value that enters a stage.
	cur := r
	if l.Map != nil && gain >= 0 {
		cur = nil
		if l.Map.Weight() == nil {
			cur = c
		}
	}
	if l.Map != nil {
		if u := l.Map.Weight(); u != nil {
			rows := r
			if gain >= 0 {
				rows = nil
			}
			if rows != nil || c != nil {
				e.scale(u, l.Map.edit(rows, inverse(c)))
			}
		}
	}
	for k := range l.Stages {
		s := &l.Stages[k]
		if s.Norm != nil {
			e.elementwise(&s.Norm.Mean, cur)
			if k == gain {
				e.elementwise(&s.Norm.Gamma, ratio(r, cur))
				cur = r
			}
			e.elementwise(&s.Norm.Beta, cur)
		}
		if s.Mul != nil && k == gain && s.Norm == nil {
			e.vector(s.Mul, l.Rows(), ratio(r, cur))
			cur = r
		}
		if s.Add != nil {
			e.vector(s.Add, l.Rows(), cur)
		}
	}
}

func inverse(c []float64) []float64 {
	if c == nil {
		return nil
	}
	return lists.Map(c, func(v float64) float64 { return 1 / v })
}

// ratio returns r/c; nil is all ones.
func ratio(r, c []float64) []float64 {
	switch {
	case c == nil:
		return r
	case r == nil:
		return inverse(c)
	}
	out := make([]float64, len(c))
	same := true
	for i := range out {
		out[i] = r[i] / c[i]
		same = same && out[i] == 1
	}
	if same {
		return nil
	}
	return out
}

// scale records a scaling of a use's Param, sharing equal ones. Zeros take any factors as
// they are: a tensor of zeros that layers share stays one.
func (e *editor) scale(u *Use, s *scaling) {
	if s.base.zero() {
		return
	}
	key := s.hash()
	for _, t := range e.made[key] {
		if t.equal(s) {
			e.params[u] = e.done[t]
			return
		}
	}
	p := s.param()
	if e.unrounded {
		p.Type = Float64
	}
	e.made[key] = append(e.made[key], s)
	e.done[s] = p
	e.params[u] = p
}

func (e *editor) elementwise(u *Use, m []float64) {
	if m != nil {
		e.scale(u, &scaling{base: u.Param, a: m, B: 1, K: 1, groups: 1})
	}
}

// vector multiplies a vector by m, one factor a unit.
func (e *editor) vector(v *Vector, rows int, m []float64) {
	if m == nil || v.Param == nil || v.Param.zero() {
		return
	}
	if v.Inverse {
		m = inverse(m)
	}
	// The factor of each stored element, if all units that read it agree.
	stored := make([]float64, v.Param.Len())
	agree := true
	for i := range rows {
		k := v.Element(i)
		if stored[k] != 0 && stored[k] != m[i] {
			agree = false
			break
		}
		stored[k] = m[i]
	}
	if agree {
		for k := range stored {
			if stored[k] == 0 {
				stored[k] = 1
			}
		}
		e.elementwise(&v.Use, stored)
		return
	}
	values := make([]float64, rows)
	for i := range values {
		values[i] = v.Param.At(v.Element(i)) * m[i]
	}
	shape := v.Full
	if shape == nil {
		shape = []int{rows}
	}
	typ := v.Param.Type
	if e.unrounded {
		typ = Float64
	}
	e.params[&v.Use] = v.Param.withValues(typ, shape, values)
	e.whole[&v.Use] = true
}

// Replace returns a copy of the network in which each use's Param is what f
// gives; f returning u.Param leaves it. A Param that f gives to a broadcast
// vector with one value a unit replaces the broadcast. Effective weights and
// slopes follow. It panics when a Param does not fit its use.
func (n *Network) Replace(f func(u *Use) *Param) *Network { return n.replace(f, nil) }

// replace is Replace; the uses in whole get one value a unit, even where the
// stored tensor had as many values in another order.
func (n *Network) replace(f func(u *Use) *Param, whole map[*Use]bool) *Network {
	out := &Network{Nodes: append([]Node(nil), n.Nodes...), Inputs: n.Inputs, Outputs: n.Outputs}
	for i := range out.Nodes {
		nd := &out.Nodes[i]
		changed, to := false, map[*Use]*Param{}
		for _, u := range nd.Uses() {
			to[u] = f(u)
			changed = changed || to[u] != u.Param
		}
		if changed {
			nd.Op = nd.Op.(replacer).replace(to, whole)
		}
	}
	if err := out.Validate(); err != nil {
		panic("dag: Replace: " + err.Error())
	}
	return out
}

// replacer is an op that has uses.
type replacer interface {
	// replace returns a copy whose uses hold what they map to.
	replace(to map[*Use]*Param, whole map[*Use]bool) Op
}

func (l *Linear) replace(to map[*Use]*Param, whole map[*Use]bool) Op {
	c := &Linear{Map: l.Map, Units: l.Units}
	if l.Map != nil {
		if u := l.Map.Weight(); u != nil {
			c.Map = l.Map.WithWeight(Use{Param: to[u], Site: u.Site})
		}
	}
	vector := func(v *Vector) *Vector {
		if v == nil || v.Param == nil {
			return v
		}
		w := *v
		w.Param = to[&v.Use]
		if whole[&v.Use] || w.Param != v.Param && w.Param.Len() == l.Rows() && v.Param.Len() != l.Rows() {
			w.Index = nil
		}
		return &w
	}
	for _, s := range l.Stages {
		if s.Norm != nil {
			b := *s.Norm
			from := []*Use{&s.Norm.Gamma, &s.Norm.Beta, &s.Norm.Mean, &s.Norm.Var}
			for k, u := range []*Use{&b.Gamma, &b.Beta, &b.Mean, &b.Var} {
				u.Param = to[from[k]]
			}
			s.Norm = &b
		}
		s.Mul, s.Add = vector(s.Mul), vector(s.Add)
		c.Stages = append(c.Stages, s)
	}
	return c
}

func (a *Activation) replace(to map[*Use]*Param, _ map[*Use]bool) Op {
	c := *a
	c.Param = &Use{Param: to[a.Param], Site: a.Param.Site}
	c.Slope = make([]float64, len(a.Slope))
	for e := range c.Slope {
		k := e
		if c.Index != nil {
			k = int(c.Index[e])
		} else if c.Param.Param.Len() == 1 {
			k = 0
		}
		c.Slope[e] = c.Param.Param.At(k)
	}
	return &c
}

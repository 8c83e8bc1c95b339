package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

// A rotary embedding in simpler operators is a sum of x and of x in another order and with
// other signs, each times a table: cosines and sines of angles. A stored table would be a layer
// of factors, one that is looked up by position an embedding. They are no weights: what
// multiplies x is the value of a function, as where cosines are computed.

const turns = "it turns pairs by stored angles"

// angles is a product of a value by a table of stored numbers.
type angles struct {
	// x is the node of the value, table that which multiplies it: the product itself,
	// or the layer that looks the table up.
	x, table int
	// place is the node of the positions, -1 of a table without.
	place int
	p     *dag.Param
	// at is the number of p that multiplies element e, where the table is looked up at the
	// position number index of the place.
	at    func(e int) (index, column int)
	cols  int
	value func(e int) float64
}

// rotated puts a function in place of the tables of a rotary embedding whose sum this is; else it
// returns the operands.
func (o *op) rotated(a, b *value) (p, q *value) {
	if !slices.Equal(a.shape, b.shape) || len(a.shape) == 0 {
		return a, b
	}
	t, ok := o.angles(a)
	if !ok {
		return a, b
	}
	u, ok := o.angles(b)
	if !ok || !o.rotates(&t, &u, dag.Size(tensor.SampleShape(a.shape))) {
		return a, b
	}
	return o.byAngles(a, &t), o.byAngles(b, &u)
}

// angles reads a value as a product by a table.
func (o *op) angles(v *value) (t angles, ok bool) {
	nd := &o.nodes[v.node]
	if multiplies(nd) {
		for k, in := range nd.In {
			if t, ok = o.lookedUp(in); ok {
				t.x = nd.In[1-k]
				return t, true
			}
		}
		return t, false
	}
	d, st, ok := factors(nd)
	if !ok || st.Mul.Param == nil || st.Mul.Param.Len() == 1 || st.Mul.Inverse || !slices.Equal(nd.Shape, o.nodes[nd.In[0]].Shape) {
		return t, false
	}
	return angles{
		x: nd.In[0], table: v.node, place: -1, p: st.Mul.Param,
		value: func(e int) float64 { return st.Mul.At(d.Axis.At(e)) },
	}, true
}

// factors reads a node as a multiplication of each unit by a number, and nothing else.
func factors(nd *dag.Node) (d *dag.Diagonal, st *dag.Stage, ok bool) {
	l, ok := nd.Op.(*dag.Linear)
	if !ok || len(l.Stages) != 1 {
		return nil, nil, false
	}
	st = &l.Stages[0]
	d, ok = l.Map.(*dag.Diagonal)
	return d, st, ok && st.Mul != nil && st.Add == nil && st.Norm == nil
}

// reordered follows a node to the value that it has in another order: the indices, the last one first.
func (o *op) reordered(node int) (from int, order [][]int32) {
	for {
		s, ok := o.nodes[node].Op.(*dag.Select)
		if !ok {
			return node, order
		}
		if s.Index != nil {
			order = append(order, s.Index)
		}
		node = o.nodes[node].In[0]
	}
}

// lookedUp reads a node as rows of a stored table in another order of elements.
func (o *op) lookedUp(node int) (t angles, ok bool) {
	node, order := o.reordered(node)
	nd := &o.nodes[node]
	l, ok := nd.Op.(*dag.Linear)
	if !ok || l.Map == nil || len(l.Stages) > 0 {
		return t, false
	}
	d, ok := l.Map.(*dag.Dense)
	if !ok {
		return t, false
	}
	hot, ok := o.nodes[nd.In[0]].Op.(*dag.Func)
	if !ok || hot.Kind != dag.OneHot {
		return t, false
	}
	t = angles{table: node, place: o.nodes[nd.In[0]].In[0], p: d.W.Param, cols: d.Cols}
	t.at = func(e int) (index, column int) {
		for _, s := range order {
			if e = int(s[e]); e < 0 {
				return -1, 0
			}
		}
		return e / d.Rows, e % d.Rows
	}
	t.value = func(e int) float64 { // row e / columns, whatever the positions are
		return d.At(e%d.Rows, e/d.Rows)
	}
	return t, true
}

// rotates reports whether two products are those of a rotary embedding: of one value, of
// different elements of it, by tables whose squares have the same sum at all angles.
func (o *op) rotates(t, u *angles, size int) bool {
	n := size
	if t.place != u.place || (t.place < 0) != (u.place < 0) {
		return false
	}
	if t.place >= 0 {
		if n = t.p.Len(); u.p.Len() != n || t.cols != u.cols || !sameOrder(t, u, size) {
			return false
		}
	}
	o.spent += n / 8
	// A hundredth is several roundings of bfloat16.
	const slack = 0.01
	x0, y0 := t.value(0), u.value(0)
	sum, varies, zero := x0*x0+y0*y0, false, true
	for e := range n {
		x, y := t.value(e), u.value(e)
		if !(math.Abs(x*x+y*y-sum) <= slack*sum) {
			return false
		}
		varies = varies || x != x0 || y != y0
		zero = zero && (x == 0 || y == 0)
	}
	return sum > 0 && (varies || zero) && o.ofOneValue(t, u, size)
}

// ofOneValue reports whether two products are of the same value everywhere, and of the two
// elements of a pair.
func (o *op) ofOneValue(t, u *angles, size int) bool {
	steps, partners := 0, map[int][]int32{} // of a node's elements, from 1 on
	defer func() { o.spent += steps / 16 }()
	for e := range size {
		a, i, there := o.comesFrom(t.x, e)
		b, j, more := o.comesFrom(u.x, e)
		steps += there + more
		if a != b || i == j {
			return false
		}
		partner := partners[a]
		if partner == nil {
			partner = make([]int32, o.nodes[a].Len())
			partners[a] = partner
		}
		if k := int(partner[i]); k != 0 && k != j+1 {
			return false
		}
		if k := int(partner[j]); k != 0 && k != i+1 {
			return false
		}
		partner[i] = int32(j + 1)
	}
	return true
}

// sameOrder reports whether two tables are read at the same places.
func sameOrder(t, u *angles, size int) bool {
	for e := range size {
		i, c := t.at(e)
		j, d := u.at(e)
		if i < 0 || i != j || c != d {
			return false
		}
	}
	return true
}

// comesFrom follows an element through nodes that move elements and change signs, so many of
// them.
func (o *op) comesFrom(node, e int) (from, element, steps int) {
	for ; ; steps++ {
		nd := &o.nodes[node]
		if k, from, ok := nd.From(o.nodes, e); ok {
			node, e = nd.In[k], from
			continue
		}
		_, st, ok := factors(nd)
		if !ok || st.Mul.Param != nil || st.Mul.Coef != -1 {
			return node, e, steps
		}
		node = nd.In[0]
	}
}

// byAngles is the product of x and a table that is no layer.
func (o *op) byAngles(v *value, t *angles) *value {
	first := len(o.nodes)
	f := func(dst []float64, _ ...[]float64) {
		for e := range dst {
			dst[e] = t.value(e)
		}
	}
	var in []*value
	if t.place >= 0 {
		in = []*value{{node: t.place}}
		cols := t.p.Len() / t.cols
		f = func(dst []float64, in ...[]float64) {
			for e := range dst {
				i, c := t.at(e)
				if j, ok := place(in[0][i], t.cols); ok {
					dst[e] = t.value(j*cols + c)
				} else {
					dst[e] = math.NaN()
				}
			}
		}
	}
	table := o.function(turns, v.elem, v.shape, f, in...)
	o.nodes[table.node].Name, o.nodes[table.node].Source = t.p.Name, "Constant"
	if t.place >= 0 {
		o.nodes[table.node].Source = "Gather"
		o.nodes[table.node].Op.(*dag.Func).Extent = t.cols
	}
	out := o.function(turns, v.elem, v.shape, func(dst []float64, in ...[]float64) {
		for e, x := range in[0] {
			dst[e] = x * in[1][e]
		}
	}, &value{node: t.x}, table)
	o.nodes[out.node].Name, o.nodes[out.node].Source = o.nodes[v.node].Name, o.nodes[v.node].Source
	o.as(dag.Product, out).formed(o, dag.Times{})
	for _, s := range o.tensors { // it went into a layer that is left out
		for k := range s.Readers {
			if r := &s.Readers[k]; r.First <= t.table && t.table < r.Past {
				r.Why, r.First, r.Past = turns, first, len(o.nodes)
			}
		}
	}
	return out
}

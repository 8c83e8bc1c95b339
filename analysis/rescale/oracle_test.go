package rescale_test

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/rescale"
)

// oracle is a network as lists of edges between groups, made from the graph of
// units edge by edge: what the methods are checked against. It shares no code
// with them.
type oracle struct {
	net   *dag.Network
	g     *dag.Groups
	edges []oracleEdge
	rows  int
	// vars numbers the free groups with a live unit, -1 elsewhere; sign is -1 for those
	// with 1 over the factor of another, whose number they have.
	vars []int
	sign []float64
	n    int
}

type oracleEdge struct {
	row, from, to int // row numbers a unit; groups, from -1 for a bias
	w             float64
	kappa         float64 // of all positions
}

// newOracle lists the edges between live ends. Weights of convolutions count
// once.
func newOracle(n *dag.Network, bias bool) *oracle {
	o := &oracle{net: n, g: n.Groups()}
	u := dagtest.Unroll(n)
	if !bias {
		var kept []dagtest.Edge
		for _, e := range u.Edges {
			if e.Kind != dagtest.FromOne {
				kept = append(kept, e)
			}
		}
		u.Edges = kept
	}
	in, out := programmes(n, u, o.g)
	live := func(node, e int) bool { k := u.Offset[node] + e; return in[k] > 0 && out[k] > 0 }
	o.vars = make([]int, o.g.Count)
	for i := range o.vars {
		o.vars[i] = -1
	}
	weighted := n.Weighted()
	for i := range n.Nodes {
		if !weighted[i] {
			continue
		}
		for e := range n.Nodes[i].Len() {
			id := o.g.Units[i].At(e)
			if id >= 0 && o.g.Pin[id] == "" && o.vars[id] < 0 && live(i, e) {
				o.vars[id] = o.n
				o.n++
			}
		}
	}
	o.pair()
	for i := range n.Nodes {
		l, ok := n.Nodes[i].Op.(*dag.Linear)
		if !ok || !weighted[i] {
			continue
		}
		rowLive := make([]bool, l.Rows())
		for e := range n.Nodes[i].Len() {
			r := l.Out().At(e)
			rowLive[r] = rowLive[r] || live(i, e)
		}
		if l.Map != nil && l.Free() {
			// What has no group is zero: a product of a function with zero, say, which the
			// programmes take for a source.
			colLive := make([]bool, l.Map.In().N)
			for e := range l.Map.In().Len() {
				c := l.Map.In().At(e)
				colLive[c] = colLive[c] || live(n.Nodes[i].In[0], e) && o.g.Cols[i][c] != dag.NoGroup
			}
			kappa := map[[3]int]float64{}
			add := func(row, col, tap, e, f int, w float64) {
				kappa[[3]int{row, col, tap}] += w * w * out[u.Offset[i]+e] * in[u.Offset[n.Nodes[i].In[0]]+f]
			}
			switch m := l.Map.(type) {
			case *dag.Conv:
				convEdges(m, func(row, col, tap, e, f int) { add(row, col, tap, e, f, 1) })
			case *dag.Average:
				l.Elements(func(row, col, e, f int, w float64) { add(row, col, 0, e, f, w/l.Scale()[row]) })
			default:
				l.Elements(func(row, col, e, f int, _ float64) { add(row, col, 0, e, f, 1) })
			}
			weights(l, func(row, col, tap int, w float64) {
				if rowLive[row] && colLive[col] {
					o.edges = append(o.edges, oracleEdge{
						o.rows + row, int(o.g.Cols[i][col]), int(o.g.Rows[i][row]), math.Abs(w), kappa[[3]int{row, col, tap}],
					})
				}
			})
		}
		if b := l.Bias(); b != nil && bias {
			sums := make([]float64, l.Rows())
			for e := range n.Nodes[i].Len() {
				sums[l.Out().At(e)] += out[u.Offset[i]+e]
			}
			for r, x := range b {
				if rowLive[r] {
					o.edges = append(o.edges, oracleEdge{o.rows + r, -1, int(o.g.Rows[i][r]), math.Abs(x), sums[r]})
				}
			}
		}
		o.rows += l.Rows()
	}
	return o
}

// convEdges lists the positions of a convolution: the row, column and tap of the
// weight, the element of the value and of the operand.
func convEdges(m *dag.Conv, f func(row, col, tap, out, in int)) {
	nOut, nIn, ci, co := m.Out().Inner, m.In().Inner, m.InChannels/m.Groups, m.OutChannels/m.Groups
	m.Window.Taps(func(o, p, t int) {
		if m.Transposed {
			o, p = p, o
		}
		for row := range m.OutChannels {
			for j := range ci {
				col := row/co*ci + j
				f(row, col, t, row*nOut+o, col*nIn+p)
			}
		}
	})
}

// weights lists a layer's stored weights once, folded, with row, column and tap.
// Average pooling under a factor a channel is not met here.
func weights(l *dag.Linear, f func(row, col, tap int, w float64)) {
	s := func(row int) float64 {
		if l.Scale() == nil {
			return 1
		}
		return l.Scale()[row]
	}
	switch m := l.Map.(type) {
	case *dag.Dense:
		for r := range m.Rows {
			for c := range m.Cols {
				f(r, c, 0, s(r)*m.At(r, c))
			}
		}
	case *dag.Conv:
		taps := dag.Size(m.Window.Kernel)
		ci, co := m.InChannels/m.Groups, m.OutChannels/m.Groups
		for k := range m.W.Param.Len() {
			a, b := k/taps, 0
			var r, c int
			if m.Transposed {
				a, b = a/co, a%co
				r, c = a/ci*co+b, a
			} else {
				a, b = a/ci, a%ci
				r, c = a, a/co*ci+b
			}
			f(r, c, k%taps, s(r)*m.W.Param.At(k))
		}
	case *dag.Diagonal:
		for r := range l.Rows() {
			f(r, r, 0, s(r))
		}
	}
}

// programmes are g_in and g_out of p = 2 on the graph of units.
//
// Paths go through products, along the operands whose factors do.
func programmes(n *dag.Network, u *dagtest.Unrolled, g *dag.Groups) (in, out []float64) {
	units := u.Offset[len(n.Nodes)]
	in, out = make([]float64, units), make([]float64, units)
	pre := func(k int) bool { return n.Nodes[k].Zone == dag.Preamble }
	edges := make([][]dagtest.Edge, len(n.Nodes))
	for _, e := range u.Edges {
		edges[e.Node] = append(edges[e.Node], e)
	}
	// The value of a function between layers is a start. It is an end too only where paths
	// go through it.
	start := func(j int) bool { return n.Nodes[j].Zone == dag.Between && len(g.Carries[j]) != 1 }
	end := make([]bool, len(n.Nodes))
	for _, p := range n.Outputs {
		end[p.Node] = !start(p.Node)
	}
	for i := range n.Nodes {
		nd := &n.Nodes[i]
		_, isFunc := nd.Op.(*dag.Func)
		_, isInput := nd.Op.(dag.Input)
		if isFunc || nd.Zone == dag.Head {
			for k, j := range nd.Operands() {
				read := n.Nodes[j].Zone != dag.Preamble || nd.Zone == dag.Head
				end[j] = end[j] || read && !start(j) && !slices.Contains(g.Carries[i], k)
			}
		}
		switch {
		case isFunc && len(g.Carries[i]) == 1:
			terms(n, u, i, g.Carries[i][0], func(to, from int) { in[to] += in[from] })
		case isFunc || isInput: // the starts of segments
			for e := range nd.Len() {
				in[u.Offset[i]+e] = 1
			}
		}
		for _, e := range edges[i] {
			switch {
			case e.From == dagtest.One:
				in[e.To] += e.W * e.W
			case pre(e.Node):
				in[e.To] = math.Max(in[e.To], in[e.From])
			default:
				in[e.To] += e.W * e.W * in[e.From]
			}
		}
	}
	for i := len(n.Nodes) - 1; i >= 0; i-- {
		if end[i] {
			for e := range n.Nodes[i].Len() {
				out[u.Offset[i]+e]++
			}
		}
		if f, ok := n.Nodes[i].Op.(*dag.Func); ok {
			switch c := g.Carries[i]; len(c) {
			case 1:
				terms(n, u, i, c[0], func(to, from int) { out[from] += out[to] })
			case 2:
				meetings(f.Form.(*dag.Matrices), func(a, b int) {
					a, b = a+u.Offset[n.Nodes[i].In[0]], b+u.Offset[n.Nodes[i].In[1]]
					out[a] += in[b]
					out[b] += in[a]
				})
			}
			continue
		}
		for _, e := range edges[i] {
			if e.From != dagtest.One && !pre(e.Node) {
				out[e.From] += e.W * e.W * out[e.To]
			}
		}
	}
	return in, out
}

// terms lists the elements of a product's value with those of operand k that they are
// sums of.
func terms(n *dag.Network, u *dagtest.Unrolled, node, k int, f func(to, from int)) {
	nd := &n.Nodes[node]
	to, from := u.Offset[node], u.Offset[nd.In[k]]
	m, ok := nd.Op.(*dag.Func).Form.(*dag.Matrices)
	if !ok {
		for e := range nd.Len() {
			f(to+e, from+e)
		}
		return
	}
	for s := range m.Left {
		for i := range m.M {
			for j := range m.N {
				for q := range m.K {
					x := (int(m.Left[s])*m.M+i)*m.K + q
					if k == 1 {
						x = (int(m.Right[s])*m.K+q)*m.N + j
					}
					f(to+(s*m.M+i)*m.N+j, from+x)
				}
			}
		}
	}
}

// meetings lists the elements of both operands that are multiplied.
func meetings(m *dag.Matrices, f func(a, b int)) {
	for s := range m.Left {
		for i := range m.M {
			for j := range m.N {
				for q := range m.K {
					f((int(m.Left[s])*m.M+i)*m.K+q, (int(m.Right[s])*m.K+q)*m.N+j)
				}
			}
		}
	}
}

// pair gives groups with inverse factors one variable, if both have live units.
func (o *oracle) pair() {
	o.sign = make([]float64, len(o.vars))
	used := make([]bool, o.n)
	for id, of := range o.g.Inverse {
		o.sign[id] = 1
		switch {
		case of < 0:
		case o.vars[id] < 0 || o.vars[of] < 0:
			o.vars[id], o.vars[of] = -1, -1
		case o.g.Follows(id):
			o.vars[id], o.sign[id] = o.vars[of], -1
		}
	}
	for _, v := range o.vars {
		if v >= 0 {
			used[v] = true
		}
	}
	number, n := make([]int, o.n), 0
	for v, yes := range used {
		if number[v] = n; yes {
			n++
		}
	}
	for id, v := range o.vars {
		if v >= 0 {
			o.vars[id] = number[v]
		}
	}
	o.n = n
}

// z is the logarithm of a group's factor.
func (o *oracle) z(x []float64, group int) float64 {
	if group < 0 || o.vars[group] < 0 {
		return 0
	}
	return o.sign[group] * x[o.vars[group]]
}

// logs returns the logarithms of the free factors.
func (o *oracle) logs(c []float64) []float64 {
	x := make([]float64, o.n)
	for id, v := range o.vars {
		if v >= 0 {
			x[v] = o.sign[id] * math.Log(c[id])
		}
	}
	return x
}

// mu is the largest incoming p-norm.
func (o *oracle) mu(x []float64, p float64) float64 {
	sums := make([]float64, o.rows)
	for _, e := range o.edges {
		w := e.w * math.Exp(o.z(x, e.to)-o.z(x, e.from))
		if math.IsInf(p, 1) {
			sums[e.row] = math.Max(sums[e.row], w)
		} else {
			sums[e.row] += math.Pow(w, p)
		}
	}
	top := 0.0
	for _, s := range sums {
		if !math.IsInf(p, 1) {
			s = math.Pow(s, 1/p)
		}
		top = math.Max(top, s)
	}
	return top
}

// power is sum |theta|^p with gradient and Hessian where they are wanted.
func (o *oracle) power(x []float64, p float64, grad, hess []float64) float64 {
	return o.exps(x, p, grad, hess, func(e *oracleEdge) float64 { return math.Pow(e.w, p) })
}

// exps is sum_e a_e exp(s (z_to - z_from)).
func (o *oracle) exps(x []float64, s float64, grad, hess []float64, a func(e *oracleEdge) float64) float64 {
	total := 0.0
	for k := range o.edges {
		e := &o.edges[k]
		t := a(e) * math.Exp(s*(o.z(x, e.to)-o.z(x, e.from)))
		total += t
		to, from := o.vars[e.to], -1
		if e.from >= 0 {
			from = o.vars[e.from]
		}
		if to == from {
			continue
		}
		up := o.sign[e.to]
		for _, q := range []struct {
			v    int
			sign float64
		}{{to, up}, {from, -1}} {
			if q.v >= 0 && grad != nil {
				grad[q.v] += q.sign * s * t
			}
			if q.v >= 0 && hess != nil {
				hess[q.v*o.n+q.v] += s * s * t
			}
		}
		if to >= 0 && from >= 0 && hess != nil {
			hess[to*o.n+from] -= up * s * s * t
			hess[from*o.n+to] -= up * s * s * t
		}
	}
	return total
}

// condition is pathcond's objective with gradient and Hessian.
func (o *oracle) condition(x []float64, grad, hess []float64) float64 {
	const s = -2
	g, h := make([]float64, o.n), make([]float64, o.n*o.n)
	sum := o.exps(x, s, g, h, func(e *oracleEdge) float64 { return e.kappa })
	n, ln := 0.0, 0.0
	lin := make([]float64, o.n)
	for _, e := range o.edges {
		if e.kappa == 0 {
			continue // a tap that meets padding alone
		}
		n++
		ln += math.Log(e.kappa) + s*(o.z(x, e.to)-o.z(x, e.from))
		if v := o.vars[e.to]; v >= 0 {
			lin[v] += o.sign[e.to] * s
		}
		if e.from >= 0 && o.vars[e.from] >= 0 {
			lin[o.vars[e.from]] -= s
		}
	}
	for v := range grad {
		grad[v] = n*g[v]/sum - lin[v]
	}
	for v := range hess {
		hess[v] = n * (h[v]/sum - g[v/o.n]*g[v%o.n]/sum/sum)
	}
	return n*math.Log(sum) - ln
}

// ranges returns the largest weight into and out of each free group.
func (o *oracle) ranges(x []float64) (in, out []float64, top float64) {
	in, out = make([]float64, o.n), make([]float64, o.n)
	for _, e := range o.edges {
		w := e.w * math.Exp(o.z(x, e.to)-o.z(x, e.from))
		top = math.Max(top, w)
		if v := o.vars[e.to]; v >= 0 && o.sign[e.to] > 0 {
			in[v] = math.Max(in[v], w)
		} else if v >= 0 {
			out[v] = math.Max(out[v], w)
		}
		if e.from >= 0 && o.vars[e.from] >= 0 {
			out[o.vars[e.from]] = math.Max(out[o.vars[e.from]], w)
		}
	}
	return in, out, top
}

// least is min mu_{p,inf}: bisection on c, and for each c the iteration of
// b <- max ||w b||_p / c from nothing, which is what feasible means. ok is
// false where the iteration does not settle in time.
func (o *oracle) least(p, lo, hi float64) (c float64, ok bool) {
	b, sums := make([]float64, o.n), make([]float64, o.rows)
	group := make([]int, o.rows)
	for _, e := range o.edges {
		group[e.row] = e.to
	}
	meets := make([]bool, o.n) // whose units meet others: the sides are in b and inverse
	for id, s := range o.sign {
		if s < 0 {
			meets[o.vars[id]] = true
		}
	}
	inverse := make([]float64, o.n)
	feasible := func(c float64) (yes, settled bool) {
		clear(b)
		clear(inverse)
		for range 20000 {
			clear(sums)
			for _, e := range o.edges {
				h := 1.0
				if e.from >= 0 && o.vars[e.from] >= 0 {
					h = b[o.vars[e.from]]
				}
				if w := e.w * h; math.IsInf(p, 1) {
					sums[e.row] = math.Max(sums[e.row], w)
				} else if w > 0 {
					sums[e.row] += math.Pow(w, p)
				}
			}
			change := 0.0
			for r, s := range sums {
				if !math.IsInf(p, 1) {
					s = math.Pow(s, 1/p)
				}
				s /= c
				v := -1
				if s > 0 {
					v = o.vars[group[r]]
				}
				if s > 0 && v < 0 && s > 1 {
					return false, true
				}
				if v >= 0 && o.sign[group[r]] < 0 {
					inverse[v] = math.Max(inverse[v], s)
				}
				if v >= 0 && meets[v] && b[v]*inverse[v] > 1 {
					return false, true
				}
				if v >= 0 && o.sign[group[r]] > 0 && s > b[v]*(1+1e-14) {
					change = math.Max(change, s/b[v]-1)
					b[v] = s
				}
			}
			if change == 0 {
				return true, true
			}
		}
		return false, false
	}
	for hi/lo > 1+1e-11 {
		mid := math.Sqrt(lo * hi)
		yes, settled := feasible(mid)
		if !settled {
			return 0, false
		}
		if yes {
			hi = mid
		} else {
			lo = mid
		}
	}
	return hi, true
}

// condition2 is the condition of a method's optimality equations at x: that of
// the Hessian with its diagonal scaled to 1. The piecewise linear ones have a
// modest one.
func (o *oracle) condition2(m rescale.Method, x []float64) float64 {
	h := make([]float64, o.n*o.n)
	switch m {
	case rescale.EqualNorm:
		o.power(x, 2, make([]float64, o.n), h)
	case rescale.PathConditioned:
		o.condition(x, make([]float64, o.n), h)
	default:
		return 1e4
	}
	s := mat.NewSymDense(o.n, nil)
	for i := range o.n {
		for j := i; j < o.n; j++ {
			s.SetSym(i, j, h[i*o.n+j]/math.Sqrt(h[i*o.n+i]*h[j*o.n+j]))
		}
	}
	var e mat.EigenSym
	e.Factorize(s, false)
	v := e.Values(nil)
	return v[len(v)-1] / math.Max(v[0], 1e-16)
}

package rescale

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/internal/lists"
	"gonum.org/v1/gonum/floats"
)

// pathConditioned minimises, over the logarithms z of the factors,
//
//	n ln sum_e kappa_e - sum_e ln kappa_e,
//	kappa_e(z) = kappa_e(0) exp(-2 (z_row - z_col)),
//
// e the n live edges, those with kappa_e > 0 (zero weights too), kappa_e =
// (g_in g_out)^(2/p) with p = 2, a shared tensor's once for each use and a
// convolution's summed over its positions. In a layer of fully connected units
// kappa is an outer product: nothing here reads the weights.
func (r *search) pathConditioned(ctx context.Context) error {
	v, err := newView(r.net, r.Groups, 2, r.opt)
	if err != nil {
		return err
	}
	r.view = v
	v.kappa = paths.NewKappa(r.net, 2, paths.Options{Bias: r.opt.Bias, Threads: r.opt.Threads, Carries: r.Groups.Carries})
	q := v.kappaProblem()
	v.kappa = nil // read no more
	r.problem = q
	if q.n > 0 {
		r.Objective.Before = scaled.New(q.n*q.lnSum.ln() - q.lnKappa)
	}
	m, err := q.minimise(ctx, r.opt)
	if err != nil {
		return err
	}
	if m.lost && len(m.trace) == 0 {
		return fmt.Errorf("rescale: pathcond: the products of weights along paths span more than float64 holds: balance with the method path, which has no such limit")
	}
	r.finish(v, q, m)
	// The problem leaves out the constants: the common factor of kappa, the sum
	// of ln kappa of the network as given, and what the start adds to it.
	shift := q.n*q.shift - q.lnKappa
	for k, id := range v.active {
		shift += q.lin[k] * v.start[id]
	}
	for _, f := range m.trace {
		r.Trace = append(r.Trace, scaled.New(f+shift))
	}
	if q.n > 0 {
		r.Objective.After = scaled.New(m.trace[len(m.trace)-1] + shift)
	}
	return nil
}

// largestLn is the largest of logarithms, -Inf for none.
func largestLn(x []float64) float64 {
	m := math.Inf(-1)
	for _, v := range x {
		m = math.Max(m, v)
	}
	return m
}

// kappaProblem is the problem of pathConditioned, with every kappa divided by
// one of the size of the largest.
func (v *view) kappaProblem() *problem {
	const s = -2
	q := &problem{s: s, vars: len(v.active), lin: make([]float64, len(v.active))}
	var loops []loop
	var fixed lnSum
	for _, y := range v.layers {
		b := v.newLinks(y, s)
		out, in := v.squares(y, b)
		b.mul = rankOne
		if y.parts == nil || y.outer(out) && !b.loops() {
			v.countEdges(y, b, q, out, in, nil)
		} else {
			k := v.newShares(y, b, s)
			v.countEdges(y, b, q, out, in, k)
			if k.a != nil {
				loops = append(loops, k.cut(b)...)
			}
			b.mul = k.products
		}
		// The shares of a layer without variables on one side are as many as its weights, and only their
		// sums are asked for.
		if !hasVariables(b.rows) || !hasVariables(b.cols) {
			var rest lnSum
			b, rest = b.collapsed()
			fixed.add(rest.ln())
		}
		if b != nil {
			q.links = append(q.links, b)
		}
	}
	shift := fixed.ln()
	for _, b := range q.links {
		shift = math.Max(shift, largestLn(b.row)+largestLn(b.col))
		shift = math.Max(shift, largestLn(b.bias))
	}
	if math.IsInf(shift, -1) {
		return q
	}
	q.shift = shift
	for _, b := range q.links {
		for i := range b.row {
			b.row[i] -= shift
			if b.bias != nil {
				b.bias[i] -= shift
			}
		}
	}
	q.fixed = math.Exp(fixed.ln() - shift)
	for _, c := range loops {
		q.fixed += c.a * math.Exp(c.b.row[c.row]+c.b.col[c.col])
	}
	return q
}

// lnSum adds up numbers given by their logarithms. The zero value is no number.
type lnSum struct {
	top, sum float64 // the sum is sum e^top
}

func (s *lnSum) add(ln float64) {
	switch {
	case math.IsInf(ln, -1):
	case s.sum == 0:
		s.top, s.sum = ln, 1
	case ln <= s.top:
		s.sum += math.Exp(ln - s.top)
	default:
		s.top, s.sum = ln, 1+s.sum*math.Exp(s.top-ln)
	}
}

func (s *lnSum) ln() float64 { return s.top + math.Log(s.sum) }

// loop is an edge within a group: see problem.fixed.
type loop struct {
	b        *links
	row, col int
	a        float64
}

// rankOne is the matrix of ones: all of kappa is in the links' factors.
func rankOne(x, y, ax, aty []float64) {
	var sx, sy float64
	for _, v := range x {
		sx += v
	}
	for _, v := range y {
		sy += v
	}
	for i := range ax {
		ax[i] += sx
	}
	for j := range aty {
		aty[j] += sy
	}
}

// squares sets the factors of the links of kappa for rows and columns with one
// position, and returns ln h^2 of each element of the layer's value and operand.
func (v *view) squares(y *layer, b *links) (out, in []float64) {
	ln := func(h []scaled.Num) []float64 {
		return lists.Map(h, func(x scaled.Num) float64 { return 2 * x.Ln() })
	}
	out = ln(v.kappa.Out(y.node))
	if y.bias != nil {
		b.bias = append([]float64(nil), b.row...)
		sum(b.bias, out, y.l.Out())
	}
	if y.parts == nil {
		return out, nil
	}
	in = ln(v.kappa.In(v.net.Nodes[y.node].In[0]))
	sum(b.row, out, y.l.Out())
	sum(b.col, in, y.l.Map.In())
	return out, in
}

// sum adds ln sum_e e^x_e, over the elements e of each index of the axis, to ln.
func sum(ln, x []float64, a dag.Axis) {
	top := slices.Repeat([]float64{math.Inf(-1)}, a.N)
	for e, l := range x {
		top[a.At(e)] = math.Max(top[a.At(e)], l)
	}
	s := make([]float64, a.N)
	for e, l := range x {
		if i := a.At(e); !math.IsInf(top[i], -1) {
			s[i] += math.Exp(l - top[i])
		}
	}
	for i := range ln {
		ln[i] += top[i] + math.Log(math.Max(s[i], math.SmallestNonzeroFloat64))
	}
}

// outer reports whether kappa of a layer is an outer product: it is fully
// connected and its value, of which out has one number an element, has one
// position.
func (y *layer) outer(out []float64) bool {
	_, dense := y.l.Map.(*dag.Dense)
	return dense && len(out) == len(y.rows)
}

// shares are kappa of a layer whose weights serve several positions, as a matrix
// over rows and columns: the sum over the weights between them, divided by the sums
// over positions that the links' factors hold.
type shares struct {
	// a has the diagonal blocks of the matrix one behind the other, of height rows and width columns each:
	// one for each group of a convolution or for each number of a diagonal.
	a             []float64
	height, width int
	// out and in, in place of a, are factors of the matrix, out in^T, with classes numbers
	// for each row and each column: of a fully connected layer with few classes of positions.
	out, in []float64
	classes int
	// row and col are the logarithms of those sums.
	row, col []float64
}

func (v *view) newShares(y *layer, b *links, s float64) *shares {
	sums := func(ln []float64, ids []int32, s float64) []float64 {
		out := make([]float64, len(ln))
		for i, id := range ids {
			if id != dag.NoGroup {
				out[i] = ln[i] - s*v.start[id]
			}
		}
		return out
	}
	k := &shares{row: sums(b.row, y.rows, s), col: sums(b.col, y.cols, -s)}
	if b.loops() || !k.factorise(v, y) {
		k.keep(y)
	}
	return k
}

// keep makes room for the matrix.
func (k *shares) keep(y *layer) {
	blocks := len(y.parts)
	if y.parts[0].Diagonal {
		blocks = max(1, len(k.row))
	}
	k.height, k.width = len(k.row)/blocks, len(k.col)/blocks
	k.a = make([]float64, len(k.row)*k.width)
}

// factorise finds the factors of the matrix, and reports whether they are fewer numbers than it.
func (k *shares) factorise(v *view, y *layer) bool {
	rows, cols := v.kappa.Outer(y.node)
	if rows == nil {
		return false
	}
	k.classes = len(rows[0])
	if k.classes*(len(k.row)+len(k.col)) >= len(k.row)*len(k.col) {
		return false
	}
	factor := func(of [][]scaled.Num, ids []int32, ln []float64) []float64 {
		to := make([]float64, len(of)*k.classes)
		for i, x := range of {
			if ids[i] == dag.NoGroup {
				continue
			}
			for c, n := range x {
				to[i*k.classes+c] = math.Exp(n.Ln() - ln[i])
			}
		}
		return to
	}
	k.out, k.in = factor(rows, y.rows, k.row), factor(cols, y.cols, k.col)
	return true
}

// ones are the shares of an outer product.
func (k *shares) ones() {
	for e := range k.a {
		k.a[e] = 1
	}
}

// add adds a weight with a logarithm of kappa.
func (k *shares) add(row, col int, ln float64) {
	if k.a != nil {
		k.a[row*k.width+col-row/k.height*k.width] += math.Exp(ln - k.row[row] - k.col[col])
	}
}

// cut takes the edges within groups out.
func (k *shares) cut(b *links) (out []loop) {
	for e, a := range k.a {
		r := e / k.width
		c := r/k.height*k.width + e%k.width
		if b.rows[r] >= 0 && b.rows[r] == b.cols[c] && a != 0 {
			out = append(out, loop{b, r, c, a})
			k.a[e] = 0
		}
	}
	return out
}

// products is links.mul.
func (k *shares) products(x, y, ax, aty []float64) {
	if k.height == 1 && k.width == 1 {
		for r, w := range k.a {
			ax[r] += w * x[r]
			aty[r] += w * y[r]
		}
		return
	}
	if k.a == nil {
		lines := func(f []float64, i int) []float64 { return f[i*k.classes:][:k.classes] }
		through := func(to, by, from, x []float64) { // to += by from^T x
			sum := make([]float64, k.classes)
			for j, v := range x {
				floats.AddScaled(sum, v, lines(from, j))
			}
			for i := range to {
				to[i] += floats.Dot(lines(by, i), sum)
			}
		}
		through(ax, k.out, k.in, x)
		through(aty, k.in, k.out, y)
		return
	}
	for r, c := 0, 0; r < len(k.row); r, c = r+k.height, c+k.width {
		kernel.ProductsAbs(ax[r:][:k.height], aty[c:][:k.width], k.a[r*k.width:][:k.height*k.width], x[c:][:k.width], y[r:][:k.height])
	}
}

// countEdges adds a layer's live edges to n and to the linear term, whose
// derivative counts the edges into a group less those out of it, and sums the
// logarithms of their kappa, which it puts into shares, if there are any. ln h^2
// of each element of the layer's value is in out, of its operand's in in.
func (v *view) countEdges(y *layer, b *links, q *problem, out, in []float64, to *shares) {
	// count adds edges, -s each into a variable's group and s each out of it.
	count := func(k int32, n float64) {
		if k >= 0 {
			q.lin[k] += n
		}
	}
	edge := func(ln float64) {
		q.n++
		q.lnKappa += ln
		q.lnSum.add(ln)
	}
	if y.bias != nil {
		for i, x := range v.kappa.Bias(y.node) {
			if y.rows[i] != dag.NoGroup {
				edge(x.Ln())
				count(b.rows[i], -b.rowSign[i]*q.s)
			}
		}
	}
	if y.parts == nil {
		return
	}
	if y.outer(out) {
		// An outer product: sums over edges are products of sums.
		side := func(ids []int32, ln []float64) (n, total float64, sum lnSum) {
			for i, id := range ids {
				if id != dag.NoGroup {
					n++
					total += ln[i]
					sum.add(ln[i])
				}
			}
			return n, total, sum
		}
		nr, lnOut, sumOut := side(y.rows, out)
		nc, lnIn, sumIn := side(y.cols, in)
		if nr == 0 || nc == 0 {
			return
		}
		q.n += nr * nc
		q.lnKappa += nc*lnOut + nr*lnIn
		q.lnSum.add(sumOut.ln() + sumIn.ln())
		for i, id := range y.rows {
			if id != dag.NoGroup {
				count(b.rows[i], -b.rowSign[i]*q.s*nc)
			}
		}
		for j, id := range y.cols {
			if id != dag.NoGroup {
				count(b.cols[j], q.s*nr)
			}
		}
		if to != nil {
			to.ones()
		}
		return
	}
	// A tap that meets padding alone joins no units.
	join := func(row, col int, x scaled.Num) {
		if y.rows[row] != dag.NoGroup && y.cols[col] != dag.NoGroup && !x.IsZero() {
			edge(x.Ln())
			count(b.rows[row], -b.rowSign[row]*q.s)
			count(b.cols[col], q.s)
			to.add(row, col, x.Ln())
		}
	}
	of := y.l.Matrices() // of equal size, one behind the other
	if v.kappa.EachEdge(y.node, func(e int, x scaled.Num) {
		m := &of[e/of[0].Len()]
		row, col := m.Place(e % m.Len())
		join(row, col, x)
	}) {
		return
	}
	for i, x := range v.kappa.Scale(y.node, paths.Options{}) { // one factor a channel
		join(i, i, x)
	}
}

// kappaObjective is the objective of the network rescaled by c.
func (r *search) kappaObjective(c []float64) scaled.Num {
	q, v := r.problem, r.view
	if q.n == 0 {
		return scaled.Num{}
	}
	d := make([]float64, len(v.active))
	linear := 0.0
	for k, id := range v.active {
		z := math.Log(c[id])
		d[k] = z - v.start[id]
		linear += q.lin[k] * z
	}
	q.in, q.out = make([]float64, q.vars), make([]float64, q.vars)
	return scaled.New(q.n*(math.Log(q.eval(d))+q.shift) - q.lnKappa + linear)
}

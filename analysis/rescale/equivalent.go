package rescale

import (
	"context"
	"fmt"
	"math"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/paths"
)

// Order says whether hidden units may come in another order.
type Order uint8

// The orders.
const (
	// SameOrder compares unit by unit.
	SameOrder Order = iota
	// AnyOrder also looks for a permutation of each layer's hidden units.
	AnyOrder
)

// EquivalentOptions says how to compare. The zero value works.
type EquivalentOptions struct {
	// Tolerance is the largest relative difference of a weight. Default: 1e-10
	// for float64, 1e-5 for float32, 1e-2 for float16 and bfloat16, the coarsest
	// type of either network.
	Tolerance float64
	// Units says whether units may be permuted. Default: they may not.
	Units Order
	// Threads is the number of goroutines; 0 is one.
	Threads int
}

// Equivalence is the answer to whether a network B is a rescaling of A.
type Equivalence struct {
	// Equivalent is the answer, unless Undecided; Reason says in a sentence why
	// not.
	Equivalent bool
	Reason     string
	// Undecided says that neither answer is certain: the forms of the networks
	// cannot be compared, and they give the same values.
	Undecided bool
	// Groups are A's groups of tied units, Factors the factors that turn A into B
	// (units permuted as Permutation says), NaN for a unit that has no counterpart
	// because B is written in another form. Nil where the forms cannot be compared.
	Groups  *dag.Groups
	Factors []float64
	// Permutation lists the layers whose units come in another order in B.
	Permutation []LayerOrder
	// Residual is the largest relative difference |w_B - w| / |w| of a weight or
	// bias w of the rescaled A, beyond what subnormal numbers and cancellation in
	// a folded bias explain; Where is the edge at which it occurs.
	Residual float64
	Where    string
	// Tolerance is the largest Residual that counts as rounding.
	Tolerance float64

	// certain says that a no is one of these forms: the weights differ however
	// units and operands are ordered.
	certain bool
}

// LayerOrder is the order of one layer's units.
type LayerOrder struct {
	// Node is the layer, Name its name.
	Node int
	Name string
	// Units has, for each unit of A, the unit of B that it corresponds to.
	Units []int
}

// Equivalent reports whether factors exist that turn the weights of a into those
// of b, one positive factor for each group of tied units of a, pinned groups 1:
// w_b = w_a c_row/c_col, biases b_b = b_a c_row. Networks are compared with
// BatchNormalization folded, edge by edge at the same place, so that one that
// stores a layer transposed, or splits a shared tensor, is no other
// architecture. A zero must be a zero. A unit without incoming weights has its
// factor from the outgoing ones; one without either has 1.
//
// The networks are compared as they are, then in their normal forms, see
// Normalize. A no is certain: the networks differ in inputs or outputs, or in
// one form and no factors fit, or they give values that differ by more than
// changes of every weight by the tolerance explain. Where none of these holds the
// answer is Undecided.
//
// The factor of a unit comes from its incoming weights, the mean logarithm of
// w_b/w_a over those that agree with the largest, layer by layer from the
// inputs. With AnyOrder units are matched first, see match.
//
// Errors: a negative tolerance, a cancelled context. Cost: some reads of both
// networks' weights.
func Equivalent(ctx context.Context, a, b *dag.Network, opt EquivalentOptions) (*Equivalence, error) {
	if !(opt.Tolerance >= 0) {
		return nil, fmt.Errorf("rescale: tolerance %v, want a positive number", opt.Tolerance)
	}
	if opt.Tolerance == 0 {
		opt.Tolerance = math.Max(weightTolerance(a), weightTolerance(b))
	}
	if why := sameEnds(a, b); why != "" {
		return &Equivalence{Tolerance: opt.Tolerance, Reason: "another architecture: " + why, certain: true}, nil
	}
	e, err := equivalentForms(ctx, a, b, opt)
	if err != nil || e.Equivalent {
		return e, err
	}
	na, err := Normalize(a)
	if err != nil {
		return nil, err
	}
	nb, err := Normalize(b)
	if err != nil {
		return nil, err
	}
	n, err := equivalentForms(ctx, na.Net, nb.Net, opt)
	if err != nil {
		return nil, err
	}
	same := e.certain && n.certain && !na.Ambiguous && !nb.Ambiguous
	if n.Equivalent || e.Groups == nil {
		e = n.of(a, na)
	}
	if e.Equivalent || same {
		return e, nil
	}
	why, err := functionsDiffer(ctx, a, b, opt)
	switch {
	case err != nil:
		return nil, err
	case why != "" && e.Groups == nil:
		e.Reason = why + " (" + e.Reason + ")"
	case why == "":
		e.Undecided = true
		e.Reason = "the forms cannot be compared: " + e.Reason + "; the networks give the same values on random inputs"
	}
	return e, nil
}

// sameEnds returns why two networks take or give values of other sizes, or
// nothing.
func sameEnds(a, b *dag.Network) string {
	for k, ports := range [][2][]dag.Port{{a.Inputs, b.Inputs}, {a.Outputs, b.Outputs}} {
		what := [...]string{"input", "output"}[k]
		if len(ports[0]) != len(ports[1]) {
			return fmt.Sprintf("%d %ss and %d", len(ports[0]), what, len(ports[1]))
		}
		for q, p := range ports[0] {
			if n, m := a.Nodes[p.Node].Len(), b.Nodes[ports[1][q].Node].Len(); n != m {
				return fmt.Sprintf("%s %q has %d elements and %d", what, p.Name, n, m)
			}
		}
	}
	return ""
}

// equivalentForms compares two networks node by node.
func equivalentForms(ctx context.Context, a, b *dag.Network, opt EquivalentOptions) (*Equivalence, error) {
	e := &Equivalence{Tolerance: opt.Tolerance}
	if e.Reason = sameArchitecture(a, b, opt.Tolerance); e.Reason != "" {
		return e, nil
	}
	e.Groups = a.Groups()
	c := newComparison(a, b, e.Groups, opt.Tolerance)
	c.ctx = ctx
	e.certain = true
	if opt.Units == AnyOrder {
		same := opt
		same.Units = SameOrder
		if first, err := equivalentForms(ctx, a, b, same); err != nil || first.Equivalent {
			return first, err
		}
		e.Reason = c.match()
		e.certain = !c.lossy
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("rescale: %w", err)
		}
		if e.Reason != "" {
			e.Groups = nil
			return e, nil
		}
		e.Permutation = c.permutation()
	}
	c.solve()
	e.Factors = e.Groups.Ones()
	for id, z := range c.z {
		if e.Groups.Pin[id] == "" {
			e.Factors[id] = math.Exp(z)
		}
	}
	e.Residual, e.Where = c.verify()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("rescale: %w", err)
	}
	e.Equivalent = e.Residual <= opt.Tolerance
	e.certain = e.certain && !math.IsNaN(e.Residual)
	if !e.Equivalent {
		e.Reason = "no factors fit: at best the weights differ, at " + e.Where
	}
	return e, nil
}

// of returns the answer found on a's normal form as one about a.
func (e *Equivalence) of(a *dag.Network, n *Normal) *Equivalence {
	if e.Groups == nil {
		return e
	}
	out := *e
	out.Groups = a.Groups()
	out.Factors = make([]float64, out.Groups.Count)
	for id := range out.Factors {
		out.Factors[id] = math.NaN()
	}
	back := map[int]int{}
	for i, j := range n.To {
		if j < 0 || out.Groups.Rows[i] == nil || e.Groups.Rows[j] == nil {
			continue
		}
		if l, ok := a.Nodes[i].Op.(*dag.Linear); !ok || !l.Free() {
			continue
		}
		back[j] = i
		for r, id := range out.Groups.Rows[i] {
			if to := e.Groups.Rows[j][r]; id != dag.NoGroup && to != dag.NoGroup {
				out.Factors[id] = e.Factors[to]
			}
		}
	}
	for id, pin := range out.Groups.Pin {
		if pin != "" {
			out.Factors[id] = 1
		}
	}
	out.Permutation = nil
	for _, p := range e.Permutation {
		if i, ok := back[p.Node]; ok {
			out.Permutation = append(out.Permutation, LayerOrder{i, a.Nodes[i].Name, p.Units})
		}
	}
	return &out
}

func weightTolerance(n *dag.Network) float64 {
	tol := 1e-10
	for _, p := range n.Params() {
		switch p.Type {
		case dag.Float32:
			tol = math.Max(tol, 1e-5)
		case dag.Float16, dag.BFloat16:
			tol = math.Max(tol, 1e-2)
		}
	}
	return tol
}

// comparison holds two networks of one architecture.
type comparison struct {
	// ctx ends every loop over rows early; Equivalent asks it after each stage.
	ctx    context.Context
	a, b   *dag.Network
	g      *dag.Groups
	tol    float64
	layers []*pair
	// sigma maps each group of a to its group in b, both numbered by a's groups.
	sigma []int32
	z     []float64
	known []bool
	// lossy says that the keys of match lost digits, so that units that correspond
	// may not have been found.
	lossy bool
	// norms are a's path norms once they are needed.
	norms *paths.Values
}

// pair is one linear layer of both networks.
type pair struct {
	node       int
	a, b       *dag.Linear
	readA      func(i int, dst []entry) []entry
	readB      func(i int, dst []entry) []entry
	rows, cols []int32
	// rowSlots and colSlots list the rows and columns of each group.
	rowSlots, colSlots map[int32][]int32
	taps               int
	// rowOf and colOf map a's rows and columns to b's.
	rowOf, colOf []int32
}

// entry is one weight of a row.
type entry struct {
	col int32
	w   float64
}

func newComparison(a, b *dag.Network, g *dag.Groups, tol float64) *comparison {
	c := &comparison{
		a: a, b: b, g: g, tol: tol, sigma: make([]int32, g.Count), z: make([]float64, g.Count),
		known: make([]bool, g.Count),
	}
	for id := range c.sigma {
		c.sigma[id] = int32(id)
		c.known[id] = g.Pin[id] != ""
	}
	for i := range a.Nodes {
		la, ok := a.Nodes[i].Op.(*dag.Linear)
		if !ok {
			continue
		}
		p := &pair{node: i, a: la, b: b.Nodes[i].Op.(*dag.Linear), rows: g.Rows[i], cols: g.Cols[i]}
		// Outside the body no factor reaches.
		if p.rows == nil {
			p.rows = make([]int32, la.Rows())
		}
		if p.cols == nil && la.Map != nil {
			p.cols = make([]int32, la.Map.In().N)
		}
		p.readA, p.taps = rowReader(p.a)
		p.readB, _ = rowReader(p.b)
		p.rowSlots, p.colSlots = slots(p.rows), slots(p.cols)
		c.layers = append(c.layers, p)
	}
	c.place()
	return c
}

func slots(ids []int32) map[int32][]int32 {
	out := map[int32][]int32{}
	for i, id := range ids {
		out[id] = append(out[id], int32(i))
	}
	return out
}

// place derives every layer's row and column maps from sigma.
func (c *comparison) place() {
	for _, p := range c.layers {
		p.rowOf, p.colOf = c.placed(p.rows, p.rowSlots), c.placed(p.cols, p.colSlots)
	}
}

func (c *comparison) placed(ids []int32, slot map[int32][]int32) []int32 {
	out := make([]int32, len(ids))
	next := map[int32]int{}
	for i, id := range ids {
		to := id
		if id != dag.NoGroup {
			to = c.sigma[id]
		}
		out[i] = -1
		if k := next[id]; k < len(slot[to]) {
			out[i] = slot[to][k]
		}
		next[id]++
	}
	return out
}

// rowReader returns a function that lists a row's effective weights, column by
// column, a convolution's taps in a row, and how many there are of each column.
func rowReader(l *dag.Linear) (read func(i int, dst []entry) []entry, taps int) {
	scale := func(i int) float64 {
		if s := l.Scale(); s != nil {
			return s[i]
		}
		return 1
	}
	switch m := l.Map.(type) {
	case nil:
		return func(_ int, dst []entry) []entry { return dst }, 1
	case *dag.Dense:
		return func(i int, dst []entry) []entry {
			s := scale(i)
			for j := range m.Cols {
				dst = append(dst, entry{int32(j), s * m.At(i, j)})
			}
			return dst
		}, 1
	case *dag.Conv:
		taps, ci, co := dag.Size(m.Window.Kernel), m.InChannels/m.Groups, m.OutChannels/m.Groups
		return func(i int, dst []entry) []entry {
			s := scale(i)
			for j := range ci {
				col := i/co*ci + j
				at := (i*ci + j) * taps
				if m.Transposed {
					at = (col*co + i%co) * taps
				}
				for t := range taps {
					dst = append(dst, entry{int32(col), s * m.W.Param.At(at+t)})
				}
			}
			return dst
		}, taps
	}
	// A diagonal, or average pooling: fixed weights times the scale.
	return func(i int, dst []entry) []entry { return append(dst, entry{int32(i), scale(i)}) }, 1
}

// edgesOf calls f for every pair of weights of row i of a pair and for its
// biases, column NoGroup.
func (c *comparison) edgesOf(p *pair, i int, buf *buffers, f func(col int32, wa, wb float64)) {
	buf.a, buf.b = p.readA(i, buf.a[:0]), buf.b[:0]
	row := int(p.rowOf[i])
	if row >= 0 {
		buf.b = p.readB(row, buf.b)
	}
	// b's weights by column and tap.
	buf.at = grow(buf.at, len(p.cols)*p.taps)
	for k, e := range buf.b {
		buf.at[int(e.col)*p.taps+k%p.taps] = e.w
	}
	for k, e := range buf.a {
		w := 0.0
		if j := p.colOf[e.col]; j >= 0 {
			w = buf.at[int(j)*p.taps+k%p.taps]
		}
		f(e.col, e.w, w)
	}
	for k, e := range buf.b {
		buf.at[int(e.col)*p.taps+k%p.taps] = 0
	}
	ba, bb := biasAt(p.a, i), biasAt(p.b, row)
	if ba != 0 || bb != 0 {
		f(dag.NoGroup, ba, bb)
	}
}

type buffers struct {
	a, b []entry
	at   []float64
}

func grow(x []float64, n int) []float64 {
	if len(x) < n {
		return make([]float64, n)
	}
	return x
}

func biasAt(l *dag.Linear, i int) float64 {
	if b := l.Bias(); b != nil && i >= 0 {
		return b[i]
	}
	return 0
}

// solve finds z of every group, from the inputs to the outputs, then back for
// units without incoming weights, until nothing is left to find.
func (c *comparison) solve() {
	var buf buffers
	for {
		progress := false
		if c.ctx.Err() != nil {
			return
		}
		for _, p := range c.layers {
			progress = c.forward(p, &buf) || progress
		}
		for k := len(c.layers) - 1; k >= 0; k-- {
			progress = c.backward(c.layers[k], &buf) || progress
		}
		if progress {
			continue
		}
		// A part that no edge joins to a pinned unit: its first unit keeps 1.
		free := -1
		for id, k := range c.known {
			if !k {
				free = id
				break
			}
		}
		if free < 0 {
			return
		}
		c.known[free], c.z[free] = true, 0
	}
}

// forward takes the factors of rows from those of their columns.
func (c *comparison) forward(p *pair, buf *buffers) (progress bool) {
	type ratio struct{ ln, size float64 }
	var list []ratio
	for i, id := range p.rows {
		if id == dag.NoGroup || c.known[id] {
			continue
		}
		if c.ctx.Err() != nil {
			return false
		}
		list = list[:0]
		var top ratio
		c.edgesOf(p, i, buf, func(col int32, wa, wb float64) {
			z := 0.0
			if col != dag.NoGroup {
				g := p.cols[col]
				if g == dag.NoGroup || !c.known[g] {
					return
				}
				z = c.z[g]
			}
			if !comparable(wa, wb) {
				return
			}
			r := ratio{math.Log(math.Abs(wb)) - math.Log(math.Abs(wa)) + z, math.Log(math.Abs(wa)) - z}
			if top.size == 0 && len(list) == 0 || r.size > top.size {
				top = r
			}
			list = append(list, r)
		})
		if len(list) == 0 {
			continue
		}
		// Small weights have lost digits where they are subnormal.
		var sum, n float64
		for _, r := range list {
			if math.Abs(r.ln-top.ln) <= 2*c.tol && r.size > top.size-7 {
				sum += r.ln - top.ln
				n++
			}
		}
		c.z[id], c.known[id], progress = top.ln+sum/n, true, true
	}
	return progress
}

// comparable reports whether one positive factor turns a into b.
func comparable(a, b float64) bool {
	return a != 0 && b != 0 && (a > 0) == (b > 0) && a-a == 0 && b-b == 0
}

// times returns w e^z without leaving the range of float64 between.
func times(w, z float64) float64 {
	for w != 0 && math.Abs(z) > 600 && w-w == 0 {
		step := math.Copysign(600, z)
		w *= math.Exp(step)
		z -= step
	}
	if w == 0 {
		return 0
	}
	return w * math.Exp(z)
}

// backward takes the factors of columns from those of rows, each from its
// largest weight.
func (c *comparison) backward(p *pair, buf *buffers) (progress bool) {
	best := map[int32]float64{}
	open := false
	for _, id := range p.cols {
		open = open || id != dag.NoGroup && !c.known[id]
	}
	if !open {
		return false
	}
	for i, id := range p.rows {
		if id == dag.NoGroup || !c.known[id] {
			continue
		}
		c.edgesOf(p, i, buf, func(col int32, wa, wb float64) {
			if col == dag.NoGroup || !comparable(wa, wb) {
				return
			}
			g := p.cols[col]
			if g == dag.NoGroup || c.known[g] {
				return
			}
			size := math.Log(math.Abs(wa)) + c.z[id]
			if old, ok := best[g]; !ok || size > old {
				best[g] = size
				c.z[g] = c.z[id] - math.Log(math.Abs(wb)) + math.Log(math.Abs(wa))
			}
		})
	}
	for g := range best {
		c.known[g], progress = true, true
	}
	return progress
}

// verify returns the largest relative residual and where it is.
func (c *comparison) verify() (worst float64, where string) {
	var buf buffers
	for _, p := range c.layers {
		quantum, eps := precision(p.b)
		quantumA, _ := precision(p.a)
		sizes := biasSizes(p.b)
		for i, id := range p.rows {
			if c.ctx.Err() != nil {
				return worst, where
			}
			zr := 0.0
			if id != dag.NoGroup {
				zr = c.z[id]
			}
			c.edgesOf(p, i, &buf, func(col int32, wa, wb float64) {
				z, slack := zr, quantum
				if col != dag.NoGroup {
					if g := p.cols[col]; g != dag.NoGroup {
						z = zr - c.z[g]
					}
				}
				want := times(wa, z)
				// A subnormal number of a has as few digits, and they come times the factor.
				slack += times(quantumA, z)
				if wb == want {
					return
				}
				if col == dag.NoGroup {
					slack += 4 * eps * sizes[p.rowOf[i]]
					if math.Abs(wb-want)-slack > worst*math.Abs(want) {
						slack += 4 * eps * times(c.typical(p, i), zr)
					}
				}
				d := math.Abs(wb-want) - slack
				if !(d > 0) && wb-wb == 0 {
					return
				}
				d /= math.Abs(want)
				if !(d <= worst) {
					worst = d
					where = c.edgeName(p, i, int(col))
				}
			})
		}
	}
	if r, w := c.slopes(); r > worst {
		return r, w
	}
	return worst, where
}

// typical is the 2-path norm of a unit of a, the size that it has on inputs of
// size 1: a bias is known to the rounding of this, since exporters fold the mean of
// a normalisation, which is as large, into it.
func (c *comparison) typical(p *pair, row int) float64 {
	if c.norms == nil {
		c.norms = paths.Forward(c.a, []float64{2}, paths.Options{})
	}
	h := c.norms.H(0, p.node)
	var top float64
	for e := range h {
		if p.a.Out().At(e) == row {
			top = math.Max(top, h[e].Float64())
		}
	}
	return top
}

// edgeName names an edge.
func (c *comparison) edgeName(p *pair, row, col int) string {
	s := fmt.Sprintf("%s, unit %d", c.a.Nodes[p.node].Label(), row)
	if p.rowOf[row] != int32(row) {
		s += fmt.Sprintf(" (%d in the other)", p.rowOf[row])
	}
	if col < 0 {
		return s + ", bias"
	}
	return s + fmt.Sprintf(", input %d", col)
}

// precision returns half the distance of a layer's stored subnormal numbers, as
// the effective weights see it, and the relative precision of its types.
func precision(l *dag.Linear) (quantum, eps float64) {
	note := func(u *dag.Use) {
		eps = math.Max(eps, u.Param.Type.Epsilon())
		switch u.Param.Type {
		case dag.Float32:
			quantum = math.Max(quantum, 0x1p-149)
		case dag.Float16:
			quantum = math.Max(quantum, 0x1p-24)
		case dag.BFloat16:
			quantum = math.Max(quantum, 0x1p-133)
		case dag.Float64:
			quantum = math.Max(quantum, 0x1p-1074)
		}
	}
	if l.Map != nil && l.Map.Weight() != nil {
		note(l.Map.Weight())
	}
	for k := range l.Stages {
		if n := l.Stages[k].Norm; n != nil {
			note(&n.Gamma)
		}
		for _, v := range []*dag.Vector{l.Stages[k].Mul, l.Stages[k].Add} {
			if v != nil && v.Param != nil {
				note(&v.Use)
			}
		}
	}
	top := 1.0
	for _, s := range l.Scale() {
		top = math.Max(top, math.Abs(s))
	}
	return quantum * top, eps
}

// biasSizes returns the sum of |terms| that each effective bias is folded from.
func biasSizes(l *dag.Linear) []float64 {
	out := make([]float64, l.Rows())
	for k := range l.Stages {
		s := &l.Stages[k]
		for i := range out {
			if n := s.Norm; n != nil {
				m := math.Abs(n.Gamma.Param.At(i)) / math.Sqrt(n.Var.Param.At(i)+n.Epsilon)
				out[i] = m*(out[i]+math.Abs(n.Mean.Param.At(i))) + math.Abs(n.Beta.Param.At(i))
			}
			if s.Mul != nil {
				out[i] *= math.Abs(s.Mul.At(i))
			}
			if s.Add != nil {
				out[i] += math.Abs(s.Add.At(i))
			}
		}
	}
	return out
}

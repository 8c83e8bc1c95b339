package rescale

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
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
	// Threads is the number of goroutines; 0 is one. The result is the same for any.
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
	// alike says that the functions that are not evaluated are the same in both.
	alike bool
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
// w_b/w_a over some that agree with the largest, layer by layer from the
// inputs. With AnyOrder units are matched first, see match.
//
// Errors: a negative tolerance, a cancelled context. Cost: a few reads of both
// networks' weights, and the memory of some rows.
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
	if err != nil {
		return nil, err
	}
	if e.Equivalent {
		return e.ordered(ctx, a, b, opt)
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
	if n.Equivalent {
		e, err = n.ordered(ctx, na.Net, nb.Net, opt)
		return e.of(a, na), err
	}
	if e.Groups == nil {
		e = n.of(a, na)
	}
	if same {
		return e, nil
	}
	for _, x := range []*dag.Network{a, b} {
		if i, ok := x.Unevaluated(nil); ok {
			e.Undecided = true
			e.Reason = fmt.Sprintf("the forms cannot be compared: %s; nor can values, since %s is not evaluated", e.Reason, x.Nodes[i].Label())
			return e, nil
		}
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

// ordered withdraws a yes about a and b, networks of the same nodes, where units come in another order, which
// functions stand between, and the values differ: each weight agrees, and the order of one side of a
// product is not that of the other. Where functions are not evaluated, that is asked of the parts between
// them. What such a function makes of its operands is known only where it is the same in both.
func (e *Equivalence) ordered(ctx context.Context, a, b *dag.Network, opt EquivalentOptions) (*Equivalence, error) {
	i, opaque := a.Unevaluated(nil)
	if opaque && !e.alike {
		e.Equivalent, e.Undecided = false, true
		e.Reason = fmt.Sprintf("all weights agree, but %s is not evaluated: whether it is the same function in both is not known", a.Nodes[i].Label())
		return e, nil
	}
	if len(e.Permutation) == 0 || len(a.Functions()) == 0 {
		return e, nil
	}
	var parts [2]*dag.Network
	for k, n := range []*dag.Network{a, b} {
		var err error
		if parts[k], err = between(n); err != nil {
			return nil, err
		}
	}
	why, err := functionsDiffer(ctx, parts[0], parts[1], opt)
	if err != nil {
		return nil, err
	}
	if why != "" {
		e.Equivalent, e.Undecided, e.Reason = false, opaque, why+", though all weights agree in another order of units"
	}
	return e, nil
}

// between returns the network up to the functions that are not evaluated and on from their values: these
// are inputs, and what they read are outputs beside its own.
func between(n *dag.Network) (*dag.Network, error) {
	cut, at, ends, err := n.Cut()
	if err != nil || at == nil {
		return n, err
	}
	var b dag.Builder
	for _, nd := range cut.Nodes {
		b.Node(nd)
	}
	for _, i := range ends {
		b.Output(cut.Nodes[i].Ref(), i)
	}
	return b.Build()
}

// alike reports whether the functions of two networks that are not evaluated, which stand at the
// same nodes, are known to be the same.
func alike(a, b *dag.Network) bool {
	for nd, f := range dag.Each[*dag.Func](a) {
		if g, ok := b.Nodes[nd.ID].Op.(*dag.Func); f.Kind == dag.Opaque && (!ok || !f.Same(g)) {
			return false
		}
	}
	return true
}

// sameEnds returns why two networks take or give values of other sizes, or
// nothing.
func sameEnds(a, b *dag.Network) string {
	for k, ports := range [][2][]dag.Port{{a.Inputs, b.Inputs}, {a.Outputs, b.Outputs}} {
		what := [...]string{"input", "output"}[k]
		if len(ports[0]) != len(ports[1]) {
			return fmt.Sprintf("%s and %d", words.Count(len(ports[0]), what), len(ports[1]))
		}
		for q, p := range ports[0] {
			if n, m := a.Nodes[p.Node].Len(), b.Nodes[ports[1][q].Node].Len(); n != m {
				return fmt.Sprintf("%s %q has %s and %d", what, p.Name, words.Count(n, "element"), m)
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
	if e.Reason, e.certain = tablesDiffer(a, b, e.Groups, opt.Tolerance); e.Reason != "" {
		e.Groups = nil
		return e, nil
	}
	same := *e
	first, err := same.fit(newComparison(ctx, a, b, e.Groups, opt))
	if err != nil || first.Equivalent || opt.Units == SameOrder {
		return first, err
	}
	return e.inAnyOrder(ctx, a, b, opt)
}

// inAnyOrder compares a and b under the order of units that match finds: first with the factors of a's groups, then
// with none for units on both sides of a product, as of a gate, whose order is then one.
func (e *Equivalence) inAnyOrder(ctx context.Context, a, b *dag.Network, opt EquivalentOptions) (*Equivalence, error) {
	curves := uniform(a)
	first, x, err := e.ordersOf(ctx, a, b, curves, nil, opt)
	if err != nil || first.Equivalent {
		return first, err
	}
	products := twoSided(x, x.Groups())
	if len(products) == 0 {
		return first, nil
	}
	second, _, err := e.ordersOf(ctx, a, b, curves, products, opt)
	if err != nil || second.Equivalent && len(second.Permutation) > 0 {
		return second, err
	}
	return first, nil
}

// ordersOf is one such comparison. It returns the network too that match saw in the place of a.
func (e *Equivalence) ordersOf(ctx context.Context, a, b *dag.Network, curves, products map[int]bool, opt EquivalentOptions) (*Equivalence, *dag.Network, error) {
	out := *e
	x, err := unitwise(a, curves, products)
	if err != nil {
		return nil, nil, err
	}
	y, err := unitwise(b, curves, products)
	if err != nil {
		return nil, nil, err
	}
	out.Groups = x.Groups()
	for i := range products {
		for _, id := range out.Groups.Units[i].IDs {
			for ; id != dag.NoGroup && out.Groups.Pin[id] == ""; id = out.Groups.Inverse[id] {
				out.Groups.Pin[id] = "it is a side of a product"
			}
		}
	}
	c := newComparison(ctx, x, y, out.Groups, opt)
	out.Reason = c.match()
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("rescale: %w", err)
	}
	if out.Reason != "" {
		out.Groups, out.certain = nil, !c.lossy && keepsOrder(x, c.g) && !confined(x, c.g)
		return &out, x, nil
	}
	out.Permutation = c.permutation()
	found, err := out.fit(c)
	if err != nil {
		return nil, nil, err
	}
	found.certain = found.certain && keepsOrder(x, c.g)
	if x == a {
		return found, x, nil
	}
	nodes := lists.Count(0, len(a.Nodes))
	return found.of(a, &Normal{Net: x, To: nodes}), x, nil
}

// confined reports whether factors are possible that the groups do not give: a product has units on both sides, of
// which the groups let one change, or the file of n cannot store a factor that another file may.
func confined(n *dag.Network, g *dag.Groups) bool {
	for u := range n.Uses() {
		if u.Param.Storage == dag.Unwritable {
			return true
		}
	}
	units := func(node int) (any, pinned bool) {
		for _, id := range g.Units[node].IDs {
			if id != dag.NoGroup && id != dag.InputGroup {
				any, pinned = true, pinned || g.Pin[id] != ""
			}
		}
		return any, pinned
	}
	for nd, f := range dag.Each[*dag.Func](n) {
		if f.Form == nil || inStep(g, nd) {
			continue
		}
		x, p := units(nd.In[0])
		y, q := units(nd.In[1])
		// In a matrix product both sides have factors, but where other weights read one of them.
		if _, sum := f.Form.(*dag.Matrices); x && y && (!sum || p || q) {
			return true
		}
	}
	return false
}

// fit looks for factors and compares every weight.
func (e *Equivalence) fit(c *comparison) (*Equivalence, error) {
	c.solve()
	e.Factors = e.Groups.Ones()
	for id, z := range c.z {
		if e.Groups.Pin[id] == "" {
			e.Factors[id] = math.Exp(z)
		}
	}
	e.Residual, e.Where = c.verify()
	if err := c.ctx.Err(); err != nil {
		return nil, fmt.Errorf("rescale: %w", err)
	}
	e.Equivalent = e.Residual <= e.Tolerance
	e.alike = e.Equivalent && alike(c.a, c.b)
	e.certain = !c.lossy && !math.IsNaN(e.Residual) && !confined(c.a, c.g)
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
	out.Factors = slices.Repeat([]float64{math.NaN()}, out.Groups.Count)
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

package dag

import (
	"fmt"
	"hash/maphash"
	"io"
)

// FuncKind says what kind of function a Func is.
type FuncKind uint8

// The kinds.
const (
	// Choice is whatever the others are not: places of extremes, conditions,
	// comparisons.
	Choice FuncKind = iota
	// Curve is a function of each element of one operand.
	Curve
	// Normalizer divides by a norm or a sum of its operand, or by another value.
	Normalizer
	// Product multiplies two values: element by element, or as matrices.
	Product
	// OneHot is, for each element of its operand, a vector with a 1 at the place
	// that the element names: what a stored table, an embedding, multiplies. Nothing
	// else reads it.
	OneHot
	// Cell is a recurrent layer or another operator with weights inside.
	Cell
	// Opaque is a function that is not evaluated.
	Opaque
)

// String returns the kind in small letters.
func (k FuncKind) String() string {
	return [...]string{"choice", "curve", "normalizer", "product", "one-hot", "cell", "opaque"}[k]
}

// Func is a function that is not positively homogeneous of degree 1 (a sigmoid, a
// softmax, a product of two values): segments of the body end at its operands and
// begin at its value.
type Func struct {
	Kind FuncKind
	// Apply computes one sample's value from its operands' values, those of layers
	// inside left out. It is called from several goroutines. Nil: OneHot, which the
	// evaluator knows, or a function that is not evaluated.
	Apply func(dst []float64, in ...[]float64)
	// Why says why it is not homogeneous, and what keeps an Opaque one from being
	// evaluated: "it is bounded".
	Why string
	// Lipschitz is the Lipschitz constant of a Curve, where one is known; else 0.
	Lipschitz float64
	// Inside is how many of the last operands are layers inside the function, such
	// as the matrices of a recurrent one: they are measured and not evaluated.
	Inside int
	// Extent is the length of the vectors of a OneHot; of another function that reads a table
	// at places that its operand names, the number of places; else 0.
	Extent int
	// Form says how a product of two values comes about, for what rescaling does to it.
	// Default: nothing is known.
	Form Form
	// Definition writes what tells an Opaque function from others: operator, attributes,
	// constants. Nil: nothing is known.
	Definition func(w io.Writer) error
}

// Form is the arithmetic of a function of two values a and b: Times, Over or *Matrices.
type Form interface{ form() }

// Times is y = a b, element by element.
type Times struct{}

// Over is y = a / b, element by element.
type Over struct{}

// Matrices is a stack of matrix products: matrix s of the value (M x N) is matrix Left[s]
// of a (M x K) times matrix Right[s] of b (K x N).
type Matrices struct {
	M, K, N     int
	Left, Right []int32
}

func (Times) form()     {}
func (Over) form()      {}
func (*Matrices) form() {}

func (*Func) describe() string { return "Func" }

func (f *Func) steep() string {
	if f.Kind == Curve && f.Lipschitz != 0 {
		return ""
	}
	return " that is known: " + f.Why
}

func (f *Func) check(n *Node, in []*Node) error {
	switch {
	case f.Inside < 0 || f.Inside > len(in):
		return fmt.Errorf("%d layers inside a function of %d operands", f.Inside, len(in))
	case f.Kind == OneHot:
		if len(in) != 1 || f.Extent < 1 || n.Len() != in[0].Len()*f.Extent {
			return fmt.Errorf("one-hot vectors of %d make %d elements", f.Extent, n.Len())
		}
	case f.Apply == nil && f.Kind != Opaque:
		return fmt.Errorf("a function without Apply")
	case f.Form != nil && len(in) != 2:
		return fmt.Errorf("a product of %d values", len(in))
	}
	if m, ok := f.Form.(*Matrices); ok {
		if n.Len() != len(m.Left)*m.M*m.N || len(m.Right) != len(m.Left) {
			return fmt.Errorf("%d products of %d x %d make %d elements", len(m.Left), m.M, m.N, n.Len())
		}
	} else if f.Form != nil && (in[0].Len() != n.Len() || in[1].Len() != n.Len()) {
		return fmt.Errorf("operands of %d and %d elements for %d", in[0].Len(), in[1].Len(), n.Len())
	}
	for _, m := range in[len(in)-f.Inside:] {
		if _, ok := m.Op.(*Linear); !ok {
			return fmt.Errorf("%s is inside a function and no layer", m.Label())
		}
	}
	return nil
}

// looksUp reports whether the node multiplies one-hot vectors by a table.
func (n *Node) looksUp(f *Func) bool {
	l, ok := n.Op.(*Linear)
	if !ok {
		return false
	}
	d, ok := l.Map.(*Dense)
	return ok && d.Cols == f.Extent && d.inner() == 1
}

// evaluable reports whether the evaluator can compute the function.
func (f *Func) evaluable() bool { return f.Apply != nil || f.Kind == OneHot }

// Same reports whether two functions that are not evaluated are known to be one.
func (f *Func) Same(g *Func) bool {
	if f.Kind != g.Kind || f.Definition == nil || g.Definition == nil {
		return false
	}
	// The seed is drawn anew, so that no file is made to collide. Two of 64 bits: chance would
	// need 2^128 pairs.
	var sums [2][2]uint64
	seeds := [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	for k, d := range []func(io.Writer) error{f.Definition, g.Definition} {
		var h [2]maphash.Hash
		h[0].SetSeed(seeds[0])
		h[1].SetSeed(seeds[1])
		if d(io.MultiWriter(&h[0], &h[1])) != nil {
			return false
		}
		sums[k] = [2]uint64{h[0].Sum64(), h[1].Sum64()}
	}
	return sums[0] == sums[1]
}

// Unevaluated returns the first node that cannot be evaluated and that the values
// of nodes need, and false if there is none; nil nodes are the outputs.
func (n *Network) Unevaluated(nodes []int) (node int, ok bool) {
	if nodes == nil {
		for _, p := range n.Outputs {
			nodes = append(nodes, p.Node)
		}
	}
	for i, needed := range n.Ancestors(nodes) {
		if f, ok := n.Nodes[i].Op.(*Func); needed && ok && !f.evaluable() {
			return i, true
		}
	}
	return 0, false
}

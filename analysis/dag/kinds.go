package dag

import (
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/internal/lists"
)

// Op is what a node computes. The set is closed: Input, *Linear, *Activation,
// *Cap, *Add, *Concat, *Select, *Pool, *Func.
type Op interface {
	describe() string
	traits(n *Node) []Trait
	check(n *Node, in []*Node) error
}

// Input is a value given by the caller.
type Input struct{}

func (Input) describe() string { return "Input" }
func (Input) constant() bool   { return true }
func (Input) check(n *Node, in []*Node) error {
	if len(in) != 0 {
		return fmt.Errorf("an input with %d operands", len(in))
	}
	return nil
}

// Unary is what a node computes from each element of one operand by itself: *Activation or
// *Cap. It is positively homogeneous in the element and the numbers of its own that rescaling
// multiplies.
type Unary interface {
	Op
	// Apply returns the value for x at element i.
	Apply(i int, x float64) float64
	// Gains are the largest factors by which paths are multiplied, at least 1: one for all
	// elements or one for each; nil is ones.
	Gains() []float64
	// Identity reports whether every value is its element.
	Identity() bool
	// tie ties and pins the groups of x, those of the operand and the value.
	tie(s *grouper, nd *Node, x *UnitMap)
}

// Activation is a positively homogeneous function of each element: z for
// z >= 0 and Slope*z below. Slope 0 is ReLU, a small one LeakyReLU, -1 the
// absolute value, 1 the identity.
type Activation struct {
	// Slope has one value, or one per element.
	Slope []float64
	// Param is the stored slope of a PReLU, nil otherwise; Index maps each
	// element to its stored slope (nil: the same index, or 0 for a scalar).
	Param *Use
	Index []int32
}

// At returns the slope of element i.
func (a *Activation) At(i int) float64 {
	if len(a.Slope) == 1 {
		return a.Slope[0]
	}
	return a.Slope[i]
}

// Apply implements Unary. A ReLU's zero is +0.
func (a *Activation) Apply(i int, x float64) float64 {
	if x < 0 {
		if s := a.At(i); s != 0 {
			return s * x
		}
		return 0
	}
	return x
}

// Gains implements Unary: max(1, |slope|).
func (a *Activation) Gains() []float64 {
	if len(a.Slope) == 1 && math.Abs(a.Slope[0]) <= 1 {
		return nil
	}
	return lists.Map(a.Slope, func(s float64) float64 { return math.Max(1, math.Abs(s)) })
}

func (a *Activation) tie(*grouper, *Node, *UnitMap) {}

// Identity reports whether every slope is 1.
func (a *Activation) Identity() bool {
	return !slices.ContainsFunc(a.Slope, func(s float64) bool { return s != 1 })
}

// Element returns the stored slope that element i reads; Param is not nil.
func (a *Activation) Element(i int) int {
	switch {
	case a.Index != nil:
		return int(a.Index[i])
	case a.Param.Param.Len() == 1:
		return 0
	}
	return i
}

func (a *Activation) vectors(n *Node, f func(u *Use, size int, element func(i int) int)) {
	if a.Param != nil {
		f(a.Param, n.Len(), a.Element)
	}
}

func (a *Activation) uses(yield func(Role, *Use) bool) bool {
	return a.Param == nil || yield(Slope, a.Param)
}

// bounds are those of a ReLU, which bounds from below.
func (a *Activation) bounds() (lo, hi float64, ok bool) {
	return 0, math.Inf(1), a.Param == nil && len(a.Slope) == 1 && a.Slope[0] == 0
}

func (a *Activation) describe() string {
	switch {
	case a.Param != nil:
		return fmt.Sprintf("PReLU of %d", a.Param.Param.Len())
	case len(a.Slope) != 1:
		return "LeakyReLU by element"
	case a.Slope[0] == 0:
		return "ReLU"
	case a.Slope[0] == 1:
		return "Identity"
	}
	return fmt.Sprintf("LeakyReLU %g", a.Slope[0])
}

func (a *Activation) check(n *Node, in []*Node) error {
	if err := operands(in, 1, n.Len()); err != nil {
		return err
	}
	if len(a.Slope) != 1 && len(a.Slope) != n.Len() {
		return fmt.Errorf("%d slopes for %d elements", len(a.Slope), n.Len())
	}
	for i, s := range a.Slope {
		if s-s != 0 {
			return fmt.Errorf("slope %d is %v", i, s)
		}
	}
	if a.Param == nil {
		return nil
	}
	switch stored := a.Param.Param; {
	case stored == nil:
		return fmt.Errorf("a PReLU without slopes")
	case a.Index == nil && stored.Len() != 1 && stored.Len() != n.Len():
		return fmt.Errorf("%d stored slopes for %d elements", stored.Len(), n.Len())
	case a.Index != nil && len(a.Index) != n.Len():
		return fmt.Errorf("index of %d for %d elements", len(a.Index), n.Len())
	default:
		for i, j := range a.Index {
			if j < 0 || int(j) >= stored.Len() {
				return fmt.Errorf("index[%d] = %d is outside %d slopes", i, j, stored.Len())
			}
		}
	}
	return nil
}

// Add sums its operands element by element, each with weight +1 or -1: skip
// connections. Its edges are identity edges: they carry no weight of their own
// and tie the units at their ends to one factor.
type Add struct {
	// Sign is nil for all +1, else +1 or -1 for each operand.
	Sign []float64
}

// Weight returns the weight of operand k, +1 or -1.
func (a *Add) Weight(k int) float64 {
	if a.Sign == nil {
		return 1
	}
	return a.Sign[k]
}

func (a *Add) joins() bool      { return true }
func (a *Add) describe() string { return "Add" }
func (a *Add) check(n *Node, in []*Node) error {
	if len(in) == 0 {
		return fmt.Errorf("no operands")
	}
	if a.Sign != nil && len(a.Sign) != len(in) {
		return fmt.Errorf("%d signs for %d operands", len(a.Sign), len(in))
	}
	for _, s := range a.Sign {
		if s != 1 && s != -1 {
			return fmt.Errorf("sign %v is neither 1 nor -1", s)
		}
	}
	return operands(in, len(in), n.Len())
}

// Concat strings its operands' elements together, in order.
type Concat struct{}

func (*Concat) moves() bool      { return true }
func (*Concat) constant() bool   { return true }
func (*Concat) describe() string { return "Concat" }

func (*Concat) edges(n *Network, nd *Node, f func(operand, from, to int)) {
	at := 0
	for k, j := range nd.In {
		size := n.Nodes[j].Len()
		for e := range size {
			f(k, e, at+e)
		}
		at += size
	}
}

func (*Concat) from(nodes []Node, nd *Node, e int) (operand, element int, ok bool) {
	for k, j := range nd.In {
		size := nodes[j].Len()
		if e < size {
			return k, e, true
		}
		e -= size
	}
	return 0, 0, false
}

func (*Concat) check(n *Node, in []*Node) error {
	s := 0
	for _, m := range in {
		s += m.Len()
	}
	if s != n.Len() {
		return fmt.Errorf("operands of %d elements make %d", s, n.Len())
	}
	return nil
}

// Select takes element Index[i] of its operand as element i; -1 gives zero
// (padding). A nil Index only changes the shape. Reshape, transpose, slice,
// split, gather, expand and pad are Selects.
type Select struct {
	Index []int32
}

func (s *Select) moves() bool    { return true }
func (s *Select) constant() bool { return true }

func (s *Select) describe() string {
	if s.Index == nil {
		return "Reshape"
	}
	return "Select"
}

func (s *Select) edges(_ *Network, nd *Node, f func(operand, from, to int)) {
	for e := range nd.Len() {
		if s.Index == nil {
			f(0, e, e)
		} else if s.Index[e] >= 0 {
			f(0, int(s.Index[e]), e)
		}
	}
}

func (s *Select) from(_ []Node, _ *Node, e int) (operand, element int, ok bool) {
	if s.Index != nil {
		e = int(s.Index[e])
	}
	return 0, e, e >= 0
}

func (s *Select) check(n *Node, in []*Node) error {
	if len(in) != 1 {
		return fmt.Errorf("%d operands, want 1", len(in))
	}
	if s.Index == nil {
		return operands(in, 1, n.Len())
	}
	if len(s.Index) != n.Len() {
		return fmt.Errorf("index of %d for %d elements", len(s.Index), n.Len())
	}
	for i, j := range s.Index {
		if j < -1 || int(j) >= in[0].Len() {
			return fmt.Errorf("index[%d] = %d is outside %d elements", i, j, in[0].Len())
		}
	}
	return nil
}

// Pool takes the largest of a window of elements, over one operand or over
// several of equal shape (the maximum of activations). Average pooling is a
// Linear with fixed weights.
type Pool struct {
	// Window describes a sliding window over one operand of shape
	// (channels, spatial...), padding left out (a window of padding alone has
	// the maximum -Inf); nil is the element-wise maximum over all operands.
	Window *Window
	// Channels is the number of leading channels when Window is set.
	Channels int
}

func (p *Pool) joins() bool { return p.Window == nil }

func (p *Pool) describe() string {
	if p.Window == nil {
		return "Max"
	}
	return "MaxPool " + times(p.Window.Kernel)
}

func (p *Pool) edges(_ *Network, nd *Node, f func(operand, from, to int)) {
	if p.Window == nil {
		straight(nd, f)
		return
	}
	nOut, nIn := Size(p.Window.Out()), Size(p.Window.In)
	p.Window.Taps(func(o, i, _ int) {
		for c := range p.Channels {
			f(0, c*nIn+i, c*nOut+o)
		}
	})
}

func (p *Pool) check(n *Node, in []*Node) error {
	if p.Window == nil {
		if len(in) == 0 {
			return fmt.Errorf("no operands")
		}
		return operands(in, len(in), n.Len())
	}
	if len(in) != 1 {
		return fmt.Errorf("%d operands, want 1", len(in))
	}
	if err := p.Window.check(); err != nil {
		return err
	}
	if p.Channels < 1 || p.Channels > maxElements {
		return fmt.Errorf("pooling of %d channels", p.Channels)
	}
	if got, want := in[0].Len(), p.Channels*Size(p.Window.In); got != want {
		return fmt.Errorf("operand of %d elements, window wants %d", got, want)
	}
	if got, want := n.Len(), p.Channels*Size(p.Window.Out()); got != want {
		return fmt.Errorf("%d elements, window makes %d", got, want)
	}
	return nil
}

func operands(in []*Node, want, size int) error {
	if len(in) != want {
		return fmt.Errorf("%d operands, want %d", len(in), want)
	}
	for _, m := range in {
		if m.Len() != size {
			return fmt.Errorf("operand %s of %d elements, want %d", m.Label(), m.Len(), size)
		}
	}
	return nil
}

// Package program turns a dag.Network into what a training engine runs: a list
// of elementary operations from the input to the logits, and one live slice for
// each stored tensor.
//
// A dag.Linear becomes its map and then one operation a stage, so that every
// stored number is a weight of exactly one kind of edge: of a matrix, added to
// a unit (Shift), multiplying a unit (Scale) or the slope of an Activate.
package program

import "github.com/relupath/relupath/analysis/dag"

// Float is the type that a program computes in.
type Float interface{ float32 | float64 }

// Tensor is one stored tensor with its live values.
type Tensor[T Float] struct {
	Param *dag.Param
	// Data is trained in place; it starts as a copy of the stored values.
	Data []T
	// Frozen says that it keeps its values.
	Frozen bool
	// Slope says that it holds slopes of activations, which are no edges:
	// weight decay leaves them alone.
	Slope bool
	// Uses is the number of operations that read it.
	Uses int
}

// Value is what an operation makes: Len numbers for each example.
type Value struct {
	Len int
	// Node is the node of the network that it belongs to.
	Node int
}

// Program is a network ready for training.
type Program[T Float] struct {
	Net     *dag.Network
	Tensors []*Tensor[T]
	Values  []Value
	Ops     []Op
	// Input and Logits are values.
	Input, Logits int
	// LogitNode is the node of the network whose value the logits are.
	LogitNode int
	// Warnings are sentences about what is not trained.
	Warnings []string
}

// Op is one operation: *Dense, *Conv, *Average, *Shift, *Scale, *Activate,
// *Sum, *Concat, *Pool or *Constant.
type Op interface {
	// Operands are the values it reads, Result the one it makes.
	Operands() []int
	Result() int
	// Tensor is the stored tensor that it reads, -1 for none, and what that is to its layer.
	Tensor() (t int, part Part)
}

// Part is what a tensor is to its layer.
type Part int

// The parts of a layer. What works on each unit alone is a bias, a factor or a slope, with coefficients or without.
const (
	NoPart Part = iota
	Weights
	Bias
	Factor
	Slope
)

// unary is an operation on one value.
type unary struct{ X, Y int }

func (o *unary) Operands() []int   { return []int{o.X} }
func (o *unary) Result() int       { return o.Y }
func (*unary) Tensor() (int, Part) { return -1, NoPart }

// nary is an operation on any number of values.
type nary struct {
	X []int
	Y int
}

func (o *nary) Operands() []int   { return o.X }
func (o *nary) Result() int       { return o.Y }
func (*nary) Tensor() (int, Part) { return -1, NoPart }

// Taps lists, for output position o of each channel, the operand's positions that it
// reads: At[Start[o]:Start[o+1]].
type Taps struct {
	Channels, OutLen, InLen int
	Start, At               []int32
}

// Dense multiplies by a matrix at each of Outer*Inner positions: X has the
// shape (Outer, Cols, Inner), Y (Outer, Rows, Inner).
type Dense struct {
	unary
	W                        int
	Rows, Cols, Outer, Inner int
	// InOut says that the tensor is stored Cols x Rows.
	InOut bool
}

// Plain reports whether each weight is one edge: there is one position.
func (o *Dense) Plain() bool { return o.Outer == 1 && o.Inner == 1 }

// Tensor implements Op.
func (o *Dense) Tensor() (int, Part) { return o.W, Weights }

// Conv is a convolution. The weights of group g are a matrix of Out x In*Kernel
// (channels of one group), and Table[k*OutLen+o] is the input position that
// kernel position k reads for output position o, -1 in the padding.
type Conv struct {
	unary
	W               int
	Groups, Out, In int
	Kernel          int
	OutLen, InLen   int
	Table           []int32
	// Window is the geometry that Table spells out.
	Window *dag.Window
}

// Tensor implements Op.
func (o *Conv) Tensor() (int, Part) { return o.W, Weights }

// Average sums windows with fixed weights: output position o of each channel is the sum
// of its taps times Weight[o]; nil weights are ones. So is a reindexing, of one tap or none each.
type Average struct {
	unary
	Taps
	Weight []float64
}

// Vector is one number a unit: Coef*theta[element], or Coef where Tensor is -1.
type Vector struct {
	Tensor int
	// Index maps each unit to an element of the tensor; nil: the same, or the
	// only one.
	Index []int32
	// Coef has one value, or one a unit.
	Coef []float64
	// Axis says which elements of the value belong to a unit.
	Axis dag.Axis
}

// Element returns the tensor's element of unit i, given the tensor's length.
func (v *Vector) Element(i, length int) int {
	switch {
	case v.Index != nil:
		return int(v.Index[i])
	case length == 1:
		return 0
	}
	return i
}

// CoefAt returns the coefficient of unit i.
func (v *Vector) CoefAt(i int) float64 {
	if len(v.Coef) == 1 {
		return v.Coef[0]
	}
	return v.Coef[i]
}

// Number is that of unit i of a vector, at the tensors' present values.
func (p *Program[T]) Number(v *Vector, i int) float64 {
	if v.Tensor < 0 {
		return v.CoefAt(i)
	}
	d := p.Tensors[v.Tensor].Data
	return v.CoefAt(i) * float64(d[v.Element(i, len(d))])
}

// unitwise is an operation on each unit alone.
type unitwise struct {
	unary
	V Vector
}

// Shift adds one number a unit.
type Shift struct{ unitwise }

// Tensor implements Op.
func (o *Shift) Tensor() (int, Part) { return o.V.Tensor, Bias }

// Scale multiplies each unit by one number.
type Scale struct{ unitwise }

// Tensor implements Op.
func (o *Scale) Tensor() (int, Part) { return o.V.Tensor, Factor }

// Activate is z for z > 0 and slope*z otherwise. V has one unit an element, or
// one for all.
type Activate struct {
	unitwise
	// Drop says that dropout follows.
	Drop bool
}

// Tensor implements Op.
func (o *Activate) Tensor() (int, Part) { return o.V.Tensor, Slope }

// Sum adds values, each times +1 or -1.
type Sum struct {
	nary
	Sign []float64
}

// Concat strings values together.
type Concat struct{ nary }

// Pool takes the largest element of each window, or of all operands where Start
// is nil.
type Pool struct {
	nary
	Taps
}

// Constant is zero: a bias follows.
type Constant struct{ nary }

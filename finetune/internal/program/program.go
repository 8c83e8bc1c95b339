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
// *Sum, *Concat, *Select, *Pool or *Constant.
type Op interface {
	// Operands are the values it reads, Result the one it makes.
	Operands() []int
	Result() int
}

// unary is an operation on one value.
type unary struct{ X, Y int }

func (o *unary) Operands() []int { return []int{o.X} }

// Operand is the only one of Operands.
func (o *unary) Operand() int { return o.X }

// Result implements Op.
func (o *unary) Result() int { return o.Y }

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

// Average sums windows with fixed weights: for output position o of each
// channel, taps Start[o]..Start[o+1] of At, times Weight[o].
type Average struct {
	unary
	Channels, OutLen, InLen int
	Start, At               []int32
	Weight                  []float64
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

// Fill writes the vector's values, one a unit, into dst.
func Fill[T Float](dst []T, v *Vector, tensors []*Tensor[T]) {
	if v.Tensor < 0 {
		for i := range dst {
			dst[i] = T(v.CoefAt(i))
		}
		return
	}
	data := tensors[v.Tensor].Data
	if v.Index == nil && len(data) == len(dst) && len(v.Coef) == 1 && v.Coef[0] == 1 {
		copy(dst, data)
		return
	}
	for i := range dst {
		dst[i] = T(v.CoefAt(i)) * data[v.Element(i, len(data))]
	}
}

// Shift adds one number a unit.
type Shift struct {
	unary
	V Vector
}

// Scale multiplies each unit by one number.
type Scale struct {
	unary
	V Vector
}

// Activate is z for z > 0 and slope*z otherwise. V has one unit an element, or
// one for all.
type Activate struct {
	unary
	V Vector
	// Drop says that dropout follows.
	Drop bool
}

// Sum adds values, each times +1 or -1.
type Sum struct {
	X    []int
	Sign []float64
	Y    int
}

// Operands implements Op.
func (o *Sum) Operands() []int { return o.X }

// Result implements Op.
func (o *Sum) Result() int { return o.Y }

// Concat strings values together.
type Concat struct {
	X []int
	Y int
}

// Operands implements Op.
func (o *Concat) Operands() []int { return o.X }

// Result implements Op.
func (o *Concat) Result() int { return o.Y }

// Select takes element Index[i] as element i, zero for -1.
type Select struct {
	unary
	Index []int32
}

// Pool takes the largest element of each window, or of all operands where Start
// is nil. Windows are as in Average.
type Pool struct {
	X                       []int
	Y                       int
	Channels, OutLen, InLen int
	Start, At               []int32
}

// Operands implements Op.
func (o *Pool) Operands() []int { return o.X }

// Result implements Op.
func (o *Pool) Result() int { return o.Y }

// Constant is zero: a bias follows.
type Constant struct{ Y int }

// Operands implements Op.
func (o *Constant) Operands() []int { return nil }

// Result implements Op.
func (o *Constant) Result() int { return o.Y }

// TensorOf returns the tensor that an operation reads; -1 for none.
func TensorOf(op Op) int {
	switch op := op.(type) {
	case *Dense:
		return op.W
	case *Conv:
		return op.W
	case *Shift:
		return op.V.Tensor
	case *Scale:
		return op.V.Tensor
	case *Activate:
		return op.V.Tensor
	}
	return -1
}

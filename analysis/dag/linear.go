package dag

import (
	"fmt"
	"math"
	"slices"
	"sync"
)

// Role says what a layer does with the numbers of a Use.
type Role uint8

// The roles. With z the value that the numbers meet, unit by unit:
const (
	Weight   Role = iota // the matrix of a linear layer
	Gamma                // a BatchNormalization's scale
	Beta                 // its shift
	Mean                 // its running mean, which is not learned
	Variance             // its running variance, which is not learned
	Factor               // z -> factor*z
	Shift                // z -> z + shift, a bias
	Slope                // the slope of a PReLU
)

// String returns the role in small letters.
func (r Role) String() string {
	return [...]string{"weight", "gamma", "beta", "mean", "variance", "factor", "shift", "slope"}[r]
}

// Learned reports whether training changes the numbers.
func (r Role) Learned() bool { return r != Mean && r != Variance }

// Use is a place where a layer takes its numbers from a stored tensor.
type Use struct {
	Param *Param
	// Site belongs to the reader that made the Use (onnxio): which operand of
	// which operator it is. Opaque here.
	Site any
}

// Axis describes how rows or columns lie in a value: element e belongs to
// index (e/Inner) mod N, and the value has Outer*N*Inner elements.
type Axis struct{ Outer, N, Inner int }

// Len returns the number of elements.
func (a Axis) Len() int { return a.Outer * a.N * a.Inner }

// At returns the index of element e.
func (a Axis) At(e int) int { return e / a.Inner % a.N }

func (a Axis) check() error {
	if _, ok := product(a.Outer, a.N, a.Inner); !ok {
		return fmt.Errorf("axis of %d x %d x %d elements", a.Outer, a.N, a.Inner)
	}
	return nil
}

// Map is the weight matrix of a Linear layer: *Dense, *Conv, *Diagonal or
// *Average.
type Map interface {
	// Out and In say how the map's rows (units, output channels) and columns
	// (input units or channels) lie in the layer's value and its operand's.
	Out() Axis
	In() Axis
	// Weight returns the stored weight; nil for fixed weights, whose units are
	// tied to those they come from.
	Weight() *Use
	// WithWeight returns a copy of the map with another stored weight; the map
	// itself for fixed weights.
	WithWeight(u Use) Map

	// Mixes returns in how many groups of neighbours units are summed, each over the
	// inputs of its group; 0 where a unit is made of itself.
	Mixes() int
	// Slides returns the window over positions, nil where each stays itself, and
	// whether the map is the transpose of what the window describes.
	Slides() (w *Window, transposed bool)
	// Positions returns at how many positions each stored weight is used; 0 for fixed
	// weights.
	Positions() int
	// String says what the map is in a few words: "Conv 16x3 3x3".
	String() string

	// matrix is the first block of Linear.Matrices without weights, and how many there are.
	matrix() (m Matrix, blocks int)
	traits() []Trait
	check() error
	edit(a, b []float64) *scaling
	elements(f func(row, col, out, in int, w float64))
}

// Linear is one linear layer: a map of its operand, then stages that act on
// each unit. It must not change once it is part of a network or was asked for
// its scale or bias. Folded, it computes
//
//	y_e = Scale[i] * (W x)_e + Bias[i], i = Map.Out().At(e),
//
// and its effective weights are diag(Scale) W (out x in). BatchNormalization
// and constant Mul and Add after a map are stages of it.
type Linear struct {
	// Map is the weight matrix; nil for a constant, which has no operand.
	Map Map
	// Stages act on the map's result in order.
	Stages []Stage
	// Units is the number of rows of a constant (nil Map).
	Units int

	once        sync.Once
	scale, bias []float64
}

// Stage maps each unit affinely: z -> Mul*z, then z -> z + Add, or the
// normalisation of a BatchNorm.
type Stage struct {
	Mul, Add *Vector
	Norm     *BatchNorm
}

// Vector is one number a unit, from a stored tensor or a constant.
type Vector struct {
	// Use is the stored tensor; a nil Param makes the vector the constant Coef.
	Use
	// Coef multiplies the stored values (Gemm's beta, -1 of a subtraction).
	Coef float64
	// Inverse divides by the stored value instead (Div by a constant).
	Inverse bool
	// Index maps each unit to a stored element; nil maps unit i to element i,
	// or every unit to the only one.
	Index []int32
	// Full is the shape to store when the vector must hold one value a unit.
	Full []int
}

// At returns the vector's value for unit i.
func (v *Vector) At(i int) float64 {
	if v.Param == nil {
		return v.Coef
	}
	x := v.Param.At(v.Element(i))
	if v.Inverse {
		return v.Coef / x
	}
	return v.Coef * x
}

// Element returns the stored element that unit i reads; Param is not nil.
func (v *Vector) Element(i int) int {
	switch {
	case v.Index != nil:
		return int(v.Index[i])
	case v.Param.Len() == 1:
		return 0
	}
	return i
}

// BatchNorm is BatchNormalization at inference: with
// s = Gamma/sqrt(Var+Epsilon), z -> s*z + (Beta - s*Mean). Source: Ioffe and
// Szegedy, Batch normalization, ICML 2015.
type BatchNorm struct {
	Gamma, Beta, Mean, Var Use
	Epsilon                float64
}

func (b *BatchNorm) at(i int) (scale, shift float64) {
	scale = b.Gamma.Param.At(i) / math.Sqrt(b.Var.Param.At(i)+b.Epsilon)
	return scale, b.Beta.Param.At(i) - scale*b.Mean.Param.At(i)
}

// Rows returns the number of units.
func (l *Linear) Rows() int {
	if l.Map == nil {
		return l.Units
	}
	return l.Map.Out().N
}

// Out says how the units lie in the layer's value.
func (l *Linear) Out() Axis {
	if l.Map == nil {
		return Axis{1, l.Units, 1}
	}
	return l.Map.Out()
}

// Scale returns the effective factor of each row; nil when all are 1. It must
// not be written to.
func (l *Linear) Scale() []float64 { l.once.Do(l.fold); return l.scale }

// Bias returns the effective bias of each unit; nil when the layer has none.
// It must not be written to.
func (l *Linear) Bias() []float64 { l.once.Do(l.fold); return l.bias }

// Free reports whether the layer has stored weights, so that its units have
// a factor of their own under rescaling. A layer without (average pooling, a
// bias alone, factors made of shapes) ties its units to those it reads; those of a matrix
// made of shapes are pinned.
func (l *Linear) Free() bool {
	return l.Map == nil || l.Learned() || l.gain() >= 0
}

// Learned reports whether there is a matrix of stored numbers: neither a fixed map nor one that is made
// of shapes (see Param.Made).
func (l *Linear) Learned() bool {
	if l.Map == nil {
		return false
	}
	u := l.Map.Weight()
	return u != nil && !u.Param.Made
}

// Renews reports whether the units are other ones than those that the layer reads, whose factors do not
// go through.
func (l *Linear) Renews() bool { return l.Free() || l.Map.Weight() != nil }

// MadeBias reports whether all that the layer adds is made of shapes: see Param.Made.
func (l *Linear) MadeBias() bool {
	made := false
	for _, s := range l.Stages {
		if s.Norm != nil || s.Add != nil && (s.Add.Param == nil || !s.Add.Param.Made) {
			return false
		}
		made = made || s.Add != nil
	}
	return made
}

// gain returns the last stage that multiplies by stored values, one a unit,
// at which the row factor of a rescaling is written; -1 when there is none.
func (l *Linear) gain() int {
	for k := len(l.Stages) - 1; k >= 0; k-- {
		m := l.Stages[k].Mul
		if l.Stages[k].Norm != nil || m != nil && m.Param != nil && !m.Param.Made {
			return k
		}
	}
	return -1
}

// constant reports whether the layer maps element by element with constants
// only, as input preambles do.
func (l *Linear) constant() bool {
	if _, ok := l.Map.(*Diagonal); !ok {
		return false
	}
	return !slices.ContainsFunc(l.Stages, func(s Stage) bool { return s.Norm != nil })
}

// fold computes scale and bias from the stages.
func (l *Linear) fold() {
	rows := l.Rows()
	ones := func() {
		if l.scale == nil {
			l.scale = slices.Repeat([]float64{1}, rows)
		}
	}
	zeros := func() {
		if l.bias == nil {
			l.bias = make([]float64, rows)
		}
	}
	for _, s := range l.Stages {
		if s.Norm != nil {
			ones()
			zeros()
			for i := range rows {
				m, a := s.Norm.at(i)
				l.scale[i] *= m
				l.bias[i] = m*l.bias[i] + a
			}
		}
		if s.Mul != nil {
			ones()
			for i := range rows {
				m := s.Mul.At(i)
				l.scale[i] *= m
				if l.bias != nil {
					l.bias[i] *= m
				}
			}
		}
		if s.Add != nil {
			zeros()
			for i := range rows {
				l.bias[i] += s.Add.At(i)
			}
		}
	}
	for _, s := range l.scale {
		if s != 1 {
			return
		}
	}
	l.scale = nil
}

func (l *Linear) describe() string {
	s := "Constant"
	if l.Map != nil {
		s = l.Map.String()
	}
	for _, st := range l.Stages {
		if st.Norm != nil {
			s += " +norm"
		}
		if st.Mul != nil {
			s += " *scale"
		}
		if st.Add != nil {
			s += " +bias"
		}
	}
	return s
}

func (l *Linear) edges(_ *Network, _ *Node, f func(operand, from, to int)) {
	if l.Map != nil && !l.Free() {
		l.Map.elements(func(_, _, out, in int, _ float64) { f(0, in, out) })
	}
}

func (l *Linear) check(n *Node, in []*Node) error {
	if l.Map == nil {
		if len(in) != 0 || l.Units != n.Len() {
			return fmt.Errorf("a constant of %d units with %d operands for %d elements", l.Units, len(in), n.Len())
		}
	} else {
		if err := l.Map.check(); err != nil {
			return err
		}
		if err := operands(in, 1, l.Map.In().Len()); err != nil {
			return err
		}
		if l.Map.Out().Len() != n.Len() {
			return fmt.Errorf("the map makes %d elements, want %d", l.Map.Out().Len(), n.Len())
		}
	}
	for k, s := range l.Stages {
		if err := s.check(l.Rows()); err != nil {
			return fmt.Errorf("stage %d: %w", k, err)
		}
	}
	return nil
}

func (s *Stage) check(rows int) error {
	if s.Norm != nil {
		for _, u := range []Use{s.Norm.Gamma, s.Norm.Beta, s.Norm.Mean, s.Norm.Var} {
			if u.Param == nil || u.Param.Len() != rows {
				return fmt.Errorf("batch normalisation of %d units: a parameter has another length", rows)
			}
		}
	}
	for _, v := range []*Vector{s.Mul, s.Add} {
		if v == nil || v.Param == nil {
			continue
		}
		switch {
		case v.Index != nil:
			if len(v.Index) != rows {
				return fmt.Errorf("an index of %d for %d units", len(v.Index), rows)
			}
			for _, j := range v.Index {
				if j < 0 || int(j) >= v.Param.Len() {
					return fmt.Errorf("index %d is outside %d values", j, v.Param.Len())
				}
			}
		case v.Param.Len() != 1 && v.Param.Len() != rows:
			return fmt.Errorf("%d values for %d units", v.Param.Len(), rows)
		}
		if v.Full != nil && Size(v.Full) != rows {
			return fmt.Errorf("shape %v for %d units", v.Full, rows)
		}
	}
	return nil
}

func (l *Linear) uses(yield func(Role, *Use) bool) bool {
	if l.Map != nil {
		if u := l.Map.Weight(); u != nil && !yield(Weight, u) {
			return false
		}
	}
	for k := range l.Stages {
		if !l.Stages[k].uses(yield) {
			return false
		}
	}
	return true
}

func (s *Stage) uses(yield func(Role, *Use) bool) bool {
	if n := s.Norm; n != nil {
		for r, u := range []*Use{&n.Gamma, &n.Beta, &n.Mean, &n.Var} {
			if !yield(Gamma+Role(r), u) {
				return false
			}
		}
	}
	for k, v := range []*Vector{s.Mul, s.Add} {
		if v != nil && v.Param != nil && !yield(Factor+Role(k), &v.Use) {
			return false
		}
	}
	return true
}

func (l *Linear) vectors(_ *Node, f func(u *Use, size int, element func(i int) int)) {
	n := l.Rows()
	for k := range l.Stages {
		s := &l.Stages[k]
		if b := s.Norm; b != nil {
			for _, u := range []*Use{&b.Gamma, &b.Beta, &b.Mean, &b.Var} {
				f(u, n, func(i int) int { return i })
			}
		}
		for _, v := range []*Vector{s.Mul, s.Add} {
			if v != nil && v.Param != nil {
				f(&v.Use, n, v.Element)
			}
		}
	}
}

// Elements calls f for every weight of the layer at every position where it is
// used, with its row (unit) and column, the elements of the layer's value and
// of the operand that it joins, and the effective weight. It is meant for
// oracles and small networks: a convolution lists one edge a position.
func (l *Linear) Elements(f func(row, col, out, in int, w float64)) {
	if l.Map == nil {
		return
	}
	scale := l.Scale()
	l.Map.elements(func(row, col, out, in int, w float64) {
		if scale != nil {
			w *= scale[row]
		}
		f(row, col, out, in, w)
	})
}

//go:build cuda

package gorgonia

import (
	"fmt"
	"hash"
	"hash/fnv"
	"math"

	"github.com/chewxy/hm"
	"gonum.org/v1/gonum/floats"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/relupath/relupath/finetune/internal/program"
)

// custom is what the operations of this package share. All take and give
// matrices, of one row an example or of one row.
type custom struct {
	name  string
	arity int
	shape tensor.Shape
}

func (o *custom) Arity() int { return o.arity }

// Type says that operands and result are matrices of one type.
func (o *custom) Type() hm.Type {
	t := make([]hm.Type, o.arity+1)
	for i := range t {
		t[i] = hm.TypeVariable('a')
	}
	return hm.NewFnType(t...)
}

func (o *custom) InferShape(...G.DimSizer) (tensor.Shape, error) { return o.shape.Clone(), nil }
func (o *custom) ReturnsPtr() bool                               { return false }
func (o *custom) CallsExtern() bool                              { return false }
func (o *custom) OverwritesInput() int                           { return -1 }
func (o *custom) WriteHash(h hash.Hash)                          { fmt.Fprintf(h, "%s %v", o.name, o.shape) }
func (o *custom) String() string                                 { return o.name }
func (o *custom) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// numbers returns the elements of a value in row-major order.
func numbers[T program.Float](v G.Value) ([]T, error) {
	d, ok := v.(*tensor.Dense)
	if !ok {
		if s, ok := v.Data().(T); ok {
			return []T{s}, nil
		}
		return nil, fmt.Errorf("gorgonia gave a %T where a matrix was expected", v)
	}
	if d.RequiresIterator() || d.DataOrder().IsColMajor() {
		var ok bool
		if d, ok = d.Materialize().(*tensor.Dense); !ok {
			return nil, fmt.Errorf("gorgonia gave a matrix that cannot be copied")
		}
	}
	switch x := d.Data().(type) {
	case []T:
		return x, nil
	case T:
		return []T{x}, nil
	}
	return nil, fmt.Errorf("gorgonia gave numbers of type %v", d.Dtype())
}

// gather collects the numbers of all operands.
func gather[T program.Float](in []G.Value) ([][]T, error) {
	out := make([][]T, len(in))
	for k, v := range in {
		var err error
		if out[k], err = numbers[T](v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func matrix[T program.Float](shape tensor.Shape, data []T) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
}

// linear is a linear map of a matrix, whose adjoint is its derivative.
type linear[T program.Float] struct {
	custom
	in         tensor.Shape
	f, adjoint func(dst, src []T)
}

func newLinear[T program.Float](name string, in, out tensor.Shape, f, adjoint func(dst, src []T)) *linear[T] {
	return &linear[T]{custom{name, 1, out}, in, f, adjoint}
}

// Do implements gorgonia.Op.
func (o *linear[T]) Do(in ...G.Value) (G.Value, error) {
	x, err := gather[T](in)
	if err != nil {
		return nil, err
	}
	dst := make([]T, o.shape.TotalSize())
	o.f(dst, x[0])
	return matrix(o.shape, dst), nil
}

// DiffWRT implements gorgonia.SDOp.
func (o *linear[T]) DiffWRT(int) []bool { return []bool{true} }

// SymDiff implements gorgonia.SDOp.
func (o *linear[T]) SymDiff(_ G.Nodes, _, grad *G.Node) (G.Nodes, error) {
	n, err := G.ApplyOp(newLinear(o.name+" adjoint", o.shape, o.in, o.adjoint, o.f), grad)
	return G.Nodes{n}, err
}

// spread repeats a matrix of one row; the adjoint sums the rows of a matrix.
type spread[T program.Float] struct {
	custom
	rows, cols int
	adjoint    bool
}

func newSpread[T program.Float](name string, rows, cols int) *spread[T] {
	return &spread[T]{custom{name, 1, tensor.Shape{rows, cols}}, rows, cols, false}
}

// Do implements gorgonia.Op.
func (o *spread[T]) Do(in ...G.Value) (G.Value, error) {
	x, err := gather[T](in)
	if err != nil {
		return nil, err
	}
	dst := make([]T, o.shape.TotalSize())
	for r := range o.rows {
		switch {
		case !o.adjoint:
			copy(dst[r*o.cols:][:o.cols], x[0])
		default:
			for j, v := range x[0][r*o.cols:][:o.cols] {
				dst[j] += v
			}
		}
	}
	return matrix(o.shape, dst), nil
}

// DiffWRT implements gorgonia.SDOp.
func (o *spread[T]) DiffWRT(int) []bool { return []bool{true} }

// SymDiff implements gorgonia.SDOp.
func (o *spread[T]) SymDiff(_ G.Nodes, _, grad *G.Node) (G.Nodes, error) {
	d := &spread[T]{custom{o.name + " adjoint", 1, tensor.Shape{1, o.cols}}, o.rows, o.cols, true}
	if o.adjoint {
		d.custom, d.adjoint = custom{d.name, 1, tensor.Shape{o.rows, o.cols}}, false
	}
	n, err := G.ApplyOp(d, grad)
	return G.Nodes{n}, err
}

// activation is z for z > 0 and slope z otherwise, of operands z (one row an
// example) and slope (one row). Gorgonia's Rectify has the derivative 1 at 0,
// the other engines and PyTorch have the slope.
type activation[T program.Float] struct{ custom }

// Do implements gorgonia.Op.
func (o *activation[T]) Do(in ...G.Value) (G.Value, error) {
	x, err := gather[T](in)
	if err != nil {
		return nil, err
	}
	dst := make([]T, len(x[0]))
	for i, z := range x[0] {
		if z <= 0 {
			z *= x[1][i%len(x[1])]
		}
		dst[i] = z
	}
	return matrix(o.shape, dst), nil
}

// DiffWRT implements gorgonia.SDOp.
func (o *activation[T]) DiffWRT(int) []bool { return []bool{true, true} }

// SymDiff implements gorgonia.SDOp.
func (o *activation[T]) SymDiff(in G.Nodes, _, grad *G.Node) (G.Nodes, error) {
	dz, err := G.ApplyOp(&activationGrad[T]{custom{o.name + " dz", 3, o.shape}, false}, in[0], in[1], grad)
	if err != nil {
		return nil, err
	}
	ds, err := G.ApplyOp(&activationGrad[T]{custom{o.name + " dslope", 3, in[1].Shape()}, true}, in[0], in[1], grad)
	return G.Nodes{dz, ds}, err
}

// activationGrad is the derivative of activation by z or by the slope, of
// operands z, slope and the derivative by the result.
type activationGrad[T program.Float] struct {
	custom
	slope bool
}

// Do implements gorgonia.Op.
func (o *activationGrad[T]) Do(in ...G.Value) (G.Value, error) {
	x, err := gather[T](in)
	if err != nil {
		return nil, err
	}
	z, s, g := x[0], x[1], x[2]
	dst := make([]T, o.shape.TotalSize())
	for i, d := range g {
		k := i % len(s)
		switch {
		case o.slope && z[i] <= 0:
			dst[k] += d * z[i]
		case o.slope:
		case z[i] > 0:
			dst[i] = d
		default:
			dst[i] = d * s[k]
		}
	}
	return matrix(o.shape, dst), nil
}

// logSoftmax is log softmax of each row. Gorgonia's own takes the largest of the
// first row's first logit and the row's others to be the row's largest: a row
// that lies far below that logit becomes -Inf.
type logSoftmax[T program.Float] struct{ custom }

// Do implements gorgonia.Op.
func (o *logSoftmax[T]) Do(in ...G.Value) (G.Value, error) {
	x, err := gather[T](in)
	if err != nil {
		return nil, err
	}
	dst, m := make([]T, len(x[0])), o.shape[1]
	row := make([]float64, m)
	for r := 0; r < len(dst); r += m {
		for c, v := range x[0][r:][:m] {
			row[c] = float64(v)
		}
		lse := floats.LogSumExp(row)
		for c, v := range row {
			dst[r+c] = T(v - lse)
		}
	}
	return matrix(o.shape, dst), nil
}

// DiffWRT implements gorgonia.SDOp.
func (o *logSoftmax[T]) DiffWRT(int) []bool { return []bool{true} }

// SymDiff implements gorgonia.SDOp.
func (o *logSoftmax[T]) SymDiff(_ G.Nodes, out, grad *G.Node) (G.Nodes, error) {
	n, err := G.ApplyOp(&logSoftmaxGrad[T]{custom{o.name + " dz", 2, o.shape}}, out, grad)
	return G.Nodes{n}, err
}

// logSoftmaxGrad is the derivative of logSoftmax, of its result y and the
// derivative g by it: g - exp(y) sum(g) in each row.
type logSoftmaxGrad[T program.Float] struct{ custom }

// Do implements gorgonia.Op.
func (o *logSoftmaxGrad[T]) Do(in ...G.Value) (G.Value, error) {
	x, err := gather[T](in)
	if err != nil {
		return nil, err
	}
	y, g, m := x[0], x[1], o.shape[1]
	dst := make([]T, len(y))
	for r := 0; r < len(y); r += m {
		var sum float64
		for _, v := range g[r:][:m] {
			sum += float64(v)
		}
		for c := r; c < r+m; c++ {
			dst[c] = T(float64(g[c]) - math.Exp(float64(y[c]))*sum)
		}
	}
	return matrix(o.shape, dst), nil
}

// truncate gives the targets (second operand) without the rows whose margin in
// the logits (first) exceeds a threshold. It has no derivative.
type truncate[T program.Float] struct {
	custom
	margin float64
}

// Do implements gorgonia.Op.
func (o *truncate[T]) Do(in ...G.Value) (G.Value, error) {
	x, err := gather[T](in)
	if err != nil {
		return nil, err
	}
	f, y, m := x[0], x[1], o.shape[1]
	dst := append([]T(nil), y...)
	for r := 0; r < len(f); r += m {
		label, rival := -1, -1
		for c := range m {
			switch {
			case y[r+c] != 0:
				label = c
			case rival < 0 || f[r+c] > f[r+rival]:
				rival = c
			}
		}
		if label >= 0 && rival >= 0 && float64(f[r+label])-float64(f[r+rival]) > o.margin {
			clear(dst[r:][:m])
		}
	}
	return matrix(o.shape, dst), nil
}

// DiffWRT implements gorgonia.SDOp.
func (o *truncate[T]) DiffWRT(int) []bool { return []bool{false, false} }

// SymDiff implements gorgonia.SDOp.
func (o *truncate[T]) SymDiff(G.Nodes, *G.Node, *G.Node) (G.Nodes, error) {
	return nil, fmt.Errorf("truncate has no derivative")
}

package lower

import (
	"cmp"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

// reduction tells how an operator reduces axes.
type reduction struct {
	// since is the opset from which the axes are an input.
	since int64
	// linear gives the weight of each element of a sum of n; nil: no linear map.
	linear func(n int) float64
	// fold computes the result of constants.
	fold func(x []float64) float64
	// reason says why the operator is no linear map and no maximum.
	reason string
}

var reductions = map[string]reduction{
	"ReduceSum":  {since: 13, linear: func(int) float64 { return 1 }, fold: sumOf},
	"ReduceMean": {since: 18, linear: func(n int) float64 { return 1 / float64(n) }, fold: meanOf},
	"ReduceMax":  {since: 18, fold: func(x []float64) float64 { return extremeOf(x, tensor.Larger) }},
	"ReduceMin":  {since: 18, fold: func(x []float64) float64 { return extremeOf(x, tensor.Smaller) }},
	"ReduceL1":   {since: 18, linear: func(int) float64 { return 1 }, fold: absSumOf},
	"ReduceL2": {
		since: 18, fold: func(x []float64) float64 { return math.Sqrt(squareSumOf(x)) },
		reason: "the Euclidean norm is not piecewise linear",
	},
	"ReduceSumSquare": {since: 18, fold: squareSumOf, reason: "a sum of squares is homogeneous of degree 2"},
	"ReduceProd":      {since: 18, fold: productOf, reason: "a product of activations is not homogeneous of degree 1"},
	"ReduceLogSum":    {since: 18, fold: func(x []float64) float64 { return math.Log(sumOf(x)) }, reason: "a logarithm is not homogeneous"},
	"ReduceLogSumExp": {since: 18, fold: logSumExp, reason: "a logarithm of a sum of exponentials is not homogeneous"},
}

func sumOf(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v
	}
	return s
}

func meanOf(x []float64) float64 { return sumOf(x) / float64(len(x)) }

func absSumOf(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += math.Abs(v)
	}
	return s
}

func squareSumOf(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v * v
	}
	return s
}

func productOf(x []float64) float64 {
	p := 1.0
	for _, v := range x {
		p *= v
	}
	return p
}

func extremeOf(x []float64, pick func(a, b float64) float64) float64 {
	y := x[0]
	for _, v := range x[1:] {
		y = pick(y, v)
	}
	return y
}

func logSumExp(x []float64) float64 {
	m := extremeOf(x, tensor.Larger)
	if math.IsInf(m, 0) {
		return m
	}
	s := 0.0
	for _, v := range x {
		s += math.Exp(v - m)
	}
	return m + math.Log(s)
}

// reduced describes the axes that an operator reduces: order lists the kept
// axes, then the reduced ones; shape is the result's.
type reduced struct {
	order       []int
	kept, count int
	shape       []int
}

// lowerReduce reduces axes to one number: a linear map for sums and means, a
// maximum over windows, or a function.
func lowerReduce(o *op) error {
	r := reductions[o.node.OpType]
	v, err := o.need(0)
	if err != nil {
		return err
	}
	from := v.dims()
	red, same, err := o.reducedAxes(from, r.since)
	if err != nil {
		return err
	}
	switch {
	case same:
		return o.reduceNothing(v)
	case red.count == 0:
		return refusal.New("", "it reduces no elements: its operand has shape %s", tensor.DimString(from))
	case v.constant():
		t, err := o.transposed(v.con, red.order)
		if err != nil {
			return err
		}
		f, err := t.Float64s()
		if err != nil {
			return err
		}
		out := make([]float64, red.kept)
		for i := range out {
			out[i] = r.fold(f[i*red.count:][:red.count])
		}
		o.giveTensor(tensor.NewTensor(v.con.DataType(), red.shape, out))
		return nil
	}
	if err := o.reduce(v, red, r); err != nil {
		return err
	}
	o.knowMean(v, red)
	return nil
}

// reduceNothing is the operator with noop_with_empty_axes=1 and no axes: its
// part that works on each element alone.
func (o *op) reduceNothing(v *value) error {
	switch o.node.OpType {
	case "ReduceL1":
		return lowerAbs(o)
	case "ReduceL2":
		return lowerAbs(o)
	case "ReduceSumSquare":
		return o.elementwise("a square is homogeneous of degree 2", func(x []float64) float64 { return x[0] * x[0] })
	case "ReduceLogSum":
		return curve("a logarithm is not homogeneous", math.Log)(o)
	}
	o.give(0, v)
	return nil
}

func (o *op) reduce(v *value, red reduced, r reduction) error {
	typ := v.elem
	name := o.node.OpType
	// The reduced axes go last; the batch stays where it is in the order.
	p := o.transpose(v, red.order)
	if r.reason != "" || !tensor.IsFloat(typ) {
		out := o.function(cmp.Or(r.reason, wraps), typ, red.shape, func(dst []float64, in ...[]float64) {
			for i := range dst {
				dst[i] = r.fold(in[0][i*red.count:][:red.count])
				if !tensor.IsFloat(typ) {
					dst[i] = tensor.Rounded(typ, dst[i])
				}
			}
		}, p)
		o.give(0, out)
		return nil
	}
	w := dag.NewWindow([]int{red.count}, []int{red.count})
	var err error
	switch name {
	case "ReduceMax", "ReduceMin":
		if name == "ReduceMin" {
			if p, err = o.affine(p, affine{coef: -1}); err != nil {
				return err
			}
		}
		out := o.emit(&dag.Pool{Window: &w, Channels: red.kept}, red.shape, p)
		if name == "ReduceMin" {
			if out, err = o.affine(out, affine{coef: -1}); err != nil {
				return err
			}
		}
		o.give(0, out)
		return nil
	case "ReduceL1":
		p = o.activation(p, -1)
	}
	return o.average(p, red.kept, w, []float64{r.linear(red.count)}, red.shape)
}

// reducedAxes reads the axes and keepdims; same says that nothing is reduced.
func (o *op) reducedAxes(from []int, since int64) (red reduced, same bool, err error) {
	axes, _, err := o.intsArg("axes", since, 1)
	if err != nil {
		return red, false, err
	}
	drop := make([]bool, len(from))
	for _, a := range axes {
		k, err := tensor.AxisOf(a, len(from))
		if err != nil {
			return red, false, err
		}
		drop[k] = true
	}
	if len(axes) == 0 {
		if o.int("noop_with_empty_axes", 0) != 0 {
			return red, true, nil
		}
		for k := range drop {
			drop[k] = true
		}
	}
	keep := o.int("keepdims", 1) != 0
	red.kept, red.count = 1, 1
	var last []int
	for k, d := range from {
		switch {
		case !drop[k]:
			red.order = append(red.order, k)
			red.shape = append(red.shape, d)
			if d != tensor.BatchDim {
				red.kept *= d
			}
		case d == tensor.BatchDim:
			return red, false, refusal.MixesBatch("it reduces the batch axis")
		default:
			last = append(last, k)
			red.count *= d
			if keep {
				red.shape = append(red.shape, 1)
			}
		}
	}
	red.order = slices.Concat(red.order, last)
	return red, false, nil
}

package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// normalizer makes a lowerer of a function along one axis. Before opset 13 the
// operand is seen as a matrix whose rows are the axes from the attribute on,
// by default 1; from then on it is one axis, by default the last.
func normalizer(reason string, f func(x []float64)) lowerer {
	return ofFirst(func(o *op, v *value) error {
		a, err := o.normalizedAxis(v.dims())
		if err != nil {
			return err
		}
		out, err := o.functionOf(reason, v.dataType(), v.dims(), rowwise(a, f), v)
		if err != nil {
			return err
		}
		o.give(0, o.as(dag.Normalizer, out))
		return nil
	})
}

// rowwise applies f to the numbers along an axis.
func rowwise(a dag.Axis, f func(x []float64)) func(dst []float64, in ...[]float64) {
	return func(dst []float64, in ...[]float64) {
		if a.Inner == 1 {
			copy(dst, in[0])
			for x := range slices.Chunk(dst, max(a.N, 1)) {
				f(x)
			}
			return
		}
		x := make([]float64, a.N)
		for q := range a.Outer {
			for e := range a.Inner {
				at := q*a.N*a.Inner + e
				for i := range x {
					x[i] = in[0][at+i*a.Inner]
				}
				f(x)
				for i := range x {
					dst[at+i*a.Inner] = x[i]
				}
			}
		}
	}
}

func (o *op) normalizedAxis(shape []int) (dag.Axis, error) {
	r := len(shape)
	if o.opset >= 13 {
		k, err := tensor.AxisOf(o.int("axis", -1), r)
		if err != nil {
			return dag.Axis{}, err
		}
		if shape[k] == tensor.BatchDim {
			return dag.Axis{}, refusal.MixesBatch("it normalises along the batch axis")
		}
		return tensor.Around(shape, k), nil
	}
	k := o.int("axis", 1)
	if k < 0 {
		k += int64(r)
	}
	if k < 0 || k > int64(r) {
		return dag.Axis{}, refusal.New("", "axis %d is outside rank %d", k, r)
	}
	if slices.Index(shape, tensor.BatchDim) >= int(k) {
		return dag.Axis{}, refusal.MixesBatch("it normalises along the batch axis")
	}
	return dag.Axis{Outer: dag.Size(tensor.SampleShape(shape[:k])), N: dag.Size(shape[k:]), Inner: 1}, nil
}

func softmax(x []float64) {
	if len(x) == 0 {
		return
	}
	m := largestOf(x)
	kernel.Affine(x, x, 1, -m, math.Inf(-1), math.Inf(1))
	kernel.Exp(x, x)
	s := kernel.Total(x)
	for i := range x {
		x[i] /= s
	}
}

// largestOf is the largest number, NaN if one is, in four maxima that the processor can do side by side.
func largestOf(x []float64) float64 {
	m := [4]float64{x[0], x[0], x[0], x[0]}
	for ; len(x) >= 4; x = x[4:] {
		m[0], m[1], m[2], m[3] = max(m[0], x[0]), max(m[1], x[1]), max(m[2], x[2]), max(m[3], x[3])
	}
	for _, v := range x {
		m[0] = max(m[0], v)
	}
	return max(m[0], m[1], m[2], m[3])
}

// softmaxBeside is softmax with one more number, whose own share is left out.
func softmaxBeside(x []float64, more float64) {
	all := logSumExp(append([]float64{more}, x...))
	for i := range x {
		x[i] -= all
	}
	kernel.Exp(x, x)
}

func logSoftmax(x []float64) {
	if len(x) == 0 {
		return
	}
	l := logSumExp(x)
	for i := range x {
		x[i] -= l
	}
}

func hardmax(x []float64) {
	best := argBest(x, func(a, b float64) bool { return a > b })
	for i := range x {
		x[i] = truth(i == best)
	}
}

// argBest returns the first place that no other is better than.
func argBest(x []float64, better func(a, b float64) bool) int {
	best := 0
	for i, v := range x {
		if better(v, x[best]) {
			best = i
		}
	}
	return best
}

// placing makes a lowerer of ArgMax and ArgMin.
func placing(better func(a, b float64) bool) lowerer {
	return ofFirst(func(o *op, v *value) error {
		from := v.dims()
		k, err := tensor.AxisOf(o.int("axis", 0), len(from))
		if err != nil {
			return err
		}
		if from[k] == tensor.BatchDim {
			return refusal.MixesBatch("it compares the samples of a batch")
		}
		a := tensor.Around(from, k)
		if a.N == 0 {
			return refusal.New("", "it searches an empty axis")
		}
		order := better
		if o.int("select_last_index", 0) != 0 {
			order = func(x, y float64) bool { return !better(y, x) }
		}
		var shape []int
		for i, d := range from {
			switch {
			case i != k:
				shape = append(shape, d)
			case o.int("keepdims", 1) != 0:
				shape = append(shape, 1)
			}
		}
		return o.gives(o.functionOf("it gives the place of an extreme value", wire.Int64, shape, func(dst []float64, in ...[]float64) {
			x := make([]float64, a.N)
			for q := range a.Outer {
				for e := range a.Inner {
					for i := range x {
						x[i] = in[0][(q*a.N+i)*a.Inner+e]
					}
					dst[q*a.Inner+e] = float64(argBest(x, order))
				}
			}
		}, v))
	})
}

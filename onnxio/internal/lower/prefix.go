package lower

import (
	"slices"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

// prefixes makes a lowerer of what combines all elements before each one along an axis,
// starting with the given number.
func prefixes(reason string, start float64, combine func(s, x float64) float64) lowerer {
	return ofFirst(func(o *op, v *value) error {
		along, err := o.one(1, "the axis")
		if err != nil {
			return err
		}
		axis, err := tensor.AxisOf(along, rank(v))
		if err != nil {
			return err
		}
		if v.dims()[axis] == tensor.BatchDim {
			return refusal.MixesBatch("it runs along the batch axis")
		}
		a := tensor.Around(v.dims(), axis)
		exclusive, reverse := o.int("exclusive", 0) != 0, o.int("reverse", 0) != 0
		return o.gives(o.functionOf(reason, v.dataType(), v.dims(), func(dst []float64, in ...[]float64) {
			for q := range a.Outer {
				for e := range a.Inner {
					s := start
					for i := range a.N {
						k := i
						if reverse {
							k = a.N - 1 - i
						}
						at := (q*a.N+k)*a.Inner + e
						next := combine(s, in[0][at])
						if dst[at] = s; !exclusive {
							dst[at] = next
						}
						s = next
					}
				}
			}
		}, v))
	})
}

// lowerDet is the determinant of each matrix of a stack.
func lowerDet(o *op, v *value) error {
	dims := v.dims()
	r := len(dims)
	if r < 2 || dims[r-1] != dims[r-2] {
		return refusal.New("", "matrices of shape %s", tensor.DimString(dims))
	}
	if dims[r-1] == tensor.BatchDim {
		return refusal.MixesBatch("its matrices are those of all samples")
	}
	n := dims[r-1]
	return o.gives(o.functionOf("it is a determinant", v.dataType(), slices.Clone(dims[:r-2]), func(dst []float64, in ...[]float64) {
		for k := range dst {
			dst[k] = determinant(n, slices.Clone(in[0][k*n*n:][:n*n]))
		}
	}, v))
}

// determinant is that of n rows of n numbers, which it overwrites: the product of the pivots of
// Gauss's elimination, with the sign of the exchanges. gonum's mat.Det estimates a condition number
// too, which would bring most of LAPACK into the program.
func determinant(n int, rows []float64) float64 {
	det, exchanged := 1.0, make([]int, n)
	if n > 0 {
		lapack64.Getrf(blas64.General{Rows: n, Cols: n, Data: rows, Stride: n}, exchanged)
	}
	for i, j := range exchanged {
		if det *= rows[i*n+i]; i != j {
			det = -det
		}
	}
	return det
}

// lowerTensorScatter writes an update into a cache, from the entry along an axis on that is stated
// for each sample.
func lowerTensorScatter(o *op, v, update *value) error {
	dims := v.dims()
	axis, err := tensor.AxisOf(o.int("axis", -2), len(dims))
	if err != nil {
		return err
	}
	mode := o.str("mode", "linear")
	if axis == 0 || mode != "linear" && mode != "circular" {
		return refusal.New("", "mode %q along axis %d", mode, axis)
	}
	in := []*value{v, update}
	at := o.arg(2)
	if at != nil {
		in = append(in, at)
	}
	if !abreast(in...) || dims[axis] == tensor.BatchDim {
		return refusal.MixesBatch("it writes into samples of the batch")
	}
	if at != nil && (len(at.dims()) != 1 || at.dims()[0] != dims[0]) {
		return refusal.New("", "places of shape %s for a value of shape %s", tensor.DimString(at.dims()), tensor.DimString(dims))
	}
	want := slices.Clone(dims)
	if len(update.dims()) == len(dims) {
		want[axis] = update.dims()[axis]
	}
	if !slices.Equal(update.dims(), want) || want[axis] > dims[axis] {
		return refusal.New("", "an update of shape %s for a value of shape %s", tensor.DimString(update.dims()), tensor.DimString(dims))
	}
	n, to, run := dims[axis], want[axis], dag.Size(tensor.SampleShape(dims[axis+1:]))
	outer, samples := dag.Size(dims[1:axis]), tensor.Single(dims[0])
	return o.gives(o.functionOf(writes, v.dataType(), dims, func(dst []float64, in ...[]float64) {
		copy(dst, in[0])
		for k := range samples * outer * to {
			q, i := k/to, k%to
			at := float64(i)
			if len(in) > 2 {
				at += in[2][q/outer]
			}
			if mode == "circular" {
				at = float64(tensor.Modulo(int64(at), int64(n)))
			}
			j, ok := place(at, n)
			if !ok {
				undefined(dst)
				return
			}
			copy(dst[(q*n+j)*run:][:run], in[1][k*run:][:run])
		}
	}, in...))
}

package lower

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

// lowerPad widens or narrows axes.
func lowerPad(o *op, v *value) error {
	var err error
	if v.constant() && v.con.Kind != tensor.Floating {
		return refusal.New("fold constants before export", "it pads a constant of %v", v.con.DataType())
	}
	if v, err = o.materialize(v); err != nil {
		return err
	}
	pads, err := o.pads(len(v.shape))
	if err != nil {
		return err
	}
	fill := o.float("value", 0)
	if o.opset >= 11 {
		if fill, err = o.numberAt(2, "the padding value", 0); err != nil {
			return err
		}
	}
	mode := o.str("mode", "constant")
	place := padding[mode]
	if place == nil {
		return refusal.New("", "mode %q", mode)
	}
	if v, err = o.pad(v, pads, place); err != nil {
		return err
	}
	if mode == "constant" && fill != 0 && slices.ContainsFunc(pads, func(n int64) bool { return n > 0 }) {
		if v, err = o.fillPadding(v, pads, fill); err != nil {
			return err
		}
	}
	o.give(0, v)
	return nil
}

// pads returns the elements to add before and behind each axis: all begins,
// then all ends.
func (o *op) pads(rank int) ([]int64, error) {
	name := "pads"
	if o.opset < 2 {
		name = "paddings"
	}
	pads, ok, err := o.intsArg(name, 11, 1)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, refusal.New("", "the pads are missing")
	}
	if o.opset < 18 || o.arg(3) == nil {
		if len(pads) != 2*rank {
			return nil, refusal.New("", "%s for rank %d", words.Count(len(pads), "pad"), rank)
		}
		return pads, nil
	}
	axes, _, err := o.intsArg("axes", 18, 3)
	if err != nil {
		return nil, err
	}
	if len(pads) != 2*len(axes) {
		return nil, refusal.New("", "%s for %s", words.Count(len(pads), "pad"), words.Count(len(axes), "axis"))
	}
	full := make([]int64, 2*rank)
	for i, a := range axes {
		k, err := tensor.AxisOf(a, rank)
		if err != nil {
			return nil, err
		}
		full[k], full[rank+k] = pads[i], pads[len(axes)+i]
	}
	return full, nil
}

// padding gives, for each mode, the entry of an axis of n that stands at place
// i, which may lie outside; -1 is none.
var padding = map[string]func(i, n int64) int64{
	"constant": func(i, n int64) int64 {
		if i < 0 || i >= n {
			return -1
		}
		return i
	},
	"edge": func(i, n int64) int64 { return max(0, min(i, n-1)) },
	"reflect": func(i, n int64) int64 {
		if n == 1 {
			return 0
		}
		i = tensor.Modulo(i, 2*n-2)
		return min(i, 2*n-2-i)
	},
	"wrap": func(i, n int64) int64 { return tensor.Modulo(i, n) },
}

func (o *op) pad(v *value, pads []int64, place func(i, n int64) int64) (*value, error) {
	r := len(v.shape)
	for k := range r {
		lo, hi := pads[k], pads[r+k]
		if lo == 0 && hi == 0 {
			continue
		}
		if v.shape[k] == tensor.BatchDim {
			return nil, refusal.MixesBatch("it pads the batch axis")
		}
		n := int64(v.shape[k])
		const most = tensor.MaxElements
		// What is cut off is not padded with: as ONNX Runtime has it, ONNX does not say.
		cut := max(0, -lo)
		left := n - cut - max(0, -hi)
		if lo < -n || hi < -n || lo > most || hi > most || lo+hi+n < 0 || n == 0 || left < 0 || left == 0 && place(1, 1) >= 0 {
			return nil, refusal.New("", "pads %v of axis %d with extent %d", pads, k, n)
		}
		at := func(i int) int {
			j := place(int64(i)-max(0, lo), left)
			if j >= 0 {
				j += cut
			}
			return int(j)
		}
		var err error
		if v, err = o.take(v, k, int(lo+hi+n), at); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// fillPadding adds a number to the padding: a bias of its elements.
func (o *op) fillPadding(v *value, pads []int64, fill float64) (*value, error) {
	dims := slices.Clone(v.shape)
	if b := v.batchAxis(); b >= 0 {
		dims[b] = 1
	}
	r := len(dims)
	f := make([]float64, dag.Size(dims))
	at := make([]int, r)
	for i := range f {
		rest := i
		for k := r - 1; k >= 0; k-- {
			at[k] = rest % dims[k]
			rest /= dims[k]
		}
		for k, x := range at {
			if int64(x) < pads[k] || int64(x) >= int64(dims[k])-pads[r+k] {
				f[i] = fill
			}
		}
	}
	return o.affine(v, affine{add: tensor.NewFloats(tensor.Dtype(v.elem), dims, f), addAt: -1, coef: 1, addCoef: 1})
}

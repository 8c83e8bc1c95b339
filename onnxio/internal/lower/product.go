package lower

import (
	"slices"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

const degree2 = "it multiplies two activations, which is homogeneous of degree 2"

// product is the matrix product of two activations, a stack of them over the leading
// axes, which broadcast. A vector is a matrix of one row or one column.
func (o *op) product(a, b *value) (*value, error) {
	if len(a.shape) == 0 || len(b.shape) == 0 {
		return nil, refusal.New("", "a scalar operand")
	}
	rowless, columnless := len(a.shape) == 1, len(b.shape) == 1
	if rowless {
		a = o.relabel(a, []int{1, a.shape[0]})
	}
	if columnless {
		b = o.relabel(b, []int{b.shape[0], 1})
	}
	ra, rb := len(a.shape), len(b.shape)
	if a.shape[ra-1] == tensor.BatchDim || b.shape[rb-2] == tensor.BatchDim {
		return nil, refusal.MixesBatch("the product runs over the batch axis")
	}
	k := a.shape[ra-1]
	if b.shape[rb-2] != k {
		return nil, refusal.New("", "values of shapes %s and %s do not fit a product", tensor.DimString(a.shape), tensor.DimString(b.shape))
	}
	lead, err := tensor.BroadcastDims(a.shape[:ra-2], b.shape[:rb-2])
	if err != nil {
		return nil, sumShapes(err, []*value{a, b})
	}
	shape := append(slices.Clone(lead), a.shape[ra-2], b.shape[rb-1])
	batches := 0
	for _, d := range shape {
		if d == tensor.BatchDim {
			batches++
		}
	}
	if batches > 1 {
		return nil, refusal.MixesBatch("it multiplies each sample with every other")
	}
	if !tensor.Fits(shape) {
		return nil, tooLarge()
	}
	// One sample: the batch has extent 1.
	m, n := tensor.Single(a.shape[ra-2]), tensor.Single(b.shape[rb-1])
	stack := tensor.Singles(lead)
	ia, ib := tensor.BroadcastIndex(tensor.Padded(tensor.Singles(a.shape[:ra-2]), len(stack)), stack), tensor.BroadcastIndex(tensor.Padded(tensor.Singles(b.shape[:rb-2]), len(stack)), stack)
	o.spent += 2 * len(ia)
	out := o.emit(&dag.Func{Kind: dag.Product, Why: degree2, Form: &dag.Matrices{M: m, K: k, N: n, Left: ia, Right: ib}, Apply: func(dst []float64, in ...[]float64) {
		lib := blas.Find()
		if m == 0 || n == 0 {
			return
		}
		if k == 0 {
			clear(dst)
			return
		}
		for s := range ia {
			lib.Dgemm(false, false, m, n, k, 1, in[0][int(ia[s])*m*k:], k, in[1][int(ib[s])*k*n:], n, 0, dst[s*m*n:], n)
		}
	}}, shape, a, b)
	switch {
	case rowless && columnless:
		return o.relabel(out, lead), nil
	case rowless:
		return o.relabel(out, append(slices.Clone(lead), shape[len(shape)-1])), nil
	case columnless:
		return o.relabel(out, shape[:len(shape)-1]), nil
	}
	return out, nil
}

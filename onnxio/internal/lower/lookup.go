package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

// gatherValues is Gather by indices that the network computes or is given: a stored
// table is a linear layer of one-hot vectors; entries of an activation are picked.
func (o *op) gatherValues(data, index *value) (*value, error) {
	axis, err := tensor.AxisOf(o.int("axis", 0), rank(data))
	if err != nil {
		return nil, err
	}
	if data.constant() && axis == 0 && len(data.con.Dims) == 2 && data.con.Kind == tensor.Floating && data.con.Size() > 0 {
		return o.embedding(data.con, index)
	}
	if data, err = o.materialize(data); err != nil {
		return nil, err
	}
	if data.shape[axis] == tensor.BatchDim {
		return nil, refusal.MixesBatch("it picks samples of the batch")
	}
	shape := slices.Concat(data.shape[:axis], index.shape, data.shape[axis+1:])
	if err := o.oneBatch(shape); err != nil {
		return nil, err
	}
	a := tensor.Around(data.shape, axis)
	n := dag.Size(tensor.SampleShape(index.shape))
	return o.function("it picks entries by computed indices", data.elem, shape, func(dst []float64, in ...[]float64) {
		for q := range a.Outer {
			for k, x := range in[1] {
				j, ok := place(x, a.N)
				for e := range a.Inner {
					at := (q*n+k)*a.Inner + e
					if dst[at] = math.NaN(); ok {
						dst[at] = in[0][(q*a.N+j)*a.Inner+e]
					}
				}
			}
		}
	}, data, index), nil
}

// oneBatch refuses a shape with more than one batch axis.
func (o *op) oneBatch(shape []int) error {
	n := 0
	for _, d := range shape {
		if d == tensor.BatchDim {
			n++
		}
	}
	switch {
	case n > 1:
		return refusal.MixesBatch("it pairs each sample with every other")
	case !tensor.Fits(shape):
		return tooLarge()
	}
	return nil
}

// place resolves an index, which may count from the end.
func place(x float64, n int) (int, bool) {
	j := int(x)
	if j < 0 {
		j += n
	}
	return j, j >= 0 && j < n
}

// embedding is a row of a stored table for each index: a linear layer whose units
// are the table's columns, of one-hot vectors.
func (o *op) embedding(t *tensor.Tensor, index *value) (*value, error) {
	n := dag.Size(tensor.SampleShape(index.shape))
	if n == 0 || t.Dims[0] > math.MaxInt32/n {
		return nil, refusal.New("export shorter sequences", "one-hot vectors of %d for %s are too many", t.Dims[0], words.Count(n, "index"))
	}
	u, err := o.use(t, 0)
	if err != nil {
		return nil, err
	}
	hot := o.emit(&dag.Func{Kind: dag.OneHot, Why: "its operand names an entry of a table", Extent: t.Dims[0]}, nil, index)
	o.nodes[hot.node].Shape = []int{n, t.Dims[0]}
	shape := append(slices.Clone(index.shape), t.Dims[1])
	m := &dag.Dense{W: u, Rows: t.Dims[1], Cols: t.Dims[0], InOut: !t.Swapped, Outer: n}
	out := o.emit(&dag.Linear{Map: m}, shape, hot)
	out.elem = t.DataType()
	o.unitAxes[out.node] = []int{len(shape) - 1}
	return out, nil
}

package onnxio

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
)

// gatherValues is Gather by indices that the network computes or is given: a stored
// table is a linear layer of one-hot vectors; entries of an activation are picked.
func (o *op) gatherValues(data, index *value) (*value, error) {
	axis, err := axisOf(o.int("axis", 0), rank(data))
	if err != nil {
		return nil, err
	}
	if data.constant() && axis == 0 && len(data.con.dims) == 2 && data.con.kind == floating && data.con.size() > 0 {
		return o.embedding(data.con, index)
	}
	if data, err = o.materialize(data); err != nil {
		return nil, err
	}
	if data.shape[axis] == batchDim {
		return nil, mixesBatch("it picks samples of the batch")
	}
	shape := slices.Concat(data.shape[:axis], index.shape, data.shape[axis+1:])
	if err := o.oneBatch(shape); err != nil {
		return nil, err
	}
	a := around(data.shape, axis)
	n := dag.Size(sampleShape(index.shape))
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
		if d == batchDim {
			n++
		}
	}
	switch {
	case n > 1:
		return mixesBatch("it pairs each sample with every other")
	case !fits(shape):
		return refuse("", "the result has too many elements")
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
func (o *op) embedding(t *tensor, index *value) (*value, error) {
	n := dag.Size(sampleShape(index.shape))
	if n == 0 || t.dims[0] > math.MaxInt32/n {
		return nil, refuse("export shorter sequences", "one-hot vectors of %d for %d indices are too many", t.dims[0], n)
	}
	u, err := o.use(t, 0)
	if err != nil {
		return nil, err
	}
	hot := o.emit(&dag.Func{Kind: dag.OneHot, Why: "its operand names an entry of a table", Extent: t.dims[0]}, nil, index)
	o.nodes[hot.node].Shape = []int{n, t.dims[0]}
	shape := append(slices.Clone(index.shape), t.dims[1])
	m := &dag.Dense{W: u, Rows: t.dims[1], Cols: t.dims[0], InOut: !t.swapped, Outer: n}
	out := o.emit(&dag.Linear{Map: m}, shape, hot)
	out.elem = t.dataType()
	o.unitAxes[out.node] = []int{len(shape) - 1}
	return out, nil
}

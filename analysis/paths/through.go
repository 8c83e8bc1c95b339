package paths

import (
	"encoding/binary"
	"math"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/grid"
	"github.com/relupath/relupath/analysis/internal/sums"
	"github.com/relupath/relupath/analysis/scaled"
)

// product is h_in of matrix products of which operand k goes through, and the other is 1:
// the p-norm along the sum, for each row of the left operand or column of the right one.
func product(m *dag.Matrices, k int, shape []int, x *value, p []float64) *value {
	which := [][]int32{m.Left, m.Right}[k]
	return listed(shape, p, func(order int) []scaled.Num {
		h := x.elements(order)
		out := make([]scaled.Num, 0, len(which)*m.M*m.N)
		for _, w := range which {
			lines := along(m, k, h, w, 1-k, p[order])
			for i := range m.M {
				for j := range m.N {
					out = append(out, lines[[]int{i, j}[k]])
				}
			}
		}
		return out
	})
}

// along is the p-norm of a matrix of operand k over its rows (axis 0) or columns (axis 1).
func along(m *dag.Matrices, k int, h []scaled.Num, matrix int32, axis int, p float64) []scaled.Num {
	rows, cols := m.M, m.K
	if k == 1 {
		rows, cols = m.K, m.N
	}
	return lines(h[int(matrix)*rows*cols:], rows, cols, axis, p)
}

// lines is the p-norm of a matrix over its rows (axis 0: a number a column) or over its
// columns (axis 1: a number a row).
func lines(h []scaled.Num, rows, cols, axis int, p float64) []scaled.Num {
	out := make([]scaled.Num, []int{cols, rows}[axis])
	for i := range rows {
		for j := range cols {
			at := &out[[]int{j, i}[axis]]
			*at = scaled.Plus(*at, h[i*cols+j], p)
		}
	}
	return out
}

// Carries implements dag.Through.
func (b *backward) Carries() [][]int { return b.opt.Carries }

// Product implements dag.Through.
func (b *backward) Product(nd *dag.Node, k int, h *value) *value {
	m, ok := nd.Op.(*dag.Func).Form.(*dag.Matrices)
	if !ok {
		return h
	}
	which, other := m.Left, m.Right
	rows, cols := m.M, m.K
	if k == 1 {
		which, other, rows, cols = m.Right, m.Left, m.K, m.N
	}
	both := len(b.opt.Carries[nd.ID]) > 1
	operand, size := nd.In[k], b.nodes[nd.In[k]].Len()
	if both && b.in[nd.In[1-k]] == nil {
		return b.Output(&b.nodes[operand])
	}
	return listed(b.nodes[operand].Shape, b.p, func(order int) []scaled.Num {
		p := b.p[order]
		out := make([]scaled.Num, size)
		var from []scaled.Num
		if both {
			from = b.in[nd.In[1-k]].elements(order)
		} else {
			from = h.elements(order)
		}
		for s, w := range which {
			// What leaves: by the index of the sum where both meet, else by the line
			// of the value.
			var leaves []scaled.Num
			axis := k
			if both {
				leaves, axis = along(m, 1-k, from, other[s], 1-k, p), 1-k
			} else {
				leaves = lines(from[s*m.M*m.N:], m.M, m.N, 1-k, p)
			}
			for i := range rows {
				for j := range cols {
					at := &out[(int(w)*rows+i)*cols+j]
					*at = scaled.Plus(*at, leaves[[]int{i, j}[axis]], p)
				}
			}
		}
		return out
	})
}

// listed is a value with one number an element for each order, those that agree found.
func listed(shape []int, p []float64, h func(order int) []scaled.Num) *value {
	var all [][]scaled.Num
	for k := range p {
		all = append(all, h(k))
	}
	ids := make([]int32, dag.Size(shape))
	first := map[string]int32{} // the first element with these numbers
	var key []byte
	for e := range ids {
		key = key[:0]
		for _, x := range all {
			key = binary.LittleEndian.AppendUint64(key, math.Float64bits(x[e].Frac))
			key = binary.LittleEndian.AppendUint64(key, uint64(x[e].Exp))
		}
		id, ok := first[string(key)]
		if !ok {
			id = int32(e)
			first[string(key)] = id
		}
		ids[e] = id
	}
	l, of := grid.Compress(ids, shape)
	out := &value{grid: l}
	for k, x := range all {
		out.h = append(out.h, sums.Pack(p[k], grid.Gather(x, of)))
	}
	return out
}

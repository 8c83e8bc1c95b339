package rescale

import (
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/sums"
	"github.com/relupath/relupath/analysis/scaled"
)

// begin finds the active groups' starting factors in one read of the weights forward
// and one backward. With h_in and h_out the p-norms of the products along paths of
// groups, from pinned ones and to them, that of d_in and d_out layers,
//
//	ln c = (d_in ln h_out - d_out ln h_in)/(d_in + d_out):
//
// the incoming norm of every rescaled unit grows evenly from layer to layer. h_in is the
// geometric mean over the rows of a group. It grows by c under rescaling and h_out
// shrinks by it, so that the rescaled network is the same for all members of a class.
//
// Positions play no part here, as they do in path norms: that costs a few steps of
// what begins here, and spares the elements of every value. Errors: NaN or infinite weights.
func (v *view) begin(p float64, threads int) error {
	in, out := newReached(v.g.Count), newReached(v.g.Count)
	for _, y := range v.layers {
		cols := v.ends(y.cols, in)
		depth := 0.0
		for _, id := range y.cols {
			if id != dag.NoGroup {
				depth = max(depth, in.depth[id])
			}
		}
		for i, x := range y.incoming([]sums.Path{{P: p, H: cols}}, threads)[0] {
			if y.rows[i] == dag.NoGroup {
				continue
			}
			if y.bias != nil {
				x = scaled.Plus(x, scaled.New(y.bias[i]), p)
			}
			if !x.IsFinite() {
				return fmt.Errorf("rescale: %s: NaN or infinite weights", v.net.Nodes[y.node].Label())
			}
			if v.index[y.rows[i]] >= 0 {
				in.mean(y.rows[i], x, depth+1)
			}
		}
	}
	// What leaves a unit that meets another in a product are the paths to that one.
	for id, of := range v.g.Inverse {
		if of >= 0 {
			out.h[id], out.depth[id] = in.h[of], in.depth[of]
		}
	}
	for _, y := range slices.Backward(v.layers) {
		rows := v.ends(y.rows, out)
		depth := 0.0
		for i, id := range y.rows {
			if id != dag.NoGroup {
				depth = max(depth, out.depth[id])
			}
			if y.scale != nil {
				rows[i] = rows[i].MulFloat(y.scale[i])
			}
		}
		for j, x := range y.outgoing(sums.Path{P: p, H: rows}, threads) {
			if id := y.cols[j]; id != dag.NoGroup && v.index[id] >= 0 {
				out.h[id], out.depth[id] = scaled.Plus(out.h[id], x, p), max(out.depth[id], depth+1)
			}
		}
	}
	for _, id := range v.active {
		if a, b := in.h[id], out.h[id]; !a.IsZero() && !b.IsZero() {
			d, e := in.depth[id], out.depth[id]
			v.start[id] = (d*b.Ln() - e*a.Ln()) / (d + e)
		}
	}
	for id := range v.start {
		if v.g.Follows(id) {
			v.start[id] = -v.start[v.g.Inverse[id]]
		}
	}
	return nil
}

// reached is what paths make of each group, on one side.
type reached struct {
	h     []scaled.Num
	depth []float64
	ln    []float64 // the sum of logarithms of rows
	rows  []float64
}

func newReached(groups int) *reached {
	return &reached{make([]scaled.Num, groups), make([]float64, groups), make([]float64, groups), make([]float64, groups)}
}

// mean takes one more row of a group.
func (r *reached) mean(id int32, x scaled.Num, depth float64) {
	if x.IsZero() {
		return
	}
	r.ln[id] += x.Ln()
	r.rows[id]++
	r.h[id] = x
	if r.rows[id] > 1 {
		r.h[id] = scaled.FromLog2(r.ln[id] / r.rows[id] / math.Ln2)
	}
	r.depth[id] = max(r.depth[id], depth)
}

// ends returns h of each row or column: 1 at those that are not active, where paths end.
func (v *view) ends(ids []int32, r *reached) []scaled.Num {
	h := make([]scaled.Num, len(ids))
	for i, id := range ids {
		switch {
		case id == dag.NoGroup:
		case v.index[id] < 0:
			h[i] = scaled.One
		default:
			h[i] = r.h[id]
		}
	}
	return h
}

// outgoing returns (sum_i (|w_ij| h_i)^p)^(1/p) of every column of a layer, without the
// factors of its rows.
func (y *layer) outgoing(h sums.Path, threads int) []scaled.Num {
	t := &layer{rows: y.cols}
	for _, s := range y.parts {
		t.parts = append(t.parts, transposed(s))
	}
	return t.incoming([]sums.Path{h}, threads)[0]
}

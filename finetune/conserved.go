package finetune

import (
	"math"

	"github.com/relupath/relupath/analysis/dag"
)

// laws are ||in||^2 + b^2 - ||out||^2 of each group of tied units that one factor rescales, and
// ||in||^2 + b^2 + ||out||^2, NaN for groups that have no such law. Weights of a convolution
// count once.
//
// Rescaling does not change the loss: so in . dL/din = out . dL/dout, and gradient flow keeps the
// difference. A step of size h of gradient descent changes it by h^2 times the difference of
// squared gradients. Source: Du, Hu, Lee, Algorithmic regularization in learning deep homogeneous
// models, NeurIPS 2018; Marcotte, Gribonval, Peyre, Abide by the law and follow the flow, NeurIPS
// 2023.
//
// No law: pinned units, weights with normalisers or factors behind them or with several uses, bounds of caps,
// which are not trained, and units that meet others in a product.
func laws(n *dag.Network) (differ, sum []float64) {
	g := n.Groups()
	differ, sum = make([]float64, g.Count), make([]float64, g.Count)
	void := func(ids []int32) {
		for _, id := range ids {
			if id >= 0 {
				differ[id], sum[id] = math.NaN(), math.NaN()
			}
		}
	}
	add := func(id int32, w, sign float64) {
		if id >= 0 {
			differ[id] += sign * w * w
			sum[id] += w * w
		}
	}
	used := map[*dag.Param]int{}
	for u := range n.Uses() {
		used[u.Param]++
	}
	for nd := range dag.Each[*dag.Cap](n) {
		void(g.Units[nd.ID].IDs)
	}
	for nd, l := range dag.Each[*dag.Linear](n) {
		rows, cols := g.Rows[nd.ID], g.Cols[nd.ID]
		again := false // numbers that are not one trained number each
		for _, u := range nd.Uses() {
			again = again || used[u.Param] > 1
		}
		biases := 0
		for _, st := range l.Stages {
			if st.Add != nil {
				biases++
				again = again || st.Add.Param == nil || math.Abs(st.Add.Coef) != 1
			}
		}
		if l.Scale() != nil || again || biases > 1 || l.Map != nil && !l.Learned() && l.Free() {
			void(rows)
			void(cols)
			continue
		}
		for _, m := range l.Matrices() {
			for e := range m.Len() {
				row, col := m.Place(e)
				if rows[row] == cols[col] {
					continue // between tied units, which one factor leaves as it is
				}
				w := m.At(e)
				add(rows[row], w, 1)
				add(cols[col], w, -1)
			}
		}
		if rows != nil {
			for i, b := range l.Bias() {
				add(rows[i], b, 1)
			}
		}
	}
	for id, pin := range g.Pin {
		if pin != "" || g.Inverse[id] >= 0 {
			void([]int32{int32(id)})
		}
	}
	return differ, sum
}

// drift is the largest change of a law from one network to another, relative to the squares of the weights
// that it is of in the first; nil where there is none.
func drift(from, to *dag.Network) *float64 {
	before, size := laws(from)
	after, _ := laws(to)
	most := math.NaN()
	for id, x := range before {
		if d := math.Abs(after[id]-x) / size[id]; !(d <= most) && d >= 0 {
			most = d
		}
	}
	if math.IsNaN(most) {
		return nil
	}
	return &most
}

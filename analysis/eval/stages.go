package eval

import (
	"context"
	"math"
	"math/bits"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
)

// The values between the layers of a batch of pictures are far larger than the caches, and
// each is written to memory and read again. So the nodes are computed in stages, each of
// them for some samples after the others: as many as fit. A sample's numbers do not depend
// on the others, so the stages play no part in the result.
const (
	// stageBytes bounds the operands and the value of a node in the samples of a turn.
	stageBytes = 8 << 20
	// stageColumns is the number of positions of a layer in a turn that there are about at
	// least: its weights are packed for each turn. Wider layers have fewer, so that a node's operands and value
	// take at most stageMost bytes, or those of one sample.
	stageColumns = 1 << 11
	stageMost    = 128 << 20
	// stageAhead is how many nodes a stage may be longer than turns ask for, so that the values that the next one
	// reads, which are there for the whole batch, are small: behind a narrow layer instead of a wide one.
	stageAhead = 8
)

// stage is nodes [lo, hi), computed for some samples at a time.
type stage struct{ lo, hi, samples int }

// stages splits the network where turns become longer: they never become shorter again, so
// that few values are there for the whole batch.
func (ev *evaluator) stages(needed []bool, batch int) []stage {
	nodes := ev.net.Nodes
	// turns are for how many samples each node is computed at a time, a power of two. What
	// layers need holds for the nodes behind them too.
	turns, least := make([]int, len(nodes)), 1
	for i := range nodes {
		if !needed[i] {
			continue
		}
		elements := 1 + ev.elements(i)
		for _, j := range nodes[i].In {
			elements += ev.elements(j)
		}
		if l, ok := nodes[i].Op.(*dag.Linear); ok && l.Map != nil {
			if p := l.Map.Positions(); p > 0 {
				least = ceilDiv(stageColumns, p)
			}
		}
		turns[i] = 1 << (bits.Len(uint(max(1, min(least, stageMost/8/elements), stageBytes/8/elements))) - 1)
	}
	cross := ev.crossing(needed)
	samples := max(batch, 1)
	out := []stage{{hi: len(nodes), samples: samples}}
	for i := len(nodes) - 1; i >= 0; i-- {
		if s := turns[i]; needed[i] && s < samples {
			end := i
			for j := i + 1; j <= i+stageAhead && j < out[0].hi-1; j++ {
				if cross[j] < cross[end] {
					end = j
				}
			}
			samples = s
			out = append([]stage{{hi: end + 1, samples: s}}, out...)
			out[1].lo = end + 1
		}
	}
	if out[len(out)-1].lo == len(nodes) {
		out = out[:len(out)-1]
	}
	return out
}

// Samples returns how many samples of a network fit into about so many numbers that an evaluation has for the whole
// batch: the inputs, the wanted values (nil is the outputs), and what one stage leaves to the next. It is at least one.
// What turns hold does not grow with the batch.
func Samples(n *dag.Network, values []int, numbers int) int {
	ev := &evaluator{net: n}
	want := ev.want(values)
	needed := n.Ancestors(want)
	each := 0
	for _, p := range n.Inputs {
		each += n.Nodes[p.Node].Len()
	}
	for _, i := range want {
		each += n.Nodes[i].Len()
	}
	between, cross := 0, ev.crossing(needed)
	for _, st := range ev.stages(needed, math.MaxInt) {
		between = max(between, cross[st.hi-1])
	}
	return max(1, numbers/max(1, each+between))
}

// crossing returns for each node how many elements of a sample, but for inputs, nodes behind it read of those up to it.
func (ev *evaluator) crossing(needed []bool) []int {
	nodes := ev.net.Nodes
	out := make([]int, len(nodes)+1)
	for j, i := range lastReaders(ev.net, needed, nil) {
		if _, input := nodes[j].Op.(dag.Input); needed[j] && !input {
			out[j] += ev.elements(j)
			out[i] -= ev.elements(j)
		}
	}
	for i := range nodes {
		out[i+1] += out[i]
	}
	return out
}

// elements returns the number of elements of a node's value; of one-hot vectors that of
// the places.
func (ev *evaluator) elements(i int) int {
	if oneHot(ev.net, i) {
		i = ev.net.Nodes[i].In[0]
	}
	return ev.net.Nodes[i].Len()
}

// run is the state of an evaluation: the values of nodes, for the whole batch where later
// stages read them, and for the turn.
type run struct {
	whole, turn [][]float64
	// last are the last readers of values, for those that are wanted a place behind the end.
	last []int
}

// lastReaders returns the last of the needed nodes that reads each, itself where none does.
func lastReaders(n *dag.Network, needed []bool, want []int) []int {
	last := make([]int, len(n.Nodes))
	for i := range n.Nodes {
		last[i] = i
		if needed[i] {
			for _, j := range n.Nodes[i].In {
				last[j] = i
			}
		}
	}
	for _, j := range want {
		last[j] = len(n.Nodes)
	}
	return last
}

// forward computes the needed nodes of a batch and returns the values of those that are wanted.
func (ev *evaluator) forward(ctx context.Context, needed []bool, want []int, batch int) ([][]float64, error) {
	nodes := ev.net.Nodes
	r := &run{make([][]float64, len(nodes)), make([][]float64, len(nodes)), lastReaders(ev.net, needed, want)}
	for i, x := range ev.inputs {
		r.whole[i] = x
		ev.hold(x)
	}
	for _, st := range ev.stages(needed, batch) {
		for first := 0; first == 0 || first < batch; first += st.samples {
			if err := ev.take(ctx, r, st, needed, first, batch); err != nil {
				return nil, err
			}
		}
		for j, v := range r.whole[:st.hi] {
			if v != nil && r.last[j] < st.hi {
				ev.drop(v)
				r.whole[j] = nil
			}
		}
	}
	out := make([][]float64, len(want))
	for k, j := range want {
		v := r.whole[j]
		if ev.given(v) { // the caller's
			v = ev.buffer(len(v))
			copy(v, r.whole[j])
		}
		if cap(v) > 2*len(v) {
			v = slices.Clone(v) // instead of a large buffer that it is in
		}
		out[k] = v
	}
	return out, nil
}

// given reports whether a value is one of the inputs.
func (ev *evaluator) given(v []float64) bool {
	for _, x := range ev.inputs {
		if len(v) > 0 && len(x) > 0 && &x[0] == &v[0] {
			return true
		}
	}
	return false
}

// take computes a stage for the samples of a turn, which begin at the given one.
func (ev *evaluator) take(ctx context.Context, r *run, st stage, needed []bool, first, batch int) error {
	nodes := ev.net.Nodes
	ev.batch = min(st.samples, batch-first)
	var lent []int
	for j, v := range r.whole {
		if _, input := nodes[j].Op.(dag.Input); v != nil && (j < st.lo || input) {
			m := len(v) / max(batch, 1)
			r.turn[j] = v[first*m:][:ev.batch*m]
			ev.hold(r.turn[j])
			lent = append(lent, j)
			if input { // whose numbers the caller wants to keep
				ev.hold(r.turn[j])
				lent = append(lent, j)
			}
		}
	}
	for i := st.lo; i < st.hi; i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		nd := &nodes[i]
		if _, input := nd.Op.(dag.Input); input || !needed[i] {
			continue
		}
		in := make([][]float64, len(nd.In))
		for k, j := range nd.In {
			in[k] = r.turn[j]
		}
		r.turn[i] = dag.Apply(ev.net, ev, nd, in)
		ev.hold(r.turn[i])
		for k, j := range nd.In {
			if j >= st.lo && r.last[j] == i && !slices.Contains(nd.In[:k], j) && r.whole[j] == nil {
				ev.drop(r.turn[j])
				r.turn[j] = nil
			}
		}
	}
	for i := st.lo; i < st.hi; i++ {
		v := r.turn[i]
		switch {
		case r.last[i] < st.hi || v == nil || slices.Contains(lent, i):
			continue
		case ev.batch == batch:
			r.whole[i] = v
		default:
			m := len(v) / ev.batch
			if r.whole[i] == nil {
				r.whole[i] = ev.buffer(batch * m)
				ev.hold(r.whole[i])
			}
			copy(r.whole[i][first*m:], v)
			ev.drop(v)
		}
		r.turn[i] = nil
	}
	for _, j := range lent {
		ev.takeBack(r.turn[j])
	}
	return nil
}

package rescale

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/internal/lists"
)

// number builds the network, its nodes in the order in which the outputs reach
// them, the inputs first.
func (z *normalizer) number(outs []int) (*Normal, error) {
	if err := z.tell(); err != nil {
		return nil, err
	}
	id := slices.Repeat([]int{-1}, len(z.nodes))
	var b dag.Builder
	put := func(i int) {
		nd := z.nodes[i]
		in := lists.Map(nd.In, func(j int) int { return id[j] })
		nd.In = in
		id[i] = b.Node(nd)
	}
	for _, p := range z.src.Inputs {
		put(z.views[p.Node].parts[0])
	}
	type frame struct{ node, next int }
	for k, o := range outs {
		stack := []frame{{o, 0}}
		for len(stack) > 0 {
			f := &stack[len(stack)-1]
			in := z.nodes[f.node].In
			switch {
			case id[f.node] >= 0:
				stack = stack[:len(stack)-1]
			case f.next < len(in):
				f.next++
				stack = append(stack, frame{in[f.next-1], 0})
			default:
				put(f.node)
			}
		}
		b.Output(z.src.Outputs[k].Name, id[o])
	}
	net, err := b.Build()
	if err != nil {
		return nil, fmt.Errorf("rescale: normal form: %w", err)
	}
	for i, j := range z.to {
		if j >= 0 {
			z.to[i] = id[j]
		}
	}
	return &Normal{Net: net, To: z.to, Ambiguous: z.ambiguous}, nil
}

// prints is the number of inputs on which operands are told apart.
const prints = 4

// tell orders the operands of sums that look alike by their values on a few
// inputs, in a way that neither factors nor the order of units change: the shares
// that each operand has in the sum of magnitudes, over the units.
func (z *normalizer) tell() error {
	var sums []int
	for i := range z.nodes {
		if !z.nodes[i].Joins() {
			continue
		}
		in := z.nodes[i].In
		for k := 1; k < len(in); k++ {
			if in[k] != in[k-1] && z.hash[in[k]] == z.hash[in[k-1]] {
				sums = append(sums, i)
				break
			}
		}
	}
	if len(sums) == 0 {
		return nil
	}
	var b dag.Builder
	for i := range z.nodes {
		b.Node(z.nodes[i])
	}
	net, err := b.Build()
	if err != nil {
		return fmt.Errorf("rescale: normal form: %w", err)
	}
	var wanted []int
	for _, i := range sums {
		wanted = append(wanted, z.nodes[i].In...)
	}
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	vals, err := eval.Run(context.Background(), net, samples(net, prints), prints, eval.Options{Values: wanted})
	if err != nil {
		return fmt.Errorf("rescale: normal form: %w", err)
	}
	of := map[int][]float64{}
	for k, i := range wanted {
		of[i] = vals[k]
	}
	for _, i := range sums {
		in := z.nodes[i].In
		total := make([]float64, prints*z.nodes[i].Len())
		for _, j := range in {
			for e, x := range of[j] {
				total[e] += math.Abs(x)
			}
		}
		type operand struct {
			id   int
			sign float64
			mark float64
		}
		ops := make([]operand, len(in))
		add, _ := z.nodes[i].Op.(*dag.Add)
		for k, j := range in {
			ops[k] = operand{id: j, sign: 1}
			if add != nil {
				ops[k].sign = add.Weight(k)
			}
			n := 0.0
			for e, x := range of[j] {
				if total[e] > 0 {
					t := x / total[e]
					ops[k].mark += (t + t*t*t) * float64(1+e/z.nodes[i].Len())
					n++
				}
			}
			ops[k].mark /= max(n, 1)
		}
		slices.SortStableFunc(ops, func(a, b operand) int {
			if c := z.compare(a.id, b.id); c != 0 {
				return c
			}
			if a.sign != b.sign {
				return int(b.sign - a.sign)
			}
			return cmp.Compare(a.mark, b.mark)
		})
		ids, signs := make([]int, len(ops)), make([]float64, len(ops))
		for k, o := range ops {
			ids[k], signs[k] = o.id, o.sign
			if k > 0 && z.compare(o.id, ops[k-1].id) == 0 && o.sign == ops[k-1].sign && o.id != ops[k-1].id &&
				!(math.Abs(o.mark-ops[k-1].mark) > 1e-3*math.Abs(o.mark)) {
				z.ambiguous = true
			}
		}
		z.nodes[i].In = ids
		if add != nil && add.Sign != nil {
			z.nodes[i].Op = &dag.Add{Sign: signs}
		}
	}
	return nil
}

// samples are random inputs, the same for networks of the same inputs: half of
// unit scale, half large; places in a table where an input names them.
func samples(n *dag.Network, batch int) [][]float64 {
	out, extents := make([][]float64, len(n.Inputs)), extents(n)
	for k, p := range n.Inputs {
		r := rand.New(rand.NewPCG(7, uint64(k)))
		size := n.Nodes[p.Node].Len()
		out[k] = make([]float64, batch*size)
		for e := range out[k] {
			if extents[p.Node] > 0 {
				out[k][e] = float64(r.IntN(extents[p.Node]))
				continue
			}
			out[k][e] = r.NormFloat64()
			if e/size%2 == 1 {
				out[k][e] *= 1000
			}
		}
	}
	return out
}

// extents has the smallest table that is read at the places that a node's elements name, as they
// are; 0 where none is.
func extents(n *dag.Network) []int {
	out := make([]int, len(n.Nodes))
	for i := len(n.Nodes) - 1; i >= 0; i-- {
		nd, extent := &n.Nodes[i], 0
		if f, ok := nd.Op.(*dag.Func); ok {
			extent = f.Extent
		} else if nd.Moves() {
			extent = out[i]
		}
		for _, j := range nd.In {
			if out[j] == 0 || extent > 0 && extent < out[j] {
				out[j] = extent
			}
		}
	}
	return out
}

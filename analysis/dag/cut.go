package dag

import "slices"

// Cut returns the network with the functions that are not evaluated turned into inputs, after its own
// inputs. at lists these functions, those that Boundary needs; where there are none the network is n. ends
// lists, in order, the nodes whose values say all about the network once these inputs are given: Boundary,
// and what the functions read. Nodes keep their numbers.
func (n *Network) Cut() (cut *Network, at, ends []int, err error) {
	ends = n.Boundary()
	for i, needed := range n.Ancestors(ends) {
		if f, ok := n.Nodes[i].Op.(*Func); ok && needed && !f.evaluable() {
			at = append(at, i)
		}
	}
	if at == nil {
		return n, nil, ends, nil
	}
	out := *n
	out.Nodes, out.Inputs = slices.Clone(n.Nodes), slices.Clone(n.Inputs)
	for _, i := range at {
		nd := &out.Nodes[i]
		ends = append(ends, nd.Operands()...)
		nd.In, nd.Op = nil, Input{}
		out.Inputs = append(out.Inputs, Port{nd.Ref(), i})
	}
	for i, z := range zones(out.Nodes) {
		out.Nodes[i].Zone = z
	}
	slices.Sort(ends)
	return &out, at, slices.Compact(ends), out.Validate()
}

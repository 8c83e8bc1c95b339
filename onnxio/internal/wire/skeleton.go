package wire

// Skeleton returns a model with the same nodes in the same order and nothing to
// compute with: initializers, inputs and outputs are names without types, node
// names are left out, of the attributes only single numbers and strings are
// kept, and a node without inputs gets one absent input. Inputs are among the other
// values, since onnx-go compares each initializer with each input. It is what a decoder
// of the topology needs.
func Skeleton(f *File) []byte {
	g := Graph{
		Name:         f.Graph.Name,
		Nodes:        make([]Node, len(f.Graph.Nodes)),
		Initializers: make([]Tensor, len(f.Graph.Initializers)),
		Outputs:      bare(f.Graph.Outputs),
		ValueInfo:    bare(f.Graph.Inputs),
	}
	for i := range g.Nodes {
		g.Nodes[i] = skeletonNode(&f.Graph.Nodes[i])
	}
	for i := range g.Initializers {
		g.Initializers[i].Name = f.Graph.Initializers[i].Name
	}
	m := Model{IRVersion: f.Model.IRVersion, OpsetImports: f.Model.OpsetImports}
	var r rope
	e := encoder{}
	e.model(&r, &m, &g)
	if e.err != nil {
		panic(e.err)
	}
	if len(r.parts) == 0 {
		return nil
	}
	return r.parts[0].bytes
}

func bare(v []ValueInfo) []ValueInfo {
	out := make([]ValueInfo, len(v))
	for i := range v {
		out[i].Name = v[i].Name
	}
	return out
}

func skeletonNode(n *Node) Node {
	out := Node{OpType: n.OpType, Domain: n.Domain, Inputs: n.Inputs, Outputs: n.Outputs}
	if len(out.Inputs) == 0 {
		out.Inputs = []string{""}
	}
	for _, a := range n.Attributes {
		if a.RefAttrName == "" && (a.Type == AttrFloat || a.Type == AttrInt || a.Type == AttrString) {
			out.Attributes = append(out.Attributes, Attribute{Name: a.Name, Type: a.Type, F: a.F, I: a.I, S: a.S})
		}
	}
	return out
}
